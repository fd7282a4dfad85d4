/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/login.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

enum {
	INPUT_MAX = 16384,
	OUTPUT_MAX = 65536,
	FAREWELL_MS = 5000,
};

static void
leave_stage(struct login *l)
{
	struct login_stage *st = l->stage;

	list_remove(&l->link);
	st->count--;
	if (st->full && !daemon_leaving(st->daemon)) {
		st->full = false;
		daemon_accept(st->daemon, true);
	}
	if (daemon_leaving(st->daemon) && login_empty(st))
		daemon_exit(st->daemon, 0);
}

bool
login_empty(const struct login_stage *st)
{
	return st->count == 0;
}

/* Dovecot's words, which fail2ban and people look for. */
static void
log_end(const struct login *l, const char *reason)
{
	const unsigned secs =
	    (unsigned)((loop_now_ms(daemon_loop(l->stage->daemon)) -
			   l->started_ms) /
		       1000);
	const char *tls = l->tls ? ", TLS" : "";

	if (l->phase == LOGIN_PROXY)
		return;
	if (l->attempts > 0)
		log_info(&l->log,
		    "%s (auth failed, %u attempts in %u secs): "
		    "user=<%s>, method=%s, rip=%s, lip=%s%s",
		    reason, l->attempts, secs, l->user, l->mechanism, l->remote,
		    l->local, tls);
	else if (l->tried_plain)
		log_info(&l->log,
		    "%s (tried to use disallowed plaintext "
		    "auth): user=<>, rip=%s, lip=%s%s",
		    reason, l->remote, l->local, tls);
	else
		log_info(&l->log,
		    "%s (no auth attempts in %u secs): "
		    "user=<>, rip=%s, lip=%s%s",
		    reason, secs, l->remote, l->local, tls);
}

void
login_end(struct login *l, const char *reason)
{
	log_end(l, l->quit ? "Disconnected: Logged out" : reason);
	login_auth_cancel(l);
	client_cancel(l->stage->spawn, l);
	if (l->session_fd >= 0)
		close(l->session_fd);
	if (l->client != NULL)
		stream_finish(&l->client, FAREWELL_MS);
	if (l->session != NULL)
		stream_finish(&l->session, FAREWELL_MS);
	imap_server_free(&l->server);
	log_event(&l->log, "end", "connection from %s", l->remote);
	leave_stage(l);
	mem_free(l);
}

void
login_send(struct login *l)
{
	const struct span out = imap_server_output(l->server);

	if (out.n == 0)
		return;
	stream_write(l->client, out);
	imap_server_sent(l->server, out.n);
}

/* One event. False when the connection is gone or changed hands. */
static bool
on_event(struct login *l, const struct imap_event *ev)
{
	switch (ev->type) {
	case IMAP_EV_NONE:
		break;
	case IMAP_EV_COMMAND:
		login_command(l, ev->cmd);
		break;
	case IMAP_EV_LINE:
		login_sasl_line(l, ev->bytes);
		break;
	case IMAP_EV_CLOSE:
		login_send(l);
		login_end(l, "Disconnected");
		return false;
	case IMAP_EV_APPEND:
	case IMAP_EV_DATA:
	case IMAP_EV_APPEND_END:
	case IMAP_EV_APPEND_BAD:
		/* Not before login. */
		BUG_ON(true);
	}
	return true;
}

void
login_resume(struct login *l)
{
	struct imap_event ev;
	size_t used;

	/* While something is asked, input waits where it is. */
	while (l->phase == LOGIN_COMMANDS && !l->quit) {
		used =
		    imap_server_feed(l->server, stream_input(l->client), &ev);
		stream_consume(l->client, used);
		if (!on_event(l, &ev))
			return;
		login_send(l);
		if (used == 0 && ev.type == IMAP_EV_NONE)
			return;
	}
	if (l->quit)
		login_end(l, "Disconnected");
}

static void
on_input(void *arg)
{
	struct login *l = arg;

	if (l->phase == LOGIN_PROXY)
		login_proxy_input(l);
	else
		login_resume(l);
}

static void
on_drained(void *arg)
{
	struct login *l = arg;

	if (l->phase == LOGIN_PROXY && l->session != NULL)
		stream_resume(l->session);
}

static void
on_secured(void *arg)
{
	struct login *l = arg;

	l->tls = l->secured = true;
	if (l->phase != LOGIN_TLS)
		return;
	l->phase = LOGIN_COMMANDS;
	if (l->implicit_tls)
		login_greet(l);
	login_resume(l);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct login *l = arg;

	if (end == STREAM_LOST && l->phase == LOGIN_TLS)
		log_info(&l->log, "TLS handshake with %s failed: %s", l->remote,
		    e->text);
	login_end(l, end == STREAM_TIMEOUT ? "Disconnected: Inactivity"
		     : l->attempts == 0	   ? "Disconnected: Connection closed"
					   : "Aborted login");
}

static const struct stream_handler handler = {
	.input = on_input,
	.drained = on_drained,
	.secured = on_secured,
	.closed = on_closed,
};

static void
learn_addresses(struct login *l, int fd)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	snprintf(l->remote, sizeof(l->remote), "unknown");
	snprintf(l->local, sizeof(l->local), "unknown");
	if (getpeername(fd, (struct sockaddr *)&a, &n) == 0)
		sock_addr_text((const struct sockaddr *)&a, l->remote);
	n = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
		sock_addr_text((const struct sockaddr *)&a, l->local);
}

/* Talk that does not leave this host may be plain. */
static bool
is_local(const struct login *l)
{
	return strcmp(l->remote, l->local) == 0 &&
	       strcmp(l->remote, "unknown") != 0;
}

void
login_new(struct login_stage *st, int fd, bool implicit_tls)
{
	static const struct stream_limits limits = { INPUT_MAX, OUTPUT_MAX };
	struct login *l = MEM_NEW(l);

	l->stage = st;
	l->log.trace = log_trace_new();
	l->session_fd = -1;
	l->implicit_tls = implicit_tls;
	l->started_ms = loop_now_ms(daemon_loop(st->daemon));
	learn_addresses(l, fd);
	l->secured = is_local(l);
	l->server = imap_server_new(IMAP_NOT_AUTHENTICATED);
	l->client =
	    stream_new(daemon_loop(st->daemon), fd, &limits, &handler, l);
	stream_timeout(l->client, (uint64_t)st->conf->imap_login_timeout);
	list_push(&st->logins, &l->link);
	log_event(&l->log, "begin", "connection from %s", l->remote);
	if (++st->count >= (size_t)st->conf->imap_login_client_limit) {
		st->full = true;
		daemon_accept(st->daemon, false);
	}
	if (implicit_tls) {
		l->phase = LOGIN_TLS;
		stream_tls_server(l->client, st->tls, true);
	} else {
		login_greet(l);
	}
}
