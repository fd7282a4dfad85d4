/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_xattr.h"
#include "lib/proto/utf8.h"

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
	s->junk++;
	smtp_server_forget(s);
	wait_for(s, t, SMTP_EVENT_HELLO);
}

/* RFC 6531 3.4: UTF-8 in an address must be announced; where it is taken
 * without, nobody who can't store it is asked. */
static bool
charset_ok(struct smtp_server *s, const struct smtp_turn *t, struct span text,
    bool announced)
{
	if (utf8_is_ascii(text) ||
	    ((s->caps & SMTP_CAP_SMTPUTF8) &&
		(announced || !s->conf->strict_smtputf8)))
		return true;
	smtp_server_refuse(s, t->out, SMTP_BAD_SYNTAX, 553, "5.6.7",
	    "Must declare SMTPUTF8 to send unicode address");
	return false;
}

/* strict_rfc821_envelopes: nothing but what RFC 5321 4.1.2 lets a client
 * write. */
static bool
path_ok(struct smtp_server *s, const struct smtp_turn *t, const char *dsn,
    const char *text)
{
	const struct smtp_path *path = &t->cmd->path;

	if (!s->conf->strict_envelopes ||
	    (!path->bare && (path->null || path->domain.n > 0 ||
				span_ieq(path->text, SPAN("postmaster")))))
		return true;
	smtp_server_refuse(s, t->out, SMTP_BAD_SYNTAX, 501, dsn, text);
	return false;
}

static bool
mail_in_order(struct smtp_server *s, const struct smtp_turn *t)
{
	if (s->hello == HELLO_NONE &&
	    (s->conf->helo_required || s->conf->lmtp))
		refuse_state(s, t->out,
		    s->conf->lmtp ? "Error: send LHLO first"
				  : "Error: send HELO/EHLO first");
	else if (s->bdat != BDAT_NONE)
		refuse_state(s, t->out, "Error: MAIL after BDAT");
	else if (s->in_mail)
		refuse_state(s, t->out, "Error: nested MAIL command");
	else
		return true;
	return false;
}

static void
on_mail(struct smtp_server *s, const struct smtp_turn *t)
{
	struct smtp_mail_params params;
	struct smtp_reject why;

	if (!mail_in_order(s, t))
		return;
	if (smtp_params_mail(t->cmd, s->caps, &params, &why) != PARSE_OK) {
		smtp_server_refuse_with(s, t->out, SMTP_BAD_SYNTAX, &why);
		return;
	}
	if (!path_ok(s, t, "5.1.7", "Bad sender address syntax") ||
	    !charset_ok(s, t, t->cmd->path.text, params.smtputf8))
		return;
	if (s->conf->size_max > 0 && params.size > s->conf->size_max) {
		smtp_server_refuse(s, t->out, SMTP_BAD_SIZE, 552, "5.3.4",
		    "Message size exceeds fixed limit");
		return;
	}
	s->mail = params;
	wait_for(s, t, SMTP_EVENT_MAIL);
	t->out->mail = params;
}

static void
on_rcpt(struct smtp_server *s, const struct smtp_turn *t)
{
	struct smtp_rcpt_params params;
	struct smtp_reject why;

	if (s->bdat != BDAT_NONE) {
		refuse_state(s, t->out, "Error: RCPT after BDAT");
		return;
	}
	if (!s->in_mail) {
		refuse_state(s, t->out, "Error: need MAIL command");
		return;
	}
	s->rcpt_tried++;
	if (smtp_params_rcpt(t->cmd, s->caps, &params, &why) != PARSE_OK) {
		smtp_server_refuse_with(s, t->out, SMTP_BAD_SYNTAX, &why);
		return;
	}
	if (!path_ok(s, t, "5.1.3", "Bad recipient address syntax") ||
	    !charset_ok(s, t, t->cmd->path.text, s->mail.smtputf8))
		return;
	if (s->rcpt_ok >= s->conf->rcpt_max || s->rcpt_ok >= LIMIT_RCPT) {
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 452, "4.5.3",
		    "Error: too many recipients");
		return;
	}
	wait_for(s, t, SMTP_EVENT_RCPT);
	t->out->rcpt = params;
}

