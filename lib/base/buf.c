/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

enum { BUF_FIRST = 256 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_release(struct buf *b)
{
	mem_free(b->p);
	buf_init(b, b->max);
}

void
buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap + 1);
	buf_release(b);
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->spilt = false;
}

static bool
grow(struct buf *b, size_t n)
{
	size_t cap = b->cap;

	if (b->spilt || n > b->max - b->n) {
		b->spilt = true;
		return false;
	}
	if (cap < BUF_FIRST)
		cap = BUF_FIRST;
	while (cap < b->n + n)
		cap += cap / 2;
	if (cap > b->max)
		cap = b->max;
	b->p = mem_resize(b->p, cap + 1, 1);
	b->cap = cap;
	return true;
}

/* Makes room for n more bytes; one byte beyond cap is kept for a NUL. */
static inline bool
reserve(struct buf *b, size_t n)
{
	return (n <= b->cap - b->n && b->p != NULL && !b->spilt) ||
	       grow(b, n);
}

void
buf_add(struct buf *b, struct span s)
{
	if (!reserve(b, s.n) || s.n == 0)
		return;
	memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
}

void
buf_str(struct buf *b, const char *s)
{
	buf_add(b, span_str(s));
}

void
buf_strs(struct buf *b, const char *first, ...)
{
	va_list ap;

	va_start(ap, first);
	for (const char *s = first; s != NULL; s = va_arg(ap, const char *))
		buf_str(b, s);
	va_end(ap);
}

void
buf_byte(struct buf *b, uint8_t c)
{
	if (reserve(b, 1))
		b->p[b->n++] = c;
}

void
buf_clean(struct buf *b, struct span s)
{
	uint8_t *to = buf_room(b, s.n);

	if (to == NULL)
		return;
	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i];
	buf_grown(b, s.n);
}

void
buf_u64(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_add(b, span_of(digits + at, sizeof(digits) - at));
}

void
buf_hex(struct buf *b, uint64_t n, unsigned width)
{
	char digits[16];
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[n & 0xf];
	while ((n >>= 4) > 0 || sizeof(digits) - at < width);
	buf_add(b, span_of(digits + at, sizeof(digits) - at));
}

void
buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
	const size_t room = b->p != NULL ? b->cap - b->n + 1 : 0;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(room > 0 ? (char *)b->p + b->n : NULL, room, fmt, again);
	va_end(again);
	BUG_ON(n < 0);
	if (b->spilt || (size_t)n >= room) {
		/* It did not fit: once more, now that its size is known. */
		if (!reserve(b, (size_t)n))
			return;
		vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
	}
	b->n += (size_t)n;
}

void
buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void
buf_truncate(struct buf *b, size_t n)
{
	if (n < b->n)
		b->n = n;
}

uint8_t *
buf_room(struct buf *b, size_t n)
{
	return reserve(b, n) ? b->p + b->n : NULL;
}

void
buf_grown(struct buf *b, size_t n)
{
	BUG_ON(n > b->cap - b->n);
	b->n += n;
}

bool
buf_ok(const struct buf *b)
{
	return !b->spilt;
}

struct span
buf_span(const struct buf *b)
{
	return span_of(b->p, b->n);
}

const char *
buf_cstr(struct buf *b)
{
	if (b->p == NULL) {
		b->p = mem_alloc(1);
		b->cap = 0;
	}
	b->p[b->n] = '\0';
	return (const char *)b->p;
}
