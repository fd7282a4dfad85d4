/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/settle_steps.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/queue/record.h"
#include "qmgr/reserve.h"
#include "qmgr/segments.h"

/* ---- steps in a thread ---- */
static enum rcpt_state
mark_of(const struct rcpt *r)
{
	return r->action == RCPT_SENT ? RCPT_DONE : RCPT_BOUNCED;
}

static int
make_file(struct message *m, bool marks, struct err *e)
{
	if (queue_rebuild(m->q->queue, &m->seg->file, m->seg_at, m->sched.id,
		marks, e) != 0)
		return -1;
	m->made |= m->unfiled;
	m->unfiled = false;
	return 0;
}

int
settle_file(struct message *m, struct err *e)
{
	return m->unfiled ? make_file(m, false, e) : 0;
}

/* A message of which the acceptor told all was not opened yet. */
static int
open_to_write(struct message *m)
{
	if (settle_file(m, &m->e) != 0)
		return -1;
	return m->open->fd >= 0 ? 0 :
	    queue_open_file(m->q->queue, m->dir, m->sched.id, O_RDWR,
		&m->open->fd, &m->e);
}

/* Marks all of m->writing. */
static int
write_marks(struct message *m)
{
	if (!list_empty(&m->writing) && open_to_write(m) != 0)
		return -1;
	LIST_EACH(&m->writing, link)
	{
		const struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		if (queue_mark_at(
			m->open->fd, r->mark_at, mark_of(r), &m->e) != 0)
			return -1;
	}
	return 0;
}

static void
run_marks(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = write_marks(m) != 0;
}

/* The last close of a file that is gone gives its blocks back, which takes a
 * while: not on the loop. */
static void
close_files(struct message *m)
{
	if (m->read_fd >= 0)
		close(m->read_fd);
	m->read_fd = -1;
	if (m->open->fd >= 0)
		close(m->open->fd);
	m->open->fd = -1;
}

/* An unfiled message is gone with its record. */
static int
remove_file(struct message *m, struct err *e)
{
	return m->unfiled ? 0 :
	    queue_remove(m->q->queue, m->sched.id, m->dir, e);
}

static void
run_remove(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = remove_file(m, &m->e) != 0;
	if (!m->step_failed)
		close_files(m);
}

/* Somebody is told that it is gone for good. */
static void
run_delete(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = queue_remove_synced(m->q->queue, m->sched.id, m->dir,
			     &m->e) != 0;
	if (!m->step_failed)
		close_files(m);
}

static void
run_corrupt(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = queue_move(m->q->queue, m->sched.id, m->dir,
			     QUEUE_CORRUPT, &m->e) != 0;
}

/* Its file is gone or damaged, and was never sealed: its record has it. */
static void
run_rebuild(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = make_file(m, true, &m->e) != 0;
}

static void
run_check(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);
	struct queue_message *open;

	m->step_failed = settle_file(m, &m->e) != 0 ||
			 queue_message_open(m->q->queue, m->dir, m->sched.id,
			     O_RDONLY, true, &open, &m->e) != 0;
	if (!m->step_failed)
		queue_message_close(&open);
}

/* The same with a record in the journal. */
static void
step_remove(struct journal_step *s)
{
	struct message *m = CONTAINER_OF(s, struct message, step);

	m->spare = m->spare && queue_spare_make(m->q->queue, m->dir,
				   m->sched.id, &s->e) == 0;
	s->failed = !m->spare && remove_file(m, &s->e) != 0;
	if (!s->failed)
		close_files(m);
}

static void
step_marks(struct journal_step *s)
{
	struct message *m = CONTAINER_OF(s, struct message, step);

	s->failed = write_marks(m) != 0;
	s->e = m->e;
}

/* May be called again when it failed in between. */
static int
move_to_deferred(struct message *m)
{
	if (m->dir != QUEUE_DEFERRED) {
		if (queue_rename(m->q->queue, m->sched.id, m->dir,
			QUEUE_DEFERRED, &m->e) != 0)
			return -1;
		m->dir = QUEUE_DEFERRED;
		m->moved = true;
	}
	if (m->moved && queue_sync(m->q->queue, QUEUE_DEFERRED, m->sched.id,
			    &m->e) != 0)
		return -1;
	m->moved = false;
	return 0;
}

int
settle_renew(struct message *m, struct err *e)
{
	int fd;

	if (make_file(m, true, e) != 0)
		return -1;
	if (m->open == NULL || m->open->fd < 0)
		return 0;
	/* Marks go into the new one. */
	if (queue_open_file(m->q->queue, QUEUE_INCOMING, m->sched.id, O_RDWR,
		&fd, e) != 0)
		return -1;
	BUG_ON(dup3(fd, m->open->fd, O_CLOEXEC) < 0);
	close(fd);
	return 0;
}

static int
make_sure(struct message *m)
{
	return m->unsure && m->dir == QUEUE_INCOMING ? settle_renew(m, &m->e) :
						       0;
}

