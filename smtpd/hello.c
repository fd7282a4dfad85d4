/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void
welcome(struct session *s)
{
	session_offer(s);
	session_answer(s, 250, "", "%s", s->service->common->myhostname);
}

static void
hello(struct session *s, const struct smtp_event *ev)
{
	envelope_abort(s);
	mem_free(s->helo);
	s->helo = span_dup(
	    span_str(log_quote(ev->cmd->arg, LIMIT_DOMAIN)));
	stage_begin(s, STAGE_HELO, ev->cmd, welcome);
}

/* Postfix answers VRFY of anything it would take with 252; whether a user
 * exists is told to those who may relay only, as at RCPT. */
static void
vrfy(struct session *s)
{
	session_answer(s, 252, "2.0.0", "%s",
	    log_quote(stage_cmd(s)->arg, 500));
}

void
hello_event(struct session *s, const struct smtp_event *ev)
{
	if (ev->type == SMTP_EVENT_HELLO) {
		hello(s, ev);
	} else if (ev->type == SMTP_EVENT_VRFY) {
		stage_begin(s, STAGE_VRFY, ev->cmd, vrfy);
	} else if (limits_starttls(s)) {
		envelope_abort(s);
		s->securing = true;
		session_answer(s, 220, "2.0.0", "Ready to start TLS");
	}
}

void
hello_secure(struct session *s)
{
	struct service *service = s->service;
	const bool implicit = !s->greeted;
	const size_t leftover = implicit ? 0 : stream_input(s->stream).n;

	if (leftover > 0) {
		/* Refused by the engine: nothing said in clear may count as
		 * said under TLS (CVE-2011-0411). */
		smtp_server_tls_started(s->engine, leftover);
		return;
	}
	if (service->tls == NULL) {
		log_error(&s->log, "no TLS certificate: closing %s",
		    session_client(s));
		smtp_server_say(s->engine, 421, "4.7.0",
		    SPAN("TLS not available due to local problem"));
		return;
	}
	stream_timeout(s->stream,
	    (uint64_t)service->conf->smtpd_starttls_timeout);
	stream_tls_server(s->stream, service->tls, implicit);
}

void
hello_secured(struct session *s)
{
	s->securing = false;
	mem_free(s->helo);
	s->helo = NULL;
	tls_established(s);
	if (s->connected)
		tls_log(s);
	smtp_server_tls_started(s->engine, 0);
	session_offer(s);
}
