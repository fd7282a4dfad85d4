/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_MAILDIR_NAME_H
#define CHAPPE_STORE_MAILDIR_NAME_H

/*
 * File names in a Maildir: BASE[:2,FLAGS[,MORE]]. The base identifies the
 * message for good, the rest says its flags: D F P R S T, a to z for
 * keywords, in that order; text after a comma is someone else's and kept. A
 * base may carry sizes: ",S=" bytes in the file, ",W=" bytes with CRLF line
 * ends.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

struct maildir_name {
	struct span base;
	uint8_t flags;    /* FLAG_* */
	bool passed;      /* the P flag, which IMAP does not have */
	uint32_t letters; /* bit 0: a */
	struct span more; /* with its comma; or empty */
};

/* Never fails: what is not understood has no flags. Spans point into name. */
void maildir_name_parse(struct span name, struct maildir_name *out);
/* Appends the name; always with ":2,". */
void maildir_name_print(const struct maildir_name *n, struct buf *out);

/* The value of ",X=digits" in a base. */
bool maildir_name_size(struct span base, char x, uint64_t *out);

/* Order of delivery, as far as names tell it: seconds, then microseconds
 * (M...), then the bytes. */
int maildir_name_cmp(struct span a, struct span b);

/* A name for a message delivered at time_us, unique on this host as long as
 * a process makes no two in one microsecond: "SEC.M<us>P<pid>[Q<id>].HOST".
 * id: letters and digits, or empty. */
void maildir_name_make(int64_t time_us, long pid, struct span id,
    const char *host, struct buf *out);
/* Was the base made with this id by maildir_name_make? */
bool maildir_name_has_id(struct span base, struct span id);

#endif
