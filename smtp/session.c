/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/sock.h"
#include "smtp/fault.h"
#include "smtp/smtp.h"
#include "smtp/tls_policy.h"

enum {
	INPUT_MAX = 2 * LIMIT_SMTP_REPLY,
	OUTPUT_MAX = 1 << 17,
	BODY_PIECE = 1 << 16,
	FAREWELL_MS = 5000,
};

struct session {
	struct smtp *smtp;
	struct destination *destination;
	struct list link;            /* in destination's idle */
	struct target target;
	const struct tls_policy *policy; /* of the first user */
	enum tls_level tls;
	enum tls_trust trust;
	struct connecting *connecting;
	struct stream *stream;
	struct identity identity;
	struct smtp_client *client;
	const struct session_user *user; /* NULL: idle */
	void *arg;
	struct smtp_client_message message;
	unsigned uses;
	size_t results;              /* of this message */
	size_t leftover;             /* clear bytes behind STARTTLS's reply */
	bool sending;
	bool body_begun;             /* this message's: it may have arrived */
	struct timer *timer;         /* idle: the end; reuse: the message */
	uint64_t born_ms;
	int64_t ready_us;
	uint8_t *piece;
};

static void run(struct session *s);

void
smtp_maybe_exit(struct smtp *s)
{
	if (s->leaving && s->sessions == 0)
		daemon_exit(s->daemon, 0);
}

/* ---- the end of a session ------------------------------------------------------ */

static void
session_free(struct session *s)
{
	struct smtp *smtp = s->smtp;

	list_remove(&s->link);
	connect_free(&s->connecting);
	stream_free(&s->stream);
	smtp_client_free(s->client);
	identity_release(&s->identity);
	timer_free(&s->timer);
	destination_put(smtp, s->destination);
	mem_free(s->piece);
	mem_free(s);
	smtp->sessions--;
	smtp_maybe_exit(smtp);
}

/* An idle session that was taken up again, and nothing came of it. */
static bool
nothing_happened(const struct session *s)
{
	return s->user != NULL && s->uses > 1 && s->results == 0 &&
	    !s->body_begun;
}

/* Frees the session and lets its user go on. */
static void
end_session(struct session *s, enum session_end how, const struct err *e)
{
	const struct session_user *user = s->user;
	void *arg = s->arg;

	if (how == SESSION_FAILED && nothing_happened(s))
		how = SESSION_RETRY;
	s->user = NULL;
	/* The user may still look at the target. */
	if (user != NULL)
		user->end(arg, how, e);
	session_free(s);
}

static void
fail(struct session *s, const char *how)
{
	struct err e;

	fault_lost(&s->target, smtp_client_stage(s->client), how, &e);
	end_session(s, SESSION_FAILED, &e);
}

/* Before the final dot: the server throws away what it has. */
static void
unreadable(struct session *s)
{
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.0", "the queue file can't be read");
	end_session(s, SESSION_FAILED, &e);
}

/* It is not what the message may go to: says so, and goodbye. */
static void
unfit(struct session *s, const struct err *e)
{
	const struct span quit = SPAN("QUIT\r\n");

	stream_write(s->stream, quit);
	stream_finish(&s->stream, FAREWELL_MS);
	end_session(s, SESSION_UNFIT, e);
}

/* The server ended it, or did what it may not. */
static void
failed_by_reply(struct session *s, const struct smtp_client_event *ev)
{
	struct err e;

	if (fault_by_reply(&s->target, ev, &e) == FAULT_NO_TLS)
		unfit(s, &e);
	else
		end_session(s, SESSION_FAILED, &e);
}

/* ---- idle ---------------------------------------------------------------------- */

static void
say_goodbye(struct session *s)
{
	struct span out;

	if (smtp_client_stage(s->client) == SMTP_STAGE_IDLE) {
		smtp_client_quit(s->client);
		out = smtp_client_output(s->client);
		stream_write(s->stream, out);
		stream_finish(&s->stream, FAREWELL_MS);
	}
	session_free(s);
}

