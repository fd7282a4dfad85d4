/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr.h"

#include <fcntl.h>
#include <stdlib.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/queue/record.h"
#include "qmgr/agents.h"
#include "qmgr/segments.h"

/*
 * What the results of a round do to a message. Sent and bounced recipients
 * are marked in the file; when the round is over the failures become a
 * bounce, the deferred ones notes, and the file is removed, or moved to where
 * it waits.
 */

enum {
	BOUNCE_EARLY = 500,  /* failures that need not wait for the rest */
	AGAIN_MS = 3 * 1000, /* after a step on the file that failed */
};

/* ---- results ---- */
static char *
keep(struct span s)
{
	return span_dup(span_slice(s, 0, AGENT_TEXT));
}

void
message_result(struct message *m, struct rcpt *r, const struct rcpt_result *res)
{
	list_remove(&r->link);
	r->action = res->action;
	r->dsn = keep(res->dsn);
	r->text = keep(res->text);
	r->remote = keep(res->remote);
	r->diagnostic = keep(res->diagnostic);
	r->at_us = clock_wall_us();
	switch (r->action) {
	case RCPT_SENT:
		if (wants_success(m, r) && !res->passed_on) {
			list_push(&m->told, &r->link);
			m->told_count++;
			return;
		}
		list_push(&m->sent, &r->link);
		return;
	case RCPT_DEFERRED:
		list_push(&m->deferred, &r->link);
		/* Losing it costs but an early try: nobody waits for it. */
		delivery_release(r);
		return;
	case RCPT_FAILED:
		list_push(&m->failed, &r->link);
		m->failed_count++;
		return;
	}
	BUG_ON(true);
}

static void
log_own(const struct message *m, const struct rcpt *r, const char *status)
{
	delivery_log(&(struct delivery_facts){
	    .log = &m->log,
	    .to = r->address,
	    .orig_to = r->orig_address,
	    .arrival_us = queue_id_us(m->sched.id),
	    .active_us = m->active_us,
	    .now_us = clock_wall_us(),
	    .dsn = r->dsn,
	    .action = r->action,
	    .status = status,
	    .text = span_str(r->text),
	});
}

void
message_result_own(struct message *m, struct rcpt *r, enum rcpt_action action,
    const char *dsn, const char *text)
{
	message_result(m, r,
	    &(struct rcpt_result){ .action = action,
		.dsn = span_str(dsn),
		.text = span_str(text) });
	log_own(m, r, NULL);
}

void
rcpt_written(struct rcpt *r)
{
	delivery_release(r);
	rcpt_free(r);
}

/* ---- steps in a thread ---- */
static enum rcpt_state
mark_of(const struct rcpt *r)
{
	return r->action == RCPT_SENT ? RCPT_DONE : RCPT_BOUNCED;
}

