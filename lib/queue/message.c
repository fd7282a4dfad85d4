/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/cursor.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"

enum {
	HEAD = 4096, /* read at once: most messages' envelope, or all of it */
	MESSAGE_MAX = 1 << 26, /* arena: envelope and notes */
};

/* ---- opening ---- */
static void
take_header(struct queue_message *m, const struct record_header *h)
{
	m->id = h->id;
	m->rcpt_count = h->rcpt_count;
	m->content_at = h->content_at;
	m->content_size = h->content_size;
	m->content_crc = h->content_crc;
	m->envelope_end = RECORD_HEADER + h->envelope_size;
	m->more_at = h->content_at + h->content_size;
	m->more_end = m->more_at + h->more_size;
	m->end_at = record_header_end(h);
}

/* Reads into head, which has HEAD bytes; m->head is it. */
static int
read_header(struct queue_message *m, uint8_t *head, uint64_t *out_size,
    struct record_header *h, struct err *e)
{
	struct stat st;
	ssize_t n;

	if (fstat(m->fd, &st) != 0)
		return err_sys(e, "stat queue file");
	do
		n = pread(m->fd, head, HEAD, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "read queue file");
	m->head = span_of(head, (size_t)n);
	if (record_header_get(m->head, h) != PARSE_OK)
		return queue_damaged(e, "bad head");
	if ((uint64_t)st.st_size < record_header_end(h))
		return queue_damaged(e, "too short");
	take_header(m, h);
	*out_size = (uint64_t)st.st_size;
	return 0;
}

static void
keep_envelope(struct queue_message *m)
{
	struct queue_envelope *env = &m->env;
	struct span *const copies[] = { &env->sender, &env->dsn_envid,
		&env->encoding, &env->client_name, &env->client_addr,
		&env->helo, &env->protocol, &env->sasl_user, &env->sasl_method,
		&env->message_id, &env->filter };

	for (size_t i = 0; i < COUNT_OF(copies); i++)
		if (copies[i]->n > 0)
			*copies[i] = arena_dup(&m->arena, *copies[i]);
}

/* Counts recipients and notes where each RECORD_GROUP-th begins. */
static int
count_section(
    struct queue_message *m, struct cursor *c, uint32_t *seen, struct err *e)
{
	struct record r;
	size_t used = 0;
	int got;

	while ((got = cursor_record(c, RECORD_DATA_MAX, &r, &used, e)) > 0) {
		if (r.type == RECORD_T_RCPT) {
			if (*seen >= m->rcpt_count)
				return queue_damaged(e, "too many recipients");
			if (*seen % RECORD_GROUP == 0)
				m->group_at[*seen / RECORD_GROUP] =
				    cursor_place(c);
			++*seen;
			if (record_mark_state(r.mark) == RCPT_TODO)
				m->todo_count++;
		} else if (r.type == RECORD_T_ENVELOPE) {
			if (m->env.arrival_us >= 0 ||
			    !record_envelope_get(&r, &m->env))
				return queue_damaged(e, "bad envelope");
			keep_envelope(m);
		}
		buf_consume(&c->win, used);
	}
	return got;
}

static int
read_envelope(struct queue_message *m, struct err *e)
{
	struct cursor c;
	uint32_t seen = 0;
	int ret;

	m->env.arrival_us = -1;
	m->group_at = arena_alloc(&m->arena,
	    (m->rcpt_count / RECORD_GROUP + 1) * sizeof(*m->group_at));
	cursor_init(&c, m->fd, m->head, RECORD_HEADER, m->envelope_end);
	ret = count_section(m, &c, &seen, e);
	c.at = m->more_at;
	c.end = m->more_end;
	if (ret == 0)
		ret = count_section(m, &c, &seen, e);
	buf_release(&c.win);
	if (ret != 0)
		return -1;
	if (seen != m->rcpt_count || m->env.arrival_us < 0)
		return queue_damaged(e, "incomplete envelope");
	return 0;
}