static void
on_timer(void *arg)
{
	struct session *s = arg;

	if (s->user == NULL)
		say_goodbye(s);
	else
		run(s);
}

static void
become_idle(struct session *s)
{
	const struct smtp_conf *c = s->smtp->conf;
	const uint64_t age =
	    loop_now_ms(daemon_loop(s->smtp->daemon)) - s->born_ms;

	s->user = NULL;
	stream_timeout(s->stream, 0);
	list_unshift(&s->destination->idle, &s->link);
	if (s->smtp->leaving ||
	    age > (uint64_t)c->smtp_connection_reuse_time_limit)
		timer_start(s->timer, 0);
	else
		timer_start(s->timer,
		    (uint64_t)c->smtp_connection_cache_time_limit);
}

static void
message_done(struct session *s, bool reusable)
{
	const struct session_user *user = s->user;
	void *arg = s->arg;

	s->sending = false;
	user->end(arg, SESSION_DONE, NULL);
	if (reusable) {
		become_idle(s);
	} else {
		s->user = NULL;
		session_free(s);
	}
}

void
session_close_idle(struct smtp *s)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&s->destinations, &it);
	while (table_iter_next(&s->destinations, &it, &key, &value)) {
		struct destination *d = value;

		LIST_EACH(&d->idle, link) {
			struct session *one =
			    CONTAINER_OF(link, struct session, link);

			timer_start(one->timer, 0);
		}
	}
}

/* ---- events -------------------------------------------------------------------- */

/* False when the message may not go to this server: the session is idle. */
static bool
begin_message(struct session *s)
{
	if (!s->user->ready(s->arg, &s->target, s->client,
	    &s->message)) {
		become_idle(s);
		return false;
	}
	s->ready_us = clock_wall_us();
	s->results = 0;
	s->body_begun = false;
	s->uses++;
	smtp_client_send(s->client, &s->message);
	return true;
}

static bool
begin_first(struct session *s)
{
	const struct session_user *user = s->user;
	void *arg = s->arg;

	s->policy = NULL;
	if (begin_message(s))
		return true;
	user->end(arg, SESSION_UNFIT, NULL);
	return false;
}

static void
start_tls(struct session *s)
{
	s->leftover = stream_input(s->stream).n;
	stream_tls_client(s->stream, s->smtp->tls, s->target.host);
}

/* False when the session is gone or has no user any more. */
static bool
act(struct session *s, const struct smtp_client_event *ev)
{
	switch (ev->type) {
	case SMTP_CLIENT_NONE:
		break;
	case SMTP_CLIENT_NEED_TLS:
		start_tls(s);
		break;
	case SMTP_CLIENT_READY:
		return begin_first(s);
	case SMTP_CLIENT_RESULT:
		if (ev->reply.code == 421 && nothing_happened(s)) {
			/* Of this connection it has had enough. */
			end_session(s, SESSION_FAILED, NULL);
			return false;
		}
		s->results++;
		s->user->result(s->arg, ev->rcpt, &ev->reply, ev->stage);
		break;
	case SMTP_CLIENT_WANT_BODY:
		s->sending = true;
		s->body_begun = true;
		break;
	case SMTP_CLIENT_DONE:
		message_done(s, ev->reusable);
		return false;
	case SMTP_CLIENT_FAILED:
		failed_by_reply(s, ev);
		return false;
	case SMTP_CLIENT_CLOSED:
		end_session(s, SESSION_FAILED, NULL);
		return false;
	}
	return true;
}

/* Gives the engine as much of the content as it takes. False when the file
 * can't be read: the session must end before its final dot. */
static bool
give_body(struct session *s, bool *out_progress)
{
	size_t room = smtp_client_body_room(s->client);
	ssize_t n;

	if (room == 0)
		return true;
	if (room > BODY_PIECE)
		room = BODY_PIECE;
	n = s->user->read(s->arg, s->piece, room);
	if (n < 0)
		return false;
	*out_progress = true;
	if (n > 0) {
		smtp_client_body(s->client, span_of(s->piece, (size_t)n));
	} else {
		s->sending = false;
		smtp_client_body_end(s->client);
	}
	return true;
}

