/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_FIXUP_H
#define CHAPPE_MAIL_FIXUP_H

/*
 * What happens to the header of a message on its way into the queue, the same
 * in smtpd, pickup and bounce: our Received field goes in front; Bcc,
 * Resent-Bcc, Return-Path and Content-Length (message_drop_headers) are left
 * out; a submission gets the fields it lacks (RFC 6409 8); a body that begins
 * without an empty line gets one; content checks and address rewriting look
 * in by the hooks. Everything else passes byte for byte. Bytes in, bytes out by a
 * callback: no I/O and no clock. Lines end in CRLF on both sides.
 *
 * The header is held back until it ends, at most LIMIT_HEADER bytes: a longer
 * one passes as it is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/proto/header.h"

struct fixup_conf {
	struct span received; /* whole field(s) with CRLF; may be empty */
	bool submission;      /* add Message-Id, Date and From where missing */
	struct span from;     /* body of a From field to add; empty: none */
	const char *qid;      /* for a Message-Id */
	const char *hostname;
	int64_t time_s;       /* Unix epoch, for Date */
	int offset_min;       /* local zone, minutes east of UTC */
	const char *drop;     /* fields to leave out; NULL: as above */
	const char *undisclosed; /* field to add where there is no To, Cc and
				    Bcc; NULL or empty: none */
	/* Hooks; NULL: none. A field about to go out, `received`'s too but not
	 * those that are added: true, when what was appended to instead (maybe
	 * nothing) goes in its place. And where the body goes, the bytes behind
	 * the empty line. */
	bool (*field)(void *arg, const struct header_field *field,
	    struct buf *instead);
	void (*body)(void *arg, struct span bytes);
	void *hook_arg;
};

/* Is this line (with its end, if any) part of a header? first: nothing came
 * before it; then a mailbox's "From " line counts too. */
bool fixup_is_header_line(struct span line, bool first);

struct fixup;
typedef void (*fixup_out_fn)(void *arg, struct span bytes);

/* conf is read during fixup_feed and fixup_end too and must live as long. */
struct fixup *fixup_new(const struct fixup_conf *conf, fixup_out_fn out,
    void *arg);
void fixup_free(struct fixup **f);

/* The next bytes of the message, cut anywhere. */
void fixup_feed(struct fixup *f, struct span bytes);
/* There are no more. */
void fixup_end(struct fixup *f);

/* After the end of the header: the Message-Id (Resent-Message-Id) field's
 * body, e.g. "<a@b>", printable, or "" if there is none. */
const char *fixup_message_id(const struct fixup *f);
/* The same for the bodies of the From fields as they came, several joined by
 * commas; empty if there is none. *out_complete: false when the header was too
 * long to see its end, so that there may be more. */
struct span fixup_from(const struct fixup *f, bool *out_complete);
/* After the end of the header: it says "TLS-Required: No" (RFC 8689 5). */
bool fixup_tls_optional(const struct fixup *f);
/* The number of Received fields that came with it (RFC 5321 6.3: loops). */
unsigned fixup_hops(const struct fixup *f);

#endif
