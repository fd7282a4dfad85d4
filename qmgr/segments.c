/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/segments.h"

#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/reserve.h"

enum {
	TICK_MS = 250,
	RETRY_MS = 1000, /* when the disk did not take it */
	OWN = 4,	 /* segments of qmgr beyond the limit */
};

static bool
slot_lives(struct qmgr *q, uint32_t slot)
{
	uint8_t living[32];

	slots_living(q, living);
	return living[slot / 8] >> slot % 8 & 1;
}

/* Nobody writes it any more: whoever has the slot now said, when it came,
 * that it does not; or nobody has it. */
static bool
abandoned(const struct journal_segment *s)
{
	const uint32_t slot = s->file.head.owner;

	return slot != JOURNAL_QMGR && s->owner == NULL &&
	       (s->q->acceptors[slot] != NULL || !slot_lives(s->q, slot));
}

/* ---- the table ---- */
static struct journal_segment *
segment_new(struct qmgr *q, const struct segment *file)
{
	struct journal_segment *s = MEM_NEW(s);

	s->q = q;
	s->file = *file;
	list_init(&s->live);
	list_init(&s->later);
	list_push(&q->segments, &s->link);
	q->segment_count++;
	return s;
}

static struct journal_segment *
find(struct qmgr *q, uint32_t number, uint64_t generation)
{
	LIST_EACH(&q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->file.head.number == number && !s->free &&
		    s->file.head.generation == generation)
			return s;
	}
	return NULL;
}

void
segment_drop(struct journal_segment *s)
{
	list_remove(&s->link);
	s->q->segment_count--;
	segment_close(&s->file);
	mem_free(s);
}

/* ---- a segment for somebody ---- */
struct acquire {
	struct work work;
	struct qmgr *q;
	struct journal_segment *segment;
	bool make;
	uint32_t number;
	struct segment file;
	int fd;
	bool failed;
	struct err e;
	segment_fn_ready fn;
	void *arg;
};

static void
run_acquire(struct work *work)
{
	struct acquire *a = CONTAINER_OF(work, struct acquire, work);
	const struct journal_head head = a->file.head;

	a->failed = true;
	if (a->make && segment_create(a->q->queue, a->number, head.size,
			   &a->file, &a->e) != 0)
		return;
	a->file.head = head;
	if (segment_begin(&a->file, &a->e) != 0)
		return;
	a->failed = head.owner != JOURNAL_QMGR &&
		    segment_writer(a->q->queue, a->number, &a->fd, &a->e) != 0;
}

static void
acquire_failed(struct acquire *a)
{
	struct journal_segment *s = a->segment;

	log_warning(NULL, "journal segment: %s", a->e.text);
	if (a->file.head.owner == JOURNAL_QMGR)
		reserve_use(a->q, &a->e, reserve_emptied(a->q));
	s->file = a->file;
	s->asking = false;
	/* Without a head the next start removes what is left of a new one. */
	s->bad = true;
	if (a->make)
		segment_drop(s);
	else
		segment_release(s);
	a->fn(a->arg, NULL, -1, &a->e);
	mem_free(a);
}

static void
acquire_done(struct work *work)
{
	struct acquire *a = CONTAINER_OF(work, struct acquire, work);
	struct journal_segment *s = a->segment;

	if (a->failed) {
		acquire_failed(a);
		return;
	}
	s->file = a->file;
	s->asking = s->over = s->closing = false;
	s->owner = NULL;
	s->told = JOURNAL_RECORDS;
	s->full_at = s->oldest_ms = s->retry_ms = s->needed = 0;
	a->fn(a->arg, s, a->fd, NULL);
	mem_free(a);
}

/* One that is free, or a new one; NULL: there are too many. (qmgr's own are
 * not counted so closely: deliveries go on.) */
static struct journal_segment *
choose(struct qmgr *q, uint32_t owner, bool *out_make)
{
	const size_t limit = (size_t)q->conf->queue_journal_segment_limit +
			     (owner == JOURNAL_QMGR ? OWN : 0);

	LIST_EACH(&q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->free) {
			*out_make = false;
			return s;
		}
	}
	*out_make = true;
	if (q->segment_count >= limit ||
	    (owner != JOURNAL_QMGR && !reserve_whole(q)))
		return NULL;
	return segment_new(q,
	    &(struct segment){ .fd = -1,
		.head = { .number = ++q->segment_number,
		    .size = (uint64_t)q->conf->queue_journal_segment_size /
			    JOURNAL_RECORDS * JOURNAL_RECORDS } });
}

