/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <poll.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/memfd.h"
#include "lib/os/tls_keys.h"
#include "lib/os/tls_tickets.h"

enum {
	SLOT_WAIT_MS = 10000,
	KEYS_WAIT_MS = 1000,
};

/* A message that came before the daemon was made. */
struct early {
	struct list link;
	struct buf store;
	struct msg_in m;
};

/* ---- keys ---- */

static void
take_keys(struct daemon *d, struct msg_in *m)
{
	struct tls_keys *keys;
	struct err e;
	int fd;

	if (m->fd_count == 0 || d->spec->keys == NULL)
		return;
	fd = msg_take_fd(m);
	if (tls_keys_open(fd, &keys, &e) == 0) {
		d->spec->keys(d, keys);
		tls_keys_free(&keys);
	} else {
		log_warning(NULL, "keys from master: %s", e.text);
	}
	close(fd);
}

/* Those of session tickets; without a descriptor there are none. */
static void
take_ticket_keys(struct msg_in *m)
{
	struct buf keys;
	struct err e;
	int fd;

	buf_init(&keys, TLS_TICKET_KEYS_MAX * TLS_TICKET_KEY_SIZE);
	if (m->fd_count > 0) {
		fd = msg_take_fd(m);
		if (memfd_read(fd, keys.max, &keys, &e) != 0)
			log_warning(NULL, "ticket keys from master: %s",
			    e.text);
		close(fd);
	}
	if (!tls_tickets_set(buf_span(&keys)))
		log_warning(NULL, "ticket keys from master: damaged");
	buf_wipe(&keys);
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
	else if (m->type == MSG_TICKET_KEYS)
		take_ticket_keys(m);
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

static void
tell_master(struct daemon *d, enum msg_type type)
{
	struct msg_out m;

	msg_begin(&m, type, 0, 0);
	if (d->control != NULL)
		channel_send(d->control, &m);
	else
		(void)sync_send(CONTROL_FD, &m, SLOT_WAIT_MS, NULL);
	msg_out_release(&m);
}

void
daemon_control_ready(struct daemon *d)
{
	tell_master(d, MSG_READY);
}

void
daemon_full(struct daemon *d)
{
	if (d->control != NULL)
		tell_master(d, MSG_FULL);
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
