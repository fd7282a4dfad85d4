/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/journal.h"

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "qmgr/segments.h"

enum {
	FLUSH_MS = 30, /* after the first record; 50 are promised */
	RETRY_MS = 1000,
	WRITE_MAX = 1 << 20, /* bytes of one write */
	LOOK_MS = 1000,
};

struct journal {
	struct qmgr *q;
	struct journal_segment *now; /* NULL: none yet */
	uint64_t at;		     /* where the next record goes */
	bool asked;
	struct timer *again;
	struct list waiting, running; /* struct journal_step */
	/* between thread and loop */
	struct work work;
	bool busy;
	uint64_t generation;
	struct segment file;
	struct buf records;
	size_t carried; /* of them, those of the segment before */
	bool flush, broken;
	struct err e;
	/* the flush that nobody waits for */
	struct timer *flush_timer;
	uint64_t oldest_ms; /* of the records behind flush_to; 0: none */
	uint64_t write_ms;  /* when the write under way began */
	struct work flush_work;
	bool flushing, flush_failed;
	struct journal_segment *flush_of; /* of which segment */
	uint64_t flush_generation;
	struct err flush_e;
	uint64_t flushed; /* all before this place is durable, */
	uint64_t flush_to;
	struct buf kept; /* and what stands behind, as it was written */
	/* release of old segments */
	struct timer *look;
	struct work sync_work;
	bool syncing, sync_failed;
	struct err sync_e;
};

static void change_segment(struct journal *j);
static void start_write(struct journal *j);

/* ---- a segment of our own ---- */
static void
on_again(void *arg)
{
	struct journal *j = arg;

	if (j->now == NULL)
		change_segment(j);
}

/* What was written to the last one and is not known to be durable stands in
 * the new one too. */
static void
write_again(struct journal *j)
{
	struct span rest = buf_span(&j->kept);
	struct journal_record r;
	uint64_t at = j->flushed;
	size_t used;

	while (rest.n > 0 && journal_record_get(rest, j->generation, at, &r,
				 &used) == PARSE_OK) {
		journal_record_put(&j->records, &r,
		    j->now->file.head.generation, j->at + j->records.n);
		rest = span_skip(rest, used);
		at += used;
	}
}

static void
segment_came(
    void *arg, struct journal_segment *s, int fd, const struct err *e)
{
	struct journal *j = arg;

	(void)fd;
	j->asked = false;
	if (e != NULL) {
		log_warning(NULL, "the queue manager's journal: %s", e->text);
		timer_start(j->again, RETRY_MS);
		return;
	}
	j->now = s;
	j->at = JOURNAL_RECORDS;
	buf_reset(&j->records);
	write_again(j);
	j->carried = j->records.n;
	j->generation = s->file.head.generation;
	j->flushed = JOURNAL_RECORDS;
	buf_reset(&j->kept);
	start_write(j);
}

/* Nothing more goes into this one. */
static void
change_segment(struct journal *j)
{
	struct journal_segment *s = j->now;

	if (s != NULL) {
		s->over = true;
		s->told = j->at;
	}
	j->now = NULL;
	if (j->asked)
		return;
	j->asked = true;
	segment_acquire(j->q, JOURNAL_QMGR, segment_came, j);
}

/* ---- records, in a thread ---- */
static void
run_write(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, work);

	if ((j->records.n > 0 &&
		fs_pwrite(j->file.fd, buf_span(&j->records), (off_t)j->at,
		    &j->e) != 0) ||
	    (j->flush && fs_datasync(j->file.fd, &j->e) != 0)) {
		j->broken = true;
		LIST_EACH(&j->running, link)
		{
			struct journal_step *s =
			    CONTAINER_OF(link, struct journal_step, link);

			s->failed = true;
			s->e = j->e;
		}
		return;
	}
	LIST_EACH(&j->running, link)
	{
		struct journal_step *s =
		    CONTAINER_OF(link, struct journal_step, link);

		s->failed = false;
		s->run(s);
	}
}

/* ---- on the loop ---- */
static void plan_flush(struct journal *j);

static void
steps_over(struct journal *j)
{
	struct list over, *link;

	list_init(&over);
	while ((link = list_first(&j->running)) != NULL) {
		list_remove(link);
		list_push(&over, link);
	}
	start_write(j);
	while ((link = list_first(&over)) != NULL) {
		struct journal_step *s =
		    CONTAINER_OF(link, struct journal_step, link);

		list_remove(link);
		buf_release(&s->data);
		s->done(s);
	}
}

static void
write_done(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, work);

	j->busy = false;
	if (j->broken) {
		/* The steps are tried again by their owners. */
		log_warning(
		    NULL, "the queue manager's journal: %s", j->e.text);
		buf_add(&j->kept,
		    span_slice(buf_span(&j->records), 0, j->carried));
		buf_reset(&j->records);
		j->carried = 0;
		j->broken = false;
		j->now->bad = true;
		change_segment(j);
		steps_over(j);
		return;
	}
	j->carried = 0;
	buf_add(&j->kept, buf_span(&j->records));
	j->at += j->records.n;
	buf_reset(&j->records);
	if (j->oldest_ms == 0)
		j->oldest_ms = j->write_ms;
	if (j->now->bad)
		change_segment(j);
	plan_flush(j);
	steps_over(j);
}

static void
compose(struct journal *j)
{
	struct list *link;

	j->flush = false;
	while ((link = list_first(&j->waiting)) != NULL &&
	       j->records.n < WRITE_MAX) {
		struct journal_step *s =
		    CONTAINER_OF(link, struct journal_step, link);
		const struct journal_record r = { s->type, s->id,
			buf_span(&s->data) };

		if (j->at + j->records.n + journal_record_size(r.data.n) >
		    j->now->file.head.size)
			break;
		journal_record_put(&j->records, &r,
		    j->now->file.head.generation, j->at + j->records.n);
		j->flush |= s->flush;
		list_remove(link);
		list_push(&j->running, link);
	}
}