void
segment_acquire(
    struct qmgr *q, uint32_t owner, segment_fn_ready fn, void *arg)
{
	struct acquire *a;
	struct journal_segment *s;
	struct err e;
	bool make;

	s = choose(q, owner, &make);
	if (s == NULL) {
		err_set(&e, ERR_TEMP, "4.3.1", "no free journal segment");
		fn(arg, NULL, -1, &e);
		return;
	}
	a = MEM_NEW(a);
	a->q = q;
	a->segment = s;
	a->make = make;
	a->file = s->file;
	a->number = s->file.head.number;
	a->file.head.owner = owner;
	a->file.head.generation = ++q->segment_generation;
	a->file.head.mark = JOURNAL_RECORDS;
	a->file.head.bound_us = (uint64_t)q->bound_us;
	a->fd = -1;
	a->fn = fn;
	a->arg = arg;
	s->free = false;
	s->asking = true;
	a->work = (struct work){ .run = run_acquire, .done = acquire_done };
	work_submit(q->loop, WORK_OTHER, &a->work);
}

/* ---- for an accepting process ---- */
static void
answer_segment(
    void *arg, struct journal_segment *s, int fd, const struct err *e)
{
	struct request *r = arg;
	struct server_conn *sc = request_conn(r);
	struct msg_out m;

	if (e != NULL) {
		struct err none = *e;

		/* Whatever was in the way, mail cannot be taken. */
		err_set(&none, ERR_TEMP, "4.3.1", "%s", e->text);
		request_error(&r, &none);
		return;
	}
	s->owner = sc != NULL ? conn_of(sc) : NULL;
	s->over = sc == NULL;
	request_begin(r, &m, MSG_SEGMENT);
	msg_put_fd(&m, fd);
	msg_put_u64(&m, F_SEGMENT, s->file.head.number);
	msg_put_u64(&m, F_GENERATION, s->file.head.generation);
	msg_put_u64(&m, F_SIZE, s->file.head.size);
	msg_put_u64(&m, F_BOUND_US, (uint64_t)s->q->bound_us);
	request_answer(&r, &m);
	msg_out_release(&m);
	close(fd);
}

int
on_segment_want(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));
	struct err e;

	(void)arg;
	if (in->bad || c->slot < 0)
		return -1;
	if (c->q->journal == NULL) {
		err_set(&e, ERR_PERM, "4.3.5", "queue_commit is file here");
		request_error(&r, &e);
		return 0;
	}
	segment_acquire(c->q, (uint32_t)c->slot, answer_segment, r);
	return 0;
}

int
on_segment_full(struct request *r, struct msg_in *in, void *arg)
{
	struct qmgr *q = conn_of(request_conn(r))->q;
	const uint64_t end = msg_get_u64(in, F_PLACE);
	struct journal_segment *s;

	(void)arg;
	s = find(q, msg_get_u32(in, F_SEGMENT), msg_get_u64(in, F_GENERATION));
	if (in->bad)
		return -1;
	if (s != NULL && end >= JOURNAL_RECORDS && end <= s->file.head.size) {
		s->full_at = end;
		s->bad |= msg_has(in, F_DAMAGED);
		s->over = s->told >= end && !s->scanning;
		segment_go_on(s);
	}
	request_drop(&r);
	return 0;
}

/* ---- messages become known ---- */
void
segment_join(struct journal_segment *s, struct message *m, uint64_t at,
    uint64_t end)
{
	m->seg = s;
	m->seg_at = at;
	m->seg_end = end;
	list_push(&s->live, &m->seg_link);
}

/* NULL: it was known. */
static struct message *
know(struct journal_segment *s, struct queue_id id, uint64_t at,
    uint64_t end, uint64_t trace)
{
	struct message *m = message_add(s->q, id, QUEUE_INCOMING, 0);

	if (m == NULL)
		return NULL;
	m->log.trace = trace;
	segment_join(s, m, at, end);
	return m;
}

static void
told_until(struct journal_segment *s, uint64_t end)
{
	if (end <= s->told)
		return;
	s->told = end;
	if (s->oldest_ms == 0)
		s->oldest_ms = now_ms();
	if (s->full_at != 0 && s->told >= s->full_at)
		s->over = true;
}

