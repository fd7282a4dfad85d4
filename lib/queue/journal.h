/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_JOURNAL_H
#define CHAPPE_QUEUE_JOURNAL_H

/*
 * The bytes of a journal segment, without any input or output:
 * docs/FORMATS.md, "Journal". A segment is a file of fixed size, filled with
 * zeros once and then used again and again: a head in two copies, each on a
 * page of its own, of which the valid one with the higher sequence number
 * counts, then records. Each use has a generation of its own; a record of
 * another generation, or one that does not stand where it says, is not there,
 * and neither is what follows it.
 */

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/queue/queue_id.h"

enum {
	JOURNAL_VERSION = 2,
	JOURNAL_HEAD = 72,	    /* bytes of a copy of the head */
	JOURNAL_HEAD_SECOND = 4096, /* where the second copy is */
	JOURNAL_RECORDS = 8192,	    /* where the records begin */
	JOURNAL_FRAME = 40,	    /* bytes in front of a record's data */
	JOURNAL_ALIGN = 8,
	JOURNAL_QMGR = QUEUE_SLOTS, /* the owner that is not a slot */
};

struct journal_head {
	uint32_t number; /* the file's name says the same */
	uint32_t owner;	 /* slot of the process that writes, or qmgr */
	uint64_t generation;
	uint64_t sequence;
	uint64_t size;
	uint64_t mark;	   /* recover from here: a place in the file */
	uint64_t bound_us; /* no id issued before is above this time */
};
/* One copy: JOURNAL_HEAD bytes. */
void journal_head_put(struct buf *b, const struct journal_head *h);
/* The head that counts, from the first JOURNAL_RECORDS bytes of the file
 * (fewer are no head); false: there is none. */
bool journal_head_get(struct span in, struct journal_head *out);
/* The place of the copy that has this sequence number. */
uint64_t journal_head_place(uint64_t sequence);

enum journal_type {
	JOURNAL_MESSAGE = 'M', /* data: the queue file, byte for byte */
	JOURNAL_REMOVED = 'R', /* the message is finished; no data */
	JOURNAL_DONE = 'D',    /* data: marks of recipients */
};

struct journal_record {
	enum journal_type type;
	struct queue_id id;
	struct span data;
};
/* Bytes of a record with n bytes of data, the padding included. */
uint64_t journal_record_size(uint64_t n);
/* The frame of a record that will stand at `place`. */
void journal_frame(uint8_t out[JOURNAL_FRAME], const struct journal_record *r,
    uint64_t generation, uint64_t place);
/* Appends a whole record that will stand at `place`. */
void journal_record_put(struct buf *b, const struct journal_record *r,
    uint64_t generation, uint64_t place);
/* The record at the beginning of in, which stands at `place`. PARSE_MORE: in
 * ends too early; *out_used says how many bytes it takes at least. PARSE_BAD:
 * there is none. */
enum parse journal_record_get(struct span in, uint64_t generation,
    uint64_t place, struct journal_record *out, size_t *out_used);

/* Marks of JOURNAL_DONE. */
struct journal_mark {
	uint32_t rcpt_index;
	uint8_t mark; /* as in the queue file */
};
enum { JOURNAL_MARK = 5 };
void journal_mark_put(struct buf *b, struct journal_mark m);
/* Takes the next one from the front of *rest; false at the end. */
bool journal_mark_next(struct span *rest, struct journal_mark *out);

#endif
