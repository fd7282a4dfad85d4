/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

enum {
	FINISH_MS = 10000,
	INPUT_MAX = 65536,
	OUTPUT_MAX = 65536,
	REPLIES_HIGH = 16384, /* unread replies beyond which no more are made */
	REPLY_MAX = 4096,
	DISK_MS = 600000,
	RATE_MIN = 500, /* bytes of a message in a second, in the mean */
};

bool
session_tls(const struct session *s)
{
	return stream_tls(s->stream);
}

/* ---- bytes ---- */

static void
flush_output(struct session *s)
{
	const struct span out = smtp_server_output(s->engine);

	if (out.n == 0)
		return;
	stream_write(s->stream, out);
	smtp_server_sent(s->engine, out.n);
}

static void
dispatch(struct session *s, const struct smtp_event *ev)
{
	switch (ev->type) {
	case SMTP_EVENT_NONE:
		break;
	case SMTP_EVENT_HELLO:
	case SMTP_EVENT_VRFY:
	case SMTP_EVENT_STARTTLS:
		hello_event(s, ev);
		break;
	case SMTP_EVENT_MAIL:
		envelope_mail(s, ev);
		break;
	case SMTP_EVENT_RCPT:
		envelope_rcpt(s, ev);
		break;
	case SMTP_EVENT_DATA:
		message_data(s, ev);
		break;
	case SMTP_EVENT_CHUNK:
		message_chunk(s, ev->data);
		break;
	case SMTP_EVENT_DATA_END:
		message_end(s);
		break;
	case SMTP_EVENT_AUTH:
		auth_begin(s, ev);
		break;
	case SMTP_EVENT_AUTH_LINE:
		auth_line(s, ev->data);
		break;
	case SMTP_EVENT_ETRN:
		etrn_event(s, ev);
		break;
	case SMTP_EVENT_XCLIENT:
	case SMTP_EVENT_XFORWARD:
		xclient_event(s, ev);
		break;
	case SMTP_EVENT_RSET:
		envelope_abort(s);
		break;
	case SMTP_EVENT_BAD:
		if (ev->bad == SMTP_BAD_UNKNOWN && ev->data.n > 0)
			milter_unknown_command(s, ev->data);
		session_log_bad(s, ev);
		if (ev->bad == SMTP_BAD_CANCELLED)
			auth_abort(s);
		if (ev->aborted)
			envelope_abort(s);
		break;
	case SMTP_EVENT_TOO_MANY_ERRORS:
		s->end_note = "too many errors";
		break;
	case SMTP_EVENT_QUIT:
		s->quit = true;
		break;
	}
}

void
session_goodbye(struct session *s, const char *dsn, const char *text)
{
	char line[LIMIT_DOMAIN + 520];

	snprintf(line, sizeof(line), "%s %s", s->service->common->myhostname,
	    text);
	smtp_server_say(s->engine, 421, dsn, span_str(line));
}

/* Says 421 when the process is leaving and nothing is under way. */
static void
leave_if_idle(struct session *s)
{
	if (s->leaving && s->tx == NULL && !smtp_server_waiting(s->engine) &&
	    !smtp_server_closing(s->engine))
		session_goodbye(s, "4.3.2",
		    "Service restarting, closing transmission channel");
}

static bool
may_go_on(const struct session *s)
{
	return !s->paused && !s->securing && s->greeted &&
	    !smtp_server_waiting(s->engine) && !smtp_server_closing(s->engine);
}

/* ---- time (RFC 5321 4.5.3.2) ---- */

/* While our disk is what is waited for the client is not to blame. */
void
session_be_patient(struct session *s)
{
	const int64_t ms = s->paused || s->committing != NULL ||
		stage_waits(s) ? DISK_MS : s->service->conf->smtpd_timeout;

	s->progress = false;
	s->chunk_bytes = 0;
	timer_start(s->patience, (uint64_t)ms);
}

/* Only what brings the session on gives the client more time: a byte of a
 * command now and then does not, nor does a message that trickles. */
static void
note_progress(struct session *s, const struct smtp_event *ev)
{
	const uint64_t enough = (uint64_t)RATE_MIN *
	    (uint64_t)s->service->conf->smtpd_timeout / 1000;

	if (ev->type == SMTP_EVENT_CHUNK)
		s->chunk_bytes += ev->data.n;
	if ((ev->type != SMTP_EVENT_NONE && ev->type != SMTP_EVENT_CHUNK) ||
	    s->chunk_bytes >= enough)
		s->progress = true;
}

