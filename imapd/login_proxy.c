/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/login.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

enum {
	SPAWN_MS = 30000,
	PIPE_INPUT = 65536,   /* read at a time from a session */
	PIPE_OUTPUT = 131072, /* beyond, its other end is not read */
};

/* ---- asking for a session ---- */

static void
on_session_input(void *arg)
{
	struct login *l = arg;
	const struct span in = stream_input(l->session);

	stream_write(l->client, in);
	stream_consume(l->session, in.n);
	if (stream_pending(l->client) > PIPE_OUTPUT / 2)
		stream_pause(l->session);
}

static void
on_session_drained(void *arg)
{
	struct login *l = arg;

	if (l->hurried)
		shutdown(stream_fd(l->session), SHUT_WR);
	else
		stream_resume(l->client);
}

/* The session ends: its last words go out to the client first. */
static void
on_session_closed(void *arg, enum stream_end end, const struct err *e)
{
	(void)end;
	(void)e;
	login_end(arg, "Disconnected");
}

static const struct stream_handler session_handler = {
	.input = on_session_input,
	.drained = on_session_drained,
	.closed = on_session_closed,
};

void
login_proxy_input(struct login *l)
{
	const struct span in = stream_input(l->client);

	if (l->hurried)
		return;
	stream_write(l->session, in);
	stream_consume(l->client, in.n);
	if (stream_pending(l->session) > PIPE_OUTPUT / 2)
		stream_pause(l->client);
}

void
login_proxy_hurry(struct login *l)
{
	if (l->hurried)
		return;
	l->hurried = true;
	stream_pause(l->client);
	if (stream_pending(l->session) == 0)
		shutdown(stream_fd(l->session), SHUT_WR);
}

static void
log_login(const struct login *l, struct span user, uint64_t pid)
{
	log_info(&l->log,
	    "Login: user=<%s>, method=%s, rip=%s, lip=%s, "
	    "mpid=%llu%s",
	    log_quote(user, 100), l->mechanism, l->remote, l->local,
	    (unsigned long long)pid, l->tls ? ", TLS" : "");
	log_event(&l->log, "imap-login", "user=%s rip=%s", log_quote(user, 100),
	    l->remote);
}

static void
begin_proxy(struct login *l, uint64_t pid)
{
	static const struct stream_limits limits = { PIPE_INPUT, PIPE_OUTPUT };

	log_login(l, span_str(l->user), pid);
	l->phase = LOGIN_PROXY;
	imap_server_free(&l->server);
	/* The session watches over silence from here on. */
	stream_timeout(l->client, 0);
	l->session = stream_new(daemon_loop(l->stage->daemon), l->session_fd,
	    &limits, &session_handler, l);
	l->session_fd = -1;
	login_proxy_input(l);
}

static void
spawned(void *arg, struct msg_in *m, const struct err *e)
{
	struct login *l = arg;

	if (m != NULL) {
		begin_proxy(l, msg_get_u64(m, F_PID));
		return;
	}
	close(l->session_fd);
	l->session_fd = -1;
	l->phase = LOGIN_COMMANDS;
	log_warning(&l->log, "no session for user=<%s>: %s", l->user, e->text);
	imap_server_done(l->server, IMAP_NO, "UNAVAILABLE", e->text);
	login_send(l);
	login_resume(l);
}

void
login_spawn(struct login *l, struct span ticket, struct span user)
{
	const struct imap_cmd *c = imap_server_cmd(l->server);
	struct msg_out m;
	struct err e;
	int pair[2];

	snprintf(l->user, sizeof(l->user), "%s", log_quote(user, 100));
	if (sock_pair(SOCK_STREAM, pair, &e) != 0 ||
	    sock_set_nonblock(pair[0], true, &e) != 0) {
		imap_server_done(l->server, IMAP_NO, "UNAVAILABLE", e.text);
		login_send(l);
		login_resume(l);
		return;
	}
	l->phase = LOGIN_SPAWN;
	l->session_fd = pair[0];
	msg_begin(&m, MSG_SESSION, 0, l->log.trace);
	msg_put_fd(&m, pair[1]);
	msg_put(&m, F_TICKET, ticket);
	msg_put_str(&m, F_ADDR, l->remote);
	msg_put_str(&m, F_LADDR, l->local);
	msg_put_u64(&m, F_SECURED, l->tls);
	msg_put(&m, F_TAG, c->tag);
	client_call(l->stage->spawn, &m, SPAWN_MS, spawned, l);
	msg_out_release(&m);
	close(pair[1]);
}