static bool
write_out(struct session *s)
{
	struct span out = smtp_client_output(s->client);

	if (out.n == 0 || stream_pending(s->stream) >= OUTPUT_MAX)
		return false;
	stream_write(s->stream, out);
	smtp_client_sent(s->client, out.n);
	return true;
}

static uint64_t
timeout_of(const struct session *s)
{
	const struct smtp_conf *c = s->smtp->conf;

	switch (smtp_client_stage(s->client)) {
	case SMTP_STAGE_GREETING:
	case SMTP_STAGE_HELLO:
	case SMTP_STAGE_AUTH:
		return (uint64_t)c->smtp_helo_timeout;
	case SMTP_STAGE_STARTTLS:
	case SMTP_STAGE_TLS:
		return (uint64_t)c->smtp_starttls_timeout;
	case SMTP_STAGE_XFORWARD:
		return (uint64_t)c->smtp_xforward_timeout;
	case SMTP_STAGE_MAIL:
	case SMTP_STAGE_RSET:
	case SMTP_STAGE_IDLE:
		return (uint64_t)c->smtp_mail_timeout;
	case SMTP_STAGE_RCPT:
		return (uint64_t)c->smtp_rcpt_timeout;
	case SMTP_STAGE_DATA:
		return (uint64_t)c->smtp_data_init_timeout;
	case SMTP_STAGE_BODY:
		return (uint64_t)c->smtp_data_xfer_timeout;
	case SMTP_STAGE_DATA_END:
		return (uint64_t)c->smtp_data_done_timeout;
	case SMTP_STAGE_QUIT:
	case SMTP_STAGE_CLOSED:
		break;
	}
	return (uint64_t)c->smtp_quit_timeout;
}

/* Moves bytes between engine and stream until neither has more to do. */
static void
run(struct session *s)
{
	bool progress;

	do {
		struct smtp_client_event ev = { .type = SMTP_CLIENT_NONE };
		size_t n;

		n = smtp_client_feed(s->client, stream_input(s->stream), &ev);
		stream_consume(s->stream, n);
		progress = n > 0 || ev.type != SMTP_CLIENT_NONE;
		if (!act(s, &ev))
			return;
		if (s->sending && !give_body(s, &progress)) {
			unreadable(s);
			return;
		}
		progress |= write_out(s);
	} while (progress && smtp_client_stage(s->client) != SMTP_STAGE_TLS);
	write_out(s);
	if (s->user != NULL)
		stream_timeout(s->stream, timeout_of(s));
}

/* ---- the stream ------------------------------------------------------------------ */

static void
on_input(void *arg)
{
	struct session *s = arg;

	/* In the handshake there is nothing for the engine. */
	if (smtp_client_stage(s->client) != SMTP_STAGE_TLS)
		run(s);
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	if (s->user != NULL &&
	    smtp_client_stage(s->client) != SMTP_STAGE_TLS)
		run(s);
}

static void
on_secured(void *arg)
{
	struct session *s = arg;
	struct err e;

	s->trust = tls_policy_trust(s->policy, s->stream, &s->target,
	    span_str(s->destination->key),
	    s->smtp->conf->smtp_tls_fingerprint_digest);
	tls_policy_log(s->policy, s->trust, s->stream, &s->target,
	    s->smtp->conf);
	if (!tls_policy_content(s->policy, s->trust)) {
		err_set(&e, ERR_TEMP, "4.7.5", "Server certificate not %s",
		    s->trust == TLS_TRUST_TRUSTED ||
			    s->tls == TLS_LEVEL_FINGERPRINT ?
			"verified" : "trusted");
		unfit(s, &e);
		return;
	}
	smtp_client_tls_started(s->client, s->leftover);
	run(s);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct session *s = arg;
	const bool shaking = smtp_client_stage(s->client) == SMTP_STAGE_TLS;
	struct err why;

	if (s->user == NULL) {
		session_free(s);
	} else if (end == STREAM_TIMEOUT) {
		fail(s, "conversation with");
	} else if (shaking && s->tls == TLS_LEVEL_MAY) {
		end_session(s, SESSION_PLAIN, NULL);
	} else if (shaking && end == STREAM_LOST &&
	    strcmp(e->dsn, "4.7.5") == 0) {
		log_info(NULL, "SSL_connect error to %s: %s", s->target.relay,
		    e->text);
		err_set(&why, ERR_TEMP, "4.7.5",
		    "Cannot start TLS: handshake failure");
		end_session(s, SESSION_UNFIT, &why);
	} else {
		fail(s, "lost connection with");
	}
}

