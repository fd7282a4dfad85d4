/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/saslprep.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "lib/base/mem.h"
#include "lib/proto/utf8.h"

struct range {
	utf8proc_int32_t from, to;
};

static bool
within(const struct range *list, size_t count, utf8proc_int32_t c)
{
	for (size_t i = 0; i < count; i++)
		if (c >= list[i].from && c <= list[i].to)
			return true;
	return false;
}

/* RFC 3454 C.1.2, mapped to space. */
static bool
is_space(utf8proc_int32_t c)
{
	static const struct range list[] = { { 0xa0, 0xa0 },
		{ 0x1680, 0x1680 }, { 0x2000, 0x200b }, { 0x202f, 0x202f },
		{ 0x205f, 0x205f }, { 0x3000, 0x3000 } };

	return within(list, COUNT_OF(list), c);
}

/* RFC 3454 B.1, mapped to nothing. */
static bool
is_nothing(utf8proc_int32_t c)
{
	static const struct range list[] = { { 0xad, 0xad }, { 0x34f, 0x34f },
		{ 0x1806, 0x1806 }, { 0x180b, 0x180d }, { 0x200c, 0x200d },
		{ 0x2060, 0x2060 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff } };

	return within(list, COUNT_OF(list), c);
}

/* RFC 3454 C.2 to C.9. */
static bool
is_prohibited(utf8proc_int32_t c)
{
	static const struct range list[] = { { 0, 0x1f }, { 0x7f, 0x9f },
		{ 0x340, 0x341 }, { 0x6dd, 0x6dd }, { 0x70f, 0x70f },
		{ 0x180e, 0x180e }, { 0x200c, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x2063 }, { 0x206a, 0x206f }, { 0x2ff0, 0x2ffb },
		{ 0xd800, 0xf8ff }, { 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff },
		{ 0xfff9, 0xffff }, { 0x1d173, 0x1d17a },
		{ 0xe0001, 0xe0001 }, { 0xe0020, 0xe007f },
		{ 0xf0000, 0x10ffff } };

	return within(list, COUNT_OF(list), c) ||
	    ((c & 0xfffe) == 0xfffe && c > 0xffff);
}

static bool
is_right_to_left(utf8proc_int32_t c)
{
	const utf8proc_propval_t bidi =
	    utf8proc_get_property(c)->bidi_class;

	return bidi == UTF8PROC_BIDI_CLASS_R || bidi == UTF8PROC_BIDI_CLASS_AL;
}

/* Right-to-left text is so from its first character to its last, with
 * nothing of the other direction in it (RFC 3454 6). */
static bool
bidi_ok(const utf8proc_int32_t *text, utf8proc_ssize_t n)
{
	bool right = false, left = false;

	for (utf8proc_ssize_t i = 0; i < n; i++) {
		right |= is_right_to_left(text[i]);
		left |= utf8proc_get_property(text[i])->bidi_class ==
		    UTF8PROC_BIDI_CLASS_L;
	}
	return !right || (!left && is_right_to_left(text[0]) &&
			     is_right_to_left(text[n - 1]));
}

/* Decomposes the mapped text into out (room for max); the number, or -1. */
static utf8proc_ssize_t
decompose(struct span text, utf8proc_int32_t *out, utf8proc_ssize_t max)
{
	const utf8proc_option_t how =
	    UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE;
	utf8proc_ssize_t n = 0;

	while (text.n > 0) {
		utf8proc_int32_t c;
		int boundary = 0;
		const utf8proc_ssize_t used = utf8proc_iterate(
		    text.p, (utf8proc_ssize_t)text.n, &c);

		if (used <= 0)
			return -1;
		text = span_skip(text, (size_t)used);
		if (is_nothing(c))
			continue;
		if (is_space(c))
			c = ' ';
		const utf8proc_ssize_t more = utf8proc_decompose_char(
		    c, out + n, max - n, how, &boundary);
		if (more < 0 || more > max - n)
			return -1;
		n += more;
	}
	return n;
}

/* Canonical order (Unicode 3.11); the library's own is not for callers. */
static void
reorder(utf8proc_int32_t *text, utf8proc_ssize_t n)
{
	for (utf8proc_ssize_t i = 1; i < n; i++) {
		const utf8proc_int32_t c = text[i];
		const int class =
		    utf8proc_get_property(c)->combining_class;
		utf8proc_ssize_t at = i;

		while (class > 0 && at > 0 &&
		    utf8proc_get_property(text[at - 1])->combining_class >
			class) {
			text[at] = text[at - 1];
			at--;
		}
		text[at] = c;
	}
}

static bool
print(const utf8proc_int32_t *text, utf8proc_ssize_t n, struct buf *out)
{
	const size_t before = out->n;

	for (utf8proc_ssize_t i = 0; i < n; i++) {
		uint8_t bytes[4];
		const utf8proc_ssize_t used =
		    utf8proc_encode_char(text[i], bytes);

		buf_add(out, span_of(bytes, (size_t)used));
	}
	if (buf_ok(out))
		return true;
	buf_truncate(out, before);
	return false;
}

bool
saslprep(struct span text, struct buf *out)
{
	enum { GROWTH = 18 }; /* the longest decomposition, U+FDFA */
	const utf8proc_ssize_t max = (utf8proc_ssize_t)text.n * GROWTH;
	utf8proc_int32_t *chars;
	utf8proc_ssize_t n;
	bool ok;

	if (text.n > SASLPREP_MAX || !utf8_valid(text))
		return false;
	chars = mem_zalloc((size_t)(max + 1) * sizeof(*chars));
	n = decompose(text, chars, max);
	ok = n >= 0;
	if (ok && n > 0) {
		reorder(chars, n);
		n = utf8proc_normalize_utf32(
		    chars, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
		ok = n > 0;
		for (utf8proc_ssize_t i = 0; ok && i < n; i++)
			ok = !is_prohibited(chars[i]);
		ok = ok && bidi_ok(chars, n);
	}
	ok = ok && print(chars, n, out);
	explicit_bzero(chars, (size_t)(max + 1) * sizeof(*chars));
	mem_free(chars);
	return ok;
}
