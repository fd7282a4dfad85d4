/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_HEADER_H
#define CHAPPE_PROTO_HEADER_H

/*
 * The header of a message: fields, folding, where it ends. Lines may end in
 * CRLF or LF. Nothing is copied: fields are spans into the message.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

struct header_field {
	struct span name; /* without the colon and white space before it;
			     empty for a line that is no field */
	struct span body; /* after the colon, folds inside, without the last
			     line end; the whole line for a line that is none */
	struct span raw;  /* all of it, with its last line end */
};

/* Finds where the header of the message that begins with s ends. OK: *out is
 * the index of the first byte of the body (after the empty line). MORE: no
 * empty line yet; at the end of a message that means all of it is header. */
enum parse header_end(struct span s, size_t *out);

/* Cuts the next field, with its continuation lines, off the front of *rest.
 * False at the end: *rest is empty or begins with the empty line. A line
 * that is no field (no colon, or bytes before it that RFC 5322 2.2 does not
 * allow in a name) comes alone, with an empty name. */
bool header_next(struct span *rest, struct header_field *out);

/* The first field of that name, ignoring case, in the header that begins at
 * s; false if there is none. */
bool header_find(struct span s, struct span name, struct header_field *out);

/* Appends a field's body unfolded: line ends removed (RFC 5322 2.2.3), and
 * the white space at both ends. Bare CR, LF and NUL become spaces. */
void header_unfold(struct span body, struct buf *out);

/* Is this a field name RFC 5322 2.2 allows? */
bool header_name_ok(struct span name);

#endif
