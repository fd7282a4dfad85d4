/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/writer.h"

#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/queue/record.h"

/*
 * The envelope stays in memory until the commit. A message whose content fits
 * into one chunk is written whole in one step then. A longer one leaves room
 * for the envelope in front of the content: what is known when the first
 * chunk goes out, and some more. Recipients that come later and do not fit
 * there stand behind the content (the "more" section). The head, without
 * which nothing is a queue file, goes last. Then the file is sealed, or, by
 * group commit, its bytes go into the journal; what fits into one chunk gets
 * no file then. Here is what is done on the loop; writer_file.c has the steps
 * on the file.
 */
enum {
	WAITING_BUSY = 1 << 18, /* the caller should pause */
	PLACE_SPARE = 1 << 12,	/* room beyond the envelope known so far */
};

static void
free_writer(struct queue_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	queue_spare_lost(w->q, w->taken);
	buf_release(&w->front);
	buf_release(&w->more);
	buf_release(&w->waiting);
	buf_release(&w->writing);
	buf_release(&w->entry.whole);
	arena_reset(&w->arena);
	mem_free(w);
}

static void
copy_envelope(struct queue_writer *w, const struct queue_envelope *env)
{
	struct span *const copies[] = { &w->env.sender, &w->env.dsn_envid,
		&w->env.encoding, &w->env.client_name, &w->env.client_addr,
		&w->env.helo, &w->env.protocol, &w->env.sasl_user,
		&w->env.sasl_method, &w->env.message_id, &w->env.filter };

	w->env = *env;
	for (size_t i = 0; i < COUNT_OF(copies); i++)
		if (copies[i]->n > 0)
			*copies[i] = arena_dup(&w->arena, *copies[i]);
}

struct queue_writer *
queue_writer_open(struct queue *q, const struct queue_envelope *env)
{
	struct queue_writer *w = MEM_NEW(w);

	BUG_ON(!q->slot_set);
	if (q->group != NULL)
		group_prepare(q->group);
	w->q = q;
	w->fd = -1;
	w->id = queue_id_next(&q->source, clock_wall_us());
	arena_init(&w->arena, RECORD_DATA_MAX);
	buf_init(&w->front, WRITER_ENVELOPE_MAX);
	buf_init(&w->more, WRITER_ENVELOPE_MAX);
	buf_init(&w->waiting, WRITER_WAITING_MAX);
	buf_init(&w->writing, WRITER_WAITING_MAX);
	copy_envelope(w, env);
	return w;
}

struct queue_id
queue_writer_id(const struct queue_writer *w)
{
	return w->id;
}

uint64_t
queue_writer_size(const struct queue_writer *w)
{
	return w->size;
}

struct queue_envelope *
queue_writer_envelope(struct queue_writer *w)
{
	return &w->env;
}

struct span
queue_writer_keep(struct queue_writer *w, struct span bytes)
{
	return arena_dup(&w->arena, bytes);
}

void
queue_writer_message_id(struct queue_writer *w, struct span message_id)
{
	message_id = span_slice(message_id, 0, LIMIT_SMTP_LINE);
	w->env.message_id = arena_dup(&w->arena, message_id);
}

void
queue_writer_rcpt(struct queue_writer *w, const struct queue_rcpt *r)
{
	const size_t before = w->front.n;

	w->rcpt_count++;
	if (w->more.n == 0)
		record_rcpt_put(&w->front, r);
	if (w->more.n > 0 || (w->content_at > 0 && w->front.n > w->front_max)) {
		buf_truncate(&w->front, before);
		record_rcpt_put(&w->more, r);
	}
}

void
queue_writer_clear_rcpts(struct queue_writer *w)
{
	w->rcpt_count = 0;
	buf_reset(&w->front);
	buf_reset(&w->more);
}

/* ---- on the loop ---- */
static void next_step(struct queue_writer *w);

static void
chunk_done(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);
	const queue_ready_fn ready = w->ready;
	void *const arg = w->ready_arg;

	w->busy = false;
	w->ready = NULL;
	next_step(w);
	/* All that waited is on its way, or nothing goes any more. */
	if (ready != NULL)
		ready(arg);
}

/* The commit is over. */
static void
tell(struct queue_writer *w, const struct err *e)
{
	struct queue *q = w->q;

	if (e == NULL)
		q->committed = buf_span(&w->entry.whole);
	queue_spare_lost(q, w->taken);
	w->taken.n = 0;
	w->done(w->done_arg, w->id, e);
	q->committed = SPAN_EMPTY;
	free_writer(w);
}

static void
seal_done(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);

	tell(w, w->failed ? &w->e : NULL);
}

static void
throw_away_done(struct work *work)
{
	free_writer(CONTAINER_OF(work, struct queue_writer, work));
}

static void
submit(struct queue_writer *w, enum work_pool pool, work_fn run, work_fn done)
{
	w->work = (struct work){ .run = run, .done = done };
	w->busy = true;
	if (w->q->loop != NULL) {
		work_submit(w->q->loop, pool, &w->work);
		return;
	}
	run(&w->work);
	done(&w->work);
}

