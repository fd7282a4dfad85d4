/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_TEXT_SEARCH_H
#define CHAPPE_PROTO_TEXT_SEARCH_H

/*
 * Does a message hold a text? As substring, in any case of letters, after
 * transfer encodings, charsets and encoded words are resolved (RFC 3501
 * 6.4.4). Text parts only: an attachment's bytes are not text.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"
#include "lib/proto/mime.h"

/* Appends the text with its letters in one case: ASCII, Latin, Greek and
 * Cyrillic; others as they are. Bytes that are no UTF-8 pass. */
void text_fold(struct span utf8, struct buf *out);

/* Needles are folded UTF-8. An empty one is in everything. */
bool text_in_header(struct span header, struct span needle);

/* In any field of that name; an empty needle asks whether there is one. In
 * fields with addresses, comments and quotes inside an address do not hide it
 * (RFC 3501 6.4.4 searches the envelope there). */
bool text_in_field(struct span header, struct span name, struct span needle);

/* In the text parts, or the headers of messages inside. */
bool text_in_body(const struct mime *m, struct span needle);

#endif
