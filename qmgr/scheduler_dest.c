/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/scheduler_dest.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"

/* ---- what the owner may ask ---- */
struct span
sched_transport_name(const struct sched_transport *t)
{
	return span_str(t->name);
}

void *
sched_transport_data(const struct sched_transport *t)
{
	return t->data;
}

void
sched_transport_set(struct sched_transport *t, void *data)
{
	t->data = data;
}

size_t
sched_transport_queued(const struct sched_transport *t)
{
	return t->queued;
}

struct span
sched_dest_nexthop(const struct sched_dest *d)
{
	return span_of(d->key, d->nexthop_len);
}

struct sched_transport *
sched_dest_transport(const struct sched_dest *d)
{
	return d->transport;
}

struct sched_transport *
scheduler_next_transport(struct scheduler *s, struct sched_transport *after)
{
	struct list *link =
	    after == NULL ? s->transports.next : after->link.next;

	return link == &s->transports
		   ? NULL
		   : CONTAINER_OF(link, struct sched_transport, link);
}

/* ---- transports and destinations ---- */
struct sched_transport *
scheduler_transport(struct scheduler *s, struct span name)
{
	struct sched_transport *t = table_get(&s->by_name, name);

	if (t != NULL)
		return t;
	t = MEM_NEW(t);
	t->s = s;
	t->name = span_dup(name);
	table_init(&t->by_nexthop);
	list_init(&t->dests);
	heap_init(&t->ready);
	s->options.limits(s->options.arg, name, &t->limits);
	BUG_ON(t->limits.rcpts == 0 || t->limits.concurrency_max == 0);
	table_put(&s->by_name, name, t);
	list_push(&s->transports, &t->link);
	return t;
}

static void
peer_free(struct sched_peer *p)
{
	heap_remove(&p->dest->peers, &p->node);
	if (p->dest->recent == p)
		p->dest->recent = NULL;
	list_remove(&p->link);
	mem_free(p);
}

static void
dest_free(struct sched_dest *d)
{
	struct heap_node *n;

	while ((n = heap_first(&d->peers)) != NULL)
		peer_free(CONTAINER_OF(n, struct sched_peer, node));
	table_remove(&d->transport->by_nexthop, span_of(d->key, d->key_len));
	heap_remove(&d->transport->ready, &d->ready);
	heap_release(&d->peers);
	list_remove(&d->link);
	list_remove(&d->suspended);
	list_remove(&d->dead);
	mem_free(d->reason);
	mem_free(d->key);
	mem_free(d);
}

void
scheduler_transport_free(struct sched_transport *t)
{
	struct list *link;

	while ((link = list_first(&t->dests)) != NULL)
		dest_free(CONTAINER_OF(link, struct sched_dest, link));
	table_release(&t->by_nexthop);
	heap_release(&t->ready);
	list_remove(&t->link);
	mem_free(t->reason);
	mem_free(t->name);
	mem_free(t);
}

static struct sched_dest *
find_dest(struct sched_transport *t, struct span nexthop, struct span address)
{
	struct sched_dest *d;
	struct buf key;

	buf_init(&key, SIZE_MAX / 2);
	buf_add(&key, nexthop);
	if (t->limits.rcpts == 1) {
		buf_byte(&key, '\0');
		buf_add(&key, address);
	}
	d = table_get(&t->by_nexthop, buf_span(&key));
	if (d == NULL) {
		d = MEM_NEW(d);
		d->transport = t;
		d->key = span_dup(buf_span(&key));
		d->key_len = key.n;
		d->nexthop_len = nexthop.n;
		d->window = t->limits.concurrency_initial;
		if (d->window > t->limits.concurrency_max)
			d->window = t->limits.concurrency_max;
		heap_init(&d->peers);
		list_init(&d->suspended);
		list_init(&d->dead);
		list_push(&t->dests, &d->link);
		table_put(&t->by_nexthop, buf_span(&key), d);
	}
	buf_release(&key);
	return d;
}

static bool
is_suspended(const struct scheduler *s, const struct sched_dest *d)
{
	return d->until_ms > s->now_ms || d->transport->until_ms > s->now_ms;
}

/* Puts a destination where it belongs after any change to it; one that has
 * nothing and remembers nothing is freed. */