static const struct stream_handler handler = {
	.input = on_input,
	.drained = on_drained,
	.secured = on_secured,
	.closed = on_closed,
};

/* ---- beginning ------------------------------------------------------------------- */

static void
on_connect(void *arg, int fd, const struct err *e)
{
	const struct stream_limits limits = { .input_max = INPUT_MAX,
		.output_max = 4 * OUTPUT_MAX };
	struct session *s = arg;
	struct err why;

	connect_free(&s->connecting);
	if (fd < 0) {
		err_set(&why, ERR_TEMP, "4.4.1", "connect to %s: %s",
		    s->target.relay,
		    e->sysno != 0 ? strerror(e->sysno) : e->text);
		log_info(NULL, "%s", why.text);
		end_session(s, SESSION_FAILED, &why);
		return;
	}
	s->stream = stream_new(daemon_loop(s->smtp->daemon), fd, &limits,
	    &handler, s);
	if (identity_init(&s->identity, s->smtp,
	    span_str(s->destination->key), s->target.host, s->policy, &why) != 0) {
		end_session(s, SESSION_FAILED, &why);
		return;
	}
	s->client = smtp_client_new(&s->identity.conf);
	run(s);
}

static void
start_connecting(struct session *s)
{
	const char *bind = s->smtp->conf->smtp_bind_address;
	struct sockaddr_storage from;
	socklen_t from_len = 0;

	if (bind[0] == '\0' ||
	    !sock_addr_parse(bind, 0, &from, &from_len) ||
	    from.ss_family != s->target.addr.ss_family)
		from_len = 0;
	s->connecting = connect_start(daemon_loop(s->smtp->daemon),
	    (const struct sockaddr *)&s->target.addr, s->target.addr_len,
	    from_len > 0 ? (const struct sockaddr *)&from : NULL, from_len,
	    (uint64_t)s->smtp->conf->smtp_connect_timeout, on_connect, s);
}

struct session *
session_open(struct smtp *smtp, struct destination *d,
    const struct target *t, const struct tls_policy *policy,
    const struct session_user *user, void *arg)
{
	struct session *s = MEM_NEW(s);

	s->smtp = smtp;
	s->destination = d;
	d->users++;
	smtp->sessions++;
	list_init(&s->link);
	s->target = *t;
	s->policy = policy;
	s->tls = policy->level;
	s->user = user;
	s->arg = arg;
	s->timer = timer_new(daemon_loop(smtp->daemon), on_timer, s);
	s->born_ms = loop_now_ms(daemon_loop(smtp->daemon));
	s->piece = mem_alloc(BODY_PIECE);
	start_connecting(s);
	return s;
}

struct session *
session_reuse(struct destination *d, const struct tls_policy *policy,
    const struct session_user *user, void *arg)
{
	struct session *s = NULL;

	LIST_EACH(&d->idle, link) {
		s = CONTAINER_OF(link, struct session, link);
		if (tls_policy_content(policy, s->trust))
			break;
		s = NULL;
	}
	if (s == NULL)
		return NULL;
	list_remove(&s->link);
	s->user = user;
	s->arg = arg;
	if (!begin_message(s))
		return NULL;
	timer_start(s->timer, 0); /* run from the loop */
	return s;
}

const struct target *
session_target(const struct session *s)
{
	return &s->target;
}

bool
session_connected(const struct session *s)
{
	return s->stream != NULL;
}

unsigned
session_uses(const struct session *s)
{
	return s->uses;
}

int64_t
session_ready_us(const struct session *s)
{
	return s->ready_us;
}