static void
on_patience_lost(void *arg)
{
	struct session *s = arg;

	if (s->proxying) {
		log_warning(&s->log, "haproxy read: timeout error from %s",
		    s->addr);
		session_free(s);
		return;
	}
	s->end_note = "timeout";
	session_goodbye(s, "4.4.2", "Error: timeout exceeded");
	session_run(s);
}

/* A client that is waited for is read from; one that waits is not, so that
 * its going away is seen when its turn comes, and not before. */
static void
update_reading(struct session *s)
{
	const bool wait = smtp_server_waiting(s->engine) || s->paused;

	if (wait == s->not_reading)
		return;
	s->not_reading = wait;
	if (wait)
		stream_pause(s->stream);
	else
		stream_resume(s->stream);
}

/* Feeds until the engine has enough, waits or ends. What it took is consumed
 * at the end in one piece, since each time moves what is left. */
static void
feed(struct session *s)
{
	const struct span in = stream_input(s->stream);
	size_t used = 0;

	while (may_go_on(s) && stream_pending(s->stream) < REPLIES_HIGH) {
		struct smtp_event ev;
		const size_t n = smtp_server_feed(s->engine,
		    span_skip(in, used), &ev);

		used += n;
		note_progress(s, &ev);
		dispatch(s, &ev);
		flush_output(s);
		if (ev.type == SMTP_EVENT_NONE && n == 0)
			break;
	}
	stream_consume(s->stream, used);
}

static void
after_run(struct session *s)
{
	update_reading(s);
	if (s->securing)
		timer_stop(s->patience); /* the handshake has its own limit */
	else if (s->progress)
		session_be_patient(s);
}

void
session_run(struct session *s)
{
	s->again = true;
	if (s->running)
		return;
	s->running = true;
	while (s->again) {
		s->again = false;
		feed(s);
		leave_if_idle(s);
	}
	s->running = false;
	flush_output(s);
	if (s->securing && !smtp_server_closing(s->engine))
		hello_secure(s);
	if (s->ended || smtp_server_closing(s->engine))
		session_free(s);
	else
		after_run(s);
}

static void
answer_now(struct session *s, unsigned code, const char *dsn,
    struct span text)
{
	smtp_server_answer(s->engine, code, dsn, text);
	s->progress = true;
	session_run(s);
}

static void
send_delayed(void *arg)
{
	struct session *s = arg;
	struct buf text = s->delayed_text;

	buf_init(&s->delayed_text, REPLY_MAX);
	answer_now(s, s->delayed_code, s->delayed_dsn, buf_span(&text));
	buf_release(&text);
}

