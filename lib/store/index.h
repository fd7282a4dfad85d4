/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_INDEX_H
#define CHAPPE_STORE_INDEX_H

/*
 * The index of one mailbox: a file of fixed-size records in the order of
 * their uids, changed in place under a lock that all processes of ours take.
 * What it says is a cache of the mail files, except the numbers that must
 * never be given twice: uid_next and modseq are reserved durably in blocks
 * before a number of the block is announced, and what is left of a block is
 * skipped after an unclean stop (another boot). The file's contents are
 * untrusted: whatever does not verify is dropped, and the driver fills the
 * records anew from the mail. The layout is in docs/FORMATS.md.
 *
 * Records that were removed stay in the file as gone until it is compacted
 * into a new file. Changes are written by index_unlock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct index_record {
	uint32_t uid;
	uint32_t size; /* RFC822.SIZE; 0: not known yet */
	uint64_t keywords;
	uint64_t modseq;
	int64_t internal_s;
	uint64_t place;  /* mbox: offset of the From_ line */
	uint64_t length; /* mbox: bytes from there to the next message */
	int16_t zone_min;
	uint8_t flags;
	uint8_t gone;
	uint32_t driver[2]; /* the driver's; mbox: the message's identity */
	uint32_t check; /* CRC-32C of all before */
};

enum { INDEX_DRIVER_WORDS = 6 };

/* Changed by the driver between index_lock and index_unlock only. */
struct index_head {
	uint32_t uid_validity; /* 0: the index is new */
	uint32_t uid_next;     /* to be given next */
	uint32_t uid_reserved; /* below it: durably reserved */
	uint32_t uid_merged;   /* highest uid this index ever had a record of;
	                          0: the records must be filled anew */
	uint32_t recent_from;  /* uids from here on were in no session yet */
	uint32_t reserved;
	uint64_t modseq;       /* highest given */
	uint64_t driver[INDEX_DRIVER_WORDS]; /* what was seen of the files */
};

struct index;

/* dir_fd: the directory for the file (duplicated), or -1: in memory only.
 * Nothing is read or made before the first lock. */
struct index *index_new(int dir_fd);
void index_free(struct index **ix);

/* Locks out the other processes and brings the records up to date; waits at
 * most half a minute. */
int index_lock(struct index *ix, struct err *e);
/* Writes the changes and unlocks. On -1 the next lock reads the file
 * anew, with those changes that reached it. */
int index_unlock(struct index *ix, struct err *e);
/* Did another process change the file since our last lock? No lock needed. */
bool index_stale(const struct index *ix);

struct index_head *index_head(struct index *ix);
uint32_t index_count(const struct index *ix);
/* i: 0..count-1, by uid. */
const struct index_record *index_at(const struct index *ix, uint32_t i);
/* The place of a uid; false when it has none. */
bool index_find(const struct index *ix, uint32_t uid, uint32_t *out_i);

/* Adds a record; its uid must be above uid_merged. Sets uid_merged, and
 * uid_next when it is not above. A new modseq is given. */
void index_add(struct index *ix, const struct index_record *r);
/* Replaces record i (same uid); new_modseq false for what clients don't see
 * as a change (size, place). */
void index_change(struct index *ix, uint32_t i, const struct index_record *r,
    bool new_modseq);
/* Marks record i gone; the others keep their places until index_sweep. */
void index_remove(struct index *ix, uint32_t i);
void index_sweep(struct index *ix);
/* Forgets all records; the head stays but for uid_merged, which is 0. */
void index_clear(struct index *ix);

/* Makes sure that n uids from uid_next on are reserved in this file. */
int index_reserve_uids(struct index *ix, uint32_t n, struct err *e);

/* Number of uids or modseqs reserved at a time. */
enum { INDEX_UID_BLOCK = 100, INDEX_MODSEQ_BLOCK = 1000 };

#endif
