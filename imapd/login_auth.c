/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/login.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/sasl_policy.h"
#include "lib/proto/base64.h"
#include "lib/proto/sasl.h"

enum {
	AUTH_MS = 60000,   /* PAM may think; its delays are auth's */
	ATTEMPTS_MAX = 10, /* of one connection */
};

static void answered(void *arg, struct msg_in *m, const struct err *e);

static void
ask(struct login *l, struct msg_out *m)
{
	l->phase = LOGIN_AUTH;
	client_call(l->stage->auth, m, AUTH_MS, answered, l);
}

/* What the client says who it is, for the log: never more than a claim. */
static void
remember(struct login *l, struct span mechanism, struct span user)
{
	snprintf(
	    l->mechanism, sizeof(l->mechanism), "%s", log_quote(mechanism, 20));
	for (size_t i = 0; l->mechanism[i] != '\0'; i++)
		l->mechanism[i] = (char)ascii_upper((uint8_t)l->mechanism[i]);
	snprintf(l->user, sizeof(l->user), "%s", log_quote(user, 100));
	/* The line's own quotes must stay the only ones. */
	for (size_t i = 0; l->user[i] != '\0'; i++)
		if (l->user[i] == '<' || l->user[i] == '>')
			l->user[i] = '?';
}

bool
login_mechanisms(const struct login *l, struct buf *out)
{
	struct sasl_offer o = {
		.mechanisms = l->stage->conf->auth_mechanisms,
		.options = SASL_NOANONYMOUS,
	};
	struct tls_cert cert;
	struct buf data;
	bool plus;

	buf_init(&data, SASL_BINDING_MAX);
	o.binding = l->tls &&
	    (stream_tls_binding(l->client, TLS_BINDING_EXPORTER, &data) ||
		stream_tls_binding(l->client, TLS_BINDING_END_POINT, &data));
	o.cert = l->tls && stream_tls_cert(l->client, "sha256", &cert);
	sasl_offer_print(&o, out, &plus);
	buf_release(&data);
	return plus;
}

static void
put_binding(const struct login *l, enum tls_binding kind, enum msg_field field,
    struct msg_out *m)
{
	struct buf data;

	buf_init(&data, SASL_BINDING_MAX);
	if (stream_tls_binding(l->client, kind, &data))
		msg_put(m, field, buf_span(&data));
	buf_wipe(&data);
}

/* What TLS shows of the client. */
static void
put_tls(const struct login *l, struct msg_out *m)
{
	struct tls_cert cert;
	struct buf offer;

	if (!l->tls)
		return;
	buf_init(&offer, 1000);
	msg_put_u64(m, F_PLUS_OFFERED, login_mechanisms(l, &offer));
	buf_release(&offer);
	put_binding(l, TLS_BINDING_EXPORTER, F_TLS_EXPORTER, m);
	put_binding(l, TLS_BINDING_END_POINT, F_TLS_END_POINT, m);
	if (!stream_tls_cert(l->client, "sha256", &cert))
		return;
	if (cert.trusted)
		msg_put_str(m, F_CERT_NAME, cert.subject);
	msg_put_str(m, F_CERT_PRINT, cert.fingerprint);
}

static void
begin(struct login *l, const struct span *data)
{
	struct msg_out m;

	msg_begin(&m, MSG_AUTH, 0, l->log.trace);
	msg_put_str(&m, F_MECH, l->mechanism);
	msg_put_str(&m, F_SERVICE, "imap");
	msg_put_str(&m, F_ADDR, l->remote);
	msg_put_str(&m, F_LADDR, l->local);
	msg_put_u64(&m, F_SECURED, l->tls || l->secured);
	if (data != NULL)
		msg_put(&m, F_DATA, *data);
	put_tls(l, &m);
	l->auth_session = 0;
	ask(l, &m);
	msg_out_release(&m);
}

/* LOGIN is SASL PLAIN in other clothes. The parser let no NUL through. */
void
login_by_password(struct login *l, const struct imap_cmd *c)
{
	struct span data;
	struct buf plain;

	remember(l, SPAN("PLAIN"), c->user);
	buf_init(&plain, LIMIT_IMAP_PRELOGIN);
	buf_byte(&plain, '\0');
	buf_add(&plain, c->user);
	buf_byte(&plain, '\0');
	buf_add(&plain, c->password);
	data = buf_span(&plain);
	begin(l, &data);
	buf_wipe(&plain);
}

static bool
offered(const struct login *l, struct span mechanism)
{
	struct buf offer;
	char *found;
	bool ok;

	buf_init(&offer, 1000);
	login_mechanisms(l, &offer);
	found = sasl_offer_find(buf_cstr(&offer), mechanism);
	ok = found != NULL;
	mem_free(found);
	buf_release(&offer);
	return ok;
}

