/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_SPAN_H
#define CHAPPE_BASE_SPAN_H

/*
 * A span borrows bytes: a pointer and a length, passed by value. It never
 * owns, never ends in NUL, and may hold any byte; it must not be stored
 * longer than what it points into lives. Everything that came from a peer is
 * a span, never a char pointer. Comparisons that ignore case do so for ASCII
 * letters only (RFC 5321 2.4).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

#define SPAN_EMPTY ((struct span){ NULL, 0 })

/* The bytes of a string literal, without its NUL; usable in initialisers. */
#define SPAN(lit) ((struct span){ (const uint8_t *)("" lit), sizeof(lit) - 1 })

/* printf arguments for "%.*s"; only for bytes known to be printable. */
#define SPAN_FMT(s) (int)(s).n, (const char *)(s).p

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

/* The bytes of a C string, without its NUL; NULL gives an empty span. */
static inline struct span
span_str(const char *s)
{
	return (struct span){ (const uint8_t *)s, s != NULL ? strlen(s) : 0 };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Equal but for the case of ASCII letters. */
bool span_ieq(struct span a, struct span b);

/* Does s begin (end) with the prefix (suffix)? The i forms ignore case. */
bool span_starts(struct span s, struct span prefix);
bool span_istarts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_iends(struct span s, struct span suffix);

/* Order as memcmp would, a shorter prefix first: <0, 0 or >0. */
int span_cmp(struct span a, struct span b);

/* Index of the first (last) byte c, or SIZE_MAX. */
size_t span_chr(struct span s, uint8_t c);
size_t span_rchr(struct span s, uint8_t c);

/* Index of the first place where needle stands in s, or SIZE_MAX. An empty
 * needle is found at 0. */
size_t span_find(struct span s, struct span needle);

/* Bytes from..to-1 (to is clipped to the length; from past the end: empty). */
struct span span_slice(struct span s, size_t from, size_t to);

static inline struct span
span_skip(struct span s, size_t n)
{
	return span_slice(s, n, s.n);
}

/* Without leading and trailing space, tab, CR and LF. */
struct span span_trim(struct span s);

/* Cuts the next token off *rest: the bytes before the first byte that stands
 * in delims (a C string), skipping leading ones. False at the end. */
bool span_token(struct span *rest, const char *delims, struct span *out);

/* Parses all of s as an unsigned decimal number of at most max. False, with
 * *out untouched, when s is empty, has another byte or is too large. */
bool span_u64(struct span s, uint64_t max, uint64_t *out);

/* The same in hexadecimal (either case). */
bool span_hex64(struct span s, uint64_t *out);

/* A hash of the bytes, seeded per process: for tables, not for the disk. */
uint64_t span_hash(struct span s);

/* A heap copy ended by NUL (mem_free); bytes after an inner NUL are hidden to
 * C string functions, so check with span_chr first where that matters. */
char *span_dup(struct span s);

/* Copies into out (size bytes) and ends it with NUL. False, with out
 * untouched, when s does not fit or holds a NUL. */
bool span_copy(struct span s, char *out, size_t size);

/* ASCII lower and upper case of one byte, independent of the locale. */
static inline uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static inline uint8_t
ascii_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

static inline bool
ascii_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ascii_alpha(uint8_t c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

#endif
