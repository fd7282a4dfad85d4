/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/writer.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/fs.h"
#include "lib/queue/record.h"

enum { FILE_MAX = WRITER_ENVELOPE_MAX + WRITER_WAITING_MAX + WRITER_CHUNK };

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

/* What is certain to be sealed by itself is on its way to the disk before
 * the seal waits for it. */
static int
write_early(struct queue_writer *w, off_t at, struct err *e)
{
	if (w->written + w->writing.n <= GROUP_FILE_MAX)
		return 0;
	return fs_write_early(w->fd, at, w->writing.n, e);
}

void
writer_chunk(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);
	const off_t at = (off_t)(w->content_at + w->written);

	w->failed = create(w, &w->e) != 0 ||
		    fs_pwrite(w->fd, buf_span(&w->writing), at, &w->e) != 0 ||
		    write_early(w, at, &w->e) != 0;
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

/* What is not yet in the file: what goes to its beginning and, if content
 * was written before, what goes behind that. */
static int
compose_rest(struct queue_writer *w, struct buf *front, struct buf *behind,
    struct record_header *h, struct err *e)
{
	struct buf *const rest = w->content_at == 0 ? front : behind;

	compose_front(w, front, h);
	buf_add(rest, buf_span(&w->waiting));
	buf_add(rest, buf_span(&w->more));
	record_end_put(rest, h);
	if (buf_ok(front) && buf_ok(behind))
		return 0;
	return err_set(e, ERR_TEMP, "4.3.1", "envelope too large");
}

/* At most two writes, the head's last. *first is the last of them, all of the
 * file when nothing had been written before. */
static int
write_rest(struct queue_writer *w, struct buf *first, struct err *e)
{
	struct buf front, rest;
	struct record_header h;
	int ret = -1;

	buf_init(&front, FILE_MAX);
	buf_init(&rest, FILE_MAX);
	if (compose_rest(w, &front, &rest, &h, e) == 0 &&
	    (rest.n == 0 ||
		fs_pwrite(w->fd, buf_span(&rest),
		    (off_t)(w->content_at + w->written), e) == 0))
		ret = fs_pwrite(w->fd, buf_span(&front), 0, e);
	buf_release(&rest);
	*first = front;
	return ret;
}

/* Nothing may be left of a message that is answered with an error. The last
 * close takes longest: it is here and not on the loop. */
static void
remove_all(struct queue_writer *w, bool sealed)
{
	if (w->fd < 0 && !w->made)
		return;
	queue_remove(w->q, w->id, QUEUE_INCOMING, NULL);
	if (w->spare.n != 0)
		queue_spare_remove(w->q, w->spare);
	if (sealed)
		queue_remove(w->q, w->id, w->env.birth, NULL);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* The size of a file that was written piece by piece. */
static uint64_t
whole_size(const struct queue_writer *w)
{
	return w->content_at + w->size + w->more.n + RECORD_END;
}

/* The file, whole and flushed, gets its message's name where it was born. */
static int
give_name(struct queue_writer *w, struct err *e)
{
	char from[QUEUE_NAME], to[QUEUE_NAME];

	if (w->spare.n != 0)
		return queue_spare_done(w->q, w->spare, w->env.birth, w->id, e);
	queue_name(QUEUE_INCOMING, w->id, from);
	queue_name(w->env.birth, w->id, to);
	return fs_rename_new(w->q->fd, from, w->q->fd, to, e);
}

void
writer_seal(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);
	bool renamed = false;

	if (!w->failed && create(w, &w->e) == 0 &&
	    write_rest(w, &w->entry.whole, &w->e) == 0 &&
	    (w->spare.n == 0 ||
		queue_spare_fit(w->fd, whole_size(w), &w->e) == 0) &&
	    fs_sync(w->fd, &w->e) == 0 && give_name(w, &w->e) == 0) {
		renamed = true;
		if (queue_sync_dir(w->q, w->env.birth, w->id, &w->e) == 0)
			return;
	}
	w->failed = true;
	remove_all(w, renamed);
}

void
writer_throw_away(struct work *work)
{
	struct queue_writer *w = CONTAINER_OF(work, struct queue_writer, work);

	remove_all(w, false);
}

/* ---- by group commit, in a thread ---- */
/* The file's bytes from the file: it was written piece by piece. */
static int
read_back(struct queue_writer *w, struct buf *whole, struct err *e)
{
	const size_t size = (size_t)whole_size(w);
	uint8_t *to;

	buf_reset(whole);
	to = buf_room(whole, size);
	while (whole->n < size) {
		const ssize_t n = pread(
		    w->fd, to + whole->n, size - whole->n, (off_t)whole->n);

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
	if (w->spare.n == 0)
		return 0;
	if (queue_spare_fit(w->fd, g->whole.n, &g->e) != 0)
		return -1;
	return queue_spare_done(w->q, w->spare, QUEUE_INCOMING, w->id, &g->e);
}

/* No part of it was written, and its envelope can be told: its record will be
 * all there is of it. */
static bool
compose_unfiled(struct queue_writer *w, struct group_entry *g)
{
	struct record_header h;
	struct buf none;

	if (w->content_at > 0)
		return false;
	buf_release(&g->whole);
	buf_init(&g->whole, FILE_MAX);
	buf_init(&none, 0);
	return compose_rest(w, &g->whole, &none, &h, &g->e) == 0 &&
	       h.content_at <= QUEUE_HEAD_MAX;
}

void
writer_make(struct group_entry *g)
{
	struct queue_writer *w = CONTAINER_OF(g, struct queue_writer, entry);

	g->unfiled = compose_unfiled(w, g);
	if (g->unfiled)
		return;
	g->failed = fill_file(w, g) != 0;
	if (g->failed) {
		remove_all(w, false);
		return;
	}
	close(w->fd);
	w->fd = -1;
	w->made = true;
}

void
writer_undo(struct group_entry *g)
{
	remove_all(CONTAINER_OF(g, struct queue_writer, entry), false);
}
