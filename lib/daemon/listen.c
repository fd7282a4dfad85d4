/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/os/log.h"

enum {
	FULL_PAUSE_MS = 200, /* when there are no more descriptors */
	COMPANY_MS = 1000,   /* between two questions */
};

struct listener_arg {
	struct daemon *d;
	const struct daemon_listener *l;
};

static void
update(struct daemon *d)
{
	bool on = d->accepting && !d->leaving &&
	    !timer_active(d->accept_again);

	for (size_t i = 0; i < d->options.listener_count; i++)
		if (d->watches[i] != NULL)
			watch_set(d->watches[i], on ? WATCH_READ : 0);
}

static void
on_accept_again(void *arg)
{
	update(arg);
}

/* Out of descriptors: the one in reserve goes for a moment, so that a client
 * hears why. True: one was told. */
static bool
refuse(struct daemon *d, const struct daemon_listener *l)
{
	struct err e;
	int fd;

	if (d->spec->refuse == NULL || d->reserve_fd < 0)
		return false;
	close(d->reserve_fd);
	if (sock_accept(l->fd, &fd, NULL, &e) == 1)
		d->spec->refuse(d, fd, l);
	else
		fd = -1;
	d->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

/* One a round: those who are served already come first, and other processes
 * take the next. */
static void
on_listener(void *arg, int events)
{
	const struct listener_arg *a = arg;
	struct daemon *d = a->d;
	struct err e;
	int fd, n;

	(void)events;
	watch_yield(d->watches[a->l->index]);
	n = sock_accept(a->l->fd, &fd, NULL, &e);
	if (n > 0) {
		d->spec->client(d, fd, a->l);
		return;
	}
	if (n == 0 ||
	    ((e.sysno == EMFILE || e.sysno == ENFILE) && refuse(d, a->l)))
		return;
	log_warning(NULL, "%s", e.text);
	timer_start(d->accept_again, FULL_PAUSE_MS);
	update(d);
}

void
daemon_listen_start(struct daemon *d)
{
	static struct listener_arg args[LISTENERS_MAX];

	d->accepting = true;
	d->reserve_fd = d->spec->refuse != NULL ?
	    open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	d->accept_again = timer_new(d->loop, on_accept_again, d);
	if (d->spec->client == NULL)
		return;
	for (size_t i = 0; i < d->options.listener_count; i++) {
		args[i] = (struct listener_arg){ d, &d->options.listeners[i] };
		d->watches[i] = watch_new(d->loop, args[i].l->fd, on_listener,
		    &args[i]);
		watch_shared(d->watches[i]);
	}
	update(d);
}

void
daemon_listen_stop(struct daemon *d)
{
	if (d->spec->client == NULL)
		return;
	for (size_t i = 0; i < d->options.listener_count; i++) {
		struct daemon_listener *l = &d->options.listeners[i];

		watch_free(&d->watches[i]);
		if (l->fd >= 0)
			close(l->fd);
		l->fd = -1;
	}
}

void
daemon_ask_company(struct daemon *d)
{
	const uint64_t now = loop_now_ms(d->loop);
	struct msg_out m;

	if (d->control == NULL || d->leaving || now < d->ask_again_ms)
		return;
	d->ask_again_ms = now + COMPANY_MS;
	msg_begin(&m, MSG_COMPANY, 0, 0);
	channel_send(d->control, &m);
	msg_out_release(&m);
}

void
daemon_accept(struct daemon *d, bool on)
{
	d->accepting = on;
	if (d->accept_again != NULL)
		update(d);
}
