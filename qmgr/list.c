/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdlib.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_msg.h"
#include "qmgr/segments.h"

/*
 * The listing of the queue for mailq: the ids first, then page by page what
 * the files say, read in a thread; of unfiled messages what their heads say.
 * One listing at a time for a connection.
 */

enum {
	RCPTS = 100,	    /* read at a time */
	RCPT_SPACE = 4096,  /* what one recipient takes at most */
	ENTRY_SPACE = 8192, /* what a message and one recipient take */
	ITEMS_PAGE = 400,   /* files looked at for one page */
};

struct item {
	struct queue_id id;
	enum queue_dir dir;
	struct span head; /* of one that was unfiled; or empty */
};

struct listing {
	struct work work;
	struct qmgr *q;
	struct conn *conn;	 /* NULL: gone */
	struct request *request; /* being answered */
	struct msg_out page;
	bool busy, ids_only;
	struct item *items;
	size_t count, room, at;
	uint32_t rcpt_at;	 /* of item `at`: the next recipient */
	bool active[ITEMS_PAGE]; /* of items from `first` on */
	bool expired[ITEMS_PAGE];
	size_t first;
	struct err e;
	bool failed;
};

/* ---- in a thread ---- */
struct scan_dir {
	struct listing *l;
	enum queue_dir dir;
};

static void
add_item(struct listing *l, const struct item *item)
{
	if (l->count == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		l->items = mem_resize(l->items, l->room, sizeof(*l->items));
	}
	l->items[l->count++] = *item;
}

static bool
on_entry(void *arg, struct queue_id id, int64_t mtime_s)
{
	const struct scan_dir *s = arg;

	(void)mtime_s;
	add_item(s->l, &(struct item){ .id = id, .dir = s->dir });
	return true;
}

static void
run_scan(struct work *work)
{
	/* In the order that messages move: none is missed. */
	static const enum queue_dir dirs[] = { QUEUE_INCOMING, QUEUE_ACTIVE,
		QUEUE_DEFERRED, QUEUE_HOLD };
	struct listing *l = CONTAINER_OF(work, struct listing, work);

	for (size_t i = 0; i < COUNT_OF(dirs) && !l->failed; i++)
		l->failed = queue_scan(l->q->queue, dirs[i], on_entry,
				&(struct scan_dir){ l, dirs[i] }, &l->e) != 0;
}

static void
put_head(struct listing *l, const struct item *item)
{
	const bool active = item->dir == QUEUE_ACTIVE ||
			    item->dir == QUEUE_INCOMING ||
			    l->active[l->at - l->first];
	char text[QUEUE_ID_TEXT];

	queue_id_text(item->id, text);
	msg_put_str(&l->page, F_QUEUE_NAME,
	    queue_dir_name(active ? QUEUE_ACTIVE : item->dir));
	msg_put_str(&l->page, F_QID, text);
}

static void
put_rcpt(struct msg_out *out, const struct queue_rcpt *r,
    const struct queue_rcpt_status *s)
{
	msg_group_begin(out, F_RCPT);
	msg_put(out, F_ADDRESS, span_slice(r->address, 0, LIMIT_ADDRESS));
	if (!span_eq(r->orig_address, r->address))
		msg_put(out, F_ORIG_ADDRESS,
		    span_slice(r->orig_address, 0, LIMIT_ADDRESS));
	if (s->reason.n > 0)
		msg_put(out, F_REASON, span_slice(s->reason, 0, AGENT_TEXT));
	msg_group_end(out);
}

/* Puts recipients until the page is full: false then. */
static bool
put_rcpts(struct listing *l, struct queue_message *m)
{
	struct queue_rcpt r[RCPTS];
	struct queue_rcpt_status s[RCPTS];
	int got;

	while (
	    (got = queue_message_rcpts(m, l->rcpt_at, RCPTS, r, s, NULL)) > 0) {
		for (int i = 0; i < got; i++, l->rcpt_at++) {
			if (msg_space(&l->page) < RCPT_SPACE)
				return false;
			if (s[i].state == RCPT_TODO)
				put_rcpt(&l->page, &r[i], &s[i]);
		}
	}
	return true;
}

/* Where it was or has gone to since. */
static int
open_item(
    struct listing *l, const struct item *item, struct queue_message **out)
{
	const enum queue_dir dirs[] = { item->dir, QUEUE_ACTIVE,
		QUEUE_DEFERRED, QUEUE_HOLD };

	for (size_t i = 0; i < COUNT_OF(dirs); i++)
		if (queue_message_open(l->q->queue, dirs[i], item->id,
			O_RDONLY, false, out, NULL) == 0)
			return 0;
	return item->head.n > 0 ?
	    queue_message_from_head(item->head, out, NULL) : -1;
}

/* One message; false when it goes on in the next page. */
static bool
put_message(struct listing *l, const struct item *item)
{
	const bool expired = l->expired[l->at - l->first];
	struct queue_message *m;
	bool whole;

	if (open_item(l, item, &m) != 0)
		return true;
	msg_group_begin(&l->page, F_MESSAGE);
	put_head(l, item);
	msg_put_u64(&l->page, F_SIZE, m->content_size);
	msg_put_u64(&l->page, F_ARRIVAL_US, (uint64_t)queue_id_us(item->id));
	msg_put(
	    &l->page, F_SENDER, span_slice(m->env.sender, 0, LIMIT_ADDRESS));
	whole = put_rcpts(l, m);
	msg_put_u64(&l->page, F_FLAGS,
	    (whole ? 0 : QUEUE_ENTRY_MORE) |
		(expired ? QUEUE_ENTRY_EXPIRED : 0));
	msg_group_end(&l->page);
	queue_message_close(&m);
	return whole;
}

