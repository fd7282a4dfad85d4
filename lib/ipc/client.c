/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/channel.h"

#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/ipc/wire.h"

enum {
	WAITING_MAX = 10000,
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 1000,
};

enum call_state { CALL_REFUSED, CALL_WAITING, CALL_FLYING };

struct call {
	struct list link; /* in the list of its state */
	struct client *client;
	struct packet *packet; /* until sent, or answered */
	uint32_t id;
	enum call_state state;
	bool again;            /* may be sent a second time: keeps packet */
	enum msg_type last;    /* 0: any answer is the last */
	client_fn more, fn;    /* fn NULL: nobody waits for it any more */
	void *arg;
	struct timer *timer;
	struct err err;        /* why it fails when the timer fires */
};

struct client {
	struct loop *loop;
	struct client_options options;
	char *path, *peer;
	struct channel *channel;
	bool greeted;          /* MSG_HELLO has come */
	bool leaving;          /* MSG_FAREWELL has come */
	unsigned credit;
	struct timer *connect; /* the next attempt */
	unsigned backoff_ms;
	struct err connect_err;
	struct list refused;   /* struct call: to fail from the loop */
	struct list waiting;   /* in order, not sent */
	struct list flying;    /* sent; those given up keep their credit until
	                          the answer comes */
	unsigned waiting_count, flying_count;
	struct table by_id;    /* flying */
	uint32_t last_id;
	unsigned busy;         /* callbacks running */
	bool dead;             /* freed inside one */
};

static struct span
id_key(const uint32_t *id)
{
	return span_of(id, sizeof(*id));
}

static void
call_unlink(struct call *call)
{
	struct client *c = call->client;

	switch (call->state) {
	case CALL_REFUSED:
		break;
	case CALL_WAITING:
		c->waiting_count--;
		break;
	case CALL_FLYING:
		table_remove(&c->by_id, id_key(&call->id));
		c->flying_count--;
		break;
	}
	list_remove(&call->link);
}

static void
call_free(struct call *call)
{
	packet_free(&call->packet);
	timer_free(&call->timer);
	mem_free(call);
}

static void
call_finish(struct call *call, struct msg_in *m, const struct err *e)
{
	client_fn fn = call->fn;
	void *arg = call->arg;

	call_unlink(call);
	call_free(call);
	if (fn != NULL)
		fn(arg, m, e);
}

static void
finish_all(struct list *calls, const struct err *e)
{
	struct list *link;

	while ((link = list_first(calls)) != NULL)
		call_finish(CONTAINER_OF(link, struct call, link), NULL, e);
}

/* No call has a function to be called by now. */
static void
destroy(struct client *c)
{
	channel_free(&c->channel);
	timer_free(&c->connect);
	finish_all(&c->flying, NULL);
	finish_all(&c->waiting, NULL);
	finish_all(&c->refused, NULL);
	table_release(&c->by_id);
	mem_free(c->path);
	mem_free(c->peer);
	mem_free(c);
}

/* Brackets everything that may call the owner, who may free the client. */
static void
enter(struct client *c)
{
	c->busy++;
}

static void
leave(struct client *c)
{
	if (--c->busy == 0 && c->dead)
		destroy(c);
}

static void
connect_later(struct client *c)
{
	if (c->dead || c->channel != NULL || timer_active(c->connect))
		return;
	timer_start(c->connect, c->backoff_ms);
	c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_MIN_MS :
	    c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS :
	    c->backoff_ms * 2;
}

/* Questions that were not answered go back to the head of those that wait. */
static void
wait_again(struct client *c)
{
	struct list *front = c->waiting.next;

	LIST_EACH (&c->flying, link) {
		struct call *call = CONTAINER_OF(link, struct call, link);

		if (!call->again || call->fn == NULL)
			continue;
		call_unlink(call);
		call->state = CALL_WAITING;
		c->waiting_count++;
		list_insert(front, &call->link);
	}
}

static void
disconnect(struct client *c, const struct err *why)
{
	struct err e;

	channel_free(&c->channel);
	c->greeted = c->leaving = false;
	c->credit = 0;
	err_set(&e, ERR_TEMP, "4.3.0", "%s: %s", c->peer, why->text);
	wait_again(c);
	finish_all(&c->flying, &e);
	if (c->options.stay || !list_empty(&c->waiting))
		connect_later(c);
	if (c->options.lost != NULL)
		c->options.lost(c->options.arg);
}

