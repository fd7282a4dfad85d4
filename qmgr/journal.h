/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_JOURNAL_H
#define CHAPPE_QMGR_JOURNAL_H

/*
 * qmgr's own journal: which messages are finished and which recipients are
 * done. A record is written before the step that it announces (the unlink,
 * the mark), many with one write; it is flushed with all others at most 50 ms
 * later, and nobody waits for that, unless he asks for it.
 */

#include "lib/os/work.h"
#include "lib/base/list.h"
#include "lib/queue/journal.h"

/* One record and its step; embedded, lives until done. */
struct journal_step {
	struct list link;
	enum journal_type type;
	struct queue_id id;
	struct buf data;
	bool flush; /* the record is durable before run is called */
	/* In a thread, once the record is written: sets failed and e. */
	void (*run)(struct journal_step *s);
	void (*done)(struct journal_step *s); /* on the loop; data is freed */
	bool failed;
	struct err e;
};

struct qmgr;
struct journal;
/* qmgr has a journal from now on: old segments of an earlier one (owner
 * JOURNAL_QMGR, over) are released when they are not needed any more. */
void journal_start(struct qmgr *q);
/* type, id, data (initialised), flush, run and done are set. */
void journal_add(struct journal *j, struct journal_step *s);

#endif
