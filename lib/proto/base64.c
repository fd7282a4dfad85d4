/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/base64.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct span in, struct buf *out)
{
	size_t i = 0;

	for (; i + 3 <= in.n; i += 3) {
		const uint32_t v = (uint32_t)in.p[i] << 16 |
				   (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];

		buf_byte(out, (uint8_t)digits[v >> 18]);
		buf_byte(out, (uint8_t)digits[v >> 12 & 63]);
		buf_byte(out, (uint8_t)digits[v >> 6 & 63]);
		buf_byte(out, (uint8_t)digits[v & 63]);
	}
	if (in.n - i == 1) {
		buf_byte(out, (uint8_t)digits[in.p[i] >> 2]);
		buf_byte(out, (uint8_t)digits[(in.p[i] & 3) << 4]);
		buf_str(out, "==");
	} else if (in.n - i == 2) {
		buf_byte(out, (uint8_t)digits[in.p[i] >> 2]);
		buf_byte(out,
		    (uint8_t)digits[(in.p[i] & 3) << 4 | in.p[i + 1] >> 4]);
		buf_byte(out, (uint8_t)digits[(in.p[i + 1] & 15) << 2]);
		buf_byte(out, '=');
	}
}

static int
digit_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Four characters, the last `pad` of them being '='. */
static bool
decode_group(const uint8_t *p, size_t pad, struct buf *out)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		const int d = i < 4 - pad ? digit_value(p[i]) : 0;

		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
	}
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return false;
	buf_byte(out, (uint8_t)(v >> 16));
	if (pad < 2)
		buf_byte(out, (uint8_t)(v >> 8));
	if (pad < 1)
		buf_byte(out, (uint8_t)v);
	return true;
}

bool
base64_decode(struct span text, struct buf *out)
{
	const size_t before = out->n;
	size_t pad = 0;

	if (text.n % 4 != 0)
		return false;
	if (text.n > 0 && text.p[text.n - 1] == '=')
		pad = text.p[text.n - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < text.n; i += 4) {
		const bool last = i + 4 == text.n;

		if (!decode_group(text.p + i, last ? pad : 0, out) ||
		    !buf_ok(out)) {
			buf_truncate(out, before);
			return false;
		}
	}
	return true;
}
