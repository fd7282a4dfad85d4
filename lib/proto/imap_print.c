/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_print.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/imap_cmd.h"
#include "lib/proto/utf7.h"

enum {
	TEXT_MAX = 500,
	QUOTED_MAX = 1000, /* longer strings are kinder as literals */
};

void
imap_print_text(struct buf *b, struct span s)
{
	/* A text is never empty (RFC 3501 9, resp-text). */
	if (s.n == 0)
		buf_byte(b, '-');
	for (size_t i = 0; i < s.n && i < TEXT_MAX; i++)
		buf_byte(b, s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : '?');
}

static bool
quotable(struct span s)
{
	if (s.n > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] >= 0x80)
			return false;
	}
	return true;
}

static void
print_safe(struct buf *b, struct span s)
{
	while (s.n > 0) {
		size_t nul = span_chr(s, '\0');

		if (nul == SIZE_MAX)
			nul = s.n;
		buf_add(b, span_slice(s, 0, nul));
		if (nul < s.n)
			buf_byte(b, '?');
		s = span_skip(s, nul + 1);
	}
}

void
imap_print_string(struct buf *b, struct span s)
{
	if (!quotable(s)) {
		buf_fmt(b, "{%zu}\r\n", s.n);
		print_safe(b, s);
		return;
	}
	buf_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_byte(b, '\\');
		buf_byte(b, s.p[i] != '\0' ? s.p[i] : '?');
	}
	buf_byte(b, '"');
}

void
imap_print_nstring(struct buf *b, struct span s)
{
	if (s.p == NULL)
		buf_str(b, "NIL");
	else
		imap_print_string(b, s);
}

void
imap_print_mailbox(struct buf *b, struct span utf8)
{
	struct buf name;

	buf_init(&name, 8 * LIMIT_MAILBOX_NAME);
	/* What is no UTF-8 has no name that a client could say. */
	if (!utf7_encode(utf8, &name))
		buf_str(&name, "?");
	imap_print_string(b, buf_span(&name));
	buf_release(&name);
}

bool
imap_print_flags(struct buf *b, unsigned system, bool space)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ IMAP_ANSWERED, "\\Answered" },
		{ IMAP_FLAGGED, "\\Flagged" },
		{ IMAP_DELETED, "\\Deleted" },
		{ IMAP_SEEN, "\\Seen" },
		{ IMAP_DRAFT, "\\Draft" },
		{ IMAP_RECENT, "\\Recent" },
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if ((system & names[i].bit) == 0)
			continue;
		buf_str(b, space ? " " : "");
		buf_str(b, names[i].name);
		space = true;
	}
	return space;
}

/* Runs of wildcards are one: "*" if any of them is. */
static size_t
collapse(struct span pattern, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < pattern.n; i++) {
		const uint8_t c = pattern.p[i];
		const bool wild = c == '*' || c == '%';

		if (wild && n > 0 && (out[n - 1] == '*' || out[n - 1] == '%')) {
			if (c == '*')
				out[n - 1] = '*';
			continue;
		}
		out[n++] = c;
	}
	return n;
}

static bool
same(uint8_t a, uint8_t b, bool icase)
{
	return icase ? ascii_lower(a) == ascii_lower(b) : a == b;
}

/* can[i]: the pattern's first i bytes match what was read of the name. */
bool
imap_match(struct span pattern, struct span name, char separator, bool icase)
{
	uint8_t *p = mem_alloc(pattern.n + 1);
	const size_t n = collapse(pattern, p);
	bool *can = mem_zalloc((n + 1) * sizeof(can[0]));
	bool matches;

	can[0] = true;
	for (size_t i = 0; i < n && (p[i] == '*' || p[i] == '%'); i++)
		can[i + 1] = true;
	for (size_t at = 0; at < name.n; at++) {
		const uint8_t c = name.p[at];
		bool before = can[0]; /* can[i] before this byte */

		can[0] = false;
		for (size_t i = 0; i < n; i++) {
			const bool old = can[i + 1];

			if (p[i] == '*')
				can[i + 1] = old || can[i] || before;
			else if (p[i] == '%')
				can[i + 1] =
				    can[i] || ((old || before) &&
						  c != (uint8_t)separator);
			else
				can[i + 1] = before && same(p[i], c, icase);
			before = old;
		}
	}
	matches = can[n];
	mem_free(p);
	mem_free(can);
	return matches;
}
