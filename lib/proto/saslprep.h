/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SASLPREP_H
#define CHAPPE_PROTO_SASLPREP_H

/* Names and passwords in the one form in which they are compared (SASLprep,
 * RFC 4013, as a query: unassigned code points may come). */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum { SASLPREP_MAX = 1024 };

/* Appends the prepared form of text (UTF-8, at most SASLPREP_MAX bytes) to
 * out. False, with out as it was, when text is no UTF-8 or holds something
 * prohibited (2.3, 2.4), or out's maximum is passed. */
bool saslprep(struct span text, struct buf *out);

#endif
