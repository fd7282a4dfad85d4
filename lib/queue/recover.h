/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_RECOVER_H
#define CHAPPE_QUEUE_RECOVER_H

/*
 * What a start makes of the journal and of incoming/: docs/FORMATS.md, table
 * of states. It never asks why the last run ended. For the process that holds
 * qmgr's lock; everything blocks. Afterwards each message that was answered
 * and is not finished has a file, in incoming/, where it verifies, or in a
 * sealed place, where it was not looked at; with the marks that were recorded.
 * What was finished has none, but perhaps in corrupt/; and incoming/ holds
 * nothing else but what living processes are writing, and spares. Of the
 * journal only segments that were never used go (but see twins.h): a recovery
 * that is broken off is begun again.
 */

#include "lib/queue/segment.h"

/* An unsealed message, in incoming/. */
struct queue_live {
	struct queue_id id;
	uint32_t segment; /* its record's */
	uint64_t at, end;
	bool anew; /* its file was made by this recovery */
};

struct queue_recovery {
	struct recovered_segment {
		struct segment segment; /* open */
		uint64_t end;		/* of the records that are there */
	} * segments;
	size_t segment_count;
	struct queue_live *live;
	size_t live_count;
	uint32_t number_max;
	uint64_t generation_max;
	int64_t bound_us; /* no id issued before is later */
	unsigned rebuilt, discarded, removed, marked;
	/* Segments that have records and no valid head: they are left alone,
	 * and their numbers are not used again. Files in incoming/ that verify
	 * may be of their messages: they are sealed, in active/. */
	unsigned damaged, rescued;
	uint32_t damaged_number; /* the last of them */
	/* Two messages had one id; the second one has another now. */
	struct queue_twin {
		struct queue_id old_id, new_id;
		size_t segment; /* of the second one's record */
	} * twins;
	size_t twin_count;
};

/* living: bit set of the slots whose process lives. On an error nothing is
 * to be released. On a full disk it takes the room of journal/reserve. */
int queue_recover(struct queue *q, const uint8_t living[32],
    struct queue_recovery *out, struct err *e);
/* Closes what segments are left in it, and frees. */
void queue_recovery_release(struct queue_recovery *r);

/* The records of one segment from `from` to `to` (0: the end), of messages
 * that nobody was told of: each gets its file, if it lacks one. *out_live
 * (mem_free) are those that are not sealed; *out_end is behind the last. */
int queue_recover_tail(struct queue *q, const struct segment *s, uint64_t from,
    uint64_t to, struct queue_live **out_live, size_t *out_count,
    uint64_t *out_end, struct err *e);

/* The bytes of the queue file that the record at that place has, into data
 * (initialised, with room for them). */
int queue_read_record(const struct segment *s, uint64_t at, struct queue_id id,
    struct buf *data, struct err *e);
/* Makes the file of one message anew from its record: the one there is does
 * not verify, or is gone, or was not made yet. With marks, those of the file that is there are kept
 * (not after a power cut: its bytes may be anything then). */
int queue_rebuild(struct queue *q, const struct segment *s, uint64_t at,
    struct queue_id id, bool marks, struct err *e);

/* Seals a message that a recovery found, in active/. Of a file that was there
 * before nobody knows whether a flush of it failed once, which the disk does
 * not say again: it is made anew first. s: its record's. */
int queue_live_seal(struct queue *q, const struct segment *s,
    const struct queue_live *l, struct err *e);

/* Calls fn for each message that is not finished and has no file, only its
 * record; fn returning false ends it. For tools, whether qmgr runs or not:
 * nothing is changed, and what is on its way meanwhile may be missed. The
 * message and its descriptor live during the call. Blocks. */
typedef bool (*queue_unfiled_fn)(void *arg, struct queue_message *m);
int queue_unfiled_each(
    struct queue *q, queue_unfiled_fn fn, void *arg, struct err *e);

/* While qmgr is down, for a tool that holds the lock: recovers, and seals
 * what is unsealed, so that the directories say all. */
int queue_recover_sealed(struct queue *q, struct err *e);

#endif
