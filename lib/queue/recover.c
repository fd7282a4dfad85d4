/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"
#include "lib/queue/twins.h"

/* ---- lists that grow ---- */
struct entry {
	struct queue_id id;
	size_t segment; /* in recovery.segments */
	uint64_t generation, at, end;
	uint32_t index; /* of a mark: the recipient, */
	uint8_t mark;	/* and the byte */
};

struct entries {
	struct entry *p;
	size_t n, room;
};

static void
add(struct entries *l, const struct entry *e)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		l->p = mem_resize(l->p, l->room, sizeof(*l->p));
	}
	l->p[l->n++] = *e;
}

static int
by_id(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->id.n != y->id.n)
		return x->id.n < y->id.n ? -1 : 1;
	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void
sort(struct entries *l)
{
	if (l->n > 0)
		qsort(l->p, l->n, sizeof(*l->p), by_id);
}

/* The first entry of that id, or NULL. */
static const struct entry *
find(const struct entries *l, struct queue_id id)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		const size_t mid = (low + high) / 2;

		if (l->p[mid].id.n < id.n)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && l->p[low].id.n == id.n ? &l->p[low] : NULL;
}

/* ---- one message ---- */
static bool
is_in(struct queue *q, enum queue_dir dir, struct queue_id id)
{
	char name[QUEUE_NAME];

	queue_name(dir, id, name);
	return faccessat(q->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Its sealed place; QUEUE_INCOMING: it has none. */
static enum queue_dir
sealed_place(struct queue *q, struct queue_id id)
{
	for (enum queue_dir d = QUEUE_ACTIVE; d < QUEUE_DIRS; d++)
		if (is_in(q, d, id))
			return d;
	return QUEUE_INCOMING;
}

static bool
verifies(struct queue *q, struct queue_id id)
{
	struct queue_message *m;

	if (queue_message_open(
		q, QUEUE_INCOMING, id, O_RDONLY, true, &m, NULL) != 0)
		return false;
	queue_message_close(&m);
	return true;
}

enum fate { FATE_LIVE, FATE_REBUILT, FATE_SEALED };

/* Gives an unfinished message its file. */
static int
ensure(struct queue *q, const struct segment *s, uint64_t at,
    struct queue_id id, enum fate *out, struct err *e)
{
	if (verifies(q, id)) {
		*out = FATE_LIVE;
		return 0;
	}
	/* Sealing renames: a name is in one place only. */
	if (sealed_place(q, id) != QUEUE_INCOMING) {
		*out = FATE_SEALED;
		return 0;
	}
	*out = FATE_REBUILT;
	return queue_rebuild(q, s, at, id, false, e);
}

static void
push_live(struct queue_live **live, size_t *count, struct queue_live one)
{
	/* Doubles whenever the number is a power of two. */
	if ((*count & (*count - 1)) == 0)
		*live = mem_resize(
		    *live, *count == 0 ? 1 : 2 * *count, sizeof(**live));
	(*live)[(*count)++] = one;
}

/* ---- the whole ---- */
struct work_state {
	struct queue *q;
	const uint8_t *living;
	struct queue_recovery *r;
	struct entries messages, removed, marks, incoming;
	/* One of those found in each sealed directory; n 0: none. */
	struct queue_id sealed[QUEUE_DIRS][QUEUE_HASH_DIRS];
	size_t segment; /* being scanned */
	struct err *e;
	bool failed;
};

static void
see_id(struct work_state *w, struct queue_id id)
{
	if (queue_id_us(id) > w->r->bound_us)
		w->r->bound_us = queue_id_us(id);
}

static void
open_one(void *arg, uint32_t number)
{
	struct work_state *w = arg;
	struct queue_recovery *r = w->r;
	struct segment s;
	enum segment_state state;

	if (w->failed)
		return;
	if (number > r->number_max)
		r->number_max = number;
	if (segment_open(w->q, number, &s, &state, w->e) != 0) {
		w->failed = true;
		return;
	}
	if (state != SEGMENT_HEADED) {
		segment_close(&s);
		if (state == SEGMENT_DAMAGED) {
			r->damaged++;
			r->damaged_number = number;
			return;
		}
		/* The start that made it did not come to its end. */
		w->failed = segment_remove(w->q, number, w->e) != 0;
		return;
	}
	if (s.head.generation > r->generation_max)
		r->generation_max = s.head.generation;
	if ((int64_t)s.head.bound_us > r->bound_us)
		r->bound_us = (int64_t)s.head.bound_us;
	r->segments =
	    mem_resize(r->segments, r->segment_count + 1, sizeof(*r->segments));
	r->segments[r->segment_count++] =
	    (struct recovered_segment){ .segment = s };
}

static bool
on_record(void *arg, const struct journal_record *rec, uint64_t place)
{
	struct work_state *w = arg;
	struct span rest = rec->data;
	struct journal_mark m;
	struct entry entry = { .id = rec->id,
		.segment = w->segment,
		.generation =
		    w->r->segments[w->segment].segment.head.generation,
		.at = place,
		.end = place + journal_record_size(rec->data.n) };

	see_id(w, rec->id);
	switch (rec->type) {
	case JOURNAL_MESSAGE:
		add(&w->messages, &entry);
		break;
	case JOURNAL_REMOVED:
		add(&w->removed, &entry);
		break;
	case JOURNAL_DONE:
		while (journal_mark_next(&rest, &m)) {
			entry.index = m.rcpt_index;
			entry.mark = m.mark;
			add(&w->marks, &entry);
		}
		break;
	}
	return true;
}

static int
read_journal(struct work_state *w)
{
	struct queue_recovery *r = w->r;

	if (segment_list(w->q, open_one, w, w->e) != 0 || w->failed)
		return -1;
	for (size_t i = 0; i < r->segment_count; i++) {
		struct recovered_segment *s = &r->segments[i];

		w->segment = i;
		if (segment_scan(&s->segment, s->segment.head.mark, 0,
			on_record, w, &s->end, w->e) != 0)
			return -1;
	}
	sort(&w->messages);
	sort(&w->removed);
	sort(&w->marks);
	return 0;
}

/* ---- the messages of the journal ---- */
static int
take_message(struct work_state *w, const struct entry *entry)
{
	struct queue_recovery *r = w->r;
	const struct segment *s = &r->segments[entry->segment].segment;
	enum fate fate = FATE_SEALED;

	if (find(&w->removed, entry->id) != NULL)
		return 0;
	if (ensure(w->q, s, entry->at, entry->id, &fate, w->e) != 0)
		return -1;
	if (fate == FATE_SEALED) {
		w->sealed[sealed_place(w->q, entry->id)]
			 [queue_id_us(entry->id) % QUEUE_HASH_DIRS] = entry->id;
		return 0;
	}
	r->rebuilt += fate == FATE_REBUILT;
	push_live(&r->live, &r->live_count,
	    (struct queue_live){
		entry->id, s->head.number, entry->at, entry->end,
		fate == FATE_REBUILT });
	return 0;
}

/* Another record of an id. */
static int
take_twin(struct work_state *w, const struct entry *first,
    const struct entry *entry)
{
	const struct twin_record a = { first->id, first->segment, first->at,
		first->end };
	const struct twin_record b = { entry->id, entry->segment, entry->at,
		entry->end };

	return twin_same(w->r, &a, &b) ? 0 : twin_take(w->q, w->r, &b, w->e);
}

static int
take_messages(struct work_state *w)
{
	const struct entries *l = &w->messages;
	const struct entry *first = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct entry *entry = &l->p[i];

		if (first == NULL || first->id.n != entry->id.n) {
			first = entry;
			if (take_message(w, entry) != 0)
				return -1;
		} else if (take_twin(w, first, entry) != 0) {
			return -1;
		}
	}
	return 0;
}

/* Whoever moved them there may have died before that was flushed; and their
 * records may go from now on. */
static int
sync_sealed(struct work_state *w)
{
	for (enum queue_dir d = QUEUE_ACTIVE; d < QUEUE_DIRS; d++)
		for (unsigned i = 0; i < QUEUE_HASH_DIRS; i++)
			if (w->sealed[d][i].n != 0 &&
			    queue_sync_dir(
				w->q, d, w->sealed[d][i], w->e) != 0)
				return -1;
	return 0;
}

/* ---- what else lies there ---- */
static bool
slot_lives(const uint8_t living[32], struct queue_id id)
{
	const unsigned slot = queue_id_slot(id);

	return living[slot / 8] >> slot % 8 & 1;
}

static bool
on_incoming(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct work_state *w = arg;
	const bool finished = find(&w->removed, id) != NULL;

	(void)mtime_s;
	see_id(w, id);
	if (!finished &&
	    (find(&w->messages, id) != NULL || slot_lives(w->living, id)))
		return true;
	/* Its record may be in a damaged segment. */
	if (!finished && w->r->damaged > 0 && verifies(w->q, id)) {
		w->r->rescued++;
		w->failed = queue_seal(w->q, id, QUEUE_ACTIVE, w->e) != 0;
		return !w->failed;
	}
	if (queue_remove(w->q, id, QUEUE_INCOMING, w->e) != 0) {
		w->failed = true;
		return false;
	}
	if (finished)
		w->r->removed++;
	else
		w->r->discarded++;
	return true;
}

/* A finished message whose unlink had not reached the disk. */
static bool
on_sealed(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct work_state *w = arg;

	(void)mtime_s;
	see_id(w, id);
	if (find(&w->removed, id) != NULL)
		add(&w->incoming, &(struct entry){ .id = id });
	return true;
}

static int
remove_finished(struct work_state *w)
{
	static const enum queue_dir dirs[] = { QUEUE_ACTIVE, QUEUE_DEFERRED,
		QUEUE_HOLD };

	if (queue_scan(w->q, QUEUE_INCOMING, on_incoming, w, w->e) != 0 ||
	    w->failed)
		return -1;
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		w->incoming.n = 0;
		if (queue_scan(w->q, dirs[i], on_sealed, w, w->e) != 0)
			return -1;
		for (size_t k = 0; k < w->incoming.n; k++) {
			if (queue_remove(
				w->q, w->incoming.p[k].id, dirs[i], w->e) != 0)
				return -1;
			w->r->removed++;
		}
	}
	return 0;
}

