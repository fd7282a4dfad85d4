/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_DOWNGRADE_H
#define CHAPPE_PROTO_DOWNGRADE_H

/*
 * Makes a message fit for a server without 8BITMIME or BINARYMIME (RFC 6152 3,
 * RFC 3030 3): MIME parts that say they are 8bit become quoted-printable,
 * those that say binary become base64, and the headers say so; what holds
 * such parts becomes 7bit. All else passes as it is, headers and unannounced
 * bytes above 127 too. Bytes in, bytes out by a callback, in one pass, with
 * bounded memory: a header beyond LIMIT_HEADER_FIELD bytes, and what is nested
 * deeper than LIMIT_MIME_DEPTH, passes as it is.
 */

#include "lib/base/span.h"

struct downgrade;
typedef void (*downgrade_fn)(void *arg, struct span bytes);

struct downgrade *downgrade_new(downgrade_fn out, void *arg);
void downgrade_free(struct downgrade **d);

/* The next bytes, cut anywhere; lines end in CRLF or LF. */
void downgrade_feed(struct downgrade *d, struct span bytes);
/* There are no more. */
void downgrade_end(struct downgrade *d);

#endif
