/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/login_owner.h"
#include "lib/proto/base64.h"
#include "lib/proto/sasl.h"
#include "lib/proto/xtext.h"

/*
 * AUTH (RFC 4954): the exchange is the auth daemon's; here its messages are
 * put into base 64 and its verdict into a reply.
 */

enum { AUTH_TIMEOUT_MS = 60000 };

static void answered(void *arg, struct msg_in *m, const struct err *e);

/* ---- exchanges that end ---- */

static void
forget_exchange(struct session *s)
{
	mem_free(s->sasl_mech);
	mem_free(s->sasl_refusal);
	s->sasl_mech = NULL;
	s->sasl_refusal = NULL;
	s->sasl_session = 0;
}

/* One line, of the shape that log watchers know; why is for us and not for
 * the client. */
static void
log_failure(const struct session *s, const char *why, const char *user)
{
	log_warning(&s->log, "%s: SASL %s authentication failed: %s%s%s",
	    session_client(s), s->sasl_mech, why,
	    user[0] != '\0' ? ", sasl_username=" : "", user);
}

void
auth_abort(struct session *s)
{
	struct msg_out m;

	if (s->sasl_mech == NULL)
		return;
	client_cancel(s->service->auth, s);
	if (s->sasl_refusal != NULL)
		log_failure(s, s->sasl_refusal, "");
	if (s->sasl_session != 0) {
		msg_begin(&m, MSG_AUTH_CANCEL, 0, s->trace);
		msg_put_u64(&m, F_SESSION, s->sasl_session);
		client_notify(s->service->auth, &m);
		msg_out_release(&m);
	}
	forget_exchange(s);
}

/* ---- what is offered ---- */

int
auth_rules_open(const struct smtpd_conf *c, struct auth_rules *out,
    struct err *e)
{
	struct auth_rules r = { .options = 0 };

	if (sasl_options_parse(
		c->smtpd_sasl_security_options, &r.options, e) != 0)
		return err_wrap(e, "smtpd_sasl_security_options");
	if (sasl_options_parse(
		c->smtpd_sasl_tls_security_options, &r.tls_options, e) != 0)
		return err_wrap(e, "smtpd_sasl_tls_security_options");
	if (c->smtpd_sasl_mechanism_filter[0] != '\0' &&
	    match_list_open(
		c->smtpd_sasl_mechanism_filter, &r.filter, e) != 0)
		return err_wrap(e, "smtpd_sasl_mechanism_filter");
	if (match_list_open(
		c->smtpd_sasl_exceptions_networks, &r.exceptions, e) != 0) {
		match_list_free(&r.filter);
		return err_wrap(e, "smtpd_sasl_exceptions_networks");
	}
	*out = r;
	return 0;
}

static bool
has_binding(const struct session *s)
{
	struct buf data;
	bool has;

	buf_init(&data, SASL_BINDING_MAX);
	has = stream_tls_binding(s->stream, TLS_BINDING_EXPORTER, &data) ||
	    stream_tls_binding(s->stream, TLS_BINDING_END_POINT, &data);
	buf_release(&data);
	return has;
}

/* May this client log in at all, now? */
static bool
may_log_in(const struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;
	struct err e;
	int exempt;

	if (!c->smtpd_sasl_auth_enable || s->local ||
	    (c->smtpd_tls_auth_only && !session_tls(s)))
		return false;
	exempt = match_list_address(
	    s->service->auth_rules.exceptions, s->addr, &e);
	if (exempt < 0)
		log_warning(&s->log, "smtpd_sasl_exceptions_networks: %s",
		    e.text);
	return exempt == 0;
}

const char *
auth_offer(struct session *s)
{
	const struct auth_rules *r = &s->service->auth_rules;
	const bool tls = session_tls(s);
	struct sasl_offer o = {
		.mechanisms = s->service->conf->smtpd_sasl_mechanisms,
		.filter = r->filter,
		.options = tls ? r->tls_options : r->options,
		.cert = s->ccert != NULL,
	};
	struct buf text;

	mem_free(s->sasl_offer);
	s->sasl_offer = NULL;
	s->sasl_plus = false;
	if (!may_log_in(s))
		return NULL;
	/* It is worked out from the keys: not for those who may not. */
	o.binding = tls && has_binding(s);
	buf_init(&text, 1000);
	sasl_offer_print(&o, &text, &s->sasl_plus);
	if (text.n > 0 && buf_ok(&text))
		s->sasl_offer = span_dup(buf_span(&text));
	buf_release(&text);
	return s->sasl_offer;
}

