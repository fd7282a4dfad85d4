/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/seal.h"

#include "lib/base/mem.h"
#include "qmgr/reserve.h"
#include "qmgr/segments.h"
#include "qmgr/settle_steps.h"

enum { BATCH = 64 };

struct item {
	struct message *m;
	struct queue_id id;
	enum queue_dir dir;
	bool sealed, unsure;
	struct err e;
};

struct seal_batch {
	struct work work;
	struct qmgr *q;
	size_t count;
	bool full; /* the disk is */
	struct item items[BATCH];
};

/* ---- in a thread ---- */
/* Flushed, and under its new name, which is not durable yet. */
static bool
move_one(struct queue *q, struct item *item)
{
	if (item->dir == QUEUE_INCOMING &&
	    (item->unsure ? settle_renew(item->m, &item->e)
			  : settle_file(item->m, &item->e)) != 0)
		return false;
	item->unsure = queue_flush(q, item->id, item->dir, &item->e) != 0;
	if (item->unsure)
		return false;
	if (item->dir == QUEUE_INCOMING) {
		if (queue_rename(q, item->id, QUEUE_INCOMING, QUEUE_ACTIVE,
			&item->e) != 0)
			return false;
		item->dir = QUEUE_ACTIVE;
	}
	return true;
}

static void
run_seal(struct work *work)
{
	struct seal_batch *b = CONTAINER_OF(work, struct seal_batch, work);
	bool synced[QUEUE_DIRS][QUEUE_HASH_DIRS] = { 0 };
	bool ok[QUEUE_DIRS][QUEUE_HASH_DIRS] = { 0 };

	for (size_t i = 0; i < b->count; i++) {
		struct item *item = &b->items[i];

		/* No room for one file: none for the next. */
		if (b->full && item->m->unfiled)
			continue;
		item->sealed = move_one(b->q->queue, item);
		b->full |= !item->sealed && reserve_wanted(&item->e);
	}
	for (size_t i = 0; i < b->count; i++) {
		struct item *item = &b->items[i];
		const unsigned d = queue_id_us(item->id) & 0xf;

		if (!item->sealed)
			continue;
		if (!synced[item->dir][d])
			ok[item->dir][d] = queue_sync(b->q->queue, item->dir,
					       item->id, &item->e) == 0;
		else if (!ok[item->dir][d])
			err_set(&item->e, ERR_TEMP, "4.3.0",
			    "directory not flushed");
		synced[item->dir][d] = true;
		item->sealed = ok[item->dir][d];
	}
}

/* ---- and back on the loop ---- */
static void
seal_done(struct work *work)
{
	struct seal_batch *b = CONTAINER_OF(work, struct seal_batch, work);

	for (size_t i = 0; i < b->count; i++) {
		struct item *item = &b->items[i];
		struct message *m = item->m;

		m->dir = item->dir;
		m->unsure = item->unsure;
		if (item->sealed) {
			m->moved = false;
			segment_left(m);
		} else {
			if (item->e.text[0] != '\0')
				log_warning(&m->log, "sealing: %s",
				    item->e.text);
			/* What is unfiled can wait in its segment. */
			if (!m->unfiled)
				reserve_use(m->q, &item->e,
				    reserve_emptied(m->q));
			if (m->seg != NULL)
				m->seg->retry_ms = now_ms() + 1000;
		}
		message_idle(m);
	}
	mem_free(b);
}

void
seal_add(struct qmgr *q, struct seal_batch **batch, struct message *m)
{
	struct seal_batch *b = *batch;

	BUG_ON(m->busy);
	if (b == NULL) {
		b = *batch = MEM_NEW(b);
		b->q = q;
	}
	m->busy = true;
	b->items[b->count++] =
	    (struct item){ .m = m, .id = m->sched.id, .dir = m->dir,
		.unsure = m->unsure };
	if (b->count == BATCH)
		seal_start(batch);
}

void
seal_start(struct seal_batch **batch)
{
	struct seal_batch *b = *batch;

	if (b == NULL)
		return;
	*batch = NULL;
	b->work = (struct work){ .run = run_seal, .done = seal_done };
	work_submit(b->q->loop, WORK_FLUSH, &b->work);
}
