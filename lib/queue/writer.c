/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/work.h"
#include "lib/queue/group.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"

/*
 * The envelope stays in memory until the commit. A message whose content fits
 * into one chunk is written whole in one step then. A longer one leaves room
 * for the envelope in front of the content: what is known when the first
 * chunk goes out, and some more. Recipients that come later and do not fit
 * there stand behind the content (the "more" section). The head, without
 * which nothing is a queue file, goes last. Then the file is sealed, or, by
 * group commit, its bytes go into the journal.
 */
enum {
	CHUNK = 1 << 17,	/* content bytes that are worth a write */
	WAITING_BUSY = 1 << 18, /* the caller should pause */
	WAITING_MAX = 1 << 24,	/* a caller that does not pause fails */
	PLACE_SPARE = 1 << 12,	/* room beyond the envelope known so far */
	ENVELOPE_MAX = LIMIT_RCPT * 8192,
};

struct queue_writer {
	struct queue *q;
	struct queue_id id;
	struct queue_envelope env; /* spans live in arena */
	struct arena arena;
	struct buf front; /* recipient records before the content */
	struct buf more;  /* those that did not fit any more */
	size_t front_max; /* once content is on its way: front's room */
	uint32_t rcpt_count;
	uint32_t crc;
	uint64_t size;	     /* content bytes taken */
	struct buf waiting;  /* of them, not yet being written */
	struct buf writing;  /* being written by the thread */
	uint64_t written;    /* content bytes in the file */
	uint64_t content_at; /* 0: not yet decided */
	int fd;
	struct queue_id spare; /* to be used, or used; n 0: none */
	bool failed; /* e says why; nothing more is done */
	struct err e;
	struct work work;
	bool busy; /* work is submitted */
	bool committing, aborting;
	queue_ready_fn ready;
	void *ready_arg;
	queue_commit_fn done;
	void *done_arg;
	struct group_entry entry;
	bool made; /* by make_file */
};

static void
free_writer(struct queue_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
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
	buf_init(&w->front, ENVELOPE_MAX);
	buf_init(&w->more, ENVELOPE_MAX);
	buf_init(&w->waiting, WAITING_MAX);
	buf_init(&w->writing, WAITING_MAX);
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

/* ---- steps in a thread (or at once, without a loop) ---- */
static int
create(struct queue_writer *w, struct err *e)
{
	char name[QUEUE_NAME];

	if (w->fd >= 0)
		return 0;
	if (w->spare.n != 0 && queue_spare_open(w->q, w->spare, &w->fd) == 0)
		return 0;
	w->spare.n = 0;
	queue_name(QUEUE_INCOMING, w->id, name);
	if (fs_create(w->q->fd, name, 0660, &w->fd, e) != 0)
		return -1;
	/* qmgr is another user of the same group, whatever our umask is. */
	if (fchmod(w->fd, 0660) != 0)
		return err_sys(e, "chmod %s", name);
	return 0;
}

static void
write_chunk(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);

	w->failed = create(w, &w->e) != 0 ||
		    fs_pwrite(w->fd, buf_span(&w->writing),
			(off_t)(w->content_at + w->written), &w->e) != 0;
	w->written += w->writing.n;
	buf_reset(&w->writing);
}

/* Everything in front of the content: head, envelope, recipients, room. */
static void
compose_front(struct queue_writer *w, struct buf *b, struct record_header *h)
{
	struct buf envelope;

	buf_init(&envelope, RECORD_DATA_MAX + RECORD_FRAME);
	record_envelope_put(&envelope, &w->env);
	*h = (struct record_header){
		.id = w->id,
		.envelope_size = envelope.n + w->front.n,
		.content_at = w->content_at,
		.content_size = w->size,
		.more_size = w->more.n,
		.content_crc = w->crc,
		.rcpt_count = w->rcpt_count,
	};
	if (h->content_at == 0)
		h->content_at = RECORD_HEADER + h->envelope_size;
	BUG_ON(h->content_at < RECORD_HEADER + h->envelope_size);
	record_header_put(b, h);
	buf_add(b, buf_span(&envelope));
	buf_add(b, buf_span(&w->front));
	if (!buf_ok(&envelope))
		b->spilt = true;
	buf_release(&envelope);
}

/* What is not yet in the file: at most two writes, the head's last. *first
 * is the last of them, all of it when nothing had been written before. */
static int
write_rest(struct queue_writer *w, struct buf *first, struct err *e)
{
	struct buf front, rest;
	struct record_header h;
	int ret = -1;

	buf_init(&front, (size_t)ENVELOPE_MAX + WAITING_MAX + CHUNK);
	buf_init(&rest, (size_t)ENVELOPE_MAX + WAITING_MAX + CHUNK);
	compose_front(w, &front, &h);
	buf_add(&rest, buf_span(&w->waiting));
	buf_add(&rest, buf_span(&w->more));
	record_end_put(&rest, &h);
	if (w->content_at == 0) {
		buf_add(&front, buf_span(&rest));
		buf_reset(&rest);
	}
	if (!buf_ok(&front) || !buf_ok(&rest))
		err_set(e, ERR_TEMP, "4.3.1", "envelope too large");
	else if (rest.n == 0 ||
		 fs_pwrite(w->fd, buf_span(&rest),
		     (off_t)(w->content_at + w->written), e) == 0)
		ret = fs_pwrite(w->fd, buf_span(&front), 0, e);
	buf_release(&rest);
	*first = front;
	return ret;
}