static void
start_write(struct journal *j)
{
	if (j->busy || (list_empty(&j->waiting) && j->records.n == 0))
		return;
	if (j->now != NULL)
		compose(j);
	if (j->now == NULL || j->records.n == 0) {
		/* What was written is flushed before it is left. */
		if (!j->flushing && !timer_active(j->again))
			change_segment(j);
		return;
	}
	j->busy = true;
	j->write_ms = now_ms();
	j->file = j->now->file;
	j->work = (struct work){ .run = run_write, .done = write_done };
	work_submit(j->q->loop, WORK_NAME, &j->work);
}

void
journal_add(struct journal *j, struct journal_step *s)
{
	list_init(&s->link);
	list_push(&j->waiting, &s->link);
	start_write(j);
}

/* ---- the flush ---- */
/* In time for the oldest record that no flush is under way for. */
static void
plan_flush(struct journal *j)
{
	const uint64_t due = j->oldest_ms + FLUSH_MS, now = now_ms();

	if (j->oldest_ms != 0 && !j->flushing && !timer_active(j->flush_timer))
		timer_start(j->flush_timer, due > now ? due - now : 0);
}

static void
run_flush(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, flush_work);

	j->flush_failed = fs_datasync(j->flush_of->file.fd, &j->flush_e) != 0;
}

static void
flush_done(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, flush_work);

	j->flushing = false;
	j->flush_of->bad |= j->flush_failed;
	if (j->flush_generation != j->generation) {
		/* All of it stands in another segment now. */
		plan_flush(j);
		start_write(j);
		return;
	}
	/* What the disk has of it is not known, even if this flush went well
	 * after another one: all of it goes into a new segment. */
	if (j->flush_of->bad) {
		if (j->flush_failed)
			log_warning(NULL, "the queue manager's journal: %s",
			    j->flush_e.text);
		if (!j->busy && j->now == j->flush_of)
			change_segment(j);
		return;
	}
	buf_consume(&j->kept, (size_t)(j->flush_to - j->flushed));
	j->flushed = j->flush_to;
	plan_flush(j);
	start_write(j);
}

static void
on_flush_timer(void *arg)
{
	struct journal *j = arg;

	if (j->now == NULL || j->flushing)
		return;
	j->flushing = true;
	j->oldest_ms = 0;
	j->flush_to = j->at;
	j->flush_of = j->now;
	j->flush_generation = j->generation;
	j->flush_work = (struct work){ .run = run_flush, .done = flush_done };
	work_submit(j->q->loop, WORK_FLUSH, &j->flush_work);
}

/* ---- old segments ---- */
/* Of qmgr's own and full, or of an earlier qmgr. */
static bool
is_old(const struct journal *j, const struct journal_segment *s)
{
	return s != j->now && !s->free && !s->asking && s->over &&
	       s->file.head.owner == JOURNAL_QMGR &&
	       !(j->flushing && j->flush_of == s);
}

static bool
is_accepting(const struct journal_segment *s)
{
	return !s->free && !s->asking &&
	       s->file.head.owner != JOURNAL_QMGR;
}

/* Notes how far the marks have to come. */
static void
note_needed(struct journal *j)
{
	LIST_EACH(&j->q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		s->needed = is_accepting(s) ? s->told : 0;
		s->needed_generation = s->file.head.generation;
		if (is_old(j, s))
			s->needed = 1;
	}
}

static void
run_sync(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, sync_work);

	j->sync_failed = queue_sync_all(j->q->queue, &j->sync_e) != 0;
}

static void
sync_done(struct work *work)
{
	struct journal *j = CONTAINER_OF(work, struct journal, sync_work);

	j->syncing = false;
	if (j->sync_failed) {
		log_warning(NULL, "the queue manager's journal: %s",
		    j->sync_e.text);
		return;
	}
	LIST_EACH(&j->q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (is_old(j, s) && s->needed == 1)
			segment_release(s);
		s->needed = 0;
	}
	j->q->releasing = false;
}

/* Its records are not needed any more when no accepting segment could bring
 * the messages back, and the unlinks and marks are on the disk. */
static void
on_look(void *arg)
{
	struct journal *j = arg;
	bool old = false, ready = true;

	timer_start(j->look, LOOK_MS);
	if (j->syncing)
		return;
	LIST_EACH(&j->q->segments, link)
	{
		const struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		old |= is_old(j, s);
		if (is_accepting(s) && s->needed > s->file.head.mark &&
		    s->needed_generation == s->file.head.generation)
			ready = false;
	}
	if (!old)
		return;
	if (!j->q->releasing) {
		j->q->releasing = true;
		note_needed(j);
		return;
	}
	if (!ready)
		return;
	j->syncing = true;
	j->sync_work = (struct work){ .run = run_sync, .done = sync_done };
	work_submit(j->q->loop, WORK_FLUSH, &j->sync_work);
}

void
journal_start(struct qmgr *q)
{
	struct journal *j = MEM_NEW(j);

	j->q = q;
	q->journal = j;
	list_init(&j->waiting);
	list_init(&j->running);
	buf_init(&j->records, 1 << 26);
	buf_init(&j->kept, 1 << 26);
	j->again = timer_new(q->loop, on_again, j);
	j->flush_timer = timer_new(q->loop, on_flush_timer, j);
	j->look = timer_new(q->loop, on_look, j);
	timer_start(j->look, LOOK_MS);
	change_segment(j);
}
