/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/text_search.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/address.h"
#include "lib/proto/header.h"
#include "lib/proto/rfc2047.h"
#include "lib/proto/utf7.h"

enum { TYPE_ARENA = 4 * LIMIT_HEADER_FIELD };

/* The capital letters above ASCII that mail is written in. */
static uint32_t
fold(uint32_t c)
{
	if (c >= 0xc0 && c <= 0xde && c != 0xd7)
		return c + 32;
	if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c % 2 == 1 ? c + 1 : c;
	if (c == 0x178)
		return 0xff;
	if (c >= 0x391 && c <= 0x3a9 && c != 0x3a2)
		return c + 32;
	if (c == 0x3c2) /* final sigma */
		return 0x3c3;
	if (c >= 0x410 && c <= 0x42f)
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	return c;
}

/* Most text is ASCII: a tight loop over it; returns how much there was. */
static size_t
fold_ascii(struct span s, struct buf *out)
{
	uint8_t *room;
	size_t n = 0;

	while (n < s.n && s.p[n] < 0x80)
		n++;
	if (n == 0)
		return 0;
	room = buf_room(out, n);
	if (room == NULL)
		return n;
	for (size_t i = 0; i < n; i++)
		room[i] = ascii_lower(s.p[i]);
	buf_grown(out, n);
	return n;
}

void
text_fold(struct span utf8, struct buf *out)
{
	uint32_t c;

	while (utf8.n > 0) {
		utf8 = span_skip(utf8, fold_ascii(utf8, out));
		if (utf8.n == 0)
			break;
		if (utf8_next(&utf8, &c)) {
			utf8_put(out, fold(c));
		} else {
			buf_byte(out, utf8.p[0]);
			utf8 = span_skip(utf8, 1);
		}
	}
}

/* Is the needle in the UTF-8 text? */
static bool
contains(struct span utf8, struct span needle)
{
	struct buf folded;
	bool found;

	if (needle.n > utf8.n + utf8.n / 2)
		return false;
	/* Folding keeps the length, or nearly so. */
	buf_init(&folded, utf8.n * 2 + 16);
	text_fold(utf8, &folded);
	found = span_find(buf_span(&folded), needle) != SIZE_MAX;
	buf_release(&folded);
	return found;
}

static bool
in_body_of(struct span body, struct span needle)
{
	struct buf text;
	bool found;

	buf_init(&text, 4 * body.n + 16);
	rfc2047_decode(body, &text);
	found = contains(buf_span(&text), needle);
	buf_release(&text);
	return found;
}

static bool
has_addresses(struct span name)
{
	static const char *const names[] = { "From", "To", "Cc", "Bcc",
		"Sender", "Reply-To" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_ieq(name, span_str(names[i])))
			return true;
	return false;
}

/* As the envelope has them: "name <local@domain>, ...". */
static bool
in_addresses(struct span body, struct span needle)
{
	struct address_list list;
	struct address_item item;
	struct buf text;
	bool found;

	body = span_slice(body, 0, LIMIT_HEADER_FIELD);
	buf_init(&text, 8 * body.n + 64);
	address_list_init(&list, ADDRESS_LIST_HEADER, body);
	while (address_list_next(&list, &item)) {
		rfc2047_decode(item.name, &text);
		buf_str(&text, " <");
		buf_add(&text, item.addr.local);
		buf_byte(&text, '@');
		buf_add(&text, item.addr.domain);
		buf_str(&text, ">, ");
	}
	address_list_release(&list);
	found = contains(buf_span(&text), needle);
	buf_release(&text);
	return found;
}

/* Written plainly, an address is found without being parsed. */
static bool
in_field_body(struct span name, struct span body, struct span needle)
{
	if (needle.n == 0 || in_body_of(body, needle))
		return true;
	return has_addresses(name) &&
	    (span_chr(body, '(') != SIZE_MAX ||
		span_chr(body, '"') != SIZE_MAX) &&
	    in_addresses(body, needle);
}

bool
text_in_field(struct span header, struct span name, struct span needle)
{
	struct header_field f;

	while (header_next(&header, &f)) {
		if (span_ieq(f.name, name) &&
		    in_field_body(name, f.body, needle))
			return true;
	}
	return false;
}

bool
text_in_header(struct span header, struct span needle)
{
	struct buf text;
	bool found;

	buf_init(&text, 4 * header.n + 16);
	while (header.n > 0) {
		struct header_field f;

		if (!header_next(&header, &f))
			break;
		buf_add(&text, f.name);
		buf_str(&text, ": ");
		rfc2047_decode(f.body, &text);
		buf_byte(&text, '\n');
	}
	found = needle.n == 0 || contains(buf_span(&text), needle);
	buf_release(&text);
	return found;
}

static bool
has_encoding(struct span header, struct span name)
{
	struct header_field f;

	return header_find(header, SPAN("Content-Transfer-Encoding"), &f) &&
	       span_ieq(span_trim(f.body), name);
}

static bool
in_text_part(const struct mime *m, uint32_t part, struct span charset,
    struct span needle)
{
	const struct span header = mime_header(m, part);
	struct span body = mime_body(m, part);
	struct buf bytes, text;
	bool found;

	buf_init(&bytes, body.n);
	if (has_encoding(header, SPAN("base64"))) {
		base64_decode_loose(body, &bytes);
		body = buf_span(&bytes);
	} else if (has_encoding(header, SPAN("quoted-printable"))) {
		qp_decode(body, false, &bytes);
		body = buf_span(&bytes);
	}
	buf_init(&text, 4 * body.n + 16);
	charset_to_utf8(charset, body, &text);
	found = contains(buf_span(&text), needle);
	buf_release(&bytes);
	buf_release(&text);
	return found;
}

static bool
in_leaf(const struct mime *m, uint32_t part, struct span needle)
{
	struct span charset = SPAN_EMPTY;
	struct header_field f;
	struct mime_value v;
	struct arena a;
	bool found = false, is_text = true;

	arena_init(&a, TYPE_ARENA);
	if (header_find(mime_header(m, part), SPAN("Content-Type"), &f) &&
	    mime_type_parse(f.body, &a, &v)) {
		is_text =
		    span_ieq(v.type, SPAN("text")) || m->parts[part].opaque;
		charset = mime_param(&v, SPAN("charset"));
	}
	if (is_text)
		found = in_text_part(m, part, charset, needle);
	arena_reset(&a);
	return found;
}

bool
text_in_body(const struct mime *m, struct span needle)
{
	if (needle.n == 0)
		return true;
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->parts[i].kind == MIME_LEAF && in_leaf(m, i, needle))
			return true;
		if (m->parts[i].kind == MIME_MESSAGE &&
		    text_in_header(mime_header(m, m->parts[i].first), needle))
			return true;
	}
	return false;
}
