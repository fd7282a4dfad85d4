/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/twins.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"

static int
read_rec(const struct queue_recovery *r, const struct twin_record *rec,
    struct buf *out, struct err *e)
{
	return queue_read_record(
	    &r->segments[rec->segment].segment, rec->at, rec->id, out, e);
}

bool
twin_same(const struct queue_recovery *r, const struct twin_record *a,
    const struct twin_record *b)
{
	struct buf x, y;
	bool same;

	if (a->end - a->at != b->end - b->at)
		return false;
	buf_init(&x, (size_t)(a->end - a->at));
	buf_init(&y, (size_t)(b->end - b->at));
	same = read_rec(r, a, &x, NULL) == 0 && read_rec(r, b, &y, NULL) == 0 &&
	       span_eq(buf_span(&x), buf_span(&y));
	buf_release(&x);
	buf_release(&y);
	return same;
}

/* The same bytes under another id: in the head and in the end record. */
static int
rename_data(struct buf *data, struct queue_id id, struct err *e)
{
	struct record_header h;
	struct buf head, end;
	uint64_t end_at;

	if (record_header_get(buf_span(data), &h) != PARSE_OK ||
	    record_header_end(&h) > data->n)
		return err_set(e, ERR_TEMP, "4.3.0", "journal: no queue file");
	buf_init(&head, RECORD_HEADER);
	buf_init(&end, RECORD_END);
	end_at = record_header_end(&h) - RECORD_END;
	h.id = id;
	record_header_put(&head, &h);
	record_end_put(&end, &h);
	memcpy(data->p, head.p, head.n);
	memcpy(data->p + end_at, end.p, end.n);
	buf_release(&head);
	buf_release(&end);
	return 0;
}

/* ---- one that an earlier recovery made ---- */
struct search {
	struct queue *q;
	struct queue_id old_id;
	struct buf *data;
	struct queue_id found; /* n 0: none */
};

static bool
is_it(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct search *s = arg;
	char name[QUEUE_NAME];
	struct buf file;

	(void)mtime_s;
	if (queue_id_slot(id) != queue_id_slot(s->old_id) ||
	    id.n <= s->old_id.n || rename_data(s->data, id, NULL) != 0)
		return true;
	queue_name(QUEUE_ACTIVE, id, name);
	buf_init(&file, s->data->n);
	if (fs_read_file(s->q->fd, name, s->data->n, &file, NULL) == 0 &&
	    span_eq(buf_span(&file), buf_span(s->data)))
		s->found = id;
	buf_release(&file);
	return s->found.n == 0;
}

static int
find_made(struct queue *q, struct queue_id old_id, struct buf *data,
    struct queue_id *out, struct err *e)
{
	struct search s = { .q = q, .old_id = old_id, .data = data };

	if (queue_scan(q, QUEUE_ACTIVE, is_it, &s, e) != 0)
		return -1;
	*out = s.found;
	return 0;
}

/* ---- a new one ---- */
static int
make(struct queue *q, struct queue_id id, struct buf *data, struct err *e)
{
	/* No record has its new id, so the file must stand by itself. */
	return rename_data(data, id, e) != 0 ||
		       queue_make_anew(q, id, buf_span(data), e) != 0 ||
		       queue_seal(q, id, QUEUE_ACTIVE, e) != 0 ?
	    -1 : 0;
}

int
twin_take(struct queue *q, struct queue_recovery *r,
    const struct twin_record *rec, struct err *e)
{
	struct queue_id id = { 0 };
	struct buf data;
	int ret;

	buf_init(&data, (size_t)(rec->end - rec->at));
	ret = read_rec(r, rec, &data, e);
	if (ret == 0)
		ret = find_made(q, rec->id, &data, &id, e);
	if (ret == 0 && id.n == 0) {
		id.n = (uint64_t)(r->bound_us + 1) << 8 |
		       queue_id_slot(rec->id);
		ret = make(q, id, &data, e);
	} else if (ret == 0) {
		/* Broken off before that was flushed, perhaps. */
		ret = queue_sync(q, QUEUE_ACTIVE, id, e);
	}
	buf_release(&data);
	if (ret != 0)
		return -1;
	if (queue_id_us(id) > r->bound_us)
		r->bound_us = queue_id_us(id);
	r->twins = mem_resize(r->twins, r->twin_count + 1, sizeof(*r->twins));
	r->twins[r->twin_count++] =
	    (struct queue_twin){ rec->id, id, rec->segment };
	return 0;
}

/* ---- and its record goes ---- */
static int
end_segment(struct queue *q, struct queue_recovery *r,
    struct recovered_segment *s, struct err *e)
{
	size_t left = 0;

	for (size_t i = 0; i < r->live_count; i++) {
		const struct queue_live *l = &r->live[i];

		if (l->segment != s->segment.head.number)
			r->live[left++] = *l;
		else if (queue_live_seal(q, &s->segment, l, e) != 0)
			return -1;
	}
	r->live_count = left;
	if (s->segment.head.mark == s->end)
		return 0;
	s->segment.head.mark = s->end;
	return segment_head(&s->segment, e);
}

int
twins_end(struct queue *q, struct queue_recovery *r, struct err *e)
{
	for (size_t i = 0; i < r->twin_count; i++)
		if (end_segment(
			q, r, &r->segments[r->twins[i].segment], e) != 0)
			return -1;
	return 0;
}
