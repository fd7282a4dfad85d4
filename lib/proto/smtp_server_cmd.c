/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void
refuse_state(struct smtp_server *s, struct smtp_event *out, const char *text)
{
	smtp_server_refuse(s, out, SMTP_BAD_STATE, 503, "5.5.1", text);
}

static void
wait_for(
    struct smtp_server *s, const struct smtp_turn *t, enum smtp_event_type type)
{
	s->cmd = MEM_NEW(s->cmd);
	*s->cmd = *t->cmd;
	s->waiting = type;
	t->out->type = type;
	t->out->cmd = s->cmd;
}

static void
on_hello(struct smtp_server *s, const struct smtp_turn *t)
{
	if (s->conf->lmtp != (t->cmd->verb == SMTP_LHLO)) {
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 500, "5.5.1",
		    s->conf->lmtp ? "Error: this is LMTP: use LHLO"
				  : "Error: this is SMTP: use EHLO");
		return;
	}
	if (t->more) {
		smtp_server_refuse_sync(s, t->out);
		return;
	}
	s->junk++;
	smtp_server_forget(s);
	wait_for(s, t, SMTP_EVENT_HELLO);
}

static bool
param_offered(const struct smtp_server *s, enum smtp_verb verb, struct span key)
{
	static const struct {
		enum smtp_verb verb;
		const char *key;
		unsigned cap;
	} known[] = {
		{ SMTP_MAIL, "SIZE", SMTP_CAP_SIZE },
		{ SMTP_MAIL, "BODY", SMTP_CAP_8BITMIME },
		{ SMTP_MAIL, "AUTH", SMTP_CAP_AUTH },
		{ SMTP_MAIL, "SMTPUTF8", SMTP_CAP_SMTPUTF8 },
		{ SMTP_MAIL, "RET", SMTP_CAP_DSN },
		{ SMTP_MAIL, "ENVID", SMTP_CAP_DSN },
		{ SMTP_RCPT, "NOTIFY", SMTP_CAP_DSN },
		{ SMTP_RCPT, "ORCPT", SMTP_CAP_DSN },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (known[i].verb == verb && (s->caps & known[i].cap) &&
		    span_ieq(key, span_str(known[i].key)))
			return true;
	return false;
}

/* Is the value of this parameter one that its RFC knows? */
static bool
param_value_ok(const struct smtp_param *p)
{
	uint64_t size;

	if (span_ieq(p->key, SPAN("SIZE")))
		return span_u64(p->value, UINT64_MAX, &size);
	if (span_ieq(p->key, SPAN("BODY")))
		return span_ieq(p->value, SPAN("7BIT")) ||
		       span_ieq(p->value, SPAN("8BITMIME"));
	if (span_ieq(p->key, SPAN("RET")))
		return span_ieq(p->value, SPAN("FULL")) ||
		       span_ieq(p->value, SPAN("HDRS"));
	if (span_ieq(p->key, SPAN("SMTPUTF8")))
		return !p->has_value;
	return p->value.n > 0;
}

static bool
params_ok(struct smtp_server *s, const struct smtp_turn *t)
{
	struct smtp_reject why = { .verb = t->cmd->verb,
		.code = 555,
		.dsn = "5.5.4",
		.text = "Unsupported option: " };

	for (size_t i = 0; i < t->cmd->param_count; i++) {
		const struct smtp_param *p = &t->cmd->params[i];

		if (!param_offered(s, t->cmd->verb, p->key) ||
		    (!param_value_ok(p) && !span_ieq(p->key, SPAN("SIZE")))) {
			why.detail = span_of(
			    p->key.p, p->has_value ? p->key.n + 1 + p->value.n
						   : p->key.n);
			smtp_server_refuse_with(
			    s, t->out, SMTP_BAD_SYNTAX, &why);
			return false;
		}
		if (!param_value_ok(p)) {
			smtp_server_refuse(s, t->out, SMTP_BAD_SYNTAX, 501,
			    "5.5.4", "Bad message size syntax");
			return false;
		}
	}
	return true;
}

/* RFC 6531 3.4: UTF-8 in an address must be announced. */
static bool
path_charset_ok(struct smtp_server *s, const struct smtp_turn *t)
{
	const struct span text = t->cmd->path.text;

	if (s->caps & SMTP_CAP_SMTPUTF8)
		return true;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] >= 128) {
			smtp_server_refuse(s, t->out, SMTP_BAD_SYNTAX, 553,
			    "5.6.7",
			    "Must declare SMTPUTF8 to send unicode address");
			return false;
		}
	}
	return true;
}

