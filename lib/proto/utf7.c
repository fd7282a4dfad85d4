/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/utf7.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

bool
utf8_next(struct span *s, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	size_t more;
	uint32_t c;

	if (s->n == 0)
		return false;
	c = s->p[0];
	if (c < 0x80)
		more = 0;
	else if (c >= 0xc2 && c < 0xe0)
		more = 1, c &= 0x1f;
	else if (c >= 0xe0 && c < 0xf0)
		more = 2, c &= 0x0f;
	else if (c >= 0xf0 && c < 0xf5)
		more = 3, c &= 0x07;
	else
		return false;
	if (s->n <= more)
		return false;
	for (size_t i = 1; i <= more; i++) {
		if ((s->p[i] & 0xc0) != 0x80)
			return false;
		c = c << 6 | (s->p[i] & 0x3f);
	}
	if (c < least[more] || c >= 0x110000 || (c >= 0xd800 && c < 0xe000))
		return false;
	*s = span_skip(*s, more + 1);
	*out = c;
	return true;
}

void
utf8_put(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_byte(out, (uint8_t)c);
	} else if (c < 0x800) {
		buf_byte(out, (uint8_t)(0xc0 | c >> 6));
		buf_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_byte(out, (uint8_t)(0xe0 | c >> 12));
		buf_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_byte(out, (uint8_t)(0xf0 | c >> 18));
		buf_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static bool
direct(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* One UTF-16 unit of a run; *high keeps a surrogate waiting for its half. */
static bool
unit(uint32_t u, uint32_t *high, struct buf *out)
{
	if (*high != 0) {
		if (u < 0xdc00 || u > 0xdfff)
			return false;
		utf8_put(out, 0x10000 + ((*high - 0xd800) << 10) + u - 0xdc00);
		*high = 0;
		return true;
	}
	if (u >= 0xd800 && u < 0xdc00) {
		*high = u;
		return true;
	}
	if (u == 0 || direct(u) || (u >= 0xdc00 && u <= 0xdfff))
		return false;
	utf8_put(out, u);
	return true;
}

/* The base64 of one run, without its "&" and "-". */
static bool
decode_run(struct span s, struct buf *out)
{
	uint32_t bits = 0, high = 0;
	unsigned have = 0;

	for (size_t i = 0; i < s.n; i++) {
		const char *at = memchr(alphabet, s.p[i], 64);

		if (at == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		have += 6;
		if (have < 16)
			continue;
		have -= 16;
		if (!unit(bits >> have & 0xffff, &high, out))
			return false;
		bits &= (1u << have) - 1;
	}
	return high == 0 && have < 6 && bits == 0;
}

bool
utf7_decode(struct span s, struct buf *out)
{
	const size_t before = out->n;
	bool after_run = false;

	while (s.n > 0) {
		size_t end;

		if (!direct(s.p[0]))
			goto bad;
		if (s.p[0] != '&') {
			buf_byte(out, s.p[0]);
			s = span_skip(s, 1);
			after_run = false;
			continue;
		}
		end = span_chr(s, '-');
		if (end == SIZE_MAX)
			goto bad;
		if (end == 1) {
			buf_byte(out, '&');
			after_run = false;
		} else if (after_run ||
			   !decode_run(span_slice(s, 1, end), out)) {
			goto bad;
		} else {
			after_run = true;
		}
		s = span_skip(s, end + 1);
	}
	return buf_ok(out);
bad:
	buf_truncate(out, before);
	return false;
}

struct run {
	uint32_t bits;
	unsigned have;
	bool open;
};

static void
run_unit(struct run *r, uint32_t u, struct buf *out)
{
	if (!r->open) {
		buf_byte(out, '&');
		r->open = true;
	}
	r->bits = r->bits << 16 | u;
	r->have += 16;
	while (r->have >= 6) {
		r->have -= 6;
		buf_byte(out, (uint8_t)alphabet[r->bits >> r->have & 63]);
	}
}

static void
run_end(struct run *r, struct buf *out)
{
	if (!r->open)
		return;
	if (r->have > 0)
		buf_byte(out, (uint8_t)alphabet[r->bits << (6 - r->have) & 63]);
	buf_byte(out, '-');
	*r = (struct run){ 0 };
}

bool
utf7_encode(struct span s, struct buf *out)
{
	const size_t before = out->n;
	struct run r = { 0 };
	uint32_t c;

	while (s.n > 0) {
		if (!utf8_next(&s, &c) || c == 0) {
			buf_truncate(out, before);
			return false;
		}
		if (direct(c)) {
			run_end(&r, out);
			buf_str(out, c == '&' ? "&-" : "");
			if (c != '&')
				buf_byte(out, (uint8_t)c);
		} else if (c < 0x10000) {
			run_unit(&r, c, out);
		} else {
			run_unit(&r, 0xd800 + ((c - 0x10000) >> 10), out);
			run_unit(&r, 0xdc00 + ((c - 0x10000) & 0x3ff), out);
		}
	}
	run_end(&r, out);
	return buf_ok(out);
}
