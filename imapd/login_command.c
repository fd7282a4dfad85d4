/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/login.h"

#include "lib/base/mem.h"

static bool
may_start_tls(const struct login *l)
{
	return l->stage->tls != NULL && !l->tls;
}

/* May a password be said on this connection? */
static bool
may_log_in(const struct login *l)
{
	const struct imapd_conf *c = l->stage->conf;

	if (l->tls)
		return true;
	if (c->ssl == SSL_REQUIRED)
		return l->secured;
	return l->secured || !c->disable_plaintext_auth;
}

static void
print_capabilities(const struct login *l, struct buf *out)
{
	struct buf offer;
	struct span rest, word;

	buf_str(out, "CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID");
	if (may_start_tls(l))
		buf_str(out, " STARTTLS");
	if (!may_log_in(l)) {
		buf_str(out, " LOGINDISABLED");
		return;
	}
	buf_init(&offer, 1000);
	login_mechanisms(l, &offer);
	rest = buf_span(&offer);
	while (span_token(&rest, " ", &word)) {
		buf_str(out, " AUTH=");
		buf_add(out, word);
	}
	buf_release(&offer);
}

void
login_greet(struct login *l)
{
	struct buf *out = imap_server_out(l->server);

	buf_str(out, "* OK [");
	print_capabilities(l, out);
	buf_fmt(out, "] %s IMAP server ready\r\n",
	    daemon_common(l->stage->daemon)->myhostname);
	login_send(l);
}

static void
capability(struct login *l)
{
	struct buf *out = imap_server_out(l->server);

	buf_str(out, "* ");
	print_capabilities(l, out);
	buf_str(out, "\r\n");
	imap_server_done(l->server, IMAP_OK, NULL, "Capability completed");
}

/* Whatever came behind STARTTLS in plain text might have been put there by
 * someone in between: such a client is sent away (CVE-2011-0411). */
static void
start_tls(struct login *l)
{
	if (!may_start_tls(l)) {
		imap_server_done(l->server, IMAP_BAD, NULL,
		    l->tls ? "TLS is on already" : "TLS is not available");
		return;
	}
	if (stream_input(l->client).n > 0) {
		imap_server_done(
		    l->server, IMAP_BAD, NULL, "Nothing may follow STARTTLS");
		imap_server_bye(l->server, "Plain text after STARTTLS");
		return;
	}
	imap_server_done(l->server, IMAP_OK, NULL, "Begin TLS negotiation");
	login_send(l);
	l->phase = LOGIN_TLS;
	stream_tls_server(l->client, l->stage->tls, false);
}

static void
logout(struct login *l)
{
	buf_str(imap_server_out(l->server), "* BYE Logging out\r\n");
	imap_server_done(l->server, IMAP_OK, NULL, "Logout completed");
	login_send(l);
	l->quit = true;
}

/* RFC 3501 11.2: said although LOGINDISABLED was. The password is on the
 * wire already; the user should know. */
static void
refuse_plain(struct login *l)
{
	l->tried_plain = true;
	buf_str(imap_server_out(l->server),
	    "* BAD [ALERT] The password was sent without TLS: "
	    "anyone on the way may have read it\r\n");
	imap_server_done(
	    l->server, IMAP_NO, "PRIVACYREQUIRED", "No login without TLS");
}

static void
log_in(struct login *l, const struct imap_cmd *c)
{
	if (!may_log_in(l))
		refuse_plain(l);
	else if (c->verb == IMAP_LOGIN)
		login_by_password(l, c);
	else
		login_by_sasl(l, c);
}

void
login_command(struct login *l, const struct imap_cmd *c)
{
	switch ((unsigned)c->verb) {
	case IMAP_CAPABILITY:
		capability(l);
		return;
	case IMAP_NOOP:
		imap_server_done(l->server, IMAP_OK, NULL, "NOOP completed");
		return;
	case IMAP_ID:
		buf_str(imap_server_out(l->server),
		    "* ID (\"name\" \"Chappe\")\r\n");
		imap_server_done(l->server, IMAP_OK, NULL, "ID completed");
		return;
	case IMAP_LOGOUT:
		logout(l);
		return;
	case IMAP_STARTTLS:
		start_tls(l);
		return;
	case IMAP_LOGIN:
	case IMAP_AUTHENTICATE:
		log_in(l, c);
		return;
	}
	/* The engine lets nothing else through before login. */
	BUG_ON(true);
}
