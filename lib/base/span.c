/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/span.h"

#include <stdlib.h>

#include "lib/base/mem.h"

static bool
ieq_n(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool
span_ieq(struct span a, struct span b)
{
	return a.n == b.n && ieq_n(a.p, b.p, a.n);
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_slice(s, 0, prefix.n), prefix);
}

bool
span_istarts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && ieq_n(s.p, prefix.p, prefix.n);
}

bool
span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_skip(s, s.n - suffix.n), suffix);
}

bool
span_iends(struct span s, struct span suffix)
{
	return s.n >= suffix.n &&
	    span_ieq(span_skip(s, s.n - suffix.n), suffix);
}

int
span_cmp(struct span a, struct span b)
{
	const size_t n = a.n < b.n ? a.n : b.n;
	const int r = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (r != 0)
		return r;
	return a.n < b.n ? -1 : a.n > b.n;
}

size_t
span_chr(struct span s, uint8_t c)
{
	const uint8_t *p = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return p == NULL ? SIZE_MAX : (size_t)(p - s.p);
}

size_t
span_rchr(struct span s, uint8_t c)
{
	const uint8_t *p = s.n == 0 ? NULL : memrchr(s.p, c, s.n);

	return p == NULL ? SIZE_MAX : (size_t)(p - s.p);
}

size_t
span_find(struct span s, struct span needle)
{
	const uint8_t *p;

	if (needle.n == 0)
		return 0;
	p = s.n == 0 ? NULL : memmem(s.p, s.n, needle.p, needle.n);
	return p == NULL ? SIZE_MAX : (size_t)(p - s.p);
}

struct span
span_slice(struct span s, size_t from, size_t to)
{
	if (to > s.n)
		to = s.n;
	if (from >= to)
		return SPAN_EMPTY;
	return span_of(s.p + from, to - from);
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct byte_set {
	uint64_t bits[4];
};

static struct byte_set
set_of(const char *bytes)
{
	struct byte_set set = { { 0 } };

	for (const uint8_t *p = (const uint8_t *)bytes; *p != 0; p++)
		set.bits[*p / 64] |= (uint64_t)1 << *p % 64;
	return set;
}

static bool
in_set(const struct byte_set *set, uint8_t c)
{
	return (set->bits[c / 64] >> c % 64 & 1) != 0;
}

bool
span_token(struct span *rest, const char *delims, struct span *out)
{
	const struct byte_set set = set_of(delims);
	size_t n = 0;

	while (rest->n > 0 && in_set(&set, rest->p[0]))
		*rest = span_skip(*rest, 1);
	if (rest->n == 0)
		return false;
	while (n < rest->n && !in_set(&set, rest->p[n]))
		n++;
	*out = span_slice(*rest, 0, n);
	*rest = span_skip(*rest, n);
	return true;
}

bool
span_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		const uint64_t d = (uint64_t)s.p[i] - '0';

		if (!ascii_digit(s.p[i]) || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

static int
hex_digit(uint8_t c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
span_hex64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		const int d = hex_digit(s.p[i]);

		if (d < 0)
			return false;
		v = v << 4 | (uint64_t)d;
	}
	*out = v;
	return true;
}

/* FNV-1a over a start value that the address-space layout randomises: enough
 * to make collisions hard to prepare from outside, cheap for short keys. */
uint64_t
span_hash(struct span s)
{
	static const char seed;
	uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uintptr_t)&seed;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

char *
span_dup(struct span s)
{
	char *copy = mem_alloc(s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

bool
span_copy(struct span s, char *out, size_t size)
{
	if (s.n >= size || span_chr(s, 0) != SIZE_MAX)
		return false;
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}