/* ---- marks ---- */
static int
open_anywhere(struct queue *q, struct queue_id id, struct queue_message **out)
{
	for (enum queue_dir d = 0; d < QUEUE_CORRUPT; d++)
		if (queue_message_open(q, d, id, O_RDWR, false, out, NULL) == 0)
			return 0;
	return -1;
}

/* The marks of one message, l[0] to l[n - 1]. */
static int
mark_message(struct work_state *w, const struct entry *l, size_t n)
{
	struct queue_message *m;
	int ret = 0;

	if (find(&w->removed, l->id) != NULL ||
	    open_anywhere(w->q, l->id, &m) != 0)
		return 0;
	for (size_t i = 0; i < n && ret == 0; i++)
		if (l[i].index < m->rcpt_count)
			ret = queue_message_mark(
			    m, l[i].index, record_mark_state(l[i].mark), w->e);
	/* Then the records that said so are not needed any more. */
	if (ret == 0)
		ret = queue_message_sync(m, w->e);
	queue_message_close(&m);
	w->r->marked++;
	return ret;
}

static int
take_marks(struct work_state *w)
{
	const struct entries *l = &w->marks;

	for (size_t i = 0, n; i < l->n; i += n) {
		for (n = 1; i + n < l->n && l->p[i + n].id.n == l->p[i].id.n;)
			n++;
		if (mark_message(w, &l->p[i], n) != 0)
			return -1;
	}
	return 0;
}

