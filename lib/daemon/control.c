/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"

enum {
	SLOT_WAIT_MS = 10000,
	KEYS_WAIT_MS = 1000,
	PEM_MAX = 1 << 20,
};

/* A message that came before the daemon was made. */
struct early {
	struct list link;
	struct buf store;
	struct msg_in m;
};

/* ---- keys ---- */

static int
read_memory(int fd, struct buf *out, struct err *e)
{
	struct stat st;
	uint8_t *room;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_sys(e, "keys from master");
	room = buf_room(out, (size_t)st.st_size);
	if (room == NULL)
		return err_set(e, ERR_PERM, "5.3.0", "key file too large");
	n = pread(fd, room, (size_t)st.st_size, 0);
	if (n < 0)
		return err_sys(e, "keys from master");
	buf_grown(out, (size_t)n);
	return 0;
}

static void
take_keys(struct daemon *d, struct msg_in *m)
{
	struct daemon_keys keys;
	struct buf chain, key;
	struct err e;
	int fds[2];

	if (m->fd_count == 0 || d->spec->keys == NULL)
		return;
	buf_init(&chain, PEM_MAX);
	buf_init(&key, PEM_MAX);
	fds[0] = msg_take_fd(m);
	fds[1] = msg_take_fd(m);
	if (read_memory(fds[0], &chain, &e) == 0 &&
	    read_memory(fds[1], &key, &e) == 0) {
		keys = (struct daemon_keys){ buf_span(&chain),
			buf_span(&key) };
		d->spec->keys(d, &keys);
	} else {
		log_warning(NULL, "%s", e.text);
	}
	buf_release(&chain);
	buf_wipe(&key);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* ---- messages ---- */

void
daemon_leave(struct daemon *d)
{
	if (d->leaving)
		return;
	d->leaving = true;
	daemon_accept(d, false);
	daemon_listen_stop(d);
	if (d->spec->leave != NULL)
		d->spec->leave(d);
	else
		daemon_exit(d, 0);
}

static void
act(struct daemon *d, struct msg_in *m)
{
	const struct daemon_spec *s = d->spec;

	if (m->type == MSG_LEAVE)
		daemon_leave(d);
	else if (m->type == MSG_HURRY && s->hurry != NULL)
		s->hurry(d);
	else if (m->type == MSG_WAKE && s->wake != NULL)
		s->wake(d);
	else if (m->type == MSG_KEYS)
		take_keys(d, m);
	else if (m->type == MSG_SLOT)
		d->slot = (int)(msg_get_u32(m, F_SLOT) & 0xff);
	else if (s->control != NULL)
		s->control(d, m);
}

static void
on_message(void *arg, struct msg_in *m)
{
	act(arg, m);
}

/* master is gone: nobody could replace us, so finish and end. */
static void
on_closed(void *arg, const struct err *e)
{
	struct daemon *d = arg;

	(void)e;
	channel_free(&d->control);
	daemon_leave(d);
}

/* ---- before start ---- */

static void
early_free(struct early *early)
{
	msg_in_release(&early->m);
	buf_release(&early->store);
	list_remove(&early->link);
	mem_free(early);
}

/* Receives one message within the time: 1 one, 0 none came, -1 error. */
static int
early_receive(struct daemon *d, int timeout_ms, struct err *e)
{
	struct pollfd p = { .fd = CONTROL_FD, .events = POLLIN };
	struct early *early;
	int n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return 0;
	early = MEM_NEW(early);
	buf_init(&early->store, LIMIT_IPC_MESSAGE);
	n = sync_receive(CONTROL_FD, &early->store, &early->m, 0, e);
	list_push(&d->early, &early->link);
	if (n != 1) {
		early->m.fd_count = 0;
		early_free(early);
		return n < 0 ? -1 :
		    err_set(e, ERR_TEMP, "4.3.0", "master is gone");
	}
	d->keys_seen |= early->m.type == MSG_KEYS;
	if (early->m.type == MSG_SLOT)
		d->slot = (int)(msg_get_u32(&early->m, F_SLOT) & 0xff);
	return 1;
}

int
daemon_control_early(struct daemon *d, struct err *e)
{
	int n;

	do {
		bool need_slot = d->program->needs_slot && d->slot < 0;
		bool need_keys = d->program->needs_keys && !d->keys_seen;

		n = early_receive(d,
		    need_slot ? SLOT_WAIT_MS :
		    need_keys ? KEYS_WAIT_MS : 0, e);
		if (n == 0 && need_slot)
			return err_set(e, ERR_TEMP, "4.3.0",
			    "master gave no slot for queue ids");
	} while (n == 1);
	return n;
}

void
daemon_control_start(struct daemon *d)
{
	static const struct channel_handler handler = { on_message,
		on_closed };
	struct list *link;

	d->control = channel_new(d->loop, CONTROL_FD, &handler, d);
	while ((link = list_first(&d->early)) != NULL) {
		struct early *early = CONTAINER_OF(link, struct early, link);

		act(d, &early->m);
		early_free(early);
	}
}

void
daemon_control_ready(struct daemon *d)
{
	struct msg_out m;

	msg_begin(&m, MSG_READY, 0, 0);
	if (d->control != NULL)
		channel_send(d->control, &m);
	else
		(void)sync_send(CONTROL_FD, &m, SLOT_WAIT_MS, NULL);
	msg_out_release(&m);
}

/* ---- without a loop ---- */

void
daemon_ready(struct daemon *d)
{
	daemon_control_ready(d);
}

int
daemon_control_receive(struct daemon *d, struct buf *store,
    struct msg_in *out)
{
	struct list *link = list_first(&d->early);
	struct pollfd p = { .fd = CONTROL_FD, .events = POLLIN };

	if (link != NULL) {
		struct early *early = CONTAINER_OF(link, struct early, link);

		/* The bytes move to the caller's buffer. */
		buf_reset(store);
		buf_add(store, early->m.fields);
		*out = early->m;
		out->fields = buf_span(store);
		early->m.fd_count = 0;
		early_free(early);
		return 1;
	}
	if (poll(&p, 1, 0) <= 0)
		return 0;
	return sync_receive(CONTROL_FD, store, out, 0, NULL) == 1 ? 1 : -1;
}
