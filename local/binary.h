/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_BINARY_H
#define CHAPPE_LOCAL_BINARY_H

/*
 * Mailboxes have lines, which end in LF there and in CRLF for IMAP: a binary
 * part would not come out of one as it went in. So mail that came with
 * BODY=BINARYMIME gets its 8bit and binary parts encoded before it is stored,
 * as it would for a server that takes no binary (RFC 3030 3).
 */

#include "lib/store/deliver.h"

/* Puts the encoded message in the place of d's content: d->fd is another one
 * afterwards, in memory, and the old one closed. The same message always gives
 * the same bytes. */
int binary_encode(struct delivery *d, struct err *e);

#endif
