/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_BODY_H
#define CHAPPE_PROTO_IMAP_BODY_H

/*
 * BODY, BODYSTRUCTURE and the sections of a message, made from its MIME
 * structure (RFC 3501 6.4.5, 7.4.2).
 */

#include "lib/base/buf.h"
#include "lib/base/span.h"
#include "lib/proto/imap_cmd.h"
#include "lib/proto/mime.h"

/* Appends the body structure; extended: BODYSTRUCTURE, else BODY. */
void imap_body_structure(const struct mime *m, bool extended, struct buf *out);

/* The bytes of a section. They are a span of the message where they stand
 * there in one piece, else they are put together in *scratch. False: there is
 * no such section (the answer is NIL). */
bool imap_body_section(const struct mime *m, const struct imap_section *s,
    struct buf *scratch, struct span *out);

/* Appends the fields of the header that are (not: all but those) named, and
 * the empty line. */
void imap_body_fields(
    struct span header, const struct imap_section *s, struct buf *out);

#endif
