/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_RFC2047_H
#define CHAPPE_PROTO_RFC2047_H

/*
 * From what stands in a message to UTF-8 text: transfer encodings (RFC 2045
 * 6), charsets, encoded words in headers (RFC 2047). All tolerant: damaged
 * input gives what can be read of it, never an error, since the use is
 * searching and showing.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends the bytes behind quoted-printable; "_" is a space when `word`, as
 * in encoded words. */
void qp_decode(struct span s, bool word, struct buf *out);

/* Appends the bytes behind base64 with line breaks and stray bytes. */
void base64_decode_loose(struct span s, struct buf *out);

/* Appends s, in the charset, as UTF-8. An unknown charset and what is no text
 * in it pass as they are if they are UTF-8, else each such byte becomes
 * U+FFFD. */
void charset_to_utf8(struct span charset, struct span s, struct buf *out);

/* Can text in this charset be understood at all? */
bool charset_known(struct span charset);

/* Appends a header field's body, folds and encoded words resolved. */
void rfc2047_decode(struct span body, struct buf *out);

#endif