static int
recover(struct queue *q, const uint8_t living[32],
    struct queue_recovery *out, struct err *e)
{
	struct queue_recovery r = { 0 };
	struct err local;
	struct work_state w = {
		.q = q, .living = living, .r = &r, .e = e != NULL ? e : &local
	};
	int ret = -1;

	/* Names first: a new id must be above all that there are. */
	if (read_journal(&w) == 0 && remove_finished(&w) == 0 &&
	    take_messages(&w) == 0 && sync_sealed(&w) == 0 &&
	    take_marks(&w) == 0 && twins_end(q, &r, w.e) == 0)
		ret = 0;
	mem_free(w.messages.p);
	mem_free(w.removed.p);
	mem_free(w.marks.p);
	mem_free(w.incoming.p);
	if (ret == 0)
		*out = r;
	else
		queue_recovery_release(&r);
	return ret;
}

int
queue_recover(struct queue *q, const uint8_t living[32],
    struct queue_recovery *out, struct err *e)
{
	struct err own;

	if (e == NULL)
		e = &own;
	if (recover(q, living, out, e) == 0)
		return 0;
	/* What had no file gets one here, which may take the last room. */
	if ((e->sysno != ENOSPC && e->sysno != EDQUOT) ||
	    queue_reserve_free(q, NULL) != 0)
		return -1;
	return recover(q, living, out, e);
}