static void
call_send(struct client *c, struct call *call)
{
	call_unlink(call);
	call->state = CALL_FLYING;
	list_push(&c->flying, &call->link);
	c->flying_count++;
	table_put(&c->by_id, id_key(&call->id), call);
	channel_send(c->channel, &call->packet->msg);
	if (!call->again)
		packet_free(&call->packet);
}

/* Sends what credit allows. To a server that leaves nothing is sent; when it
 * has answered everything, its successor is asked. */
static void
pump(struct client *c)
{
	struct list *link;
	struct err e;

	if (c->channel == NULL || !c->greeted || c->dead)
		return;
	if (c->leaving) {
		err_set(&e, ERR_TEMP, "4.3.0", "restarting");
		if (c->flying_count == 0)
			disconnect(c, &e);
		return;
	}
	while (c->flying_count < c->credit &&
	    (link = list_first(&c->waiting)) != NULL)
		call_send(c, CONTAINER_OF(link, struct call, link));
}

static void
answer(struct client *c, struct call *call, struct msg_in *m)
{
	struct err e;

	if (m->type == MSG_ERROR) {
		if (!msg_get_err(m, &e))
			err_set(&e, ERR_TEMP, "4.3.0", "%s: failed", c->peer);
		call_finish(call, NULL, &e);
	} else if (call->last == 0 || call->last == m->type) {
		call_finish(call, m, NULL);
	} else if (call->more != NULL) {
		call->more(call->arg, m, NULL);
	}
}

static void
on_message(void *arg, struct msg_in *m)
{
	struct client *c = arg;
	struct call *call = NULL;

	enter(c);
	if (m->id != 0)
		call = table_get(&c->by_id, id_key(&m->id));
	if (call != NULL) {
		answer(c, call, m);
	} else if (m->type == MSG_HELLO) {
		c->greeted = true;
		c->credit = msg_get_u32(m, F_CREDIT);
		c->backoff_ms = 0;
	} else {
		c->leaving |= m->type == MSG_FAREWELL;
		if (c->options.notice != NULL)
			c->options.notice(c->options.arg, m);
	}
	pump(c);
	leave(c);
}

static void
on_closed(void *arg, const struct err *e)
{
	struct client *c = arg;
	const struct err why = *e;

	enter(c);
	disconnect(c, &why);
	leave(c);
}

static void
on_connect(void *arg)
{
	static const struct channel_handler handler = { on_message,
		on_closed };
	struct client *c = arg;
	int fd;

	if (!c->options.stay && list_empty(&c->waiting)) {
		c->backoff_ms = 0;
		return;
	}
	if (sock_connect_unix(c->path, SOCK_SEQPACKET | SOCK_NONBLOCK, &fd,
		&c->connect_err) != 0) {
		err_wrap(&c->connect_err, "%s", c->peer);
		connect_later(c);
		return;
	}
	c->connect_err.text[0] = '\0';
	enter(c);
	c->channel = channel_new(c->loop, fd, &handler, c);
	if (c->options.connected != NULL)
		c->options.connected(c->options.arg, c->channel);
	leave(c);
}

struct client *
client_new(struct loop *loop, const struct client_options *o)
{
	struct client *c = MEM_NEW(c);

	c->loop = loop;
	c->options = *o;
	c->path = mem_strdup(o->path);
	c->peer = mem_strdup(o->peer);
	if (c->options.waiting_max == 0)
		c->options.waiting_max = WAITING_MAX;
	list_init(&c->refused);
	list_init(&c->waiting);
	list_init(&c->flying);
	table_init(&c->by_id);
	c->connect = timer_new(loop, on_connect, c);
	if (o->stay)
		connect_later(c);
	return c;
}

static void
forget(struct list *calls, const void *arg, bool all)
{
	LIST_EACH (calls, link) {
		struct call *call = CONTAINER_OF(link, struct call, link);

		if (!all && call->arg != arg)
			continue;
		call->fn = call->more = NULL;
		timer_stop(call->timer);
		if (call->state != CALL_FLYING) {
			call_unlink(call);
			call_free(call);
		}
	}
}

