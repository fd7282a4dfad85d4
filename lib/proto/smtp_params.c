/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_params.h"

#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/smtp_server.h"

enum {
	ENVID_MAX = 100, /* RFC 3461 4.4 */
	ORCPT_MAX = 500, /* RFC 3461 4.2 */
	HOLD_DIGITS = 9, /* RFC 4865 4.1 */
};

/* What the reading of one parameter needs. */
struct turn {
	const struct smtp_param *p;
	struct smtp_mail_params *mail;
	struct smtp_rcpt_params *rcpt;
	struct smtp_reject *why;
};

static bool
reject(const struct turn *t, unsigned code, const char *text)
{
	t->why->code = code;
	t->why->dsn = "5.5.4";
	t->why->text = text;
	return false;
}

static bool
unsupported(const struct turn *t)
{
	const struct smtp_param *p = t->p;

	t->why->detail = span_of(
	    p->key.p, p->has_value ? p->key.n + 1 + p->value.n : p->key.n);
	return reject(t, 555, "Unsupported option: ");
}

/* ---- values ---- */

static bool
is_hex(uint8_t c)
{
	return ascii_digit(c) || (c >= 'A' && c <= 'F');
}

bool
smtp_xtext_valid(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		uint64_t v = text.p[i];

		if (v == '+') {
			if (text.n - i < 3 || !is_hex(text.p[i + 1]) ||
			    !is_hex(text.p[i + 2]) ||
			    !span_hex64(span_slice(text, i + 1, i + 3), &v))
				return false;
			i += 2;
		} else if (v <= ' ' || v >= 127 || v == '=') {
			return false;
		}
		if ((v < ' ' && v != '\t') || v >= 127)
			return false;
	}
	return text.n > 0;
}

/* RFC 6533 3: utf-8-addr-xtext, in which UTF-8 may stand bare and "\x{...}"
 * for a character. */
static bool
utf8_addr_valid(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] == 127)
			return false;
	return text.n > 0;
}

/* Takes exactly n digits off *s. */
static bool
take_digits(struct span *s, size_t n, int max, int *out)
{
	uint64_t v;

	if (s->n < n || !span_u64(span_slice(*s, 0, n), (uint64_t)max, &v))
		return false;
	*out = (int)v;
	*s = span_skip(*s, n);
	return true;
}

