/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/utf8.h"

/* Length of the well-formed sequence at the front of s; 0 if there is none. */
static size_t
sequence_length(struct span s)
{
	const uint8_t c = s.p[0];
	const size_t n = c < 0x80   ? 1
			 : c < 0xc2 ? 0
			 : c < 0xe0 ? 2
			 : c < 0xf0 ? 3
			 : c < 0xf5 ? 4
				    : 0;

	if (n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] >= 0xa0) ||
	    (c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] >= 0x90))
		return 0;
	return n;
}

bool
utf8_valid(struct span s)
{
	while (s.n > 0) {
		const size_t n = sequence_length(s);

		if (n == 0)
			return false;
		s = span_skip(s, n);
	}
	return true;
}

bool
utf8_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return false;
	return true;
}
