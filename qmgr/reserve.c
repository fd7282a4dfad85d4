/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/reserve.h"

#include <errno.h>

#include "lib/base/mem.h"

enum {
	LOOK_MS = 5000,
	ROOM = 4, /* times its size must be free for it to be filled */
};

struct reserve {
	struct qmgr *q;
	uint64_t size; /* 0: there is to be none */
	bool whole;
	bool used; /* it was emptied, or could not be made: that was said */
	struct timer *look;
	struct work work;
	bool busy, emptying, failed;
	uint32_t emptied; /* so many times */
	struct err e;
};

/* ---- in a thread ---- */
static void
run_fill(struct work *work)
{
	struct reserve *r = CONTAINER_OF(work, struct reserve, work);
	uint64_t bytes, inodes;

	/* After an orderly end it is still there. */
	r->failed = true;
	if (r->used &&
	    (queue_free_space(r->q->queue, &bytes, &inodes, &r->e) != 0 ||
		bytes < ROOM * r->size))
		return;
	r->failed = queue_reserve_make(r->q->queue, r->size, &r->e) != 0;
}

static void
run_empty(struct work *work)
{
	struct reserve *r = CONTAINER_OF(work, struct reserve, work);

	r->failed = queue_reserve_free(r->q->queue, &r->e) != 0;
}

/* ---- on the loop ---- */
static void
fill_done(struct work *work)
{
	struct reserve *r = CONTAINER_OF(work, struct reserve, work);

	r->busy = false;
	if (r->failed) {
		if (!r->used)
			log_warning(NULL, "no reserve of room on the disk: %s",
			    r->e.text);
		r->used = true;
		timer_start(r->look, LOOK_MS);
		return;
	}
	if (r->used)
		log_info(NULL, "the reserve of room on the disk is there again");
	r->whole = true;
	r->used = false;
}

static void
empty_done(struct work *work)
{
	struct reserve *r = CONTAINER_OF(work, struct reserve, work);

	r->busy = r->emptying = r->whole = false;
	if (r->failed)
		log_warning(NULL, "%s", r->e.text);
	else
		log_warning(NULL, "the disk is full: the reserve of %llu "
				  "bytes is used",
		    (unsigned long long)r->size);
	r->used = true;
	r->emptied++;
	timer_start(r->look, LOOK_MS);
	qmgr_unstick(r->q);
}

static void
submit(struct reserve *r, work_fn run, work_fn done)
{
	r->busy = true;
	r->work = (struct work){ .run = run, .done = done };
	work_submit(r->q->loop, WORK_OTHER, &r->work);
}

static void
on_look(void *arg)
{
	submit(arg, run_fill, fill_done);
}

bool
reserve_wanted(const struct err *e)
{
	return e->sysno == ENOSPC || e->sysno == EDQUOT;
}

uint32_t
reserve_emptied(const struct qmgr *q)
{
	return q->reserve->emptied;
}

bool
reserve_use(struct qmgr *q, const struct err *e, uint32_t since)
{
	struct reserve *r = q->reserve;

	if (!reserve_wanted(e))
		return false;
	if (since != r->emptied) {
		/* The disk was full before; it is news no more. */
		timer_start(q->stuck, 0);
		return true;
	}
	if (!r->whole || r->busy)
		return r->emptying;
	r->emptying = true;
	submit(r, run_empty, empty_done);
	return true;
}

bool
reserve_whole(const struct qmgr *q)
{
	return !q->reserve->used;
}

void
reserve_start(struct qmgr *q)
{
	struct reserve *r = MEM_NEW(r);

	r->q = q;
	r->size = (uint64_t)q->conf->queue_reserve_size;
	r->look = timer_new(q->loop, on_look, r);
	q->reserve = r;
	if (r->size > 0)
		submit(r, run_fill, fill_done);
}