static void
on_mail(struct smtp_server *s, const struct smtp_turn *t)
{
	const struct smtp_param *p = smtp_cmd_param(t->cmd, "SIZE");
	uint64_t size = 0;

	if (s->hello == HELLO_NONE &&
	    (s->conf->helo_required || s->conf->lmtp)) {
		refuse_state(s, t->out,
		    s->conf->lmtp ? "Error: send LHLO first"
				  : "Error: send HELO/EHLO first");
		return;
	}
	if (s->in_mail) {
		refuse_state(s, t->out, "Error: nested MAIL command");
		return;
	}
	if (!params_ok(s, t) || !path_charset_ok(s, t))
		return;
	if (p != NULL &&
	    (!span_u64(p->value, UINT64_MAX, &size) ||
		(s->conf->size_max > 0 && size > s->conf->size_max))) {
		smtp_server_refuse(s, t->out, SMTP_BAD_SIZE, 552, "5.3.4",
		    "Message size exceeds fixed limit");
		return;
	}
	wait_for(s, t, SMTP_EVENT_MAIL);
	t->out->size = size;
}

static void
on_rcpt(struct smtp_server *s, const struct smtp_turn *t)
{
	if (!s->in_mail) {
		refuse_state(s, t->out, "Error: need MAIL command");
		return;
	}
	s->rcpt_tried++;
	if (!params_ok(s, t) || !path_charset_ok(s, t))
		return;
	if (s->rcpt_ok >= s->conf->rcpt_max || s->rcpt_ok >= LIMIT_RCPT) {
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 452, "4.5.3",
		    "Error: too many recipients");
		return;
	}
	wait_for(s, t, SMTP_EVENT_RCPT);
}

static void
on_data(struct smtp_server *s, const struct smtp_turn *t)
{
	if (t->more) {
		smtp_server_refuse_sync(s, t->out);
		return;
	}
	if (!s->in_mail || s->rcpt_tried == 0) {
		refuse_state(s, t->out, "Error: need RCPT command");
		return;
	}
	if (s->rcpt_ok == 0) {
		/* RFC 2033 4.2 wants 503 from an LMTP server. */
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE,
		    s->conf->lmtp ? 503 : 554, "5.5.1",
		    "Error: no valid recipients");
		return;
	}
	wait_for(s, t, SMTP_EVENT_DATA);
}

static void
on_rset(struct smtp_server *s, const struct smtp_turn *t)
{
	s->junk++;
	smtp_server_forget(s);
	smtp_server_reply(s, 250, "2.0.0", SPAN("Ok"));
	s->counts[SMTP_RSET].ok++;
	t->out->type = SMTP_EVENT_RSET;
}

static void
on_noop(struct smtp_server *s, const struct smtp_turn *t)
{
	(void)t;
	s->junk++;
	smtp_server_reply(s, 250, "2.0.0", SPAN("Ok"));
	s->counts[SMTP_NOOP].ok++;
}

static void
on_help(struct smtp_server *s, const struct smtp_turn *t)
{
	(void)t;
	s->junk++;
	smtp_server_reply(s, 214, "2.0.0",
	    s->conf->lmtp
		? SPAN("Commands: LHLO MAIL RCPT DATA RSET NOOP VRFY QUIT")
		: SPAN("Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY "
		       "QUIT"));
	s->counts[SMTP_HELP].ok++;
}

static void
on_quit(struct smtp_server *s, const struct smtp_turn *t)
{
	smtp_server_forget(s);
	smtp_server_reply(s, 221, "2.0.0", SPAN("Bye"));
	s->counts[SMTP_QUIT].ok++;
	t->out->type = SMTP_EVENT_QUIT;
}

static void
on_vrfy(struct smtp_server *s, const struct smtp_turn *t)
{
	s->junk++;
	if (s->caps & SMTP_CAP_VRFY)
		wait_for(s, t, SMTP_EVENT_VRFY);
	else
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 502, "5.5.1",
		    "VRFY command is disabled");
}

