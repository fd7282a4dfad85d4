/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_WORK_H
#define CHAPPE_OS_WORK_H

/*
 * Bounded pools of threads for what may wait: flushes, name operations
 * (open, rename, link, unlink) and the rest. No durable step runs in an
 * event loop. Threads start at the first submission, hence after seccomp.
 * Steps of one message keep their order by the caller submitting the next
 * one from the `done` of the last.
 */

#include "lib/os/loop.h"

enum work_pool { WORK_FLUSH, WORK_NAME, WORK_OTHER, WORK_POOLS };

struct work;
typedef void (*work_fn)(struct work *w);

/* Embedded in the caller's struct, which must live until `done`. */
struct work {
	work_fn run;  /* in a thread; touches only the caller's struct */
	work_fn done; /* on the loop, afterwards */
	struct loop *loop;
	struct work *next;
};

/* Queues w->run in the pool; the queue has no limit, its users have. */
void work_submit(struct loop *loop, enum work_pool pool, struct work *w);

/* Threads of each pool: set before the first submission, 1 to 64. Defaults
 * 8 flush, 4 name, 4 other. */
void work_set_threads(enum work_pool pool, unsigned n);

/* Submitted and not yet done, over all pools. */
unsigned work_pending(void);

/* Waits for all running and queued work, calls every `done`, and ends the
 * threads. */
void work_finish(struct loop *loop);

#endif