static void
on_data(struct smtp_server *s, const struct smtp_turn *t)
{
	if (s->bdat != BDAT_NONE) {
		refuse_state(s, t->out, "Error: DATA after BDAT");
		return;
	}
	if (!s->in_mail || s->rcpt_tried == 0) {
		refuse_state(s, t->out, "Error: need RCPT command");
		return;
	}
	if (s->binary) {
		/* RFC 3030 3: its bytes can't come by DATA. */
		refuse_state(s, t->out, "Error: BINARYMIME needs BDAT");
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
on_bdat(struct smtp_server *s, const struct smtp_turn *t)
{
	smtp_server_bdat(s, t);
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
	if (!(s->caps & SMTP_CAP_VRFY)) {
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 502, "5.5.1",
		    "VRFY command is disabled");
		return;
	}
	if (!charset_ok(s, t, t->cmd->arg, t->cmd->utf8))
		return;
	s->utf8 |= t->cmd->utf8;
	wait_for(s, t, SMTP_EVENT_VRFY);
}

static void
on_etrn(struct smtp_server *s, const struct smtp_turn *t)
{
	s->junk++;
	if (!(s->caps & SMTP_CAP_ETRN))
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 502, "5.5.1",
		    "Error: command not implemented");
	else if (s->conf->helo_required && s->hello == HELLO_NONE)
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 503, "",
		    "Error: send HELO/EHLO first");
	else if (s->in_mail || s->bdat != BDAT_NONE)
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 503, "",
		    "Error: MAIL transaction in progress");
	else
		wait_for(s, t, SMTP_EVENT_ETRN);
}

/* XCLIENT and XFORWARD: who may say them, the offer says. */
static void
on_proxied(struct smtp_server *s, const struct smtp_turn *t)
{
	const bool xclient = t->cmd->verb == SMTP_XCLIENT;
	struct smtp_xattrs attrs;
	struct smtp_reject why;

	if (s->in_mail || s->bdat != BDAT_NONE) {
		refuse_state(s, t->out, "Error: MAIL transaction in progress");
		return;
	}
	if (!(s->caps & (xclient ? SMTP_CAP_XCLIENT : SMTP_CAP_XFORWARD))) {
		smtp_server_refuse(s, t->out, SMTP_BAD_UNKNOWN, 550, "5.7.0",
		    "Error: insufficient authorization");
		return;
	}
	if (smtp_xattr_parse(t->cmd, &attrs, &why) != PARSE_OK) {
		/* The detail must outlive attrs. */
		struct buf b;

		buf_init(&b, 1024);
		buf_str(&b, why.text);
		buf_add(&b, why.detail);
		smtp_server_reply(s, why.code, why.dsn, buf_span(&b));
		buf_release(&b);
		why.detail = SPAN_EMPTY;
		*t->out = (struct smtp_event){ .type = SMTP_EVENT_BAD,
			.bad = SMTP_BAD_SYNTAX,
			.reject = why };
		s->errors++;
		return;
	}
	wait_for(s, t, xclient ? SMTP_EVENT_XCLIENT : SMTP_EVENT_XFORWARD);
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
	[SMTP_BDAT] = on_bdat,
	[SMTP_RSET] = on_rset,
	[SMTP_NOOP] = on_noop,
	[SMTP_VRFY] = on_vrfy,
	[SMTP_EXPN] = on_unimplemented,
	[SMTP_QUIT] = on_quit,
	[SMTP_HELP] = on_help,
	[SMTP_STARTTLS] = on_starttls,
	[SMTP_AUTH] = on_auth,
	[SMTP_XCLIENT] = on_proxied,
	[SMTP_XFORWARD] = on_proxied,
	[SMTP_ETRN] = on_etrn,
};

/* What may be said before STARTTLS where TLS is required (RFC 3207 4). */
static bool
before_tls_ok(enum smtp_verb verb)
{
	return verb == SMTP_HELO || verb == SMTP_EHLO || verb == SMTP_LHLO ||
	       verb == SMTP_NOOP || verb == SMTP_STARTTLS ||
	       verb == SMTP_QUIT || verb == SMTP_HELP || verb == SMTP_XCLIENT;
}

static bool
listed(const char *list, struct span word)
{
	struct span rest = span_str(list), item;

	while (list != NULL && span_token(&rest, ", \t", &item))
		if (span_ieq(item, word))
			return true;
	return false;
}

/* "Subject:", or "Subject" before " :", as when a client takes no notice of
 * the refusal of its DATA. */
static bool
is_header(struct span word)
{
	return word.n > 1 && word.p[word.n - 1] == ':';
}