static void
on_starttls(struct smtp_server *s, const struct smtp_turn *t)
{
	if (s->tls) {
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 554, "5.5.1",
		    "Error: TLS already active");
		return;
	}
	if (!(s->caps & SMTP_CAP_STARTTLS)) {
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 502, "5.5.1",
		    "Error: command not implemented");
		return;
	}
	if (t->more) {
		smtp_server_refuse_sync(s, t->out);
		return;
	}
	wait_for(s, t, SMTP_EVENT_STARTTLS);
}

static void
on_auth(struct smtp_server *s, const struct smtp_turn *t)
{
	if (s->hello != HELLO_EHLO || !(s->caps & SMTP_CAP_AUTH)) {
		refuse_state(s, t->out, "Error: authentication not enabled");
		return;
	}
	if (s->in_mail) {
		refuse_state(s, t->out, "Error: MAIL transaction in progress");
		return;
	}
	if (s->authenticated) {
		refuse_state(s, t->out, "Error: already authenticated");
		return;
	}
	if (t->more) {
		smtp_server_refuse_sync(s, t->out);
		return;
	}
	wait_for(s, t, SMTP_EVENT_AUTH);
}

static void
on_unimplemented(struct smtp_server *s, const struct smtp_turn *t)
{
	s->junk++;
	smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 502, "5.5.1",
	    "Error: command not implemented");
}

typedef void (*handler_fn)(struct smtp_server *s, const struct smtp_turn *t);

static const handler_fn handlers[] = {
	[SMTP_HELO] = on_hello,
	[SMTP_EHLO] = on_hello,
	[SMTP_LHLO] = on_hello,
	[SMTP_MAIL] = on_mail,
	[SMTP_RCPT] = on_rcpt,
	[SMTP_DATA] = on_data,
	[SMTP_BDAT] = on_unimplemented,
	[SMTP_RSET] = on_rset,
	[SMTP_NOOP] = on_noop,
	[SMTP_VRFY] = on_vrfy,
	[SMTP_EXPN] = on_unimplemented,
	[SMTP_QUIT] = on_quit,
	[SMTP_HELP] = on_help,
	[SMTP_STARTTLS] = on_starttls,
	[SMTP_AUTH] = on_auth,
	[SMTP_XCLIENT] = on_unimplemented,
	[SMTP_XFORWARD] = on_unimplemented,
	[SMTP_ETRN] = on_unimplemented,
};

/* What may be said before STARTTLS where TLS is required (RFC 3207 4). */
static bool
before_tls_ok(enum smtp_verb verb)
{
	return verb == SMTP_HELO || verb == SMTP_EHLO || verb == SMTP_LHLO ||
	       verb == SMTP_NOOP || verb == SMTP_STARTTLS || verb == SMTP_QUIT;
}

/* A web browser, or a page that makes one post mail. */
static bool
is_foreign(struct span line)
{
	return span_istarts(line, SPAN("GET ")) ||
	       span_istarts(line, SPAN("POST ")) ||
	       span_istarts(line, SPAN("CONNECT "));
}

static void
foreign(struct smtp_server *s, const struct smtp_turn *t)
{
	const struct smtp_reject why = { .verb = SMTP_UNKNOWN,
		.code = 221,
		.dsn = "2.7.0",
		.text = "Error: I can break rules, too. Goodbye.",
		.detail = t->line };

	smtp_server_refuse_with(s, t->out, SMTP_BAD_FOREIGN, &why);
	t->out->aborted = s->in_mail;
	smtp_server_forget(s);
}

void
smtp_server_command(struct smtp_server *s, struct smtp_turn *t)
{
	struct smtp_reject why;
	struct smtp_cmd cmd;
	const enum parse result = smtp_cmd_parse(t->line, &cmd, &why);

	t->cmd = &cmd;
	s->any_command = true;
	s->last = cmd.verb;
	s->counts[cmd.verb].total++;
	if (is_foreign(t->line))
		foreign(s, t);
	else if (s->conf->tls_required && !s->tls && !before_tls_ok(cmd.verb) &&
		 cmd.verb != SMTP_UNKNOWN)
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 530, "5.7.0",
		    "Must issue a STARTTLS command first");
	else if (result != PARSE_OK)
		smtp_server_refuse_with(s, t->out,
		    cmd.verb == SMTP_UNKNOWN ? SMTP_BAD_UNKNOWN
					     : SMTP_BAD_SYNTAX,
		    &why);
	else
		handlers[cmd.verb](s, t);
	if (s->junk > s->conf->junk_max) {
		s->junk = s->conf->junk_max;
		s->errors++;
	}
}