/* ---- the exchange ---- */

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

/* What the client has said can't go on. */
static void
give_up(struct session *s, unsigned code, const char *dsn, const char *text)
{
	log_failure(s, text, "");
	auth_abort(s);
	session_answer(s, code, dsn, "Error: %s", text);
}

/* False: the client was told so. */
static bool
fits(struct session *s, struct span text)
{
	if (text.n <= (size_t)s->service->conf->smtpd_sasl_response_limit)
		return true;
	give_up(s, 500, "5.5.6", "authentication exchange line is too long");
	return false;
}

static void
put_binding(const struct session *s, enum tls_binding kind,
    enum msg_field field, struct msg_out *m)
{
	struct buf data;

	buf_init(&data, SASL_BINDING_MAX);
	if (stream_tls_binding(s->stream, kind, &data))
		msg_put(m, field, buf_span(&data));
	buf_wipe(&data);
}

/* Who asks, and what TLS shows of him. */
static void
put_client(const struct session *s, struct msg_out *m)
{
	const struct smtpd_conf *c = s->service->conf;

	msg_put_str(m, F_MECH, s->sasl_mech);
	msg_put_str(m, F_SERVICE, c->smtpd_sasl_service);
	msg_put_str(m, F_ADDR, s->addr);
	msg_put_u64(m, F_SECURED, session_tls(s));
	if (c->smtpd_sasl_local_domain[0] != '\0')
		msg_put_str(m, F_DOMAIN, c->smtpd_sasl_local_domain);
	if (s->sasl_plus)
		msg_put_u64(m, F_PLUS_OFFERED, 1);
	put_binding(s, TLS_BINDING_EXPORTER, F_TLS_EXPORTER, m);
	put_binding(s, TLS_BINDING_END_POINT, F_TLS_END_POINT, m);
	if (s->ccert == NULL)
		return;
	if (s->ccert->trusted)
		msg_put_str(m, F_CERT_NAME, s->ccert->subject);
	msg_put_str(m, F_CERT_PRINT, s->ccert->fingerprint);
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
	if (s->sasl_offer != NULL)
		s->sasl_mech = sasl_offer_find(s->sasl_offer, ev->cmd->mech);
	if (s->sasl_mech == NULL) {
		log_warning(&s->log, "%s: SASL %s authentication failed: "
		    "Invalid authentication mechanism", session_client(s),
		    log_quote(ev->cmd->mech, 40));
		session_answer(s, 535, "5.7.8", "Error: authentication "
		    "failed: Invalid authentication mechanism");
		return;
	}
	s->sasl_session = 0;
	if (!fits(s, initial))
		return;
	msg_begin(&m, MSG_AUTH, 0, s->trace);
	put_client(s, &m);
	if (initial.n == 0)
		client_call(s->service->auth, &m, AUTH_TIMEOUT_MS, answered,
		    s);
	else
		ok = send_response(s, &m,
		    span_eq(initial, SPAN("=")) ? SPAN_EMPTY : initial);
	msg_out_release(&m);
	if (!ok)
		give_up(s, 501, "5.5.2", "malformed authentication response");
}

void
auth_line(struct session *s, struct span line)
{
	struct msg_out m;
	bool ok;

	if (!fits(s, line))
		return;
	msg_begin(&m, MSG_AUTH_STEP, 0, s->trace);
	msg_put_u64(&m, F_SESSION, s->sasl_session);
	ok = send_response(s, &m, line);
	msg_out_release(&m);
	if (!ok)
		give_up(s, 501, "5.5.2", "malformed authentication response");
}

