/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/loop_uv.h"
#include "lib/os/sock.h"

struct connecting {
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct deferred at_once; /* failed, or is through, in connect(2) */
	int sysno;
	connect_fn fn;
	void *arg;
	char to[160];
};

static void
describe(const struct sockaddr *to, char *out, size_t size)
{
	char text[SOCK_ADDR_TEXT];

	if (to->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = (const void *)to;

		snprintf(out, size, "%s", un->sun_path);
		return;
	}
	sock_addr_text(to, text);
	snprintf(out, size, "[%s]:%u", text, sock_addr_port(to));
}

/* Calls the owner, once, with the outcome sysno (0: connected). */
static void
settle(struct connecting *c, int sysno)
{
	struct err e;
	int fd = -1;

	if (sysno == 0) {
		fd = c->fd;
		c->fd = -1;
	} else {
		errno = sysno;
		err_sys(&e, "connect to %s", c->to);
		memcpy(e.dsn, "4.4.1", 6);
	}
	watch_free(&c->watch);
	timer_free(&c->timer);
	/* Last: the owner may free c. */
	c->fn(c->arg, fd, sysno == 0 ? NULL : &e);
}

static void
on_at_once(void *arg)
{
	struct connecting *c = arg;

	settle(c, c->sysno);
}

static void
on_timeout(void *arg)
{
	settle(arg, ETIMEDOUT);
}

static void
on_writable(void *arg, int events)
{
	struct connecting *c = arg;
	int sysno = 0;
	socklen_t len = sizeof(sysno);

	(void)events;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sysno, &len) != 0)
		sysno = errno;
	settle(c, sysno);
}

/* The errno of a connection attempt: EINPROGRESS when it is under way. */
static int
attempt(struct connecting *c, const struct sockaddr *to, socklen_t to_len,
    const struct sockaddr *from, socklen_t from_len)
{
	const int on = 1;

	c->fd = socket(
	    to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return errno;
	/* Not TCP: that is fine too. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if ((from != NULL && bind(c->fd, from, from_len) != 0) ||
	    connect(c->fd, to, to_len) != 0)
		return errno;
	return 0;
}

struct connecting *
connect_start(struct loop *loop, const struct sockaddr *to, socklen_t to_len,
    const struct sockaddr *from, socklen_t from_len, uint64_t timeout_ms,
    connect_fn fn, void *arg)
{
	struct connecting *c = MEM_NEW(c);

	c->fn = fn;
	c->arg = arg;
	deferred_init(&c->at_once, on_at_once, c);
	describe(to, c->to, sizeof(c->to));
	c->sysno = attempt(c, to, to_len, from, from_len);
	if (c->sysno != EINPROGRESS) {
		deferred_set(loop, &c->at_once);
		return c;
	}
	c->watch = watch_new(loop, c->fd, on_writable, c);
	watch_set(c->watch, WATCH_WRITE);
	c->timer = timer_new(loop, on_timeout, c);
	timer_start(c->timer, timeout_ms);
	return c;
}

void
connect_free(struct connecting **ref)
{
	struct connecting *c = *ref;

	if (c == NULL)
		return;
	*ref = NULL;
	deferred_cancel(&c->at_once);
	watch_free(&c->watch);
	timer_free(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	mem_free(c);
}