void
client_free(struct client **c)
{
	struct client *gone = *c;

	*c = NULL;
	if (gone == NULL)
		return;
	forget(&gone->refused, NULL, true);
	forget(&gone->waiting, NULL, true);
	forget(&gone->flying, NULL, true);
	gone->options.connected = NULL;
	gone->options.notice = NULL;
	gone->options.lost = NULL;
	gone->options.stay = false;
	gone->dead = true;
	enter(gone);
	leave(gone);
}

static struct err
why_late(const struct call *call)
{
	const struct client *c = call->client;
	struct err e;

	if (call->state == CALL_REFUSED)
		return call->err;
	if (call->state == CALL_WAITING && c->channel == NULL &&
	    c->connect_err.text[0] != '\0')
		return c->connect_err;
	err_set(&e, ERR_TEMP, "4.3.0", "%s: no answer", c->peer);
	return e;
}

/* No answer in time, or it could not be taken at all (call->err). One that
 * was sent stays, for its credit, until its answer comes. */
static void
on_timer(void *arg)
{
	struct call *call = arg;
	struct client *c = call->client;
	const struct err e = why_late(call);
	client_fn fn = call->fn;

	enter(c);
	if (call->state == CALL_FLYING) {
		call->fn = call->more = NULL;
		if (fn != NULL)
			fn(call->arg, NULL, &e);
	} else {
		call_finish(call, NULL, &e);
	}
	leave(c);
}

static uint32_t
next_id(struct client *c)
{
	do {
		c->last_id++;
	} while (c->last_id == 0 ||
	    table_get(&c->by_id, id_key(&c->last_id)) != NULL);
	return c->last_id;
}

/* Why a call can't even be queued goes into call->err. */
static bool
call_queue(struct client *c, struct call *call, const struct msg_out *m)
{
	if (c->waiting_count >= c->options.waiting_max) {
		err_set(&call->err, ERR_TEMP, "4.3.2", "%s: too busy",
		    c->peer);
		return false;
	}
	call->packet = packet_new(m, &call->err);
	if (call->packet == NULL)
		return false;
	call->id = next_id(c);
	wire_set_id(&call->packet->msg, call->id);
	call->state = CALL_WAITING;
	list_push(&c->waiting, &call->link);
	c->waiting_count++;
	return true;
}

static struct call *
call_new(struct client *c, client_fn fn, void *arg)
{
	struct call *call = MEM_NEW(call);

	list_init(&call->link);
	call->client = c;
	call->fn = fn;
	call->arg = arg;
	return call;
}

static void
call_start(struct client *c, struct call *call, const struct msg_out *m,
    uint64_t timeout_ms)
{
	call->timer = timer_new(c->loop, on_timer, call);
	if (!call_queue(c, call, m)) {
		list_push(&c->refused, &call->link);
		timer_start(call->timer, 0);
		return;
	}
	timer_start(call->timer, timeout_ms);
	connect_later(c);
	if (!c->leaving)
		pump(c);
}

void
client_call(struct client *c, struct msg_out *m, uint64_t timeout_ms,
    client_fn fn, void *arg)
{
	call_start(c, call_new(c, fn, arg), m, timeout_ms);
}

void
client_ask(struct client *c, struct msg_out *m, uint64_t timeout_ms,
    client_fn fn, void *arg)
{
	struct call *call = call_new(c, fn, arg);

	call->again = true;
	call_start(c, call, m, timeout_ms);
}

void
client_call_many(struct client *c, struct msg_out *m, enum msg_type last,
    uint64_t timeout_ms, client_fn more, client_fn fn, void *arg)
{
	struct call *call = call_new(c, fn, arg);

	call->last = last;
	call->more = more;
	call_start(c, call, m, timeout_ms);
}

void
client_cancel(struct client *c, const void *arg)
{
	forget(&c->refused, arg, false);
	forget(&c->waiting, arg, false);
	forget(&c->flying, arg, false);
}

bool
client_notify(struct client *c, struct msg_out *m)
{
	if (c->channel == NULL || c->leaving)
		return false;
	wire_set_id(m, 0);
	channel_send(c->channel, m);
	return true;
}