/* A message told of while the segment was being read. */
struct told_later {
	struct list link;
	struct request *request;
	struct queue_id id;
	uint64_t at, end, trace;
	bool unfiled;
	struct span head; /* F_HEAD: in the message, or kept */
	bool kept;
};

static void scan_tail(struct journal_segment *s, uint64_t to, bool closing);

static void
put_off(struct journal_segment *s, struct told_later *t)
{
	if (!t->kept && t->head.n > 0) {
		t->head = span_of(span_dup(t->head), t->head.n);
		t->kept = true;
	}
	list_push(&s->later, &t->link);
}

static void
take_new(struct journal_segment *s, struct told_later *t)
{
	struct message *m;

	if (s->scanning) {
		put_off(s, t);
		return;
	}
	if (t->at > s->told) {
		/* Of those before it we were not told. */
		put_off(s, t);
		scan_tail(s, t->at, false);
		return;
	}
	if (t->at == s->told) {
		m = know(s, t->id, t->at, t->end, t->trace);
		/* One that was known may have marks by now. */
		if (m != NULL) {
			m->unfiled = t->unfiled;
			message_head(m, t->head);
		}
		told_until(s, t->end);
	}
	spare_answer(&t->request);
	if (t->kept)
		mem_free((void *)(uintptr_t)t->head.p);
	mem_free(t);
}

int
segments_new(struct conn *c, struct request *r, struct msg_in *in,
    struct queue_id id)
{
	struct told_later *t;
	struct journal_segment *s;
	const uint64_t at = msg_get_u64(in, F_PLACE);
	const uint64_t end = msg_get_u64(in, F_PLACE_END);

	s = find(c->q, msg_get_u32(in, F_SEGMENT),
	    msg_get_u64(in, F_GENERATION));
	if (in->bad || at < JOURNAL_RECORDS || end <= at)
		return -1;
	if (s == NULL || end > s->file.head.size) {
		log_warning(NULL,
		    "slot %d: a message in a journal segment that it does "
		    "not have",
		    c->slot);
		return -1;
	}
	t = MEM_NEW(t);
	list_init(&t->link);
	t->request = r;
	t->id = id;
	t->at = at;
	t->end = end;
	t->trace = in->trace;
	t->unfiled = msg_has(in, F_UNFILED);
	t->head = msg_get(in, F_HEAD, LIMIT_IPC_MESSAGE);
	take_new(s, t);
	segment_go_on(s);
	return 0;
}

/* ---- reading what nobody told ---- */
struct tail {
	struct work work;
	struct journal_segment *segment;
	uint64_t from, to, end;
	struct queue_live *live;
	size_t count;
	bool failed;
	struct err e;
};

static void
run_tail(struct work *work)
{
	struct tail *t = CONTAINER_OF(work, struct tail, work);

	t->failed = queue_recover_tail(t->segment->q->queue,
			&t->segment->file, t->from, t->to, &t->live,
			&t->count, &t->end, &t->e) != 0;
}

static void
take_later(struct journal_segment *s)
{
	struct list all, *link;

	list_init(&all);
	while ((link = list_first(&s->later)) != NULL) {
		list_remove(link);
		list_push(&all, link);
	}
	while ((link = list_first(&all)) != NULL) {
		list_remove(link);
		take_new(s, CONTAINER_OF(link, struct told_later, link));
	}
}

static void
tail_done(struct work *work)
{
	struct tail *t = CONTAINER_OF(work, struct tail, work);
	struct journal_segment *s = t->segment;

	s->q->scans--;
	s->scanning = false;
	if (t->failed) {
		log_warning(NULL, "journal segment %lu: %s",
		    (unsigned long)s->file.head.number, t->e.text);
		/* Once more, at a later tick: it is not over. */
		s->retry_ms = now_ms() + RETRY_MS;
		mem_free(t);
		return;
	}
	for (size_t i = 0; i < t->count; i++)
		know(s, t->live[i].id, t->live[i].at, t->live[i].end, 0);
	if (t->count > 0)
		log_info(NULL, "%zu messages found in the journal", t->count);
	told_until(s, t->to != 0 ? t->to : t->end);
	/* A process that came back goes on writing. */
	if (s->closing && s->owner == NULL)
		s->over = true;
	s->closing = false;
	mem_free(t->live);
	mem_free(t);
	take_later(s);
	segment_go_on(s);
}

