/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/os/log.h"

enum {
	FULL_PAUSE_MS = 200, /* when there are no more descriptors */
	COMPANY_MS = 1000,   /* between two questions */
	STANDBY_MS = 5,	     /* so long the first process may take a client */
	DUTY_MS = 50,	     /* so long help lasts when it did not */
	PATROL_MS = 1000,    /* so long a client waits whom nobody sees */
};

struct listener_arg {
	struct daemon *d;
	const struct daemon_listener *l;
};

static void
update(struct daemon *d)
{
	bool on = d->accepting && !d->leaving &&
	    !timer_active(d->accept_again) && !timer_active(d->standby);

	for (size_t i = 0; i < d->options.listener_count; i++)
		if (d->watches[i] != NULL)
			watch_set(d->watches[i], on ? WATCH_READ : 0);
}

/* A descriptor for the time when there is no other. */
static void
keep_reserve(struct daemon *d)
{
	if (d->spec->refuse != NULL && d->reserve_fd < 0)
		d->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
on_accept_again(void *arg)
{
	keep_reserve(arg);
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
	d->reserve_fd = -1;
	keep_reserve(d);
	return fd >= 0;
}

/* 1: a client was taken, or told that there is no room. */
static int
take_one(struct daemon *d, const struct daemon_listener *l)
{
	struct err e;
	int fd;
	const int n = sock_accept(l->fd, &fd, NULL, &e);

	if (n > 0)
		d->spec->client(d, fd, l);
	if (n >= 0)
		return n;
	if ((e.sysno == EMFILE || e.sysno == ENFILE) && refuse(d, l))
		return 1;
	log_warning(NULL, "%s", e.text);
	timer_start(d->accept_again, FULL_PAUSE_MS);
	update(d);
	return 0;
}

/*
 * Where clients gather in the service's first process, the others take those
 * that it left waiting for a moment, since it has its hands full; then they
 * help for a while. Clients of one process share their flushes, and nobody is
 * woken for what the first one does at once.
 */
static bool
stands_by(const struct daemon *d, const struct daemon_listener *l)
{
	return d->options.standby && d->spec->gathers && l->inet &&
	    loop_now_ms(d->loop) >= d->duty_until_ms;
}

static void
take_what_waits(struct daemon *d)
{
	for (size_t i = 0; i < d->options.listener_count; i++)
		if (d->options.listeners[i].fd >= 0 && d->accepting &&
		    !d->leaving && !timer_active(d->accept_again) &&
		    take_one(d, &d->options.listeners[i]) > 0)
			d->duty_until_ms = loop_now_ms(d->loop) + DUTY_MS;
}

static void
on_standby(void *arg)
{
	struct daemon *d = arg;

	take_what_waits(d);
	update(d);
}

/* A process that was woken for a client and died, or hangs, has woken nobody
 * else. */
static void
on_patrol(void *arg)
{
	struct daemon *d = arg;

	take_what_waits(d);
	timer_start(d->patrol, PATROL_MS);
}

/* One a round: those who are served already come first, and other processes
 * take the next. */
static void
on_listener(void *arg, int events)
{
	const struct listener_arg *a = arg;
	struct daemon *d = a->d;

	(void)events;
	if (stands_by(d, a->l)) {
		timer_start(d->standby, STANDBY_MS);
		update(d);
		return;
	}
	if (!d->spec->gathers || d->options.standby || d->sharing)
		watch_yield(d->watches[a->l->index]);
	take_one(d, a->l);
}

void
daemon_listen_start(struct daemon *d)
{
	static struct listener_arg args[LISTENERS_MAX];

	d->accepting = true;
	d->reserve_fd = -1;
	keep_reserve(d);
	d->accept_again = timer_new(d->loop, on_accept_again, d);
	d->standby = timer_new(d->loop, on_standby, d);
	d->patrol = timer_new(d->loop, on_patrol, d);
	if (d->spec->client == NULL)
		return;
	for (size_t i = 0; i < d->options.listener_count; i++) {
		args[i] = (struct listener_arg){ d, &d->options.listeners[i] };
		d->watches[i] = watch_new(d->loop, args[i].l->fd, on_listener,
		    &args[i]);
		watch_shared(d->watches[i]);
	}
	if (d->spec->gathers)
		timer_start(d->patrol, PATROL_MS);
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
daemon_share(struct daemon *d, bool on)
{
	d->sharing = on;
}

void
daemon_accept(struct daemon *d, bool on)
{
	d->accepting = on;
	if (d->accept_again != NULL)
		update(d);
}