static bool
take_byte(struct span *s, uint8_t c)
{
	if (s->n == 0 || ascii_upper(s->p[0]) != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* "Z", "+hh:mm" or "-hh:mm", and nothing behind it. */
static bool
take_zone(struct span s, int *out_min)
{
	const bool minus = s.n > 0 && s.p[0] == '-';
	int hour, minute;

	*out_min = 0;
	if (take_byte(&s, 'Z'))
		return s.n == 0;
	if (!take_byte(&s, minus ? '-' : '+') ||
	    !take_digits(&s, 2, 23, &hour) || !take_byte(&s, ':') ||
	    !take_digits(&s, 2, 59, &minute) || s.n > 0)
		return false;
	*out_min = (minus ? -1 : 1) * (hour * 60 + minute);
	return true;
}

bool
smtp_date_time(struct span s, int64_t *out_s)
{
	struct date d = { .year = 0 };

	if (!take_digits(&s, 4, 9999, &d.year) || !take_byte(&s, '-') ||
	    !take_digits(&s, 2, 12, &d.month) || !take_byte(&s, '-') ||
	    !take_digits(&s, 2, 31, &d.day) || !take_byte(&s, 'T') ||
	    !take_digits(&s, 2, 23, &d.hour) || !take_byte(&s, ':') ||
	    !take_digits(&s, 2, 59, &d.minute) || !take_byte(&s, ':') ||
	    !take_digits(&s, 2, 60, &d.second))
		return false;
	if (d.month == 0 || d.day == 0)
		return false;
	if (take_byte(&s, '.')) {
		if (s.n == 0 || !ascii_digit(s.p[0]))
			return false;
		while (s.n > 0 && ascii_digit(s.p[0]))
			s = span_skip(s, 1);
	}
	if (!take_zone(s, &d.offset_min))
		return false;
	*out_s = date_to_time(&d);
	return true;
}

/* ---- MAIL ---- */

static bool
read_size(const struct turn *t)
{
	const struct span v = t->p->value;

	for (size_t i = 0; i < v.n; i++)
		if (!ascii_digit(v.p[i]))
			return reject(t, 501, "Bad message size syntax");
	if (v.n == 0)
		return reject(t, 501, "Bad message size syntax");
	/* More than fits is more than any limit. */
	if (v.n > 20 || !span_u64(v, INT64_MAX, &t->mail->size))
		t->mail->size = INT64_MAX;
	return true;
}

static bool
read_body(const struct turn *t)
{
	const struct span v = t->p->value;

	if (span_ieq(v, SPAN("7BIT")))
		t->mail->body = SMTP_BODY_7BIT;
	else if (span_ieq(v, SPAN("8BITMIME")))
		t->mail->body = SMTP_BODY_8BIT;
	else if (span_ieq(v, SPAN("BINARYMIME")))
		t->mail->body = SMTP_BODY_BINARY;
	else
		return unsupported(t);
	return true;
}

/* RFC 4954 5 has an xtext mailbox or "<>"; whose it may be is policy. */
static bool
read_auth(const struct turn *t)
{
	if (!span_eq(t->p->value, SPAN("<>")) &&
	    !smtp_xtext_valid(t->p->value))
		return reject(t, 501, "Bad AUTH parameter syntax");
	t->mail->auth = t->p->value;
	return true;
}

static bool
read_ret(const struct turn *t)
{
	t->mail->ret_full = span_ieq(t->p->value, SPAN("FULL"));
	t->mail->ret_hdrs = span_ieq(t->p->value, SPAN("HDRS"));
	return t->mail->ret_full || t->mail->ret_hdrs ||
	       reject(t, 501, "Bad RET parameter syntax");
}

static bool
read_envid(const struct turn *t)
{
	if (t->p->value.n > ENVID_MAX || !smtp_xtext_valid(t->p->value))
		return reject(t, 501, "Bad ENVID parameter syntax");
	t->mail->envid = t->p->value;
	return true;
}

static bool
read_smtputf8(const struct turn *t)
{
	t->mail->smtputf8 = true;
	return !t->p->has_value || unsupported(t);
}

static bool
read_requiretls(const struct turn *t)
{
	t->mail->requiretls = true;
	return !t->p->has_value || unsupported(t);
}

static bool
both_holds(const struct turn *t)
{
	return (t->mail->hold_for_s > 0 && t->mail->hold_until_s > 0) &&
	       !reject(t, 501, "Error: HOLDFOR and HOLDUNTIL exclude each other");
}

static bool
read_hold_for(const struct turn *t)
{
	uint64_t s;

	if (t->p->value.n > HOLD_DIGITS ||
	    !span_u64(t->p->value, UINT32_MAX, &s) || s == 0)
		return reject(t, 501, "Bad HOLDFOR parameter syntax");
	t->mail->hold_for_s = (uint32_t)s;
	return !both_holds(t);
}

static bool
read_hold_until(const struct turn *t)
{
	int64_t s;

	if (!smtp_date_time(t->p->value, &s) || s <= 0)
		return reject(t, 501, "Bad HOLDUNTIL parameter syntax");
	t->mail->hold_until_s = s;
	return !both_holds(t);
}

/* ---- RCPT ---- */

static bool
read_notify(const struct turn *t)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "NEVER", SMTP_NOTIFY_NEVER },
		{ "SUCCESS", SMTP_NOTIFY_SUCCESS },
		{ "FAILURE", SMTP_NOTIFY_FAILURE },
		{ "DELAY", SMTP_NOTIFY_DELAY } };
	struct span rest = t->p->value;
	unsigned bits = 0;

	for (bool more = true; more;) {
		const size_t comma = span_chr(rest, ',');
		const struct span word = span_slice(rest, 0, comma);
		unsigned bit = 0;

		for (size_t i = 0; i < COUNT_OF(words); i++)
			if (span_ieq(word, span_str(words[i].word)))
				bit = words[i].bit;
		if (bit == 0 || (bits & bit))
			return reject(
			    t, 501, "Error: Bad NOTIFY parameter syntax");
		bits |= bit;
		more = comma != SIZE_MAX;
		rest = span_skip(rest, more ? comma + 1 : rest.n);
	}
	if ((bits & SMTP_NOTIFY_NEVER) && bits != SMTP_NOTIFY_NEVER)
		return reject(t, 501, "Error: Bad NOTIFY parameter syntax");
	t->rcpt->notify = bits;
	return true;
}

