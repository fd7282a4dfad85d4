/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "qmgr/agents.h"

/*
 * The file of a finished message that was never sealed goes back to the
 * process that made it (lib/queue/spare.c). It hears of it with the answer to
 * its next message; a few for each process, and of short messages only, since
 * what was in them stays there until then.
 */

enum {
	SPARES_MAX = 256, /* of a process */
	SPARES_WAIT = 192, /* of which it has not heard: then no more */
	SPARE_CONTENT = 64 << 10, /* bytes of content at most */
};

bool
spare_wanted(const struct message *m)
{
	const struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	return c != NULL && m->dir == QUEUE_INCOMING && !m->moved && !m->unsure &&
	       m->open != NULL && m->open->content_size <= SPARE_CONTENT &&
	       c->spare_count < SPARES_WAIT && c->spare_all < SPARES_MAX;
}

void
spare_made(struct message *m)
{
	struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	if (c == NULL)
		spares_clean(m->q, queue_id_slot(m->sched.id));
	/* Too many were on their way: it goes when its maker goes. */
	if (c == NULL || c->spare_count == SPARES_TOLD)
		return;
	c->spares[c->spare_count++] = m->sched.id;
	c->spare_all++;
}

void
spare_answer(struct request **r)
{
	struct conn *c = request_conn(*r) != NULL ? conn_of(request_conn(*r)) :
						    NULL;
	struct msg_out m;

	request_begin(*r, &m, MSG_OK);
	while (c != NULL && c->spare_count > 0) {
		char text[QUEUE_ID_TEXT];

		queue_id_text(c->spares[--c->spare_count], text);
		msg_put_str(&m, F_SPARE, text);
	}
	request_answer(r, &m);
	msg_out_release(&m);
}

/* ---- cleaning, in a thread ---- */
struct cleaning {
	struct work work;
	struct qmgr *q;
	int slot;
};

static void
run_clean(struct work *work)
{
	const struct cleaning *c = CONTAINER_OF(work, struct cleaning, work);

	queue_spare_clean(c->q->queue, c->slot);
}

static void
clean_done(struct work *work)
{
	mem_free(CONTAINER_OF(work, struct cleaning, work));
}

void
spares_clean(struct qmgr *q, int slot)
{
	struct cleaning *c = MEM_NEW(c);

	c->q = q;
	c->slot = slot;
	c->work = (struct work){ .run = run_clean, .done = clean_done };
	work_submit(q->loop, WORK_OTHER, &c->work);
}