void
session_answer(struct session *s, unsigned code, const char *dsn,
    const char *fmt, ...)
{
	const struct smtpd_conf *c = s->service->conf;
	char text[REPLY_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (smtp_server_errors(s->engine) <
		(unsigned)c->smtpd_soft_error_limit ||
	    c->smtpd_error_sleep_time <= 0) {
		answer_now(s, code, dsn, span_str(text));
		return;
	}
	buf_reset(&s->delayed_text);
	buf_str(&s->delayed_text, text);
	s->delayed_code = code;
	s->delayed_dsn = dsn;
	if (s->delay == NULL)
		s->delay = timer_new(s->service->loop, send_delayed, s);
	timer_start(s->delay, (uint64_t)c->smtpd_error_sleep_time);
}

static void
say_greeting(struct session *s)
{
	s->greeted = true;
	session_offer(s);
	smtp_server_say(s->engine, 220, "",
	    span_str(s->service->conf->smtpd_banner));
	s->progress = true;
	session_run(s);
}

void
session_greet(struct session *s)
{
	if (s->connected || s->name_query != NULL || s->securing ||
	    screen_waits(s))
		return;
	s->connected = true;
	log_info(&s->log, "connect from %s", session_client(s));
	tls_log(s);
	stage_begin(s, STAGE_CONNECT, NULL, say_greeting);
}

void
session_turn_away(struct session *s, unsigned code, const char *dsn,
    struct span text)
{
	smtp_server_say(s->engine, code, dsn, text);
	s->ended = true;
	session_run(s);
}

static void
on_input(void *arg)
{
	struct session *s = arg;

	if (s->proxying)
		arrival_input(s);
	else if (screen_waits(s))
		screen_input(s);
	else
		session_run(s);
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	if (s->paused || s->securing || s->proxying)
		return;
	session_run(s);
}

static void
on_secured(void *arg)
{
	struct session *s = arg;
	char text[500];

	stream_timeout(s->stream, 0);
	hello_secured(s);
	s->progress = true;
	if (!limits_secured(s)) {
		snprintf(text, sizeof(text), "Error: too many new TLS "
		    "sessions from %s", session_client(s));
		session_goodbye(s, "4.7.0", text);
		session_run(s);
		return;
	}
	if (s->greeted)
		session_run(s);
	else
		session_greet(s);
}

/* Said although the client's name, which its greeting waits for, may not be
 * known yet. */
static void
handshake_failed(struct session *s, const struct err *e)
{
	if (!s->connected)
		log_info(&s->log, "connect from %s", session_client(s));
	s->connected = true;
	tls_failed(s, e);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct session *s = arg;

	if (screen_waits(s))
		screen_hangup(s);
	if (s->securing)
		handshake_failed(s, end == STREAM_TIMEOUT ? NULL : e);
	switch (end) {
	case STREAM_EOF:
		s->end_note = "lost connection";
		break;
	case STREAM_LOST:
		s->end_note = "lost connection";
		log_debug(&s->log, "smtp", "%s: %s", session_client(s),
		    e->text);
		break;
	case STREAM_TIMEOUT:
		s->end_note = "timeout"; /* in the handshake */
		break;
	}
	s->ended = true;
	if (!s->running)
		session_free(s);
}

void
session_offer(struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;
	const bool tls = session_tls(s);
	unsigned caps = 0;

	if (!c->disable_vrfy_command)
		caps |= SMTP_CAP_VRFY;
	if (!tls && !s->local && s->service->tls != NULL &&
	    c->smtpd_tls_security_level != SMTPD_TLS_NONE)
		caps |= SMTP_CAP_STARTTLS;
	const char *mechanisms = auth_offer(s);
	if (mechanisms != NULL)
		caps |= c->broken_sasl_auth_clients ?
		    SMTP_CAP_AUTH | SMTP_CAP_AUTH_OLD : SMTP_CAP_AUTH;
	smtp_server_offer(s->engine, protocol_caps(s, caps), mechanisms);
}

/* ---- beginning and end ---- */

void
session_new(struct service *service, int fd, bool inet)
{
	static const struct stream_limits limits = { INPUT_MAX, OUTPUT_MAX };
	static const struct stream_handler handler = { on_input, on_drained,
		on_secured, on_closed };
	struct session *s = MEM_NEW(s);

	s->service = service;
	s->trace = s->log.trace = log_trace_new();
	s->engine = smtp_server_new(&service->engine);
	s->stream = stream_new(service->loop, fd, &limits, &handler, s);
	s->patience = timer_new(service->loop, on_patience_lost, s);
	buf_init(&s->delayed_text, REPLY_MAX);
	buf_init(&s->stage.text, REPLY_MAX);
	list_push(&service->sessions, &s->link);
	service->session_count++;
	arrival_begin(s, fd, inet);
}

void
session_free(struct session *s)
{
	struct service *service = s->service;

	arrival_forget(s);
	auth_abort(s);
	etrn_forget(s);
	message_forget(s);
	if (s->connected)
		session_log_end(s);
	envelope_abort(s);
	stage_end(s);
	timer_free(&s->delay);
	timer_free(&s->patience);
	tls_ended(s);
	if (s->quit)
		stream_conclude(&s->stream, FINISH_MS);
	else
		stream_finish(&s->stream, FINISH_MS);
	smtp_server_free(s->engine);
	limits_release(s);
	list_remove(&s->link);
	service->session_count--;
	buf_wipe(&s->delayed_text);
	xforward_forget(s);
	mem_free(s->dest_addr);
	mem_free(s->name);
	mem_free(s->reverse_name);
	mem_free(s->helo);
	mem_free(s->ccert);
	mem_free(s->sasl_user);
	mem_free(s->sasl_method);
	mem_free(s->sasl_mech);
	mem_free(s->sasl_offer);
	mem_free(s->sasl_refusal);
	mem_free(s);
	service_session_ended(service);
}

void
session_stress(struct list *link)
{
	struct session *s = CONTAINER_OF(link, struct session, link);

	if (timer_active(s->patience))
		session_be_patient(s);
}

void
session_leave(struct list *link, bool now)
{
	struct session *s = CONTAINER_OF(link, struct session, link);

	/* Until the process is asked to hurry a client may go on. */
	if (!now)
		return;
	s->leaving = true;
	if (!s->running)
		session_run(s);
}