static void
place(struct scheduler *s, struct sched_dest *d)
{
	const struct heap_node *first = heap_first(&d->peers);

	heap_remove(&d->transport->ready, &d->ready);
	list_remove(&d->suspended);
	if (first == NULL) {
		if (d->busy == 0 && d->until_ms <= s->now_ms)
			dest_free(d);
	} else if (is_suspended(s, d)) {
		list_push(&s->suspended, &d->suspended);
	} else if (d->busy < d->window) {
		d->ready.key = first->key;
		d->ready.order = d->served;
		heap_add(&d->transport->ready, &d->ready);
	}
}

static struct sched_peer *
find_peer(struct scheduler *s, struct sched_dest *d, struct sched_message *m)
{
	struct sched_peer *p = d->recent;

	if (p != NULL && p->message == m)
		return p;
	p = MEM_NEW(p);
	p->message = m;
	p->dest = d;
	list_init(&p->entries);
	list_push(&m->peers, &p->link);
	p->node.key = m->vtime++;
	p->node.order = ++s->seq;
	heap_add(&d->peers, &p->node);
	d->recent = p;
	return p;
}

static void
enqueue(struct scheduler *s, struct sched_dest *d, struct sched_message *m,
    struct sched_entry *e)
{
	e->message = m;
	e->peer = find_peer(s, d, m);
	list_push(&e->peer->entries, &e->link);
	m->queued++;
	d->transport->queued++;
	if (!heap_holds(&d->ready))
		place(s, d);
}

void
scheduler_rcpt(struct scheduler *s, struct sched_message *m,
    struct sched_entry *e, struct span transport, struct span nexthop,
    struct span address)
{
	struct sched_transport *t = scheduler_transport(s, transport);

	BUG_ON(m->state != SCHED_LOADING);
	s->rcpts++;
	enqueue(s, find_dest(t, nexthop, address), m, e);
}

struct sched_entry *
scheduler_withdraw(struct scheduler *s, struct sched_message *m)
{
	struct list *link = list_first(&m->peers);
	struct sched_peer *p;
	struct sched_dest *d;
	struct sched_entry *e;

	m->withdrawn = true;
	if (link == NULL) {
		scheduler_message_check(s, m);
		return NULL;
	}
	p = CONTAINER_OF(link, struct sched_peer, link);
	d = p->dest;
	link = p->entries.next;
	BUG_ON(link == &p->entries);
	list_remove(link);
	e = CONTAINER_OF(link, struct sched_entry, link);
	e->peer = NULL;
	m->queued--;
	s->rcpts--;
	d->transport->queued--;
	if (list_empty(&p->entries)) {
		peer_free(p);
		place(s, d);
	}
	return e;
}

/* ---- deliveries ---- */
static struct sched_batch *
take_batch(struct scheduler *s, struct sched_dest *d)
{
	struct sched_peer *p =
	    CONTAINER_OF(heap_first(&d->peers), struct sched_peer, node);
	struct sched_message *m = p->message;
	struct sched_batch *b = MEM_NEW(b);
	struct list *link;

	b->message = m;
	b->dest = d;
	list_init(&b->entries);
	while (b->count < d->transport->limits.rcpts &&
	       (link = list_first(&p->entries)) != NULL) {
		list_remove(link);
		list_push(&b->entries, link);
		CONTAINER_OF(link, struct sched_entry, link)->peer = NULL;
		b->count++;
	}
	m->queued -= (uint32_t)b->count;
	m->flying += (uint32_t)b->count;
	d->transport->queued -= b->count;
	d->busy++;
	d->served = ++s->seq;
	if (p->node.key > s->vtime)
		s->vtime = p->node.key;
	if (list_empty(&p->entries)) {
		peer_free(p);
	} else {
		heap_remove(&d->peers, &p->node);
		p->node.key = m->vtime++;
		heap_add(&d->peers, &p->node);
	}
	return b;
}

struct sched_batch *
scheduler_next(struct scheduler *s, struct sched_transport *t, uint64_t now_ms)
{
	struct heap_node *n;
	struct sched_dest *d;
	struct sched_batch *b;

	s->now_ms = now_ms;
	while ((n = heap_first(&t->ready)) != NULL) {
		d = CONTAINER_OF(n, struct sched_dest, ready);
		if (is_suspended(s, d)) {
			place(s, d);
			continue;
		}
		b = take_batch(s, d);
		place(s, d);
		return b;
	}
	return NULL;
}

