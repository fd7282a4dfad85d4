/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server_impl.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/proto/smtp_xattr.h"
#include "lib/proto/utf8.h"

/* What the server says: replies with their footers, and what it offers. */

enum { FOOTER_MAX = 4096, DSN_MAX = 16 };

static void
add_clean(struct buf *out, struct span text, bool utf8)
{
	const bool pass = utf8 && utf8_valid(text);
	uint8_t *to = buf_room(out, text.n);

	if (to == NULL)
		return;
	for (size_t i = 0; i < text.n; i++) {
		const uint8_t c = text.p[i];

		to[i] = c < ' ' || c == 127 || (c > 127 && !pass) ? '?' : c;
	}
	buf_grown(out, text.n);
}

static void
reply_line(struct buf *out, unsigned code, bool last, const char *dsn,
    struct span text, bool utf8)
{
	const uint8_t number[] = { (uint8_t)('0' + code / 100 % 10),
		(uint8_t)('0' + code / 10 % 10), (uint8_t)('0' + code % 10),
		last ? ' ' : '-' };

	buf_add(out, span_of(number, sizeof(number)));
	if (dsn[0] != '\0') {
		buf_str(out, dsn);
		buf_byte(out, ' ');
	}
	add_clean(out, text, utf8);
	buf_add(out, SPAN("\r\n"));
}

/* The text with the footer below it, or NULL's worth: the text alone. */
static struct span
with_footer(const struct smtp_server *s, unsigned code, const char *dsn,
    struct span text, struct buf *b)
{
	struct span foot;
	struct buf f, reply;

	if (s->hooks == NULL || s->hooks->footer == NULL || code < 400)
		return text;
	buf_init(&f, FOOTER_MAX);
	buf_init(&reply, SMTP_SERVER_HELD_MAX);
	buf_fmt(&reply, "%03u %s%s", code, dsn, dsn[0] != '\0' ? " " : "");
	buf_add(&reply, text);
	s->hooks->footer(s->hooks->arg, buf_span(&reply), &f);
	buf_release(&reply);
	foot = buf_span(&f);
	if (foot.n > 0) {
		buf_add(b, text);
		if (span_starts(foot, SPAN("\\c")))
			foot = span_skip(foot, 2);
		else
			buf_byte(b, '\n');
		for (size_t i = 0; i < foot.n; i++) {
			const bool lf = foot.p[i] == '\\' &&
			    i + 1 < foot.n && foot.p[i + 1] == 'n';

			buf_byte(b, lf ? '\n' : foot.p[i]);
			i += lf;
		}
		text = buf_span(b);
	}
	buf_release(&f);
	return text;
}

void
smtp_server_format(struct smtp_server *s, struct buf *out, unsigned code,
    const char *dsn, struct span text)
{
	char mild[DSN_MAX];
	struct buf b;
	size_t lf;

	if (s->conf->soft && code >= 500) {
		code -= 100;
		snprintf(mild, sizeof(mild), "%s", dsn);
		if (mild[0] == '5')
			mild[0] = '4';
		dsn = mild;
	}
	buf_init(&b, SMTP_SERVER_HELD_MAX + FOOTER_MAX);
	text = with_footer(s, code, dsn, text, &b);
	while ((lf = span_chr(text, '\n')) != SIZE_MAX) {
		reply_line(
		    out, code, false, dsn, span_slice(text, 0, lf), s->utf8);
		text = span_skip(text, lf + 1);
	}
	reply_line(out, code, true, dsn, text, s->utf8);
	buf_release(&b);
}

void
smtp_server_reply(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text)
{
	smtp_server_format(s, &s->out, code, dsn, text);
	if (code == 421 || code == 521 || code == 221)
		s->state = STATE_CLOSED;
}

static void
size_offer(const struct smtp_server *s, struct buf *b)
{
	buf_str(b, "SIZE");
	if (s->conf->size_max == 0)
		return;
	buf_byte(b, ' ');
	buf_u64(b, s->conf->size_max);
}

/* One line of the offer; empty when it is not offered. */
static void
offer_line(const struct smtp_server *s, unsigned cap, const char *word,
    struct buf *b)
{
	buf_reset(b);
	if ((s->caps & cap) == 0)
		return;
	if (cap == SMTP_CAP_SIZE)
		size_offer(s, b);
	else if (cap == SMTP_CAP_AUTH)
		buf_fmt(b, "AUTH %s", s->auth_mechs);
	else if (cap == SMTP_CAP_AUTH_OLD)
		buf_fmt(b, "AUTH=%s", s->auth_mechs);
	else if (cap == SMTP_CAP_LIMITS)
		buf_fmt(b, "LIMITS RCPTMAX=%u", s->conf->rcpt_max);
	else if (cap == SMTP_CAP_FUTURERELEASE)
		buf_fmt(b, "FUTURERELEASE %u %s",
		    (unsigned)s->conf->future_s, s->future_until);
	else if (cap == SMTP_CAP_XCLIENT)
		buf_fmt(b, "XCLIENT %s", smtp_xattr_names(SMTP_XCLIENT));
	else if (cap == SMTP_CAP_XFORWARD)
		buf_fmt(b, "XFORWARD %s", smtp_xattr_names(SMTP_XFORWARD));
	else
		buf_str(b, word);
}

/* In the order that Postfix has; what it has not stands at the end. */
void
smtp_server_reply_hello(struct smtp_server *s)
{
	static const struct {
		unsigned cap;
		const char *word;
	} offers[] = { { SMTP_CAP_PIPELINING, "PIPELINING" },
		{ SMTP_CAP_SIZE, NULL }, { SMTP_CAP_VRFY, "VRFY" },
		{ SMTP_CAP_ETRN, "ETRN" }, { SMTP_CAP_STARTTLS, "STARTTLS" },
		{ SMTP_CAP_AUTH, NULL }, { SMTP_CAP_AUTH_OLD, NULL },
		{ SMTP_CAP_XCLIENT, NULL },
		{ SMTP_CAP_XFORWARD, NULL },
		{ SMTP_CAP_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES" },
		{ SMTP_CAP_8BITMIME, "8BITMIME" }, { SMTP_CAP_DSN, "DSN" },
		{ SMTP_CAP_SMTPUTF8, "SMTPUTF8" },
		{ SMTP_CAP_CHUNKING, "CHUNKING" },
		{ SMTP_CAP_BINARYMIME, "BINARYMIME" },
		{ SMTP_CAP_REQUIRETLS, "REQUIRETLS" },
		{ SMTP_CAP_LIMITS, NULL }, { SMTP_CAP_FUTURERELEASE, NULL } };
	struct buf b;
	size_t last = s->out.n;

	reply_line(&s->out, 250, false, "", span_str(s->conf->hostname), false);
	buf_init(&b, 1024);
	for (size_t i = 0; i < COUNT_OF(offers); i++) {
		offer_line(s, offers[i].cap, offers[i].word, &b);
		if (b.n == 0)
			continue;
		last = s->out.n;
		reply_line(&s->out, 250, false, "", buf_span(&b), false);
	}
	buf_release(&b);
	if (buf_ok(&s->out))
		s->out.p[last + 3] = ' ';
}

void
smtp_server_reply_host(
    struct smtp_server *s, unsigned code, const char *dsn, const char *text)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_fmt(&b, "%s %s", s->conf->hostname, text);
	smtp_server_reply(s, code, dsn, buf_span(&b));
	buf_release(&b);
}
