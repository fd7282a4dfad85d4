/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_CRLF_H
#define CHAPPE_STORE_CRLF_H

/*
 * Line ends: mail files have LF, clients get CRLF. What already has CRLF
 * stays as it is. All work on pieces: *last is the byte before the piece, 0
 * at the start of a message.
 */

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Appends with CR put before each LF that has none. */
void crlf_add(struct buf *out, struct span s, uint8_t *last);

/* The number of bytes that crlf_add would make. */
uint64_t crlf_size(struct span s, uint8_t *last);

/* Appends with the CR of each CRLF taken out. *last CR: a CR is held back;
 * at the end of the message lf_end appends it. */
void lf_add(struct buf *out, struct span s, uint8_t *last);
void lf_end(struct buf *out, uint8_t *last);

#endif