/* Nothing may be left of a message that is answered with an error. */
static void
remove_all(struct queue_writer *w, bool sealed)
{
	if (w->fd < 0 && !w->made)
		return;
	queue_remove(w->q, w->id, QUEUE_INCOMING, NULL);
	if (sealed)
		queue_remove(w->q, w->id, w->env.birth, NULL);
}

static void
seal(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);
	char from[QUEUE_NAME], to[QUEUE_NAME];
	bool renamed = false;

	queue_name(QUEUE_INCOMING, w->id, from);
	queue_name(w->env.birth, w->id, to);
	if (!w->failed && create(w, &w->e) == 0 &&
	    write_rest(w, &w->entry.whole, &w->e) == 0 &&
	    fs_sync(w->fd, &w->e) == 0 &&
	    fs_rename_new(w->q->fd, from, w->q->fd, to, &w->e) == 0) {
		renamed = true;
		if (queue_sync_dir(w->q, w->env.birth, w->id, &w->e) == 0)
			return;
	}
	w->failed = true;
	remove_all(w, renamed);
}

static void
throw_away(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);

	remove_all(w, false);
}

/* ---- by group commit, in a thread ---- */
/* The file's bytes from the file: it was written piece by piece. */
static int
read_back(struct queue_writer *w, struct buf *whole, struct err *e)
{
	const size_t size = (size_t)(w->content_at + w->size) + w->more.n +
			    RECORD_END;
	uint8_t *to;

	buf_reset(whole);
	to = buf_room(whole, size);
	while (whole->n < size) {
		const ssize_t n = pread(w->fd, to + whole->n, size - whole->n,
		    (off_t)whole->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read queue file");
		if (n == 0)
			return err_set(
			    e, ERR_TEMP, "4.3.0", "queue file: too short");
		buf_grown(whole, (size_t)n);
	}
	return 0;
}

/* A spare gets the message's name last. */
static int
fill_file(struct queue_writer *w, struct group_entry *g)
{
	buf_release(&g->whole);
	if (create(w, &g->e) != 0 || write_rest(w, &g->whole, &g->e) != 0 ||
	    (w->content_at > 0 && read_back(w, &g->whole, &g->e) != 0))
		return -1;
	return w->spare.n == 0 ?
	    0 : queue_spare_done(w->q, w->fd, g->whole.n, w->spare, w->id,
		    &g->e);
}

/* Without the spare: a new file. */
static int
fill_another(struct queue_writer *w, struct group_entry *g)
{
	if (w->spare.n == 0)
		return -1;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	queue_spare_remove(w->q, w->spare);
	w->spare.n = 0;
	return fill_file(w, g);
}

static void
make_file(struct group_entry *g)
{
	struct queue_writer *w = CONTAINER_OF(g, struct queue_writer, entry);

	g->failed = fill_file(w, g) != 0 && fill_another(w, g) != 0;
	if (g->failed) {
		remove_all(w, false);
		return;
	}
	close(w->fd);
	w->fd = -1;
	w->made = true;
}

static void
undo_file(struct group_entry *g)
{
	remove_all(CONTAINER_OF(g, struct queue_writer, entry), false);
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
	q->spare_used = w->spare.n != 0;
	w->done(w->done_arg, w->id, e);
	q->committed = SPAN_EMPTY;
	q->spare_used = false;
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
	}
	w->waiting = w->writing;
	w->writing = swap;
	submit(w, WORK_OTHER, write_chunk, chunk_done);
}

/* It was not needed: what is sealed never goes into a spare. */
static void
keep_spare(struct queue_writer *w)
{
	if (w->spare.n != 0)
		queue_spare_give(w->q, w->spare);
	w->spare.n = 0;
}

static void
group_over(struct group_entry *g)
{
	struct queue_writer *w = CONTAINER_OF(g, struct queue_writer, entry);

	if (g->alone) {
		keep_spare(w);
		submit(w, WORK_FLUSH, seal, seal_done);
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
			.make = make_file,
			.undo = undo_file,
			.done = group_over };
		buf_init(&w->entry.whole, GROUP_FILE_MAX);
		if (w->fd < 0)
			w->spare = queue_spare_take(w->q, w->id);
		if (group_add(g, &w->entry))
			return;
		keep_spare(w);
	}
	submit(w, WORK_FLUSH, seal, seal_done);
}

static void
next_step(struct queue_writer *w)
{
	if (w->busy)
		return;
	if (w->aborting) {
		submit(w, WORK_NAME, throw_away, throw_away_done);
		return;
	}
	if (!w->failed && !buf_ok(&w->waiting)) {
		w->failed = true;
		err_set(&w->e, ERR_TEMP, "4.3.0", "queue file: disk too slow");
	}
	if (w->committing)
		commit_now(w);
	else if (!w->failed && w->waiting.n >= CHUNK)
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