static int
check_end(struct queue_message *m, const struct record_header *h, struct err *e)
{
	struct cursor c;
	struct record r;
	size_t used;
	int ret = -1;

	cursor_init(&c, m->fd, m->head, m->end_at - RECORD_END, m->end_at);
	if (cursor_record(&c, RECORD_END, &r, &used, e) <= 0 ||
	    !record_end_get(&r, h))
		queue_damaged(e, "no end record");
	else
		ret = 0;
	buf_release(&c.win);
	return ret;
}

static int
check_content_crc(struct queue_message *m, struct err *e)
{
	struct cursor c;
	uint32_t crc = 0;
	int got;

	cursor_init(&c, m->fd, m->head, m->content_at, m->more_at);
	while ((got = cursor_fill(&c, e)) > 0) {
		crc = crc32c(crc, buf_span(&c.win));
		buf_reset(&c.win);
	}
	buf_release(&c.win);
	if (got == 0 && crc != m->content_crc)
		return queue_damaged(e, "content does not fit its checksum");
	return got;
}

/* The notes are a convenience: damaged ones are as good as none. */
static void
keep_notes(struct queue_message *m, const struct record_notes *n)
{
	struct record_notes_iter it = { 0 };
	struct queue_note note;

	m->next_try_s = n->next_try_s;
	m->tries = n->tries;
	if (n->count > m->rcpt_count)
		return;
	m->notes = arena_alloc(&m->arena, n->count * sizeof(*m->notes) + 1);
	while (m->note_count < n->count && record_notes_next(n, &it, &note)) {
		if (note.rcpt_index >= m->rcpt_count ||
		    (m->note_count > 0 &&
			note.rcpt_index <=
			    m->notes[m->note_count - 1].rcpt_index))
			break;
		m->notes[m->note_count++] = note;
	}
}

static void
read_notes(struct queue_message *m, uint64_t file_size)
{
	struct cursor c;
	struct record r;
	struct record_notes n;
	size_t used;

	if (file_size <= m->end_at)
		return;
	cursor_init(&c, m->fd, m->head, m->end_at, file_size);
	if (cursor_record(&c, RECORD_NOTES_MAX, &r, &used, NULL) > 0 &&
	    record_notes_get(&r, &n)) {
		n.entries = arena_dup(&m->arena, n.entries);
		keep_notes(m, &n);
	}
	buf_release(&c.win);
}

static struct queue_message *
message_new(int fd)
{
	struct queue_message *m = MEM_NEW(m);

	m->fd = fd;
	arena_init(&m->arena, MESSAGE_MAX);
	arena_init(&m->page, MESSAGE_MAX);
	return m;
}

/* Of the first bytes only what is before the content, and only all of it. */
static void
keep_head(struct queue_message *m)
{
	m->head = m->content_at > m->head.n ?
	    SPAN_EMPTY :
	    arena_dup(&m->arena,
		span_slice(m->head, 0, (size_t)m->content_at));
}

int
queue_message_from_fd(
    int fd, bool check_content, struct queue_message **out, struct err *e)
{
	struct queue_message *m = message_new(fd);
	struct record_header h;
	uint8_t head[HEAD];
	uint64_t size = 0;

	if (read_header(m, head, &size, &h, e) != 0 ||
	    check_end(m, &h, e) != 0 || read_envelope(m, e) != 0 ||
	    (check_content && check_content_crc(m, e) != 0)) {
		m->fd = -1;
		queue_message_close(&m);
		return -1;
	}
	read_notes(m, size);
	keep_head(m);
	*out = m;
	return 0;
}

struct range
queue_message_content(const struct queue_message *m)
{
	return (struct range){ .fd = -1,
		.at = m->content_at,
		.size = m->content_size,
		.checked = true,
		.crc = m->content_crc };
}

int
queue_message_from_head(
    struct span head, struct queue_message **out, struct err *e)
{
	struct queue_message *m = message_new(-1);
	struct record_header h;

