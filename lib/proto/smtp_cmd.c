/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_cmd.h"

#include "lib/proto/address.h"

static const struct {
	const char *name, *lower;
} verbs[] = {
	[SMTP_HELO] = { "HELO", "helo" },
	[SMTP_EHLO] = { "EHLO", "ehlo" },
	[SMTP_LHLO] = { "LHLO", "lhlo" },
	[SMTP_MAIL] = { "MAIL", "mail" },
	[SMTP_RCPT] = { "RCPT", "rcpt" },
	[SMTP_DATA] = { "DATA", "data" },
	[SMTP_BDAT] = { "BDAT", "bdat" },
	[SMTP_RSET] = { "RSET", "rset" },
	[SMTP_NOOP] = { "NOOP", "noop" },
	[SMTP_VRFY] = { "VRFY", "vrfy" },
	[SMTP_EXPN] = { "EXPN", "expn" },
	[SMTP_QUIT] = { "QUIT", "quit" },
	[SMTP_HELP] = { "HELP", "help" },
	[SMTP_STARTTLS] = { "STARTTLS", "starttls" },
	[SMTP_AUTH] = { "AUTH", "auth" },
	[SMTP_XCLIENT] = { "XCLIENT", "xclient" },
	[SMTP_XFORWARD] = { "XFORWARD", "xforward" },
	[SMTP_ETRN] = { "ETRN", "etrn" },
	[SMTP_UNKNOWN] = { "UNKNOWN", "unknown" },
};

const char *
smtp_verb_name(enum smtp_verb verb)
{
	return verbs[verb].name;
}

const char *
smtp_verb_lower(enum smtp_verb verb)
{
	return verbs[verb].lower;
}

static enum smtp_verb
verb_of(struct span word)
{
	for (int v = 0; v < SMTP_UNKNOWN; v++)
		if (span_ieq(word, span_str(verbs[v].name)))
			return (enum smtp_verb)v;
	return SMTP_UNKNOWN;
}

static enum parse
reject(struct smtp_reject *why, unsigned code, const char *dsn,
    const char *text, struct span detail)
{
	why->code = code;
	why->dsn = dsn;
	why->text = text;
	why->detail = detail;
	return PARSE_BAD;
}

static enum parse
syntax(struct smtp_reject *why, const char *text)
{
	return reject(why, 501, "5.5.4", text, SPAN_EMPTY);
}

/* Index of the first byte that is `stop` outside quotes, or the length. */
static size_t
find_unquoted(struct span s, uint8_t stop)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '\\' && quoted)
			i++;
		else if (s.p[i] == stop && !quoted)
			return i;
	}
	return s.n;
}

/* Drops "@a,@b:" in front of the mailbox (RFC 5321 4.1.1.3, appendix C). */
static bool
skip_route(struct span *s)
{
	while (s->n > 0 && s->p[0] == '@') {
		struct span rest = span_skip(*s, 1);
		size_t n = 0;

		while (n < rest.n && rest.p[n] != ',' && rest.p[n] != ':')
			n++;
		if (n == rest.n || !domain_valid(span_slice(rest, 0, n)))
			return false;
		*s = span_skip(rest, n + 1);
		if (rest.p[n] == ':')
			return s->n > 0 && s->p[0] != '@';
		if (s->n == 0 || s->p[0] != '@')
			return false;
	}
	return true;
}

/* Takes the path off the front of *s: in brackets or, as older clients
 * write it, bare up to the next space. */
static bool
take_path(struct span *s, struct smtp_path *out)
{
	struct span text;
	size_t end, before;
	bool bare = false;

	*s = span_trim(*s);
	if (s->n > 0 && s->p[0] == '<') {
		end = find_unquoted(*s, '>');
		if (end == s->n)
			return false;
		text = span_slice(*s, 1, end);
		*s = span_skip(*s, end + 1);
		if (s->n > 0 && s->p[0] != ' ')
			return false;
	} else {
		bare = true;
		end = find_unquoted(*s, ' ');
		text = span_slice(*s, 0, end);
		*s = span_skip(*s, end);
		if (text.n == 0)
			return false;
	}
	*out = (struct smtp_path){ .null = text.n == 0, .bare = bare };
	if (out->null)
		return true;
	before = text.n;
	if (!skip_route(&text))
		return false;
	out->text = text;
	out->routed = text.n < before;
	return address_scan(text, &out->local, &out->domain);
}

