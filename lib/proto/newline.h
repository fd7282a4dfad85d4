/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_NEWLINE_H
#define CHAPPE_PROTO_NEWLINE_H

/*
 * Brings the line ends of a message into order, for clients that are let do
 * without: an LF alone becomes CRLF, a CR alone and a NUL become a space. Cut
 * anywhere, all at once or byte by byte, what comes out is the same.
 */

#include <stdbool.h>

#include "lib/base/span.h"

struct newline {
	bool cr; /* the last byte was a CR; it is not out yet */
};

typedef void (*newline_fn)(void *arg, struct span bytes);

/* The next bytes; out is called with what is known by now. */
void newline_feed(struct newline *n, struct span bytes, newline_fn out,
    void *arg);
/* There are no more. */
void newline_end(struct newline *n, newline_fn out, void *arg);

#endif
