/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/rfc2047.h"

#include <errno.h>
#include <iconv.h>

#include "lib/proto/utf7.h"
#include "lib/proto/utf8.h"

static int
hex(uint8_t c)
{
	c = ascii_lower(c);
	if (ascii_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
qp_decode(struct span s, bool word, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		const uint8_t c = s.p[i];
		size_t end;

		if (c == '_' && word) {
			buf_byte(out, ' ');
			continue;
		}
		if (c != '=') {
			buf_byte(out, c);
			continue;
		}
		if (i + 2 < s.n && hex(s.p[i + 1]) >= 0 &&
		    hex(s.p[i + 2]) >= 0) {
			buf_byte(out,
			    (uint8_t)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
			i += 2;
			continue;
		}
		/* A soft line break, perhaps with blanks in it. */
		end = i + 1;
		while (end < s.n && (s.p[end] == ' ' || s.p[end] == '\t' ||
					s.p[end] == '\r'))
			end++;
		if (end < s.n && s.p[end] == '\n')
			i = end;
		else
			buf_byte(out, c);
	}
}

static int
sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void
base64_decode_loose(struct span s, struct buf *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < s.n; i++) {
		const int v = sextet(s.p[i]);

		if (s.p[i] == '=')
			have = 0;
		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_byte(out, (uint8_t)(bits >> have));
		}
	}
}

static void
as_it_is(struct span s, struct buf *out)
{
	uint32_t c;

	while (s.n > 0) {
		if (!utf8_next(&s, &c)) {
			c = 0xfffd;
			s = span_skip(s, 1);
		}
		utf8_put(out, c);
	}
}

/* iconv_open's handle, or (iconv_t)-1. */
static iconv_t
open_charset(struct span charset)
{
	char name[64];

	/* A suffix such as "//TRANSLIT" is not the sender's to choose. */
	if (!span_copy(charset, name, sizeof(name)) ||
	    strchr(name, '/') != NULL || name[0] == '\0')
		return (iconv_t)-1;
	return iconv_open("UTF-8", name);
}

bool
charset_known(struct span charset)
{
	const iconv_t cd = open_charset(charset);

	if (cd == (iconv_t)-1)
		return false;
	iconv_close(cd);
	return true;
}

static void
convert(iconv_t cd, struct span s, struct buf *out)
{
	/* iconv's interface is older than const. */
	union {
		const uint8_t *in;
		char *p;
	} from = { .in = s.p };
	size_t left = s.n;

	while (left > 0 && buf_ok(out)) {
		char chunk[4096], *to = chunk;
		size_t room = sizeof(chunk);
		const size_t got = iconv(cd, &from.p, &left, &to, &room);

		/* Whole characters, but iconv's UTF-8 goes beyond U+10FFFF. */
		as_it_is(span_of(chunk, sizeof(chunk) - room), out);
		if (got != (size_t)-1 || errno == E2BIG)
			continue;
		utf8_put(out, 0xfffd);
		from.p++;
		left--;
		iconv(cd, NULL, NULL, NULL, NULL);
	}
}

void
charset_to_utf8(struct span charset, struct span s, struct buf *out)
{
	iconv_t cd;

	if (utf8_is_ascii(s) && span_chr(s, 0x1b) == SIZE_MAX &&
	    !span_istarts(charset, SPAN("utf-"))) {
		buf_add(out, s);
		return;
	}
	if (charset.n == 0 || span_ieq(charset, SPAN("utf-8")) ||
	    span_ieq(charset, SPAN("us-ascii"))) {
		as_it_is(s, out);
		return;
	}
	cd = open_charset(charset);
	if (cd == (iconv_t)-1) {
		as_it_is(s, out);
		return;
	}
	convert(cd, s, out);
	iconv_close(cd);
}

/* An encoded word at the front: its parts and length, 0 if there is none.
 * RFC 2047 2: at most 75 bytes; senders exceed that. */
static size_t
encoded_word(
    struct span s, struct span *charset, uint8_t *encoding, struct span *text)
{
	size_t q, end;

	if (!span_starts(s, SPAN("=?")))
		return 0;
	q = span_chr(span_skip(s, 2), '?');
	if (q == SIZE_MAX || q == 0 || q > 60 || q + 5 >= s.n ||
	    s.p[q + 4] != '?')
		return 0;
	*charset = span_slice(s, 2, q + 2);
	*encoding = ascii_lower(s.p[q + 3]);
	if (*encoding != 'q' && *encoding != 'b')
		return 0;
	for (end = q + 5; end + 1 < s.n; end++) {
		if (s.p[end] == '?' && s.p[end + 1] == '=')
			break;
		if (s.p[end] <= ' ' || end > 1000)
			return 0;
	}
	if (end + 1 >= s.n)
		return 0;
	*text = span_slice(s, q + 5, end);
	/* RFC 2231 5: a language may follow the charset. */
	charset->n = span_chr(*charset, '*') < charset->n
			 ? span_chr(*charset, '*')
			 : charset->n;
	return end + 2;
}

static size_t
blank(struct span s)
{
	size_t n = 0;

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t'))
		n++;
	return n;
}

static void
decode_word(struct span charset, uint8_t encoding, struct span text,
    struct buf *bytes, struct buf *out)
{
	buf_reset(bytes);
	if (encoding == 'q')
		qp_decode(text, true, bytes);
	else
		base64_decode_loose(text, bytes);
	charset_to_utf8(charset, buf_span(bytes), out);
}

/* Blanks between two encoded words vanish (RFC 2047 6.2). */
static void
decode_line(struct span s, struct buf *out)
{
	struct span charset, text;
	struct buf bytes;
	uint8_t encoding;

	buf_init(&bytes, 4096);
	while (s.n > 0) {
		size_t n = encoded_word(s, &charset, &encoding, &text);

		if (n == 0) {
			n = span_chr(span_skip(s, 1), '=');
			n = n == SIZE_MAX ? s.n : n + 1;
			as_it_is(span_slice(s, 0, n), out);
			s = span_skip(s, n);
			continue;
		}
		decode_word(charset, encoding, text, &bytes, out);
		s = span_skip(s, n);
		n = blank(s);
		if (encoded_word(span_skip(s, n), &charset, &encoding, &text))
			s = span_skip(s, n);
	}
	buf_release(&bytes);
}

void
rfc2047_decode(struct span body, struct buf *out)
{
	size_t n = 0, last = 0;

	/* Line by line would do, were words not split over folds. */
	struct buf line;

	buf_init(&line, body.n);
	for (; n < body.n; n++) {
		if (body.p[n] != '\r' && body.p[n] != '\n')
			continue;
		buf_add(&line, span_slice(body, last, n));
		last = n + 1;
	}
	buf_add(&line, span_skip(body, last));
	decode_line(span_trim(buf_span(&line)), out);
	buf_release(&line);
}