static void
note_refusal(struct session *s, struct msg_in *m)
{
	const struct span why = msg_get(m, F_TEXT, 240);
	const struct span user = msg_get(m, F_USER, 300);

	mem_free(s->sasl_refusal);
	s->sasl_refusal = mem_printf("%s%s%s", log_quote(why, 240),
	    user.n > 0 ? ", sasl_username=" : "", log_quote(user, 200));
}

static void
challenge(struct session *s, struct msg_in *m)
{
	struct buf text;

	buf_init(&text, 2 * LIMIT_SASL_LINE);
	s->sasl_session = msg_get_u64(m, F_SESSION);
	base64_encode(msg_get(m, F_DATA, LIMIT_SASL_LINE), &text);
	if (msg_has(m, F_TEXT))
		note_refusal(s, m);
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
refused(struct session *s, const struct err *e, const char *user)
{
	log_failure(s, e->text, user);
	forget_exchange(s);
	if (e->kind == ERR_TEMP)
		session_answer(s, 454, "4.7.0",
		    "Temporary authentication failure");
	else
		session_answer(s, 535, "5.7.8",
		    "Error: authentication failed");
}

static void
failed(struct session *s, struct msg_in *m, const struct err *bad)
{
	char user[300];
	struct err e;

	msg_get_str(m, F_USER, user, sizeof(user));
	if (msg_get_err(m, &e))
		refused(s, &e, log_quote(span_str(user), 200));
	else
		refused(s, bad, "");
}

static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct session *s = arg;
	struct err bad;

	err_set(&bad, ERR_TEMP, "4.7.0", "damaged answer from auth");
	if (e != NULL)
		refused(s, e, "");
	else if (m->type == MSG_AUTH_CHALLENGE)
		challenge(s, m);
	else if (m->type == MSG_AUTH_DONE && msg_has(m, F_USER))
		accepted(s, m);
	else if (m->type == MSG_AUTH_FAILED)
		failed(s, m, &bad);
	else
		refused(s, &bad, "");
}

/* ---- the gate ---- */

/* MAIL's AUTH= (RFC 4954 5): who the client says wrote it; for the log. */
static void
note_sender(struct session *s)
{
	const struct smtp_param *p = smtp_cmd_param(stage_cmd(s), "AUTH");
	struct buf text;

	if (p == NULL)
		return;
	buf_init(&text, LIMIT_ADDRESS);
	if (xtext_decode(p->value, &text))
		s->tx->sasl_sender =
		    arena_dup(&s->tx->arena, buf_span(&text));
	buf_release(&text);
}

/* The From fields of a message belong to the login too. */
static void
ask_from(struct session *s)
{
	struct service *service = s->service;
	struct buf address;
	struct span from;
	struct err e;
	bool complete;
	int rc;

	from = fixup_from(s->tx->fixup, &complete);
	if (complete && from.n == 0) {
		stage_pass(s); /* it gets the sender's, which was checked */
		return;
	}
	buf_init(&address, LIMIT_ADDRESS * 2);
	rc = complete ? login_owner_from(service->router, service->login_maps,
			    from, s->sasl_user, &address, &e) : 0;
	if (rc > 0)
		stage_pass(s);
	else if (rc < 0)
		stage_reject(s, 451, "4.3.0",
		    "From header address check failed: %s", e.text);
	else
		stage_reject(s, 550, "5.7.1", "<%s>: From header address "
		    "rejected: not owned by user %s",
		    log_quote(buf_span(&address), 400),
		    log_quote(span_str(s->sasl_user), 200));
	buf_release(&address);
}

static void
ask(struct session *s, enum stage stage)
{
	const struct smtpd_conf *c = s->service->conf;

	if (stage == STAGE_MAIL)
		note_sender(s);
	if (stage == STAGE_MAIL && !s->local && s->sasl_user == NULL &&
	    c->smtpd_sasl_required)
		stage_reject(s, 530, "5.7.0", "Authentication required");
	else if (stage == STAGE_END && s->sasl_user != NULL &&
	    c->smtpd_reject_from_login_mismatch)
		ask_from(s);
	else
		stage_pass(s);
}

const struct gate auth_gate = { .name = "auth", .ask = ask };