static void
scan_tail(struct journal_segment *s, uint64_t to, bool closing)
{
	struct tail *t = MEM_NEW(t);

	BUG_ON(s->scanning);
	s->scanning = true;
	s->closing = closing;
	t->segment = s;
	t->from = s->told;
	t->to = to;
	t->work = (struct work){ .run = run_tail, .done = tail_done };
	s->q->scans++;
	work_submit(s->q->loop, WORK_OTHER, &t->work);
}

/* ---- processes come and go ---- */
static bool
claims(struct msg_in *in, const struct journal_segment *s)
{
	struct msg_in g;
	size_t cursor = 0;

	while (msg_next(in, F_HELD, &cursor, &g))
		if (msg_get_u32(&g, F_SEGMENT) == s->file.head.number &&
		    msg_get_u64(&g, F_GENERATION) == s->file.head.generation)
			return true;
	return false;
}

void
segments_claim(struct conn *c, struct msg_in *in)
{
	LIST_EACH(&c->q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->free || s->asking ||
		    s->file.head.owner != (uint32_t)c->slot)
			continue;
		if (claims(in, s)) {
			s->owner = c;
			s->over = false;
		} else if (s->owner == NULL && !s->over && !s->scanning) {
			/* Of an earlier process with this slot, or given
			 * back while there was no connection. */
			scan_tail(s, 0, true);
		}
	}
}

void
segments_lost(struct conn *c)
{
	LIST_EACH(&c->q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->owner != c)
			continue;
		s->owner = NULL;
		if (!s->over && !s->scanning &&
		    (c->farewell || abandoned(s)))
			scan_tail(s, 0, true);
	}
}

/* ---- from time to time ---- */
static void
look_after(struct journal_segment *s)
{
	const bool idle = !s->free && !s->asking && !s->scanning &&
			  now_ms() >= s->retry_ms;

	if (idle && !s->over && abandoned(s))
		scan_tail(s, 0, true);
	else if (idle && !list_empty(&s->later))
		take_later(s); /* that could not be read */
	segment_go_on(s);
}

bool
segments_settled(struct qmgr *q, uint32_t slot)
{
	LIST_EACH(&q->segments, link)
	{
		const struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->file.head.owner == slot && !s->free && !s->over)
			return false;
	}
	return true;
}

static void
on_tick(void *arg)
{
	struct qmgr *q = arg;

	if (q->sweep_again) {
		q->sweep_again = false;
		qmgr_scan(q, QUEUE_INCOMING, -1);
	}
	LIST_EACH(&q->segments, link)
	look_after(CONTAINER_OF(link, struct journal_segment, link));
	timer_start(q->tick, TICK_MS);
}

/* ---- the start ---- */
static struct journal_segment *
by_number(struct qmgr *q, uint32_t number)
{
	LIST_EACH(&q->segments, link)
	{
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		if (s->file.head.number == number)
			return s;
	}
	return NULL;
}

void
segments_start(struct qmgr *q, struct queue_recovery *r)
{
	for (size_t i = 0; i < r->segment_count; i++) {
		struct recovered_segment *from = &r->segments[i];
		struct journal_segment *s = segment_new(q, &from->segment);

		s->told = from->end;
		s->oldest_ms = now_ms();
		/* What the disk said about it to an earlier qmgr, and will not
		 * say again, is not known. */
		s->bad = true;
		/* qmgr's: journal.c says when they are not needed. */
		s->over = s->file.head.owner == JOURNAL_QMGR;
		from->segment.fd = -1;
	}
	for (size_t i = 0; i < r->live_count; i++) {
		const struct queue_live *l = &r->live[i];
		struct journal_segment *s = by_number(q, l->segment);
		struct message *m = s != NULL ?
		    know(s, l->id, l->at, l->end, 0) : NULL;

		/* What the disk said of its file is not known either. */
		if (m != NULL)
			m->unsure = !l->anew;
	}
	q->segment_number = r->number_max;
	q->segment_generation = r->generation_max;
	q->bound_us = r->bound_us;
	q->tick = timer_new(q->loop, on_tick, q);
	timer_start(q->tick, TICK_MS);
}