/* RFC 5321 4.1.2 esmtp-keyword and esmtp-value; "=" is let pass inside a
 * value, as base 64 and sloppy xtext have it. */
static bool
param_ok(const struct smtp_param *p)
{
	for (size_t i = 0; i < p->key.n; i++) {
		const uint8_t c = p->key.p[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && (c != '-' || i == 0))
			return false;
	}
	for (size_t i = 0; i < p->value.n; i++)
		if (p->value.p[i] <= ' ' || p->value.p[i] == 127)
			return false;
	return p->key.n > 0 && p->has_value == (p->value.n > 0);
}

static enum parse
take_params(struct span s, struct smtp_cmd *out, struct smtp_reject *why)
{
	struct span word;

	while (span_token(&s, " ", &word)) {
		struct smtp_param *p = &out->params[out->param_count];
		const size_t eq = span_chr(word, '=');

		if (out->param_count == SMTP_PARAM_MAX)
			return reject(
			    why, 555, "5.5.4", "Unsupported option: ", word);
		p->key = span_slice(word, 0, eq);
		p->has_value = eq != SIZE_MAX;
		p->value = p->has_value ? span_skip(word, eq + 1) : SPAN_EMPTY;
		if (!param_ok(p))
			return reject(
			    why, 555, "5.5.4", "Unsupported option: ", word);
		out->param_count++;
	}
	return PARSE_OK;
}

static enum parse
parse_mail(struct smtp_cmd *out, struct smtp_reject *why)
{
	struct span s = out->arg;

	if (!span_istarts(s, SPAN("FROM:")))
		return syntax(why, "Syntax: MAIL FROM:<address>");
	s = span_skip(s, 5);
	if (span_trim(s).n == 0)
		return syntax(why, "Syntax: MAIL FROM:<address>");
	if (!take_path(&s, &out->path))
		return reject(
		    why, 501, "5.1.7", "Bad sender address syntax", SPAN_EMPTY);
	return take_params(s, out, why);
}

static enum parse
parse_rcpt(struct smtp_cmd *out, struct smtp_reject *why)
{
	struct span s = out->arg;

	if (!span_istarts(s, SPAN("TO:")))
		return syntax(why, "Syntax: RCPT TO:<address>");
	s = span_skip(s, 3);
	if (span_trim(s).n == 0)
		return syntax(why, "Syntax: RCPT TO:<address>");
	if (!take_path(&s, &out->path) || out->path.null)
		return reject(why, 501, "5.1.3", "Bad recipient address syntax",
		    SPAN_EMPTY);
	return take_params(s, out, why);
}

static enum parse
parse_hello(const struct smtp_cmd *out, struct smtp_reject *why)
{
	static const char *const texts[] = {
		[SMTP_HELO] = "Syntax: HELO hostname",
		[SMTP_EHLO] = "Syntax: EHLO hostname",
		[SMTP_LHLO] = "Syntax: LHLO hostname",
	};

	if (out->arg.n == 0)
		return reject(why, 501, "", texts[out->verb], SPAN_EMPTY);
	return PARSE_OK;
}

static enum parse
parse_auth(struct smtp_cmd *out, struct smtp_reject *why)
{
	struct span rest = out->arg;

	if (!span_token(&rest, " ", &out->mech))
		return syntax(why, "Syntax: AUTH mechanism");
	out->arg = span_trim(rest);
	if (span_chr(out->arg, ' ') != SIZE_MAX)
		return syntax(why, "Syntax: AUTH mechanism");
	return PARSE_OK;
}

static enum parse
parse_bare(
    const struct smtp_cmd *out, struct smtp_reject *why, const char *text)
{
	return out->arg.n == 0 ? PARSE_OK : syntax(why, text);
}

