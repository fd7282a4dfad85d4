/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/segments.h"

#include "lib/base/mem.h"
#include "qmgr/seal.h"

/*
 * Checkpoints: the messages whose records are in a segment are sealed or
 * finished, then its mark moves on; and the end of a segment's use.
 */

enum {
	CHECK_MS = 5000, /* at the latest after its oldest record */
	RETRY_MS = 1000, /* when the disk did not take it */
};

/* ---- the end ---- */
static void
run_remove(struct work *work)
{
	struct journal_segment *s =
	    CONTAINER_OF(work, struct journal_segment, work);

	s->failed = segment_remove(
			s->q->queue, s->file.head.number, &s->e) != 0;
}

static void
remove_done(struct work *work)
{
	struct journal_segment *s =
	    CONTAINER_OF(work, struct journal_segment, work);

	if (s->failed) {
		log_warning(NULL, "journal segment %lu: %s",
		    (unsigned long)s->file.head.number, s->e.text);
		s->asking = false;
		s->retry_ms = now_ms() + RETRY_MS;
		return;
	}
	log_info(NULL, "journal segment %lu is not used again",
	    (unsigned long)s->file.head.number);
	segment_drop(s);
}

void
segment_release(struct journal_segment *s)
{
	s->owner = NULL;
	if (!s->bad) {
		s->free = true;
		return;
	}
	/* A disk that refused once says no more what it has of it. */
	s->asking = true;
	s->work = (struct work){ .run = run_remove, .done = remove_done };
	work_submit(s->q->loop, WORK_NAME, &s->work);
}

/* ---- checkpoints ---- */
void
segment_left(struct message *m)
{
	struct journal_segment *s = m->seg;

	list_remove(&m->seg_link);
	m->seg = NULL;
	message_drop_head(m);
	if (s != NULL && s->checking)
		segment_go_on(s);
}

static void
run_mark(struct work *work)
{
	struct journal_segment *s =
	    CONTAINER_OF(work, struct journal_segment, work);

	s->failed = segment_head(&s->next, &s->e) != 0;
}

static void
mark_done(struct work *work)
{
	struct journal_segment *s =
	    CONTAINER_OF(work, struct journal_segment, work);

	s->heading = s->checking = false;
	if (s->failed) {
		log_warning(NULL, "journal segment %lu: %s",
		    (unsigned long)s->file.head.number, s->e.text);
		/* Its next head has another sequence number all the same. */
		s->file.head.sequence = s->next.head.sequence;
		s->bad = true;
		s->retry_ms = now_ms() + RETRY_MS;
		return;
	}
	/* What does not change threads may be reading. */
	s->file.head.sequence = s->next.head.sequence;
	s->file.head.mark = s->next.head.mark;
	s->file.head.bound_us = s->next.head.bound_us;
	segment_go_on(s);
}

static void
move_mark(struct journal_segment *s)
{
	s->heading = true;
	s->next = s->file;
	s->next.head.mark = s->target;
	s->next.head.bound_us = (uint64_t)s->q->bound_us;
	s->work = (struct work){ .run = run_mark, .done = mark_done };
	work_submit(s->q->loop, WORK_FLUSH, &s->work);
}

/* Are all before the target sealed or finished? Those that are not, and that
 * nobody is busy with, are sealed. */
static bool
seal_rest(struct journal_segment *s)
{
	struct seal_batch *b = NULL;
	bool done = s->holds == 0;

	LIST_EACH(&s->live, link)
	{
		struct message *m =
		    CONTAINER_OF(link, struct message, seg_link);

		if (m->seg_at >= s->target)
			continue;
		done = false;
		if (!m->busy)
			seal_add(s->q, &b, m);
	}
	seal_start(&b);
	return done;
}

void
segment_go_on(struct journal_segment *s)
{
	const uint64_t now = now_ms();

	if (s->free || s->asking || s->heading || now < s->retry_ms ||
	    s->file.head.owner == JOURNAL_QMGR)
		return;
	if (!s->checking && s->told > s->file.head.mark &&
	    (s->over || now >= s->oldest_ms + CHECK_MS)) {
		s->checking = true;
		s->target = s->told;
		s->oldest_ms = 0;
	}
	if (s->checking) {
		if (seal_rest(s))
			move_mark(s);
		return;
	}
	if (s->over && !s->scanning && s->told == s->file.head.mark)
		segment_release(s);
}