	m->head = head;
	if (record_header_get(head, &h) != PARSE_OK) {
		queue_damaged(e, "bad head");
		goto fail;
	}
	take_header(m, &h);
	if (m->content_at > head.n || h.more_size > 0) {
		err_set(e, ERR_TEMP, "4.3.0", "not the whole envelope");
		goto fail;
	}
	if (read_envelope(m, e) != 0)
		goto fail;
	keep_head(m);
	*out = m;
	return 0;
fail:
	queue_message_close(&m);
	return -1;
}

int
queue_open_file(struct queue *q, enum queue_dir dir, struct queue_id id,
    int flags, int *out_fd, struct err *e)
{
	char name[QUEUE_NAME];

	queue_name(dir, id, name);
	return fs_open(q->fd, name, flags, out_fd, e);
}

int
queue_message_open(struct queue *q, enum queue_dir dir, struct queue_id id,
    int flags, bool check_content, struct queue_message **out, struct err *e)
{
	struct queue_message *m;
	int fd;

	if (queue_open_file(q, dir, id, flags, &fd, e) != 0)
		return -1;
	if (queue_message_from_fd(fd, check_content, &m, e) != 0) {
		close(fd);
		return -1;
	}
	if (m->id.n != id.n) {
		queue_message_close(&m);
		return queue_damaged(e, "another message's id");
	}
	*out = m;
	return 0;
}

void
queue_message_close(struct queue_message **message)
{
	struct queue_message *m = *message;

	if (m == NULL)
		return;
	*message = NULL;
	if (m->fd >= 0)
		close(m->fd);
	arena_reset(&m->arena);
	arena_reset(&m->page);
	mem_free(m);
}

/* ---- recipients ---- */
/* Steps through recipient records from a known place on. */
struct rcpt_walk {
	struct cursor c;
	struct queue_message *m;
	uint32_t index; /* of the next record */
	size_t used;	/* bytes of the one last returned */
};

static void
walk_init(struct rcpt_walk *w, struct queue_message *m, uint32_t from)
{
	const uint64_t at = m->group_at[from / RECORD_GROUP];

	*w = (struct rcpt_walk){ .m = m };
	w->index = from / RECORD_GROUP * RECORD_GROUP;
	cursor_init(&w->c, m->fd, m->head, at,
	    at < m->envelope_end ? m->envelope_end : m->more_end);
}

/* 1 one, 0 none left, -1 error. */
static int
walk_next(
    struct rcpt_walk *w, struct record *out, uint64_t *out_at, struct err *e)
{
	int got;

	for (;;) {
		buf_consume(&w->c.win, w->used);
		w->used = 0;
		got = cursor_record(&w->c, RECORD_DATA_MAX, out, &w->used, e);
		if (got < 0)
			return -1;
		if (got == 0 && w->c.end == w->m->more_end)
			return 0;
		if (got == 0) {
			w->c.at = w->m->more_at;
			w->c.end = w->m->more_end;
			continue;
		}
		if (out->type != RECORD_T_RCPT)
			continue;
		*out_at = cursor_place(&w->c);
		w->index++;
		return 1;
	}
}

static void
fill_status(
    const struct queue_message *m, uint32_t index, struct queue_rcpt_status *s)
{
	size_t low = 0, high = m->note_count;

	while (low < high) {
		const size_t mid = (low + high) / 2;

		if (m->notes[mid].rcpt_index < index)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == m->note_count || m->notes[low].rcpt_index != index)
		return;
	s->last_try_us = m->notes[low].at_us;
	s->dsn = m->notes[low].dsn;
	s->reason = m->notes[low].reason;
	s->remote = m->notes[low].remote;
}