void
queue_recovery_release(struct queue_recovery *r)
{
	for (size_t i = 0; i < r->segment_count; i++)
		segment_close(&r->segments[i].segment);
	mem_free(r->segments);
	mem_free(r->live);
	mem_free(r->twins);
	*r = (struct queue_recovery){ 0 };
}

/* ---- the rest of one segment ---- */
struct tail {
	struct queue *q;
	const struct segment *segment;
	struct queue_live *live;
	size_t count;
	struct err *e;
	bool failed;
};

static bool
on_tail_record(void *arg, const struct journal_record *rec, uint64_t place)
{
	struct tail *t = arg;
	enum fate fate;

	if (rec->type != JOURNAL_MESSAGE)
		return true;
	if (ensure(t->q, t->segment, place, rec->id, &fate, t->e) != 0) {
		t->failed = true;
		return false;
	}
	if (fate != FATE_SEALED)
		push_live(&t->live, &t->count,
		    (struct queue_live){ rec->id, t->segment->head.number,
			place, place + journal_record_size(rec->data.n),
			fate == FATE_REBUILT });
	return true;
}

int
queue_recover_tail(struct queue *q, const struct segment *s, uint64_t from,
    uint64_t to, struct queue_live **out_live, size_t *out_count,
    uint64_t *out_end, struct err *e)
{
	struct tail t = { .q = q, .segment = s, .e = e };

	if (segment_scan(s, from, to, on_tail_record, &t, out_end, e) != 0 ||
	    t.failed) {
		mem_free(t.live);
		return -1;
	}
	*out_live = t.live;
	*out_count = t.count;
	return 0;
}

/* ---- all at once ---- */
static const struct segment *
by_number(const struct queue_recovery *r, uint32_t number)
{
	for (size_t i = 0; i < r->segment_count; i++)
		if (r->segments[i].segment.head.number == number)
			return &r->segments[i].segment;
	BUG_ON(true);
}

int
queue_recover_sealed(struct queue *q, struct err *e)
{
	uint8_t living[32];
	struct queue_recovery r;
	int ret = 0;

	/* Whoever lives may be writing; and nobody else cleans up now. */
	memset(living, 0xff, sizeof(living));
	if (queue_recover(q, living, &r, e) != 0)
		return -1;
	for (size_t i = 0; i < r.live_count && ret == 0; i++)
		ret = queue_live_seal(
		    q, by_number(&r, r.live[i].segment), &r.live[i], e);
	for (size_t i = 0; i < r.segment_count && ret == 0; i++) {
		struct recovered_segment *s = &r.segments[i];

		if (s->segment.head.owner == JOURNAL_QMGR ||
		    s->segment.head.mark == s->end)
			continue;
		s->segment.head.mark = s->end;
		ret = segment_head(&s->segment, e);
	}
	queue_recovery_release(&r);
	return ret;
}
