/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_XTEXT_H
#define CHAPPE_PROTO_XTEXT_H

/* The xtext of ENVID, ORCPT and AUTH= (RFC 3461 4): printable ASCII, with
 * "+XX" for all else. */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends the encoding. */
void xtext_encode(struct span in, struct buf *out);

/* Appends the value; false, with out as it was but perhaps spilt, when text
 * is malformed or out is full. */
bool xtext_decode(struct span text, struct buf *out);

#endif