static void
keep_rcpt(struct arena *a, struct queue_rcpt *r)
{
	const bool same = r->orig_address.p == r->address.p;
	struct span *const copies[] = { &r->address, &r->orig_address,
		&r->transport, &r->nexthop, &r->dsn_orcpt };

	for (size_t i = 0; i < COUNT_OF(copies); i++)
		if (copies[i]->n > 0 && !(same && i == 1))
			*copies[i] = arena_dup(a, *copies[i]);
	if (same)
		r->orig_address = r->address;
}

int
queue_message_rcpts(struct queue_message *m, uint32_t from, uint32_t max,
    struct queue_rcpt *out, struct queue_rcpt_status *out_status, struct err *e)
{
	struct rcpt_walk w;
	struct record r;
	uint64_t at;
	uint32_t count = 0;
	int got = 0;

	arena_reset(&m->page);
	if (from >= m->rcpt_count || max == 0)
		return 0;
	walk_init(&w, m, from);
	while (count < max && (got = walk_next(&w, &r, &at, e)) > 0) {
		if (w.index - 1 < from)
			continue;
		if (!record_rcpt_get(&r, &out[count])) {
			got = queue_damaged(e, "bad recipient");
			break;
		}
		keep_rcpt(&m->page, &out[count]);
		if (out_status != NULL) {
			out_status[count] = (struct queue_rcpt_status){
				.state = record_mark_state(r.mark),
				.mark_at = at + RECORD_MARK_AT,
			};
			fill_status(m, w.index - 1, &out_status[count]);
		}
		count++;
	}
	buf_release(&w.c.win);
	return got < 0 ? -1 : (int)count;
}

/* ---- changing ---- */
int
queue_mark_at(int fd, uint64_t mark_at, enum rcpt_state state, struct err *e)
{
	const uint8_t byte = record_mark_byte(state);

	return fs_pwrite(fd, span_of(&byte, 1), (off_t)mark_at, e);
}

int
queue_message_mark(struct queue_message *m, uint32_t rcpt_index,
    enum rcpt_state state, struct err *e)
{
	struct rcpt_walk w;
	struct record r;
	uint64_t at = 0;
	int got;

	BUG_ON(rcpt_index >= m->rcpt_count);
	walk_init(&w, m, rcpt_index);
	do
		got = walk_next(&w, &r, &at, e);
	while (got > 0 && w.index - 1 < rcpt_index);
	buf_release(&w.c.win);
	if (got <= 0)
		return got < 0 ? -1 : queue_damaged(e, "recipient not found");
	return queue_mark_at(m->fd, at + RECORD_MARK_AT, state, e);
}

/* Old notes with the new ones in their places, by recipient. */
static size_t
merge_notes(const struct queue_message *m, const struct queue_note *n,
    size_t count, struct queue_note *out)
{
	size_t i = 0, k = 0, total = 0;

	while (i < m->note_count || k < count) {
		if (k == count || (i < m->note_count && m->notes[i].rcpt_index <
							    n[k].rcpt_index)) {
			out[total++] = m->notes[i++];
			continue;
		}
		if (i < m->note_count &&
		    m->notes[i].rcpt_index == n[k].rcpt_index)
			i++;
		out[total++] = n[k++];
	}
	return total;
}

int
queue_message_notes(struct queue_message *m, const struct queue_note *n,
    size_t count, int64_t next_try_s, struct err *e)
{
	struct queue_note *all =
	    mem_alloc((m->note_count + count) * sizeof(*all));
	const size_t total = merge_notes(m, n, count, all);
	struct buf b;
	int ret;

	buf_init(&b, RECORD_NOTES_MAX);
	record_notes_put(&b, next_try_s, m->tries + 1, all, total);
	if (!buf_ok(&b)) {
		/* Better no reasons than no time. */
		buf_reset(&b);
		record_notes_put(&b, next_try_s, m->tries + 1, NULL, 0);
	}
	ret = fs_pwrite(m->fd, buf_span(&b), (off_t)m->end_at, e);
	buf_release(&b);
	mem_free(all);
	return ret;
}

int
queue_message_sync(struct queue_message *m, struct err *e)
{
	return fs_sync(m->fd, e);
}