/* A message of which the acceptor told all was not opened yet. */
static int
open_to_write(struct message *m)
{
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

static void
run_remove(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed =
	    queue_remove(m->q->queue, m->sched.id, m->dir, &m->e) != 0;
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

	m->step_failed = queue_rebuild(m->q->queue, &m->seg->file, m->seg_at,
			     m->sched.id, &m->e) != 0;
}

/* The same with a record in the journal. */
static void
step_remove(struct journal_step *s)
{
	struct message *m = CONTAINER_OF(s, struct message, step);

	m->spare = m->spare && queue_spare_make(m->q->queue, m->sched.id,
				   &s->e) == 0;
	s->failed = !m->spare && queue_remove(m->q->queue, m->sched.id, m->dir,
				     &s->e) != 0;
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

/* Marks, notes, and the move to where it waits: sealed. */
static void
run_defer(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	m->step_failed = open_to_write(m) != 0 || write_marks(m) != 0 ||
			 queue_message_notes(m->open, m->notes, m->note_count,
			     m->next_try_s, &m->e) != 0 ||
			 (m->dir == QUEUE_INCOMING &&
			     queue_message_sync(m->open, &m->e) != 0) ||
			 move_to_deferred(m) != 0;
}

/* ---- and back on the loop ---- */
static void
submit(struct message *m, enum work_pool pool, work_fn run, work_fn done)
{
	m->busy = true;
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

static uint32_t
count(struct list *l)
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

/* The disk does not take it: all stays in memory, and is tried again. */
static void
step_again(struct message *m)
{
	log_warning(&m->log, "%s", m->e.text);
	take_list(&m->sent, &m->writing);
	m->stuck = true;
	if (!timer_active(m->q->stuck))
		timer_start(m->q->stuck, AGAIN_MS);
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
		m->done_count += count(&m->writing);
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
	edit_gone(m);
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
	edit_gone(m);
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

/* ---- the end of a round ---- */
int64_t
message_begin_us(const struct message *m)
{
	const int64_t released_us = m->open->env.release_at_s * 1000000;
	const int64_t arrived_us = queue_id_us(m->sched.id);

	return arrived_us > released_us ? arrived_us : released_us;
}

static bool
too_old(const struct message *m)
{
	const struct qmgr_conf *c = m->q->conf;
	const int64_t age_ms = (clock_wall_us() - message_begin_us(m)) / 1000;

	return age_ms > (m->open->env.sender.n > 0 ? c->maximal_queue_lifetime
						   : c->bounce_queue_lifetime);
}

/* What was deferred once more, after its time, fails. */
static void
expire(struct message *m)
{
	struct list *link;

	log_info(&m->log, "from=<%s>, status=%s, returned to sender",
	    log_quote(m->open->env.sender, LIMIT_ADDRESS),
	    m->expire ? "force-expired" : "expired");
	m->expire = false;
	while ((link = list_first(&m->deferred)) != NULL) {
		struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		list_remove(link);
		r->action = RCPT_FAILED;
		if (r->dsn[0] == '4')
			r->dsn[0] = '5';
		list_push(&m->failed, link);
		m->failed_count++;
	}
}

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

	m->note_count = count(&m->deferred);
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
	m->step = (struct journal_step){
		.type = type,
		.id = m->sched.id,
		.run = run,
		.done = done,
		/* Somebody waits for it. */
		.flush = m->edit == EDIT_DELETE,
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

static void
start_remove(struct message *m)
{
	/* Marks are not worth a write to a file that goes. */
	take_list(&m->writing, &m->sent);
	m->spare = m->q->journal != NULL && spare_wanted(m);
	if (m->q->journal != NULL)
		submit_step(m, JOURNAL_REMOVED, step_remove, step_remove_done);
	else
		submit(m, WORK_NAME, run_remove, remove_done);
}

static void
start_marks(struct message *m)
{
	take_list(&m->writing, &m->sent);
	if (m->q->journal != NULL)
		submit_step(m, JOURNAL_DONE, step_marks, step_marks_done);
	else
		submit(m, WORK_OTHER, run_marks, marks_done);
}

static void
start_defer(struct message *m)
{
	make_notes(m);
	m->next_try_s = next_try_s(m);
	take_list(&m->writing, &m->sent);
	submit(m, WORK_FLUSH, run_defer, defer_done);
}

static void
wait_again(struct message *m, uint64_t due_ms)
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
	const uint64_t later = (uint64_t)m->q->conf->minimal_backoff_time;

	m->busy = false;
	if (m->step_failed)
		log_warning(&m->log, "%s", m->e.text);
	else
		log_info(&m->log, "made anew from the journal");
	m->rebuilt = !m->step_failed;
	wait_again(m, now_ms() + (m->step_failed ? later : 0));
}

static bool
can_rebuild(const struct message *m)
{
	return m->dir == QUEUE_INCOMING && m->seg != NULL && !m->rebuilt &&
	       m->edit == EDIT_NONE;
}

/* All recipients have their results, the failed ones their bounce. */
static void
finish(struct message *m)
{
	const bool whole =
	    m->open != NULL && m->edit == EDIT_NONE &&
	    list_empty(&m->deferred) &&
	    m->done_count + count(&m->sent) == m->open->rcpt_count;

	switch (m->verdict) {
	case VERDICT_NONE:
	case VERDICT_RETRY:
		break;
	case VERDICT_GONE:
		if (can_rebuild(m)) {
			submit(m, WORK_OTHER, run_rebuild, rebuild_done);
			return;
		}
		edit_gone(m);
		message_forget(m);
		return;
	case VERDICT_CORRUPT:
		if (can_rebuild(m) && list_empty(&m->sent) &&
		    list_empty(&m->deferred)) {
			submit(m, WORK_OTHER, run_rebuild, rebuild_done);
			return;
		}
		free_list(&m->sent);
		free_list(&m->deferred);
		submit(m, WORK_NAME, run_corrupt, corrupt_done);
		return;
	case VERDICT_LATER:
		if (m->dir != QUEUE_DEFERRED && message_unreleased(m)) {
			start_defer(m);
			return;
		}
		wait_again(
		    m, due_of_wall(m->q, (uint64_t)(message_unreleased(m)
				? m->open->env.release_at_s
				: m->open->next_try_s) * 1000));
		return;
	}
	if (m->open == NULL)
		wait_again(
		    m, now_ms() + (uint64_t)m->q->conf->minimal_backoff_time);
	else if (whole || m->edit == EDIT_DELETE)
		start_remove(m);
	else if (m->q->journal != NULL && !list_empty(&m->sent))
		start_marks(m); /* their record comes first */
	else
		start_defer(m);
}

void
message_step(struct message *m)
{
	const bool over = m->sched.state == SCHED_DONE && list_empty(&m->held);

	if (m->busy || m->stuck)
		return;
	if ((m->failed_count > 0 || m->told_count > 0) &&
	    (over || m->failed_count + m->told_count >= BOUNCE_EARLY)) {
		message_bounce(m);
		return;
	}
	if (over && m->edit == EDIT_NONE && !list_empty(&m->deferred) &&
	    (m->expire || too_old(m))) {
		expire(m);
		message_bounce(m);
		return;
	}
	if (over && m->edit == EDIT_NONE && message_warning_due(m)) {
		message_warn(m);
		return;
	}
	if (over) {
		finish(m);
	} else if (!list_empty(&m->sent)) {
		start_marks(m);
	}
}