/* Destinations that died long ago and have nothing are forgotten. */
static void
sweep_dead(struct scheduler *s)
{
	LIST_EACH(&s->dead, link)
	{
		struct sched_dest *d =
		    CONTAINER_OF(link, struct sched_dest, dead);

		if (d->until_ms > s->now_ms)
			continue;
		list_remove(&d->dead);
		place(s, d);
	}
}

struct sched_batch *
scheduler_next_suspended(
    struct scheduler *s, uint64_t now_ms, const char **out_reason)
{
	struct list *link;
	struct sched_dest *d;
	struct sched_batch *b;

	s->now_ms = now_ms;
	sweep_dead(s);
	while ((link = list_first(&s->suspended)) != NULL) {
		d = CONTAINER_OF(link, struct sched_dest, suspended);
		if (!is_suspended(s, d)) {
			place(s, d);
			continue;
		}
		*out_reason =
		    d->until_ms > now_ms ? d->reason : d->transport->reason;
		b = take_batch(s, d);
		place(s, d);
		return b;
	}
	return NULL;
}

void
scheduler_entry_done(
    struct scheduler *s, struct sched_batch *b, struct sched_entry *e)
{
	list_remove(&e->link);
	b->count--;
	b->message->flying--;
	s->rcpts--;
	scheduler_message_check(s, b->message);
}

void
scheduler_entry_again(
    struct scheduler *s, struct sched_batch *b, struct sched_entry *e)
{
	struct sched_dest *d = b->dest;

	list_remove(&e->link);
	b->count--;
	b->message->flying--;
	enqueue(s, d, b->message, e);
}

static void
got_through(struct sched_dest *d)
{
	const struct sched_limits *l = &d->transport->limits;

	d->fail_cohorts = 0;
	if (d->window < l->concurrency_max &&
	    d->window < d->busy + l->concurrency_initial)
		d->window++;
}

static void
not_reached(struct scheduler *s, struct sched_dest *d, const char *reason)
{
	d->fail_cohorts += 1.0 / d->window;
	if (d->window > 1)
		d->window--;
	if (d->fail_cohorts < 1.0)
		return;
	d->fail_cohorts = 0;
	d->window = d->transport->limits.concurrency_initial;
	d->until_ms = s->now_ms + s->options.dead_ms;
	mem_free(d->reason);
	d->reason = mem_strdup(reason);
	list_remove(&d->dead);
	list_push(&s->dead, &d->dead);
}

void
scheduler_batch_done(struct scheduler *s, struct sched_batch **batch,
    enum sched_feedback f, const char *reason, uint64_t now_ms)
{
	struct sched_batch *b = *batch;
	struct sched_dest *d = b->dest;

	BUG_ON(b->count != 0);
	*batch = NULL;
	s->now_ms = now_ms;
	switch (f) {
	case SCHED_OK:
		got_through(d);
		break;
	case SCHED_FAILED:
		not_reached(s, d, reason);
		break;
	case SCHED_NEUTRAL:
		break;
	}
	d->busy--;
	mem_free(b);
	place(s, d);
}

static void
place_all(struct scheduler *s, struct sched_transport *t)
{
	LIST_EACH(&t->dests, link)
	place(s, CONTAINER_OF(link, struct sched_dest, link));
}

void
scheduler_suspend(struct scheduler *s, struct sched_transport *t,
    uint64_t until_ms, const char *reason)
{
	mem_free(t->reason);
	t->reason = mem_strdup(reason);
	t->until_ms = until_ms;
	place_all(s, t);
}

void
scheduler_revive(struct scheduler *s)
{
	LIST_EACH(&s->transports, link)
	{
		struct sched_transport *t =
		    CONTAINER_OF(link, struct sched_transport, link);

		t->until_ms = 0;
		LIST_EACH(&t->dests, dest)
		{
			struct sched_dest *d =
			    CONTAINER_OF(dest, struct sched_dest, link);

			d->until_ms = 0;
			list_remove(&d->dead);
		}
		place_all(s, t);
	}
}
