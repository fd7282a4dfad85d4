/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/xtext.h"

void
xtext_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		const uint8_t c = in.p[i];

		if (c > ' ' && c < 127 && c != '+' && c != '=')
			buf_byte(out, c);
		else
			buf_fmt(out, "+%02X", (unsigned)c);
	}
}

/* RFC 3461 4: the hexadecimal digits are upper case. */
static bool
is_hex(uint8_t c)
{
	return ascii_digit(c) || (c >= 'A' && c <= 'F');
}

bool
xtext_decode(struct span text, struct buf *out)
{
	const size_t before = out->n;
	bool ok = true;

	for (size_t i = 0; ok && i < text.n; i++) {
		uint64_t v = text.p[i];

		if (v == '+') {
			ok = text.n - i > 2 && is_hex(text.p[i + 1]) &&
			     is_hex(text.p[i + 2]) &&
			     span_hex64(span_slice(text, i + 1, i + 3), &v);
			i += 2;
		} else {
			ok = v > ' ' && v < 127 && v != '=';
		}
		if (ok)
			buf_byte(out, (uint8_t)v);
	}
	if (ok && buf_ok(out))
		return true;
	buf_truncate(out, before);
	return false;
}