static void
run_page(struct work *work)
{
	struct listing *l = CONTAINER_OF(work, struct listing, work);

	while (l->at < l->count && l->at - l->first < ITEMS_PAGE &&
	       msg_space(&l->page) > ENTRY_SPACE) {
		const struct item *item = &l->items[l->at];

		if (l->ids_only) {
			msg_group_begin(&l->page, F_MESSAGE);
			put_head(l, item);
			msg_group_end(&l->page);
		} else if (!put_message(l, item)) {
			return;
		}
		l->at++;
		l->rcpt_at = 0;
	}
}

/* ---- on the loop ---- */
static void
listing_free(struct listing *l)
{
	if (l->conn != NULL)
		l->conn->listing = NULL;
	for (size_t i = 0; i < l->count; i++)
		mem_free((void *)(uintptr_t)l->items[i].head.p);
	mem_free(l->items);
	mem_free(l);
}

static void
answer(struct listing *l)
{
	if (l->failed) {
		request_error(&l->request, &l->e);
	} else {
		if (l->at < l->count)
			msg_put(&l->page, F_CURSOR, SPAN("next"));
		request_answer(&l->request, &l->page);
	}
	msg_out_release(&l->page);
	if (l->failed || l->conn == NULL || l->at >= l->count)
		listing_free(l);
}

static void
page_done(struct work *work)
{
	struct listing *l = CONTAINER_OF(work, struct listing, work);

	l->busy = false;
	answer(l);
}

static void
start_page(struct listing *l)
{
	l->first = l->at;
	for (size_t i = 0; i < ITEMS_PAGE && l->at + i < l->count; i++) {
		const struct sched_message *s =
		    scheduler_find(l->q->sched, l->items[l->at + i].id);

		l->active[i] = s != NULL && s->state != SCHED_WAITING;
		l->expired[i] = s != NULL && message_expired(s);
	}
	request_begin(l->request, &l->page, MSG_QUEUE_PAGE);
	l->work = (struct work){ .run = run_page, .done = page_done };
	work_submit(l->q->loop, WORK_OTHER, &l->work);
}

static int
by_age(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->id.n != y->id.n)
		return x->id.n < y->id.n ? -1 : 1;
	/* Where it went to counts; and a file says more than a head. */
	if (x->dir != y->dir)
		return x->dir > y->dir ? -1 : 1;
	return x->head.n > y->head.n ? 1 : x->head.n < y->head.n ? -1 : 0;
}

/* Before the directories are looked through: one that gets its file meanwhile
 * is in either. */
static void
add_unfiled(struct listing *l)
{
	LIST_EACH (&l->q->segments, link) {
		struct journal_segment *s =
		    CONTAINER_OF(link, struct journal_segment, link);

		LIST_EACH (&s->live, seg_link) {
			const struct message *m =
			    CONTAINER_OF(seg_link, struct message, seg_link);

			if (m->head.n > 0)
				add_item(l, &(struct item){ m->sched.id,
				    QUEUE_INCOMING,
				    span_of(span_dup(m->head), m->head.n) });
		}
	}
}

/* Each message once; of incoming/ only what is accepted. */
static void
tidy(struct listing *l)
{
	size_t n = 0;

	if (l->count > 0)
		qsort(l->items, l->count, sizeof(*l->items), by_age);
	for (size_t i = 0; i < l->count; i++) {
		const struct item item = l->items[i];

		if ((n > 0 && l->items[n - 1].id.n == item.id.n) ||
		    (item.dir == QUEUE_INCOMING &&
			scheduler_find(l->q->sched, item.id) == NULL)) {
			mem_free((void *)(uintptr_t)item.head.p);
			continue;
		}
		l->items[n++] = item;
	}
	l->count = n;
}

static void
scan_done(struct work *work)
{
	struct listing *l = CONTAINER_OF(work, struct listing, work);

	tidy(l);

	if (!l->failed && l->conn != NULL) {
		start_page(l);
		return;
	}
	l->busy = false;
	request_begin(l->request, &l->page, MSG_QUEUE_PAGE);
	answer(l);
}

int
on_list(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));
	struct listing *l = c->listing;

	(void)arg;
	if (in->bad || (l != NULL && l->busy) ||
	    (msg_has(in, F_CURSOR) && l == NULL))
		return -1;
	if (msg_has(in, F_CURSOR)) {
		l->request = r;
		l->busy = true;
		start_page(l);
		return 0;
	}
	if (l != NULL)
		listing_free(l);
	l = MEM_NEW(l);
	l->q = c->q;
	l->conn = c;
	l->request = r;
	l->ids_only = (msg_get_u64(in, F_FLAGS) & QUEUE_LIST_IDS) != 0;
	l->busy = true;
	c->listing = l;
	add_unfiled(l);
	l->work = (struct work){ .run = run_scan, .done = scan_done };
	work_submit(c->q->loop, WORK_OTHER, &l->work);
	return 0;
}

void
list_closed(struct conn *c)
{
	struct listing *l = c->listing;

	if (l == NULL)
		return;
	c->listing = NULL;
	l->conn = NULL;
	if (!l->busy)
		listing_free(l);
}
