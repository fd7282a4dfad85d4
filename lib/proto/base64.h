/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_BASE64_H
#define CHAPPE_PROTO_BASE64_H

/*
 * Base 64 (RFC 4648 4), strict: one unbroken text, padding required, no
 * foreign byte, unused bits zero, so that a value has exactly one form.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends the encoding of in to out; without line breaks. A full out spills
 * (buf_ok). */
void base64_encode(struct span in, struct buf *out);

/* Appends the bytes that text stands for to out. False, with out as it was
 * but perhaps spilt, when text is malformed or out's maximum is passed. An
 * empty text is the empty value. */
bool base64_decode(struct span text, struct buf *out);

#endif
