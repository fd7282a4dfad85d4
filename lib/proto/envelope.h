/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_ENVELOPE_H
#define CHAPPE_PROTO_ENVELOPE_H

/*
 * IMAP's ENVELOPE: what a header says, in the form of RFC 3501 7.4.2.
 */

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends the envelope of a message's header, parentheses included. Missing
 * fields are NIL, Sender and Reply-To take From's place. Of a field, at most
 * LIMIT_HEADER_FIELD bytes are looked at; the first field of a name counts.
 * Text stays encoded as it is. */
void envelope_print(struct span header, struct buf *out);

#endif
