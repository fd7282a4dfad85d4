/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/base64.h"

/*
 * AUTH (RFC 4954): the exchange is the auth daemon's; here its messages are
 * put into base 64 and its verdict into a reply.
 */

enum { AUTH_TIMEOUT_MS = 60000 };

static void answered(void *arg, struct msg_in *m, const struct err *e);

static void
forget_exchange(struct session *s)
{
	mem_free(s->sasl_mech);
	s->sasl_mech = NULL;
	s->sasl_session = 0;
}

void
auth_abort(struct session *s)
{
	struct msg_out m;

	if (s->sasl_mech == NULL)
		return;
	client_cancel(s->service->auth, s);
	if (s->sasl_session != 0) {
		msg_begin(&m, MSG_AUTH_CANCEL, 0, s->trace);
		msg_put_u64(&m, F_SESSION, s->sasl_session);
		client_notify(s->service->auth, &m);
		msg_out_release(&m);
	}
	forget_exchange(s);
}

/* Sends the client's bytes, in base 64, to the auth daemon. */
static bool
send_response(struct session *s, struct msg_out *m, struct span text)
{
	struct buf data;
	bool ok;

	buf_init(&data, LIMIT_SASL_LINE);
	ok = base64_decode(text, &data);
	if (ok) {
		msg_put(m, F_DATA, buf_span(&data));
		client_call(s->service->auth, m, AUTH_TIMEOUT_MS, answered, s);
	}
	buf_wipe(&data);
	return ok;
}

/* The mechanism as it stands in the list that was offered; NULL if it does
 * not (mem_free). */
static char *
offered_mechanism(const struct session *s, struct span name)
{
	struct span rest = span_str(s->service->conf->smtpd_sasl_mechanisms);
	struct span word;

	while (span_token(&rest, ", \t", &word))
		if (span_ieq(word, name))
			return span_dup(word);
	return NULL;
}

void
auth_begin(struct session *s, const struct smtp_event *ev)
{
	const struct span initial = ev->cmd->arg;
	struct msg_out m;
	bool ok = true;

	if (s->tx != NULL) {
		session_answer(s, 503, "5.5.1",
		    "Error: MAIL transaction in progress");
		return;
	}
	if (!limits_auth(s))
		return;
	s->sasl_mech = offered_mechanism(s, ev->cmd->mech);
	if (s->sasl_mech == NULL) {
		session_answer(s, 535, "5.7.8", "Error: authentication "
		    "failed: Invalid authentication mechanism");
		return;
	}
	s->sasl_session = 0;
	msg_begin(&m, MSG_AUTH, 0, s->trace);
	msg_put_str(&m, F_MECH, s->sasl_mech);
	msg_put_str(&m, F_SERVICE, "smtp");
	msg_put_str(&m, F_ADDR, s->addr);
	msg_put_u64(&m, F_SECURED, session_tls(s));
	if (initial.n == 0)
		client_call(s->service->auth, &m, AUTH_TIMEOUT_MS, answered,
		    s);
	else
		ok = send_response(s, &m,
		    span_eq(initial, SPAN("=")) ? SPAN_EMPTY : initial);
	msg_out_release(&m);
	if (!ok) {
		forget_exchange(s);
		session_answer(s, 501, "5.5.2",
		    "Error: malformed authentication response");
	}
}

void
auth_line(struct session *s, struct span line)
{
	struct msg_out m;
	bool ok;

	msg_begin(&m, MSG_AUTH_STEP, 0, s->trace);
	msg_put_u64(&m, F_SESSION, s->sasl_session);
	ok = send_response(s, &m, line);
	msg_out_release(&m);
	if (!ok) {
		auth_abort(s);
		session_answer(s, 501, "5.5.2",
		    "Error: malformed authentication response");
	}
}

static void
challenge(struct session *s, struct msg_in *m)
{
	struct buf text;

	buf_init(&text, LIMIT_SASL_LINE);
	s->sasl_session = msg_get_u64(m, F_SESSION);
	base64_encode(msg_get(m, F_DATA, LIMIT_SASL_LINE), &text);
	session_answer(s, 334, "", "%s", buf_cstr(&text));
	buf_release(&text);
}

static void
accepted(struct session *s, struct msg_in *m)
{
	char user[LIMIT_ADDRESS];

	msg_get_str(m, F_USER, user, sizeof(user));
	s->sasl_user = mem_strdup(user);
	s->sasl_method = s->sasl_mech;
	s->sasl_mech = NULL;
	s->sasl_session = 0;
	log_event(&s->log, "auth", "%s logged in by %s",
	    log_quote(span_str(user), 200), s->sasl_method);
	session_answer(s, 235, "2.7.0", "Authentication successful");
}

static void
refused(struct session *s, const struct err *e)
{
	log_warning(&s->log, "%s: SASL %s authentication failed: %s",
	    session_client(s), log_quote(span_str(s->sasl_mech), 40),
	    e->text);
	forget_exchange(s);
	if (e->kind == ERR_TEMP)
		session_answer(s, 454, "4.7.0",
		    "Temporary authentication failure");
	else
		session_answer(s, 535, "5.7.8",
		    "Error: authentication failed");
}

static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct session *s = arg;
	struct err bad;

	err_set(&bad, ERR_TEMP, "4.7.0", "damaged answer from auth");
	if (e != NULL)
		refused(s, e);
	else if (m->type == MSG_AUTH_CHALLENGE)
		challenge(s, m);
	else if (m->type == MSG_AUTH_DONE && msg_has(m, F_USER))
		accepted(s, m);
	else
		refused(s, &bad);
}

static void
ask(struct session *s, enum stage stage)
{
	if (stage == STAGE_MAIL && !s->local && s->sasl_user == NULL &&
	    s->service->conf->smtpd_sasl_required)
		stage_reject(s, 530, "5.7.0", "Authentication required");
	else
		stage_pass(s);
}

const struct gate auth_gate = { .name = "auth", .ask = ask };