/* A web browser or a page that makes one post mail, the text of a message,
 * a TLS handshake, noise. */
static bool
is_foreign(const struct smtp_server *s, enum smtp_verb verb, struct span line)
{
	struct span word;

	if (verb != SMTP_UNKNOWN || s->conf->forbidden_commands == NULL ||
	    s->conf->forbidden_commands[0] == '\0' ||
	    !span_token(&line, " \t", &word))
		return false;
	return !ascii_alpha(word.p[0]) || is_header(word) ||
	       listed(s->conf->forbidden_commands, word);
}

/* RFC 2920 3.1, as far as Postfix minds: commands that must be the last of
 * what is sent at once. For AUTH and STARTTLS it is a matter of safety, so
 * they look for themselves. */
static bool
ends_group(enum smtp_verb verb)
{
	return verb == SMTP_HELO || verb == SMTP_EHLO || verb == SMTP_LHLO ||
	       verb == SMTP_DATA || verb == SMTP_NOOP || verb == SMTP_VRFY;
}

static bool
too_early(struct smtp_server *s, const struct smtp_turn *t)
{
	if (!t->more || (s->hello == HELLO_EHLO &&
			    (s->caps & SMTP_CAP_PIPELINING) &&
			    !ends_group(t->cmd->verb)))
		return false;
	s->badly_piped = true;
	return !s->conf->pipelining_ok;
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

/* BDAT that can't be understood: its bytes would be taken for commands. */
static bool
bad_bdat(struct smtp_server *s, const struct smtp_turn *t, enum parse result,
    struct smtp_reject *why)
{
	if (t->cmd->verb != SMTP_BDAT ||
	    ((s->caps & SMTP_CAP_CHUNKING) && result == PARSE_OK))
		return false;
	if (!(s->caps & SMTP_CAP_CHUNKING))
		*why = (struct smtp_reject){ .verb = SMTP_BDAT,
			.code = SMTP_CODE_BAD_BDAT,
			.dsn = "5.5.1",
			.text = "Error: command not implemented" };
	smtp_server_refuse_with(s, t->out, SMTP_BAD_SYNTAX, why);
	t->out->aborted = s->in_mail;
	smtp_server_forget(s);
	s->state = STATE_CLOSED;
	return true;
}

static bool
is_noop(struct smtp_server *s, struct span line)
{
	struct span word;

	if (!span_token(&line, " \t", &word) ||
	    !listed(s->conf->noop_commands, word))
		return false;
	smtp_server_reply(s, 250, "2.0.0", SPAN("Ok"));
	return true;
}

static void
one_command(struct smtp_server *s, struct smtp_turn *t, enum parse result,
    struct smtp_reject *why)
{
	const enum smtp_verb verb = t->cmd->verb;

	if (is_foreign(s, verb, t->line))
		foreign(s, t);
	else if (s->conf->tls_required && !s->tls && !before_tls_ok(verb) &&
		 verb != SMTP_UNKNOWN && verb != SMTP_BDAT)
		smtp_server_refuse(s, t->out, SMTP_BAD_STATE, 530, "5.7.0",
		    "Must issue a STARTTLS command first");
	else if (bad_bdat(s, t, result, why))
		return;
	else if (verb != SMTP_UNKNOWN && too_early(s, t))
		smtp_server_refuse_sync(s, t->out);
	else if (result != PARSE_OK)
		smtp_server_refuse_with(s, t->out,
		    verb == SMTP_UNKNOWN ? SMTP_BAD_UNKNOWN : SMTP_BAD_SYNTAX,
		    why);
	else
		handlers[verb](s, t);
}

void
smtp_server_command(struct smtp_server *s, struct smtp_turn *t)
{
	struct smtp_reject why;
	struct smtp_cmd cmd;
	enum parse result;

	if (is_noop(s, t->line)) {
		s->junk++;
	} else {
		result = smtp_cmd_parse(t->line, &cmd, &why);
		t->cmd = &cmd;
		s->any_command = true;
		s->last = cmd.verb;
		s->counts[cmd.verb].total++;
		one_command(s, t, result, &why);
		if (t->out->type == SMTP_EVENT_BAD &&
		    cmd.verb == SMTP_UNKNOWN)
			t->out->data = t->line;
	}
	if (s->junk > s->conf->junk_max) {
		s->junk = s->conf->junk_max;
		s->errors++;
	}
}
