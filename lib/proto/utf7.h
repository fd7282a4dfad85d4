/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_UTF7_H
#define CHAPPE_PROTO_UTF7_H

/*
 * IMAP's modified UTF-7 for mailbox names (RFC 3501 5.1.3), strictly: one
 * spelling for each name. What is not the canonical form (an encoded ASCII
 * letter, a lone surrogate, bits left over, "&-" runs that should be one,
 * a NUL) is refused, so that no name can be said in two ways.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends the UTF-8 of the modified UTF-7 name. False, with out as it was,
 * when s is malformed or not canonical. */
bool utf7_decode(struct span s, struct buf *out);

/* Appends the modified UTF-7 of the UTF-8 name. False, with out as it was,
 * when s is not valid UTF-8 or holds a NUL. */
bool utf7_encode(struct span s, struct buf *out);

/* Takes one code point off the front of *s. False when it is not UTF-8
 * (overlong forms and surrogates included) or s is empty. */
bool utf8_next(struct span *s, uint32_t *out);

/* Appends the code point, which must be below 0x110000, as UTF-8. */
void utf8_put(struct buf *out, uint32_t c);

#endif
