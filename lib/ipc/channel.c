/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/channel.h"

#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/wire.h"

enum {
	READS_A_ROUND = 32, /* then others on the loop get their turn */
	LATER_MS = 10,
};

struct channel {
	struct loop *loop;
	int fd;
	struct channel_handler handler;
	void *arg;
	struct watch *watch;
	struct timer *later; /* WIRE_LATER, or a failure to be reported */
	struct list queue;   /* struct packet */
	size_t queued, queued_bytes;
	bool mute;           /* nothing can be sent any more */
	bool failed;         /* `closed` is due, with err */
	bool ended;          /* `closed` was called */
	bool busy, dead;     /* in a callback; freed in it */
	struct err err;
};

static void
queue_drop(struct channel *c)
{
	LIST_EACH (&c->queue, link) {
		struct packet *p = CONTAINER_OF(link, struct packet, link);

		packet_free(&p);
	}
	c->queued = c->queued_bytes = 0;
}

/* Makes the end known from the loop, never from inside a caller's call. */
static void
fail(struct channel *c)
{
	c->failed = true;
	c->mute = true;
	queue_drop(c);
	timer_start(c->later, 0);
}

static void
watch_update(struct channel *c, bool wait_write)
{
	watch_set(c->watch, WATCH_READ | (wait_write ? WATCH_WRITE : 0));
}

/* Acts on what a send came to; true when the message is gone out. */
static bool
sent(struct channel *c, enum wire_io io)
{
	switch (io) {
	case WIRE_DONE:
		return true;
	case WIRE_WAIT:
		watch_update(c, true);
		return false;
	case WIRE_LATER:
		timer_start(c->later, LATER_MS);
		return false;
	case WIRE_CLOSED:
		/* What the other end sent before it went is still to be
		 * read; reading then finds the end. */
		c->mute = true;
		queue_drop(c);
		return false;
	case WIRE_FAILED:
		fail(c);
		return false;
	}
	return false;
}

static void
flush(struct channel *c)
{
	watch_update(c, false);
	LIST_EACH (&c->queue, link) {
		struct packet *p = CONTAINER_OF(link, struct packet, link);

		if (!sent(c, wire_send(c->fd, &p->msg, &c->err)))
			return;
		c->queued--;
		c->queued_bytes -= p->msg.bytes.n;
		packet_free(&p);
	}
}

static void
destroy(struct channel *c)
{
	queue_drop(c);
	watch_free(&c->watch);
	timer_free(&c->later);
	close(c->fd);
	mem_free(c);
}

static void
report_end(struct channel *c)
{
	watch_set(c->watch, 0);
	timer_stop(c->later);
	c->mute = true;
	c->ended = true;
	c->handler.closed(c->arg, &c->err);
}

/* One message; false when there is none or the channel has ended. */
static bool
receive(struct channel *c, uint8_t *store)
{
	struct msg_in m;

	switch (wire_receive(c->fd, store, &m, &c->err)) {
	case WIRE_DONE:
		c->handler.message(c->arg, &m);
		msg_in_release(&m);
		return !c->dead && !c->failed;
	case WIRE_WAIT:
	case WIRE_LATER:
		return false;
	case WIRE_CLOSED:
		err_set(&c->err, ERR_TEMP, "4.3.0", "connection closed");
		report_end(c);
		return false;
	case WIRE_FAILED:
		report_end(c);
		return false;
	}
	return false;
}

static void
on_watch(void *arg, int events)
{
	struct channel *c = arg;
	uint8_t store[LIMIT_IPC_MESSAGE];

	c->busy = true;
	if ((events & WATCH_WRITE) != 0 && !c->mute)
		flush(c);
	if ((events & WATCH_READ) != 0)
		for (int i = 0; i < READS_A_ROUND && receive(c, store); i++)
			continue;
	c->busy = false;
	if (c->dead)
		destroy(c);
}

static void
on_later(void *arg)
{
	struct channel *c = arg;

	c->busy = true;
	if (c->failed)
		report_end(c);
	else if (!c->mute)
		flush(c);
	c->busy = false;
	if (c->dead)
		destroy(c);
}

struct channel *
channel_new(struct loop *loop, int fd, const struct channel_handler *handler,
    void *arg)
{
	struct channel *c = MEM_NEW(c);

	c->loop = loop;
	c->fd = fd;
	c->handler = *handler;
	c->arg = arg;
	list_init(&c->queue);
	c->later = timer_new(loop, on_later, c);
	if (sock_set_nonblock(fd, true, &c->err) != 0)
		fail(c);
	c->watch = watch_new(loop, fd, on_watch, c);
	watch_set(c->watch, WATCH_READ);
	return c;
}

void
channel_free(struct channel **c)
{
	struct channel *gone = *c;

	*c = NULL;
	if (gone == NULL)
		return;
	if (gone->busy)
		gone->dead = true;
	else
		destroy(gone);
}

static void
enqueue(struct channel *c, const struct msg_out *m)
{
	struct packet *p = packet_new(m, &c->err);

	if (p != NULL && c->queued_bytes + m->bytes.n > LIMIT_IPC_BACKLOG) {
		err_set(&c->err, ERR_TEMP, "4.3.0",
		    "the other end does not read");
		packet_free(&p);
	}
	if (p == NULL) {
		fail(c);
		return;
	}
	list_push(&c->queue, &p->link);
	c->queued++;
	c->queued_bytes += m->bytes.n;
}

void
channel_send(struct channel *c, struct msg_out *m)
{
	if (c->mute || c->dead)
		return;
	if (list_empty(&c->queue) &&
	    (sent(c, wire_send(c->fd, m, &c->err)) || c->mute))
		return;
	enqueue(c, m);
}

size_t
channel_backlog(const struct channel *c)
{
	return c->queued;
}

int
channel_fd(const struct channel *c)
{
	return c->fd;
}
