/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_UIDLIST_H
#define CHAPPE_STORE_UIDLIST_H

/*
 * dovecot-uidlist: which uid the file names of a Maildir have, in the format
 * that Dovecot reads and writes (version 3; version 1 is read), so that uids
 * survive a migration both ways and the loss of our index. The header is
 * "3 V<uidvalidity> N<next uid> G<guid>", then a line "UID [K<value> ]...:NAME"
 * for each message. Our N is ahead of the uids in use: it is the durable
 * reservation, and lines are appended without a flush below it. Whoever
 * writes holds dovecot-uidlist.lock. The contents are untrusted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

struct uidlist_entry {
	uint32_t uid;
	char *name; /* without flags */
};

/* Which state of the file was read; all 0: there was none. */
struct uidlist_stamp {
	uint64_t inode, size, mtime_ns;
};

struct uidlist {
	uint32_t validity; /* 0: no usable list */
	uint32_t next;
	char guid[33];
	struct uidlist_entry *entries; /* by uid */
	uint32_t count;
	struct uidlist_stamp stamp;
};

/* Parses a file. Lines that make no sense are passed over, so is a last line
 * without its end. False when the header is not one (out is empty then). */
bool uidlist_parse(struct span text, struct uidlist *out);
void uidlist_release(struct uidlist *l);

/* Prints the header and the lines. */
void uidlist_print(const struct uidlist *l, struct buf *out);

/* Reads the list in the directory; a missing or rubbish one has validity 0. */
int uidlist_load(int dir_fd, struct uidlist *out, struct err *e);
struct uidlist_stamp uidlist_stamp(int dir_fd);
bool uidlist_stamp_eq(struct uidlist_stamp a, struct uidlist_stamp b);

int uidlist_lock(int dir_fd, struct err *e);
void uidlist_unlock(int dir_fd);

/* Replaces the file whole, durably. Under the lock. */
int uidlist_save(int dir_fd, const struct uidlist *l, struct err *e);
/* Appends lines; not durable. Under the lock. */
int uidlist_append(int dir_fd, const struct uidlist_entry *entries,
    uint32_t count, struct err *e);

#endif
