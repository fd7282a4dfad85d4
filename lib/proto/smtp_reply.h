/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_REPLY_H
#define CHAPPE_PROTO_SMTP_REPLY_H

/*
 * Reads a server's replies one by one, for those who pass them on as they are
 * (RFC 5321 4.2). The server is not trusted: lines and replies have a maximum,
 * what is no reply is BAD, and control bytes become '?'.
 */

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

struct smtp_reply_reader {
	struct buf line, text;
	unsigned code; /* of the lines so far; 0: none */
	bool given;    /* text was handed out: the next call begins anew */
};

void smtp_reply_init(struct smtp_reply_reader *r);
void smtp_reply_release(struct smtp_reply_reader *r);

/* Consumes *in up to the end of one reply. OK: *out_code (200 to 599) and
 * *out_text, the lines without code joined by LF, until the next call. */
enum parse smtp_reply_read(struct smtp_reply_reader *r, struct span *in,
    unsigned *out_code, struct span *out_text);

#endif