static bool
read_orcpt(const struct turn *t)
{
	const struct span v = t->p->value;
	const size_t semicolon = span_chr(v, ';');
	const struct span type = span_slice(v, 0, semicolon);
	struct span addr;
	bool ok = semicolon != SIZE_MAX && semicolon > 0 && v.n <= ORCPT_MAX;

	for (size_t i = 0; ok && i < type.n; i++)
		ok = ascii_alpha(type.p[i]) || ascii_digit(type.p[i]) ||
		     type.p[i] == '-';
	if (ok) {
		addr = span_skip(v, semicolon + 1);
		ok = span_ieq(type, SPAN("utf-8")) ? utf8_addr_valid(addr)
						   : smtp_xtext_valid(addr);
	}
	if (!ok)
		return reject(t, 501, "Error: Bad ORCPT parameter syntax");
	t->rcpt->orcpt = v;
	return true;
}

/* ---- the table ---- */

static const struct known {
	enum smtp_verb verb;
	const char *key;
	unsigned cap;
	bool (*read)(const struct turn *t);
	const char *twice; /* what a second one is told; NULL: it counts */
} known[] = {
	{ SMTP_MAIL, "SIZE", SMTP_CAP_SIZE, read_size, NULL },
	{ SMTP_MAIL, "BODY", SMTP_CAP_8BITMIME, read_body, NULL },
	{ SMTP_MAIL, "AUTH", SMTP_CAP_AUTH, read_auth,
	    "Bad AUTH parameter syntax" },
	{ SMTP_MAIL, "RET", SMTP_CAP_DSN, read_ret, "Bad RET parameter syntax" },
	{ SMTP_MAIL, "ENVID", SMTP_CAP_DSN, read_envid,
	    "Bad ENVID parameter syntax" },
	{ SMTP_MAIL, "SMTPUTF8", SMTP_CAP_SMTPUTF8, read_smtputf8,
	    "Bad SMTPUTF8 parameter syntax" },
	{ SMTP_MAIL, "REQUIRETLS", SMTP_CAP_REQUIRETLS, read_requiretls,
	    "Bad REQUIRETLS parameter syntax" },
	{ SMTP_MAIL, "HOLDFOR", SMTP_CAP_FUTURERELEASE, read_hold_for,
	    "Bad HOLDFOR parameter syntax" },
	{ SMTP_MAIL, "HOLDUNTIL", SMTP_CAP_FUTURERELEASE, read_hold_until,
	    "Bad HOLDUNTIL parameter syntax" },
	{ SMTP_RCPT, "NOTIFY", SMTP_CAP_DSN, read_notify,
	    "Error: Bad NOTIFY parameter syntax" },
	{ SMTP_RCPT, "ORCPT", SMTP_CAP_DSN, read_orcpt,
	    "Error: Bad ORCPT parameter syntax" },
};

static enum parse
read_all(const struct smtp_cmd *cmd, unsigned caps, struct turn *t)
{
	bool seen[COUNT_OF(known)] = { false };

	*t->why = (struct smtp_reject){ .verb = cmd->verb };
	for (size_t i = 0; i < cmd->param_count; i++) {
		const struct known *k = known, *const end = known + COUNT_OF(known);

		t->p = &cmd->params[i];
		while (k < end && (k->verb != cmd->verb || !(caps & k->cap) ||
				      !span_ieq(t->p->key, span_str(k->key))))
			k++;
		if (k == end)
			unsupported(t);
		else if (seen[k - known] && k->twice != NULL)
			reject(t, 501, k->twice);
		else if (k->read(t))
			seen[k - known] = true;
		if (t->why->code != 0)
			return PARSE_BAD;
	}
	return PARSE_OK;
}

enum parse
smtp_params_mail(const struct smtp_cmd *cmd, unsigned caps,
    struct smtp_mail_params *out, struct smtp_reject *out_why)
{
	struct turn t = { .mail = out, .why = out_why };

	*out = (struct smtp_mail_params){ .size = 0 };
	if (read_all(cmd, caps, &t) != PARSE_OK)
		return PARSE_BAD;
	if (out->body == SMTP_BODY_BINARY &&
	    !((caps & SMTP_CAP_BINARYMIME) && (caps & SMTP_CAP_CHUNKING))) {
		t.p = smtp_cmd_param(cmd, "BODY");
		unsupported(&t);
		return PARSE_BAD;
	}
	return PARSE_OK;
}

enum parse
smtp_params_rcpt(const struct smtp_cmd *cmd, unsigned caps,
    struct smtp_rcpt_params *out, struct smtp_reject *out_why)
{
	struct turn t = { .rcpt = out, .why = out_why };

	*out = (struct smtp_rcpt_params){ .notify = 0 };
	return read_all(cmd, caps, &t);
}
