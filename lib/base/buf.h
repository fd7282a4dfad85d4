/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_BUF_H
#define CHAPPE_BASE_BUF_H

/*
 * A buf owns bytes and has a maximum, without exception. Adding more than
 * the maximum sets `spilt` and adds nothing from then on, so that one
 * question after the last addition (buf_ok) replaces a check on each.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"

struct buf {
	uint8_t *p;
	size_t n;   /* bytes held */
	size_t cap; /* bytes allocated, plus one for buf_str's NUL */
	size_t max; /* bytes it may ever hold */
	bool spilt; /* something did not fit */
};

/* Makes an empty buffer that may hold max bytes; allocates nothing yet. */
void buf_init(struct buf *b, size_t max);

/* Frees the bytes; the buffer is empty again, with its maximum kept. */
void buf_release(struct buf *b);

/* As buf_release, but overwrites the bytes first: for secrets. */
void buf_wipe(struct buf *b);

/* Empties it and clears `spilt`, keeping the memory. */
void buf_reset(struct buf *b);

/* Appends; what does not fit whole is not added at all and sets spilt. */
void buf_add(struct buf *b, struct span s);
void buf_str(struct buf *b, const char *s);
/* Several strings, up to a NULL. */
void buf_strs(struct buf *b, const char *first, ...)
    __attribute__((sentinel));
void buf_byte(struct buf *b, uint8_t c);
/* With '?' for each control byte. */
void buf_clean(struct buf *b, struct span s);
void buf_u64(struct buf *b, uint64_t n); /* in decimal */
/* In lower-case hexadecimal, with zeros in front up to width (1 to 16). */
void buf_hex(struct buf *b, uint64_t n, unsigned width);
void buf_fmt(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* Removes n bytes (at most all) from the front. */
void buf_consume(struct buf *b, size_t n);

/* Shortens to n bytes; n above the length changes nothing. */
void buf_truncate(struct buf *b, size_t n);

/* Room for n more bytes to be written at the returned place, to be announced
 * with buf_grown; NULL (and spilt) when that would pass the maximum. */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_grown(struct buf *b, size_t n);

/* True while everything added has fitted. */
bool buf_ok(const struct buf *b);

/* The bytes held; valid until the buffer changes. */
struct span buf_span(const struct buf *b);

/* The bytes as a C string (NUL added, not counted); valid until it changes. */
const char *buf_cstr(struct buf *b);

#endif
