/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_SETTLE_STEPS_H
#define CHAPPE_QMGR_SETTLE_STEPS_H

/*
 * The steps on a message's file when it is settled. Each runs in a thread,
 * or where there is a journal when its record is written; the message is busy
 * meanwhile, and message_step, its wait or its end follow by themselves. A
 * step that the disk refuses is logged, and asked for again by message_step
 * some seconds later: the results stay in memory until then. Only for
 * messages that are not busy.
 */

#include "qmgr/qmgr.h"

enum { SETTLE_AGAIN_MS = 3 * 1000 /* after a step that failed */ };

/* How many are in the list. */
uint32_t settle_count(struct list *l);

/* Nothing is left to do for it: the file goes (or is used again), then the
 * message is forgotten. Recipients in m->sent and m->deferred are over. With
 * EDIT_DELETE it is durable by then. */
void settle_remove(struct message *m);

/* Those in m->sent are marked, as done or as bounced; not durably, but with a
 * journal their record comes first. */
void settle_marks(struct message *m);

/* The end of a round with recipients left: marks, notes on those in
 * m->deferred, the move to deferred/, all durable; then it waits for its next
 * time. */
void settle_defer(struct message *m);

/* An agent found its content damaged. Is it? Then that is the verdict. */
void settle_check(struct message *m);

/* It is damaged: to corrupt/, and forgotten. */
void settle_corrupt(struct message *m);

/* Its file is gone or damaged, but its record (m->seg) has all of it: made
 * anew with the marks it has, and tried at once. */
void settle_rebuild(struct message *m);

/* Makes the file of an unfiled message from its record (m->seg); nothing to do
 * for any other. Blocks; in a thread, while the message is busy. */
int settle_file(struct message *m, struct err *e);

/* A flush of its file, in incoming/, failed. Another one may go well and mean
 * nothing, since the kernel drops what it could not write: so the file is made
 * anew from the record (m->seg), with its marks. Blocks; in a thread, while
 * the message is busy. */
int settle_renew(struct message *m, struct err *e);

/* A step failed with e: nothing is done for it until it is tried again, in a
 * few seconds, or sooner when it gets room from the reserve. */
void message_stick(struct message *m, const struct err *e);

/* Nothing is written: it waits until then (the scheduler's time, ms). */
void settle_wait(struct message *m, uint64_t due_ms);

#endif