/* The name in an initial response of PLAIN: authzid NUL authcid NUL ... */
static struct span
plain_user(struct span data)
{
	const size_t nul = span_chr(data, '\0');

	if (nul == SIZE_MAX)
		return SPAN_EMPTY;
	data = span_skip(data, nul + 1);
	return span_slice(data, 0, span_chr(data, '\0'));
}

void
login_by_sasl(struct login *l, const struct imap_cmd *c)
{
	struct span data;
	struct buf raw;

	if (!offered(l, c->mechanism)) {
		imap_server_done(l->server, IMAP_NO, NULL,
		    "Unsupported authentication mechanism");
		return;
	}
	buf_init(&raw, LIMIT_SASL_LINE);
	if (c->has_initial && !base64_decode(c->initial, &raw)) {
		imap_server_done(l->server, IMAP_BAD, NULL,
		    "Invalid base64 in the initial response");
	} else {
		data = buf_span(&raw);
		remember(l, c->mechanism,
		    span_ieq(c->mechanism, SPAN("PLAIN")) ? plain_user(data)
							  : SPAN_EMPTY);
		begin(l, c->has_initial ? &data : NULL);
	}
	buf_wipe(&raw);
}

static void
cancel_exchange(struct login *l)
{
	struct msg_out m;

	if (l->auth_session == 0)
		return;
	msg_begin(&m, MSG_AUTH_CANCEL, 0, l->log.trace);
	msg_put_u64(&m, F_SESSION, l->auth_session);
	client_notify(l->stage->auth, &m);
	msg_out_release(&m);
	l->auth_session = 0;
}

void
login_auth_cancel(struct login *l)
{
	client_cancel(l->stage->auth, l);
	cancel_exchange(l);
}

void
login_sasl_line(struct login *l, struct span line)
{
	struct msg_out m;
	struct buf raw;

	if (span_eq(line, SPAN("*"))) {
		cancel_exchange(l);
		imap_server_done(
		    l->server, IMAP_BAD, NULL, "Authentication aborted");
		return;
	}
	buf_init(&raw, LIMIT_SASL_LINE);
	if (!base64_decode(line, &raw)) {
		cancel_exchange(l);
		imap_server_done(l->server, IMAP_BAD, NULL, "Invalid base64");
		buf_wipe(&raw);
		return;
	}
	if (l->user[0] == '\0' && strcmp(l->mechanism, "PLAIN") == 0)
		remember(l, SPAN("PLAIN"), plain_user(buf_span(&raw)));
	else if (l->user[0] == '\0' && strcmp(l->mechanism, "LOGIN") == 0)
		remember(l, SPAN("LOGIN"), buf_span(&raw));
	msg_begin(&m, MSG_AUTH_STEP, 0, l->log.trace);
	msg_put_u64(&m, F_SESSION, l->auth_session);
	msg_put(&m, F_DATA, buf_span(&raw));
	ask(l, &m);
	msg_out_release(&m);
	buf_wipe(&raw);
}

static void
failed(struct login *l, const struct err *e)
{
	l->auth_session = 0;
	if (e->kind == ERR_TEMP) {
		log_warning(&l->log, "auth for %s: %s", l->remote, e->text);
		imap_server_done(l->server, IMAP_NO, "UNAVAILABLE",
		    "Temporary authentication failure");
		return;
	}
	l->attempts++;
	imap_server_done(l->server, IMAP_NO, "AUTHENTICATIONFAILED",
	    "Authentication failed");
	if (l->attempts >= ATTEMPTS_MAX)
		imap_server_bye(l->server, "Too many failed logins");
}

static void
challenge(struct login *l, struct msg_in *m)
{
	const struct span data = msg_get(m, F_DATA, LIMIT_SASL_LINE);
	struct buf text;

	l->auth_session = msg_get_u64(m, F_SESSION);
	buf_init(&text, 2 * LIMIT_SASL_LINE);
	base64_encode(data, &text);
	imap_server_continue(l->server, buf_span(&text));
	buf_wipe(&text);
}

static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	static const struct err odd = { .kind = ERR_TEMP,
		.dsn = "4.7.0",
		.text = "auth said something else" };
	struct login *l = arg;
	struct err said;

	l->phase = LOGIN_COMMANDS;
	if (m == NULL) {
		failed(l, e);
	} else if (m->type == MSG_AUTH_FAILED && msg_get_err(m, &said)) {
		failed(l, &said);
	} else if (m->type == MSG_AUTH_CHALLENGE) {
		challenge(l, m);
	} else if (m->type == MSG_AUTH_DONE && msg_has(m, F_TICKET)) {
		l->auth_session = 0;
		login_spawn(
		    l, msg_get(m, F_TICKET, 64), msg_get(m, F_USER, 512));
		return;
	} else {
		failed(l, &odd);
	}
	login_send(l);
	login_resume(l);
}