static void
start_chunk(struct queue_writer *w)
{
	const struct buf swap = w->waiting;
	struct buf envelope;

	if (w->content_at == 0) {
		buf_init(&envelope, RECORD_DATA_MAX + RECORD_FRAME);
		record_envelope_put(&envelope, &w->env);
		w->front_max = w->front.n + PLACE_SPARE;
		/* The Message-ID may still come: twice the spare place. */
		w->content_at = (RECORD_HEADER + envelope.n + w->front_max +
				    2 * LIMIT_SMTP_LINE + PLACE_SPARE - 1) /
				PLACE_SPARE * PLACE_SPARE;
		buf_release(&envelope);
		if (w->q->group != NULL)
			w->taken = w->spare = queue_spare_take(w->q);
	}
	w->waiting = w->writing;
	w->writing = swap;
	submit(w, WORK_OTHER, writer_chunk, chunk_done);
}

static void
group_over(struct group_entry *g)
{
	struct queue_writer *w = CONTAINER_OF(g, struct queue_writer, entry);

	if (g->alone) {
		submit(w, WORK_FLUSH, writer_seal, seal_done);
		return;
	}
	tell(w, g->failed ? &g->e : NULL);
}

/* The size of the file that the commit will make. */
static uint64_t
file_size(const struct queue_writer *w)
{
	const uint64_t rest = w->size + w->more.n + RECORD_END;
	struct buf envelope;
	uint64_t size;

	if (w->content_at > 0)
		return w->content_at + rest;
	buf_init(&envelope, RECORD_DATA_MAX + RECORD_FRAME);
	record_envelope_put(&envelope, &w->env);
	size = RECORD_HEADER + envelope.n + w->front.n + rest;
	buf_release(&envelope);
	return size;
}

static void
commit_now(struct queue_writer *w)
{
	struct group *g = w->q->group;
	uint64_t size;

	if (g != NULL && group_refused(g) && !w->q->never_refuse &&
	    !w->failed) {
		w->failed = true;
		err_set(&w->e, ERR_TEMP, "4.3.1", "no free journal segment");
	}
	size = g != NULL && !w->failed && w->env.birth == QUEUE_ACTIVE
		   ? file_size(w)
		   : UINT64_MAX;
	if (size <= GROUP_FILE_MAX) {
		w->entry = (struct group_entry){ .id = w->id,
			.size_max = size,
			.make = writer_make,
			.undo = writer_undo,
			.done = group_over };
		buf_init(&w->entry.whole, GROUP_FILE_MAX);
		if (group_add(g, &w->entry))
			return;
	}
	submit(w, WORK_FLUSH, writer_seal, seal_done);
}

static void
next_step(struct queue_writer *w)
{
	if (w->busy)
		return;
	if (w->aborting) {
		submit(w, WORK_NAME, writer_throw_away, throw_away_done);
		return;
	}
	if (!w->failed && !buf_ok(&w->waiting)) {
		w->failed = true;
		err_set(&w->e, ERR_TEMP, "4.3.0", "queue file: disk too slow");
	}
	if (w->committing)
		commit_now(w);
	else if (!w->failed && w->waiting.n >= WRITER_CHUNK)
		start_chunk(w);
}

void
queue_writer_body(struct queue_writer *w, struct span bytes)
{
	w->size += bytes.n;
	w->crc = crc32c(w->crc, bytes);
	if (!w->busy && w->failed)
		return;
	buf_add(&w->waiting, bytes);
	next_step(w);
}

bool
queue_writer_busy(struct queue_writer *w, queue_ready_fn ready, void *arg)
{
	if (!w->busy || w->waiting.n < WAITING_BUSY)
		return false;
	w->ready = ready;
	w->ready_arg = arg;
	return true;
}

void
queue_writer_commit(
    struct queue_writer **writer, queue_commit_fn done, void *arg)
{
	struct queue_writer *w = *writer;

	BUG_ON(w->q->loop == NULL);
	*writer = NULL;
	w->ready = NULL;
	w->committing = true;
	w->done = done;
	w->done_arg = arg;
	next_step(w);
}

struct sync_result {
	struct queue_id id;
	struct err *e;
	bool failed;
};

static void
sync_done(void *arg, struct queue_id id, const struct err *e)
{
	struct sync_result *r = arg;

	r->id = id;
	r->failed = e != NULL;
	if (e != NULL && r->e != NULL)
		*r->e = *e;
}

int
queue_writer_commit_sync(
    struct queue_writer **writer, struct queue_id *out, struct err *e)
{
	struct queue_writer *w = *writer;
	struct sync_result r = { .e = e };

	BUG_ON(w->q->loop != NULL);
	*writer = NULL;
	w->committing = true;
	w->done = sync_done;
	w->done_arg = &r;
	next_step(w);
	if (r.failed)
		return -1;
	*out = r.id;
	return 0;
}

void
queue_writer_abort(struct queue_writer **writer)
{
	struct queue_writer *w = *writer;

	if (w == NULL)
		return;
	*writer = NULL;
	w->ready = NULL;
	w->aborting = true;
	/* Nothing on the disk and nothing on the way: nothing to wait for. */
	if (!w->busy && w->fd < 0)
		free_writer(w);
	else
		next_step(w);
}