static int
flush_unsealed(struct message *m)
{
	if (m->dir != QUEUE_INCOMING)
		return 0;
	m->unsure = queue_message_sync(m->open, &m->e) != 0;
	return m->unsure ? -1 : 0;
}

/* Marks, notes, and the move to where it waits: sealed. */
static void
run_defer(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = make_sure(m) != 0 || open_to_write(m) != 0 ||
			 write_marks(m) != 0 ||
			 queue_message_notes(m->open, m->notes, m->note_count,
			     m->next_try_s, &m->e) != 0 ||
			 flush_unsealed(m) != 0 || move_to_deferred(m) != 0;
}

/* ---- and back on the loop ---- */
static void
submit(struct message *m, enum work_pool pool, work_fn run, work_fn done)
{
	m->busy = true;
	m->emptied = reserve_emptied(m->q);
	m->work = (struct work){ .run = run, .done = done };
	work_submit(m->q->loop, pool, &m->work);
}

static void
take_list(struct list *to, struct list *from)
{
	struct list *link;

	while ((link = list_first(from)) != NULL) {
		list_remove(link);
		list_push(to, link);
	}
}

uint32_t
settle_count(struct list *l)
{
	uint32_t n = 0;

	LIST_EACH(l, link)
	n++;
	return n;
}

static void
free_list(struct list *l)
{
	struct list *link;

	while ((link = list_first(l)) != NULL)
		rcpt_written(CONTAINER_OF(link, struct rcpt, link));
}

void
message_stick(struct message *m, const struct err *e)
{
	m->stuck = true;
	if (!reserve_use(m->q, e, m->emptied) && !timer_active(m->q->stuck))
		timer_start(m->q->stuck, SETTLE_AGAIN_MS);
}

/* The disk does not take it: all stays in memory, and is tried again. */
static void
step_again(struct message *m)
{
	log_warning(&m->log, "%s", m->e.text);
	take_list(&m->sent, &m->writing);
	message_stick(m, &m->e);
}

void
qmgr_unstick(void *arg)
{
	struct qmgr *q = arg;
	struct sched_message *sm;
	struct table_iter it;
	struct list all;

	list_init(&all);
	scheduler_each(q->sched, &it);
	while ((sm = scheduler_each_next(q->sched, &it)) != NULL) {
		struct message *m = CONTAINER_OF(sm, struct message, sched);

		if (m->stuck)
			list_push(&all, &m->stuck_link);
	}
	while (!list_empty(&all)) {
		struct message *m =
		    CONTAINER_OF(list_first(&all), struct message, stuck_link);

		list_remove(&m->stuck_link);
		m->stuck = false;
		message_step(m);
	}
}

static void
marks_over(struct message *m)
{
	if (m->step_failed) {
		step_again(m);
	} else {
		m->done_count += settle_count(&m->writing);
		free_list(&m->writing);
	}
	message_idle(m);
}

static void
marks_done(struct work *work)
{
	marks_over(CONTAINER_OF(work, struct message, work));
}

static void
remove_over(struct message *m)
{
	m->busy = false;
	if (m->step_failed) {
		step_again(m);
		return;
	}
	free_list(&m->writing);
	free_list(&m->deferred);
	log_info(&m->log, "removed");
	log_event(&m->log, "queue", "removed");
	edit_gone(m, true);
	message_forget(m);
}

static void
remove_done(struct work *work)
{
	remove_over(CONTAINER_OF(work, struct message, work));
}

static struct message *
step_result(struct journal_step *s)
{
	struct message *m = CONTAINER_OF(s, struct message, step);

	m->step_failed = s->failed;
	m->e = s->e;
	return m;
}

static void
step_remove_done(struct journal_step *s)
{
	struct message *m = step_result(s);

	if (m->spare)
		spare_made(m);
	else if (!m->step_failed && m->e.text[0] != '\0')
		log_warning(&m->log, "%s", m->e.text);
	remove_over(m);
}

static void
step_marks_done(struct journal_step *s)
{
	marks_over(step_result(s));
}

static void
corrupt_done(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->busy = false;
	if (m->step_failed)
		log_warning(&m->log, "%s", m->e.text);
	else
		log_warning(&m->log, "damaged: moved to corrupt/");
	if (m->step_failed && reserve_wanted(&m->e)) {
		message_stick(m, &m->e);
		return;
	}
	edit_gone(m, false);
	message_forget(m);
}

static void
defer_done(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);
	struct qmgr *q = m->q;

	m->busy = false;
	mem_free(m->notes);
	m->notes = NULL;
	if (m->step_failed) {
		step_again(m);
		return;
	}
	segment_left(m);
	free_list(&m->writing);
	free_list(&m->deferred);
	m->forced = m->flushed;
	m->flushed = false;
	message_close(m);
	scheduler_wait(q->sched, &m->sched,
	    m->forced ? 0 :
			due_of_wall(q, (uint64_t)m->next_try_s * 1000));
	edit_ready(m);
	qmgr_pump_soon(q);
}

