/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_MBOX_PARSE_H
#define CHAPPE_STORE_MBOX_PARSE_H

/*
 * The text of an mbox: messages one after another, each behind a line "From
 * SENDER DATE" that stands at the beginning or after an empty line. What mail
 * programs keep in headers (Status, X-Status, X-UID, X-Keywords, X-IMAPbase,
 * Content-Length) is not shown to clients. Content-Length is never trusted.
 * Memory only; the contents are untrusted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

struct mbox_message {
	struct span raw;    /* From_ line up to the next message */
	struct span from;   /* its From_ line, without line end */
	struct span header; /* the fields, without the empty line */
	struct span body;   /* without the empty line before the next one */
	int64_t date_s;     /* of the From_ line, local time as Unix time */
	uint32_t uid;       /* X-UID; 0 none */
	uint8_t flags;
	bool old;           /* Status has O */
	bool ours;          /* has all the lines we would write */
	struct span keywords; /* X-Keywords; words */
	uint64_t ident;     /* of what never changes in it */
	uint64_t size;      /* for clients, with CRLF */
};

struct mbox_list {
	struct mbox_message *at;
	size_t count, cap;
	/* X-IMAPbase (or X-IMAP) of the first message. */
	uint32_t validity, last_uid; /* 0: there is none */
	struct span keywords;
};

/* Parses a whole file; spans point into it. False when it is none: it does
 * not begin with a From_ line (empty lines before it are passed over). */
bool mbox_parse(struct span file, struct mbox_list *out);
void mbox_list_release(struct mbox_list *l);

/* Is the line (without its end) a From_ line? */
bool mbox_from_line(struct span line, int64_t *out_date_s);
/* Appends one, with its line end; sender empty: MAILER-DAEMON. */
void mbox_print_from(struct buf *out, struct span sender, int64_t date_s);

/* Is the header field hidden from clients? Names without case. */
bool mbox_hidden(struct span name);

/* Appends what clients see of the message, with CRLF line ends. */
void mbox_text(const struct mbox_message *m, struct buf *out);

/* What is kept in the header of a message. */
struct mbox_marks {
	uint32_t uid;
	uint8_t flags;
	bool old;
	struct span keywords; /* words with spaces between */
	/* First message only, else validity 0: X-IMAPbase. */
	uint32_t validity, last_uid;
	struct span all_keywords;
};
/* Appends the lines, padded so that flags can change in place. */
void mbox_print_marks(struct buf *out, const struct mbox_marks *marks);
/* Appends the message's From_ line and header with these marks instead of
 * its own, and the empty line. */
void mbox_print_header(struct buf *out, const struct mbox_message *m,
    const struct mbox_marks *marks);

#endif
