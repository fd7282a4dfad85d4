/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "qmgr/agents.h"
#include "qmgr/reserve.h"

/*
 * The file of a finished long message goes back to the process that made it
 * (lib/queue/spare.c). It hears of it with the answer to its next message.
 * Some for each process, since what was in them stays there until then. What
 * was sealed has its REMOVED record flushed first, so that no start looks for
 * the message in a file that has another one.
 */

enum {
	CONTENT_MIN = 64 << 10, /* bytes of content */
	CONTENT_MAX = 4 << 20,
};

/* ---- cleaning, in a thread ---- */
struct cleaning {
	struct work work;
	struct qmgr *q;
	int slot;
	struct queue_id only; /* n 0: all of the slot */
};

static void
run_clean(struct work *work)
{
	const struct cleaning *c = CONTAINER_OF(work, struct cleaning, work);

	if (c->only.n != 0)
		queue_spare_remove(c->q->queue, c->only);
	else
		queue_spare_clean(c->q->queue, c->slot);
}

static void
clean_done(struct work *work)
{
	mem_free(CONTAINER_OF(work, struct cleaning, work));
}

static void
clean(struct qmgr *q, int slot, struct queue_id only)
{
	struct cleaning *c = MEM_NEW(c);

	c->q = q;
	c->slot = slot;
	c->only = only;
	c->work = (struct work){ .run = run_clean, .done = clean_done };
	work_submit(q->loop, WORK_OTHER, &c->work);
}

void
spares_clean(struct qmgr *q, int slot)
{
	clean(q, slot, (struct queue_id){ 0 });
}

/* ---- those that come and go ---- */
bool
spare_wanted(const struct message *m)
{
	const struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	return c != NULL && c->spare_count < SPARES_MAX && !m->unfiled &&
	       !m->moved && !m->unsure && m->open != NULL &&
	       (m->dir == QUEUE_INCOMING || m->dir == QUEUE_ACTIVE) &&
	       m->open->content_size > CONTENT_MIN &&
	       m->open->content_size <= CONTENT_MAX && reserve_whole(m->q);
}

void
spare_made(struct message *m)
{
	struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	if (c == NULL)
		spares_clean(m->q, queue_id_slot(m->sched.id));
	else if (c->spare_count == SPARES_MAX)
		/* Too many were on their way. */
		clean(m->q, -1, m->sched.id);
	else
		c->spares[c->spare_count++] = m->sched.id;
}

static void
one_gone(struct conn *c, struct queue_id id)
{
	for (unsigned i = 0; i < c->spare_told; i++)
		if (c->spares[i].n == id.n) {
			c->spares[i] = c->spares[--c->spare_told];
			c->spares[c->spare_told] =
			    c->spares[--c->spare_count];
			return;
		}
}

void
spares_gone(struct conn *c, struct msg_in *in)
{
	struct queue_id id;
	struct span text;
	size_t cursor = 0;

	while (msg_next_value(in, F_SPARE, &cursor, &text))
		if (queue_id_parse(text, &id))
			one_gone(c, id);
}

void
spare_answer(struct request **r)
{
	struct conn *c =
	    request_conn(*r) != NULL ? conn_of(request_conn(*r)) : NULL;
	char text[QUEUE_ID_TEXT];
	struct msg_out m;

	request_begin(*r, &m, MSG_OK);
	while (c != NULL && c->spare_told < c->spare_count) {
		queue_id_text(c->spares[c->spare_told++], text);
		msg_put_str(&m, F_SPARE, text);
	}
	request_answer(r, &m);
	msg_out_release(&m);
}
