/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_PRINT_H
#define CHAPPE_PROTO_IMAP_PRINT_H

/*
 * Pieces of IMAP responses (RFC 3501 9), appended to a buf. Whatever the
 * bytes given, what is written is well-formed: a string that cannot be quoted
 * becomes a literal, a text loses its control and 8-bit bytes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* Human-readable text: bytes that are not printable ASCII become "?", what is
 * longer than 500 is cut. */
void imap_print_text(struct buf *b, struct span s);

/* A quoted string where the bytes allow it, else a literal. NUL, which
 * neither may hold, becomes "?". */
void imap_print_string(struct buf *b, struct span s);

/* The same, or NIL when there is none (s.p NULL). */
void imap_print_nstring(struct buf *b, struct span s);

/* A mailbox name given in UTF-8: modified UTF-7 in quotes. */
void imap_print_mailbox(struct buf *b, struct span utf8);

/* The flags of enum imap_flag_bit with a space between; `space` says whether
 * one must come first; returns whether one must come next. */
bool imap_print_flags(struct buf *b, unsigned system, bool space);

/* Does the name match the pattern of LIST, where "*" matches anything and
 * "%" anything but the separator (RFC 3501 6.3.8)? In time proportional to
 * the product of the lengths, whatever the pattern. icase: ASCII letters in
 * any case, for INBOX. */
bool imap_match(
    struct span pattern, struct span name, char separator, bool icase);

#endif
