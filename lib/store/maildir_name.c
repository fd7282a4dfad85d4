/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/maildir_name.h"

#include "lib/store/store.h"

static const struct {
	uint8_t flag;
	char letter;
} flag_letters[] = { /* in the order of the alphabet */
	{ FLAG_DRAFT, 'D' },
	{ FLAG_FLAGGED, 'F' },
	{ FLAG_ANSWERED, 'R' },
	{ FLAG_SEEN, 'S' },
	{ FLAG_DELETED, 'T' },
};

void
maildir_name_parse(struct span name, struct maildir_name *out)
{
	const size_t colon = span_chr(name, ':');
	struct span info =
	    colon == SIZE_MAX ? SPAN_EMPTY : span_skip(name, colon);

	*out = (struct maildir_name){ .base = span_slice(name, 0, colon) };
	if (!span_starts(info, SPAN(":2,")))
		return;
	info = span_skip(info, 3);
	out->more = span_skip(info, span_chr(info, ','));
	info = span_slice(info, 0, span_chr(info, ','));
	for (size_t i = 0; i < info.n; i++) {
		const uint8_t c = info.p[i];

		if (c >= 'a' && c <= 'z')
			out->letters |= (uint32_t)1 << (c - 'a');
		else if (c == 'P')
			out->passed = true;
		for (size_t f = 0; f < 5; f++)
			if (c == flag_letters[f].letter)
				out->flags |= flag_letters[f].flag;
	}
}

void
maildir_name_print(const struct maildir_name *n, struct buf *out)
{
	buf_add(out, n->base);
	buf_str(out, ":2,");
	for (size_t f = 0; f < 5; f++) {
		if (f == 2 && n->passed)
			buf_byte(out, 'P');
		if ((n->flags & flag_letters[f].flag) != 0)
			buf_byte(out, (uint8_t)flag_letters[f].letter);
	}
	for (int i = 0; i < 26; i++)
		if ((n->letters >> i & 1) != 0)
			buf_byte(out, (uint8_t)('a' + i));
	buf_add(out, n->more);
}

bool
maildir_name_size(struct span base, char x, uint64_t *out)
{
	size_t at;

	while ((at = span_chr(base, ',')) != SIZE_MAX) {
		base = span_skip(base, at + 1);
		if (base.n > 2 && base.p[0] == (uint8_t)x && base.p[1] == '=')
			return span_u64(
			    span_slice(base, 2, span_chr(base, ',')),
			    UINT64_MAX, out);
	}
	return false;
}

/* Cuts digits off the front; what is too long counts as the highest. */
static uint64_t
cut_number(struct span *s)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < s->n && ascii_digit(s->p[i])) {
		n = n > UINT64_MAX / 10 - 1 ? UINT64_MAX / 10 - 1 :
					      n * 10 + (s->p[i] - '0');
		i++;
	}
	*s = span_skip(*s, i);
	return n;
}

static uint64_t
microseconds(struct span rest)
{
	const size_t m = span_chr(rest, 'M');

	if (rest.n == 0 || rest.p[0] != '.' || m == SIZE_MAX)
		return 0;
	/* Only in the middle part: host names have an M as well. */
	if (span_chr(span_slice(rest, 1, m), '.') != SIZE_MAX)
		return 0;
	rest = span_skip(rest, m + 1);
	return cut_number(&rest);
}

int
maildir_name_cmp(struct span a, struct span b)
{
	struct span a_rest = a, b_rest = b;
	const uint64_t a_sec = cut_number(&a_rest), b_sec = cut_number(&b_rest);
	uint64_t a_us, b_us;

	if (a_sec != b_sec)
		return a_sec < b_sec ? -1 : 1;
	a_us = microseconds(a_rest);
	b_us = microseconds(b_rest);
	if (a_us != b_us)
		return a_us < b_us ? -1 : 1;
	return span_cmp(a, b);
}

void
maildir_name_make(int64_t time_us, long pid, struct span id, const char *host,
    struct buf *out)
{
	buf_fmt(out, "%lld.M%lldP%ld", (long long)(time_us / 1000000),
	    (long long)(time_us % 1000000), pid);
	if (id.n > 0) {
		buf_byte(out, 'Q');
		buf_add(out, id);
	}
	buf_byte(out, '.');
	for (const char *p = host; *p != '\0'; p++) {
		if (*p == '/' || *p == ':' || *p == ',')
			buf_fmt(out, "\\%03o", (unsigned)*p);
		else if (*p > ' ' && *p < 0x7f)
			buf_byte(out, (uint8_t)*p);
	}
}

bool
maildir_name_has_id(struct span base, struct span id)
{
	struct span rest = base;
	size_t at;

	cut_number(&rest);
	if (id.n == 0 || !span_starts(rest, SPAN(".M")))
		return false;
	rest = span_skip(rest, 2);
	cut_number(&rest);
	if (!span_starts(rest, SPAN("P")))
		return false;
	rest = span_skip(rest, 1);
	cut_number(&rest);
	at = span_chr(rest, '.');
	return at != SIZE_MAX && span_starts(rest, SPAN("Q")) &&
	    span_eq(span_slice(rest, 1, at), id);
}
