/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_TWINS_H
#define CHAPPE_QUEUE_TWINS_H

/*
 * Two different messages that have one id in the journal, which takes a clock
 * that was set back and a bound that got lost. The first keeps the id, the
 * second gets another one and is sealed; then its record must never be found
 * again, or it would be delivered again: all of that segment is sealed and
 * its mark moves behind it before anything is delivered. A recovery that is
 * broken off in between finds the sealed file and makes no second one. For
 * recover.c only; blocks.
 */

#include "lib/queue/recover.h"

/* A record of a message. */
struct twin_record {
	struct queue_id id;
	size_t segment; /* in recovery.segments */
	uint64_t at, end;
};

/* Are they the same message? */
bool twin_same(const struct queue_recovery *r, const struct twin_record *a,
    const struct twin_record *b);

/* Gives the message of the record its new id and file, or finds it, and notes
 * that in r->twins. */
int twin_take(struct queue *q, struct queue_recovery *r,
    const struct twin_record *rec, struct err *e);

/* When all else is recovered: ends the segments that have such records. What
 * was live in them is sealed, in active/, and not in r->live any more. */
int twins_end(struct queue *q, struct queue_recovery *r, struct err *e);

#endif