/* ---- what is asked for ---- */
static int
by_index(const void *a, const void *b)
{
	const struct queue_note *x = a, *y = b;

	return x->rcpt_index < y->rcpt_index ? -1
					     : x->rcpt_index > y->rcpt_index;
}

static void
make_notes(struct message *m)
{
	size_t n = 0;

	m->note_count = settle_count(&m->deferred);
	m->notes = mem_alloc((m->note_count + 1) * sizeof(*m->notes));
	LIST_EACH(&m->deferred, link)
	{
		const struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		m->notes[n++] = (struct queue_note){
			.rcpt_index = r->index,
			.at_us = r->at_us,
			.dsn = span_str(r->dsn),
			.reason = span_str(r->text),
			.remote = span_str(r->remote),
		};
	}
	qsort(m->notes, m->note_count, sizeof(*m->notes), by_index);
}

static int64_t
next_try_s(const struct message *m)
{
	const struct qmgr_conf *c = m->q->conf;
	const uint64_t now = wall_ms();

	if (message_unreleased(m))
		return m->open->env.release_at_s;
	if (m->retry_now || m->edit == EDIT_REQUEUE)
		return (int64_t)(now / 1000);
	return (int64_t)(scheduler_backoff(now,
			     (uint64_t)queue_id_us(m->sched.id) / 1000,
			     (uint64_t)c->minimal_backoff_time,
			     (uint64_t)c->maximal_backoff_time) /
			 1000);
}

static void
submit_step(struct message *m, enum journal_type type,
    void (*run)(struct journal_step *), void (*done)(struct journal_step *))
{
	m->busy = true;
	m->emptied = reserve_emptied(m->q);
	m->step = (struct journal_step){
		.type = type,
		.id = m->sched.id,
		.run = run,
		.done = done,
		/* Somebody waits for it; or (spares.c). */
		.flush = m->edit == EDIT_DELETE ||
			 (m->spare && m->dir != QUEUE_INCOMING),
	};
	buf_init(&m->step.data, JOURNAL_MARK * LIMIT_RCPT);
	LIST_EACH(&m->writing, link)
	{
		const struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		if (type != JOURNAL_DONE)
			break;
		journal_mark_put(&m->step.data,
		    (struct journal_mark){ r->index,
			record_mark_byte(mark_of(r)) });
	}
	journal_add(m->q->journal, &m->step);
}

void
settle_remove(struct message *m)
{
	/* Marks are not worth a write to a file that goes. */
	take_list(&m->writing, &m->sent);
	m->spare = m->q->journal != NULL && spare_wanted(m);
	if (m->q->journal != NULL)
		submit_step(m, JOURNAL_REMOVED, step_remove, step_remove_done);
	else
		submit(m, WORK_NAME,
		    m->edit == EDIT_DELETE ? run_delete : run_remove,
		    remove_done);
}

void
settle_marks(struct message *m)
{
	take_list(&m->writing, &m->sent);
	if (m->q->journal != NULL)
		submit_step(m, JOURNAL_DONE, step_marks, step_marks_done);
	else
		submit(m, WORK_OTHER, run_marks, marks_done);
}

void
settle_defer(struct message *m)
{
	make_notes(m);
	m->next_try_s = next_try_s(m);
	take_list(&m->writing, &m->sent);
	submit(m, WORK_FLUSH, run_defer, defer_done);
}

void
settle_wait(struct message *m, uint64_t due_ms)
{
	struct qmgr *q = m->q;

	m->forced = false;
	message_close(m);
	scheduler_wait(m->q->sched, &m->sched, due_ms);
	edit_ready(m);
	qmgr_pump_soon(q);
}

static void
rebuild_done(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);
	uint64_t later = (uint64_t)m->q->conf->minimal_backoff_time;

	m->busy = false;
	if (m->step_failed && reserve_wanted(&m->e)) {
		reserve_use(m->q, &m->e, m->emptied);
		later = SETTLE_AGAIN_MS;
	}
	if (m->step_failed)
		log_warning(&m->log, "%s", m->e.text);
	else
		log_info(&m->log, "made anew from the journal");
	m->rebuilt = !m->step_failed;
	settle_wait(m, now_ms() + (m->step_failed ? later : 0));
}

void
settle_rebuild(struct message *m)
{
	free_list(&m->deferred);
	submit(m, WORK_OTHER, run_rebuild, rebuild_done);
}

static void
check_done(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->suspect = false;
	if (m->step_failed)
		log_warning(&m->log, "%s", m->e.text);
	else
		log_warning(&m->log, "damaged for an agent, but not here");
	/* What can't be read now is tried again with the rest. */
	if (m->step_failed && m->e.kind == ERR_PERM)
		m->verdict = VERDICT_CORRUPT;
	message_idle(m);
}

void
settle_check(struct message *m)
{
	submit(m, WORK_OTHER, run_check, check_done);
}

void
settle_corrupt(struct message *m)
{
	free_list(&m->sent);
	free_list(&m->deferred);
	submit(m, WORK_NAME, run_corrupt, corrupt_done);
}