/* RFC 3030 2: "BDAT" SP chunk-size [ SP "LAST" ]. */
static enum parse
parse_bdat(struct smtp_cmd *out, struct smtp_reject *why)
{
	struct span rest = out->arg, size = SPAN_EMPTY, last;

	span_token(&rest, " ", &size);
	out->bdat_last = span_token(&rest, " ", &last);
	if (!span_u64(size, INT64_MAX, &out->bdat_size) ||
	    (out->bdat_last && !span_ieq(last, SPAN("LAST"))) ||
	    span_trim(rest).n > 0)
		return reject(why, SMTP_CODE_BAD_BDAT, "5.5.4",
		    "Syntax: BDAT count [LAST]", SPAN_EMPTY);
	return PARSE_OK;
}

/* RFC 6531 3.7.4.2: SMTPUTF8 may stand behind the address. */
static enum parse
parse_vrfy(struct smtp_cmd *out, struct smtp_reject *why)
{
	const size_t space = span_rchr(out->arg, ' ');

	if (space != SIZE_MAX &&
	    span_ieq(span_skip(out->arg, space + 1), SPAN("SMTPUTF8"))) {
		out->utf8 = true;
		out->arg = span_trim(span_slice(out->arg, 0, space));
	}
	return out->arg.n > 0 ? PARSE_OK
			      : syntax(why, "Syntax: VRFY address");
}

/* RFC 1985 5.1, with the texts that Postfix has. The markers "@" and "#" are
 * dropped. */
static enum parse
parse_etrn(struct smtp_cmd *out, struct smtp_reject *why)
{
	if (out->arg.n == 0 || span_chr(out->arg, ' ') != SIZE_MAX)
		return reject(why, 500, "", "Syntax: ETRN domain", SPAN_EMPTY);
	if (out->arg.p[0] == '@' || out->arg.p[0] == '#')
		out->arg = span_skip(out->arg, 1);
	if (!domain_valid(out->arg) && !domain_literal_valid(out->arg))
		return reject(why, 501, "", "Error: invalid parameter syntax",
		    SPAN_EMPTY);
	return PARSE_OK;
}

static enum parse
parse_arg(struct smtp_cmd *out, struct smtp_reject *why)
{
	switch (out->verb) {
	case SMTP_HELO:
	case SMTP_EHLO:
	case SMTP_LHLO:
		return parse_hello(out, why);
	case SMTP_MAIL:
		return parse_mail(out, why);
	case SMTP_RCPT:
		return parse_rcpt(out, why);
	case SMTP_DATA:
		return parse_bare(out, why, "Syntax: DATA");
	case SMTP_RSET:
		return parse_bare(out, why, "Syntax: RSET");
	case SMTP_STARTTLS:
		return parse_bare(out, why, "Syntax: STARTTLS");
	case SMTP_VRFY:
		return parse_vrfy(out, why);
	case SMTP_ETRN:
		return parse_etrn(out, why);
	case SMTP_AUTH:
		return parse_auth(out, why);
	case SMTP_BDAT:
		return parse_bdat(out, why);
	case SMTP_NOOP:
	case SMTP_EXPN:
	case SMTP_QUIT:
	case SMTP_HELP:
	case SMTP_XCLIENT:
	case SMTP_XFORWARD:
		return PARSE_OK;
	case SMTP_UNKNOWN:
		break;
	}
	return reject(
	    why, 500, "5.5.2", "Error: command not recognized", SPAN_EMPTY);
}

enum parse
smtp_cmd_parse(
    struct span line, struct smtp_cmd *out, struct smtp_reject *out_why)
{
	struct span rest = line, word;
	enum parse result;

	*out = (struct smtp_cmd){ .verb = SMTP_UNKNOWN };
	*out_why = (struct smtp_reject){ .verb = SMTP_UNKNOWN };
	if (!span_token(&rest, " \t", &word))
		return reject(
		    out_why, 500, "5.5.2", "Error: bad syntax", SPAN_EMPTY);
	out->verb = verb_of(word);
	out->arg = span_trim(rest);
	result = parse_arg(out, out_why);
	out_why->verb = out->verb;
	return result;
}

const struct smtp_param *
smtp_cmd_param(const struct smtp_cmd *cmd, const char *key)
{
	for (size_t i = 0; i < cmd->param_count; i++)
		if (span_ieq(cmd->params[i].key, span_str(key)))
			return &cmd->params[i];
	return NULL;
}
