/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/scheduler.h"

#include "lib/base/mem.h"
#include "qmgr/scheduler_dest.h"

/* ---- set-up ---- */
struct scheduler *
scheduler_new(const struct sched_options *o)
{
	struct scheduler *s = MEM_NEW(s);

	s->options = *o;
	table_init(&s->messages);
	heap_init(&s->waiting);
	list_init(&s->refill);
	list_init(&s->finished);
	list_init(&s->transports);
	table_init(&s->by_name);
	list_init(&s->suspended);
	list_init(&s->dead);
	return s;
}

void
scheduler_free(struct scheduler **scheduler)
{
	struct scheduler *s = *scheduler;
	struct list *link;

	if (s == NULL)
		return;
	*scheduler = NULL;
	while ((link = list_first(&s->transports)) != NULL)
		scheduler_transport_free(
		    CONTAINER_OF(link, struct sched_transport, link));
	table_release(&s->messages);
	table_release(&s->by_name);
	heap_release(&s->waiting);
	mem_free(s);
}

/* ---- messages ---- */
static struct span
id_key(const struct queue_id *id)
{
	return span_of(&id->n, sizeof(id->n));
}

static void
wait_until(struct scheduler *s, struct sched_message *m, uint64_t due_ms)
{
	m->state = SCHED_WAITING;
	m->due.key = due_ms;
	m->due.order = ++s->seq;
	heap_add(&s->waiting, &m->due);
}

bool
scheduler_add(struct scheduler *s, struct sched_message *m, uint64_t due_ms)
{
	if (table_get(&s->messages, id_key(&m->id)) != NULL)
		return false;
	table_put(&s->messages, id_key(&m->id), m);
	list_init(&m->link);
	list_init(&m->peers);
	wait_until(s, m, due_ms);
	return true;
}

struct sched_message *
scheduler_find(struct scheduler *s, struct queue_id id)
{
	return table_get(&s->messages, id_key(&id));
}

void
scheduler_each(const struct scheduler *s, struct table_iter *it)
{
	table_iter_init(&s->messages, it);
}

struct sched_message *
scheduler_each_next(const struct scheduler *s, struct table_iter *it)
{
	struct span key;
	void *m;

	return table_iter_next(&s->messages, it, &key, &m) ? m : NULL;
}

size_t
scheduler_count(const struct scheduler *s)
{
	return s->messages.count;
}

size_t
scheduler_active(const struct scheduler *s)
{
	return s->active;
}

void
scheduler_forget(struct scheduler *s, struct sched_message *m)
{
	BUG_ON(m->state != SCHED_WAITING && m->state != SCHED_DONE);
	heap_remove(&s->waiting, &m->due);
	list_remove(&m->link);
	table_remove(&s->messages, id_key(&m->id));
	m->state = SCHED_NONE;
}

void
scheduler_wait(struct scheduler *s, struct sched_message *m, uint64_t due_ms)
{
	BUG_ON(m->state != SCHED_WAITING && m->state != SCHED_DONE);
	heap_remove(&s->waiting, &m->due);
	list_remove(&m->link);
	m->withdrawn = false;
	wait_until(s, m, due_ms);
}

struct sched_message *
scheduler_load(struct scheduler *s, uint64_t now_ms, uint64_t *out_wake_ms)
{
	struct heap_node *n = heap_first(&s->waiting);
	struct sched_message *m;

	s->now_ms = now_ms;
	*out_wake_ms = n != NULL ? n->key : UINT64_MAX;
	if (n == NULL || n->key > now_ms ||
	    s->active >= s->options.messages_max ||
	    s->rcpts >= s->options.rcpts_max)
		return NULL;
	m = CONTAINER_OF(n, struct sched_message, due);
	heap_remove(&s->waiting, n);
	m->state = SCHED_LOADING;
	m->vtime = s->vtime;
	m->more = m->withdrawn = false;
	s->active++;
	return m;
}

struct sched_message *
scheduler_refill(struct scheduler *s)
{
	struct list *link = list_first(&s->refill);
	struct sched_message *m;

	if (link == NULL || s->rcpts >= s->options.rcpts_max)
		return NULL;
	m = CONTAINER_OF(link, struct sched_message, link);
	list_remove(&m->link);
	m->state = SCHED_LOADING;
	return m;
}

uint32_t
scheduler_page(const struct scheduler *s)
{
	const uint32_t room = s->rcpts < s->options.rcpts_max
				  ? s->options.rcpts_max - s->rcpts
				  : 1;

	return room < s->options.page ? room : s->options.page;
}

void
scheduler_message_check(struct scheduler *s, struct sched_message *m)
{
	const uint32_t held = m->queued + m->flying;

	if (m->state != SCHED_ACTIVE)
		return;
	if (m->withdrawn)
		m->more = false;
	if (m->more) {
		if (held <= s->options.page / 2 && list_empty(&m->link))
			list_push(&s->refill, &m->link);
		return;
	}
	if (held > 0)
		return;
	m->state = SCHED_DONE;
	s->active--;
	list_remove(&m->link);
	list_push(&s->finished, &m->link);
}

void
scheduler_loaded(struct scheduler *s, struct sched_message *m, bool more)
{
	BUG_ON(m->state != SCHED_LOADING);
	m->state = SCHED_ACTIVE;
	m->more = more;
	scheduler_message_check(s, m);
}

struct sched_message *
scheduler_finished(struct scheduler *s)
{
	struct list *link = list_first(&s->finished);

	if (link == NULL)
		return NULL;
	list_remove(link);
	return CONTAINER_OF(link, struct sched_message, link);
}

uint64_t
scheduler_backoff(
    uint64_t now_ms, uint64_t arrival_ms, uint64_t min_ms, uint64_t max_ms)
{
	uint64_t wait = now_ms > arrival_ms ? now_ms - arrival_ms : 0;

	if (wait > max_ms)
		wait = max_ms;
	if (wait < min_ms)
		wait = min_ms;
	return now_ms + wait;
}
