/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "qmgr/agents.h"
#include "qmgr/reserve.h"

/*
 * The file of a finished message goes back to the process that made it
 * (lib/queue/spare.c). It hears of it with the answer to its next message.
 * A few for each process, since what was in them stays there until then: of
 * short messages that were never sealed, and some of long ones. What was
 * sealed has its REMOVED record flushed first, so that no start looks for the
 * message in a file that has another one.
 */

enum {
	SPARES_MAX = 256,	  /* short ones of a process */
	SPARES_WAIT = 192,	  /* of which it has not heard: then no more */
	SHORT_CONTENT = 64 << 10, /* bytes of content at most */
	LONG_CONTENT = 4 << 20,
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
static bool
is_short(const struct message *m)
{
	return m->dir == QUEUE_INCOMING &&
	       m->open->content_size <= SHORT_CONTENT;
}

static bool
is_long(const struct message *m)
{
	return (m->dir == QUEUE_INCOMING || m->dir == QUEUE_ACTIVE) &&
	       m->open->content_size > SHORT_CONTENT &&
	       m->open->content_size <= LONG_CONTENT;
}

bool
spare_wanted(const struct message *m)
{
	const struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	if (c == NULL || m->moved || m->unsure || m->open == NULL)
		return false;
	if (is_short(m))
		return c->spare_count < SPARES_WAIT &&
		       c->spare_all < SPARES_MAX;
	return is_long(m) && c->long_count < SPARES_LONG && reserve_whole(m->q);
}

/* False: there is no room for it, too many were on their way. */
static bool
note_spare(struct conn *c, const struct message *m)
{
	if (is_long(m)) {
		if (c->long_count == SPARES_LONG)
			return false;
		c->long_spares[c->long_count++] = m->sched.id;
		return true;
	}
	if (c->spare_count == SPARES_TOLD)
		return false;
	c->spares[c->spare_count++] = m->sched.id;
	c->spare_all++;
	return true;
}

void
spare_made(struct message *m)
{
	struct conn *c = m->q->acceptors[queue_id_slot(m->sched.id)];

	if (c == NULL)
		spares_clean(m->q, queue_id_slot(m->sched.id));
	else if (!note_spare(c, m))
		clean(m->q, -1, m->sched.id);
}

static void
one_gone(struct conn *c, struct queue_id id)
{
	for (unsigned i = 0; i < c->long_told; i++)
		if (c->long_spares[i].n == id.n) {
			c->long_spares[i] = c->long_spares[--c->long_told];
			c->long_spares[c->long_told] =
			    c->long_spares[--c->long_count];
			return;
		}
	if (c->spare_all > 0)
		c->spare_all--;
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

static void
put_spare(struct msg_out *m, enum msg_field field, struct queue_id id)
{
	char text[QUEUE_ID_TEXT];

	queue_id_text(id, text);
	msg_put_str(m, field, text);
}

void
spare_answer(struct request **r)
{
	struct conn *c =
	    request_conn(*r) != NULL ? conn_of(request_conn(*r)) : NULL;
	struct msg_out m;

	request_begin(*r, &m, MSG_OK);
	while (c != NULL && c->spare_count > 0)
		put_spare(&m, F_SPARE, c->spares[--c->spare_count]);
	while (c != NULL && c->long_told < c->long_count)
		put_spare(&m, F_SPARE_LONG, c->long_spares[c->long_told++]);
	request_answer(r, &m);
	msg_out_release(&m);
}
