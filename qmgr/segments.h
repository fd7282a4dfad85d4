/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_SEGMENTS_H
#define CHAPPE_QMGR_SEGMENTS_H

/*
 * The journal's segments: accepting processes get them from here, and here
 * they are checkpointed and used again (docs/DESIGN.md, "Group commit"). A
 * segment knows the messages whose records it has and which are not sealed;
 * when these are sealed or finished its mark moves on.
 */

#include "lib/queue/recover.h"
#include "qmgr/agents.h"

struct journal_segment {
	struct list link; /* in qmgr.segments */
	struct qmgr *q;
	struct segment file;
	struct conn *owner; /* who writes it, if connected */
	bool free;
	bool bad; /* the disk refused something: it is not used again */
	bool over;	   /* nothing more is written to it */
	bool asking;	   /* being headed for its next use */
	uint64_t told;	   /* the records before this place are known */
	uint64_t full_at;  /* where the records end; 0: not said yet */
	bool scanning;	   /* what lies behind `told` is being read */
	bool closing;	   /* and then it is over */
	struct list later; /* messages told of meanwhile */
	struct list live;  /* struct message, by seg_link */
	unsigned holds;	   /* messages on their way to a sealed place */
	uint64_t oldest_ms; /* when the first record behind the mark came */
	uint64_t retry_ms;
	bool checking; /* a checkpoint up to `target` is under way */
	bool heading;  /* its mark is being written */
	uint64_t target;
	struct work work;
	struct segment next; /* the head being written */
	bool failed;
	struct err e;
	uint64_t needed; /* journal.c: the mark must pass this place */
	uint64_t needed_generation;
};

/* Takes the segments of a recovery over, and its messages. */
void segments_start(struct qmgr *q, struct queue_recovery *r);

/* A segment for an owner: a slot, or JOURNAL_QMGR. Later: fn with the
 * segment, and for a slot a write-only descriptor (fn's), or with NULL. */
typedef void (*segment_fn_ready)(
    void *arg, struct journal_segment *s, int fd, const struct err *e);
void segment_acquire(
    struct qmgr *q, uint32_t owner, segment_fn_ready fn, void *arg);
/* Not needed any more: free, or removed if it is bad. */
void segment_release(struct journal_segment *s);
/* There is no such file any more. */
void segment_drop(struct journal_segment *s);

/* A process said which segments it holds. */
void segments_claim(struct conn *c, struct msg_in *in);
/* Its connection is over. */
void segments_lost(struct conn *c);
/* MSG_QMGR_NEW of a message in the journal: *r is answered here. */
int segments_new(struct conn *c, struct request *r, struct msg_in *in,
    struct queue_id id);
int on_segment_want(struct request *r, struct msg_in *in, void *arg);
int on_segment_full(struct request *r, struct msg_in *in, void *arg);

/* The message's record, between those places, is the only durable copy; and
 * what it is made of, if it is unfiled. */
void segment_join(struct journal_segment *s, struct message *m, uint64_t at,
    uint64_t end);
/* The message is sealed, or finished. */
void segment_left(struct message *m);
/* A step of a message is over: a checkpoint may go on. */
void segment_go_on(struct journal_segment *s);

/* Is every record of that slot's segments known? */
bool segments_settled(struct qmgr *q, uint32_t slot);

#endif
