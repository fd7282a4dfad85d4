/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/pool.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/os/sock.h"
#include "local/local.h"

enum { CHECK_MS = 1000, DEATHS_MAX = 2 };

struct item {
	struct list link;
	struct msg_out m;
	pool_fn fn;
	void *arg;
	unsigned deaths; /* of workers that had it */
	bool partly;     /* a part of the answer came */
};

struct worker {
	struct list link; /* in pool->workers, least recently used first */
	struct pool *pool;
	struct channel *channel; /* NULL: waits for its turn to be started */
	uid_t uid;
	gid_t gid;
	char *name;
	struct list items; /* the first is being done, when there is a
	                      channel */
	uint64_t idle_since_ms;
	bool finishing; /* an answer is being given to its owner */
};

struct pool {
	struct loop *loop;
	struct pool_options options;
	struct channel *forker;
	struct timer *check;
	struct list workers;
	unsigned running; /* with a channel */
	size_t pending;
};

static void start_waiting(struct pool *p);

/* ---- the work of one worker ---- */
static struct item *
first_item(struct worker *w)
{
	struct list *link = list_first(&w->items);

	return link == NULL ? NULL : CONTAINER_OF(link, struct item, link);
}

static void
item_free(struct item *it)
{
	list_remove(&it->link);
	msg_out_release(&it->m);
	mem_free(it);
}

static void
send_first(struct worker *w)
{
	struct item *it = first_item(w);

	if (it != NULL)
		channel_send(w->channel, &it->m);
	else
		w->idle_since_ms = loop_now_ms(w->pool->loop);
}

static void
worker_free(struct worker *w)
{
	if (w->channel != NULL)
		w->pool->running--;
	channel_free(&w->channel);
	list_remove(&w->link);
	mem_free(w->name);
	mem_free(w);
}

/* Ends the first item; the owner may submit more from within. */
static void
finish_first(struct worker *w, struct msg_in *m, const struct err *e)
{
	struct item *it = first_item(w);
	pool_fn fn;
	void *arg;

	BUG_ON(it == NULL);
	fn = it->fn;
	arg = it->arg;
	item_free(it);
	w->pool->pending--;
	fn(arg, m, false, e);
}

static void
on_message(void *arg, struct msg_in *m)
{
	struct worker *w = arg;
	struct item *it = first_item(w);
	struct pool *p = w->pool;

	if (it == NULL || m->type != MSG_WORK_DONE)
		return;
	if ((msg_get_u64(m, F_FLAGS) & DONE_MORE) != 0) {
		it->partly = true;
		it->fn(it->arg, m, true, NULL);
		return;
	}
	w->finishing = true;
	finish_first(w, m, NULL);
	w->finishing = false;
	list_remove(&w->link);
	list_push(&p->workers, &w->link);
	send_first(w);
	if (first_item(w) == NULL)
		start_waiting(p);
}

/* Whoever killed it, another one tries at once; but what kills two is put
 * off. What it was doing may have been done or not: that is for the next one
 * to see. */
static void
on_closed(void *arg, const struct err *why)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	struct item *it = first_item(w);
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.0", "delivery process ended: %s",
	    why != NULL ? why->text : "connection closed");
	p->running--;
	channel_free(&w->channel);
	if (it != NULL && (it->partly || ++it->deaths >= DEATHS_MAX)) {
		w->finishing = true;
		finish_first(w, NULL, &e);
		w->finishing = false;
	}
	if (first_item(w) == NULL)
		worker_free(w);
	start_waiting(p);
}

/* ---- starting workers ---- */
static int
start_worker(struct worker *w, struct err *e)
{
	static const struct channel_handler handler = { on_message,
		on_closed };
	struct pool *p = w->pool;
	struct msg_out m;
	int pair[2];

	if (sock_pair(SOCK_SEQPACKET, pair, e) != 0)
		return -1;
	msg_begin(&m, MSG_FORK, 0, 0);
	msg_put_str(&m, F_USER, w->name);
	msg_put_u64(&m, F_UID, w->uid);
	msg_put_u64(&m, F_GID, w->gid);
	msg_put_fd(&m, pair[1]);
	channel_send(p->forker, &m);
	msg_out_release(&m);
	close(pair[1]);
	w->channel = channel_new(p->loop, pair[0], &handler, w);
	p->running++;
	send_first(w);
	return 0;
}

/* Ends the worker that was idle longest; false when all have work. */
static bool
evict(struct pool *p)
{
	LIST_EACH(&p->workers, link)
	{
		struct worker *w = CONTAINER_OF(link, struct worker, link);

		if (w->channel != NULL && first_item(w) == NULL &&
		    !w->finishing) {
			worker_free(w);
			return true;
		}
	}
	return false;
}

/* The first worker that has work and no process yet. */
static struct worker *
first_waiting(struct pool *p)
{
	LIST_EACH(&p->workers, link)
	{
		struct worker *w = CONTAINER_OF(link, struct worker, link);

		if (w->channel == NULL && first_item(w) != NULL)
			return w;
	}
	return NULL;
}

/* Without descriptors it is tried again with the timer. */
static void
start_waiting(struct pool *p)
{
	struct worker *w;
	struct err e;

	while ((w = first_waiting(p)) != NULL) {
		if (p->running >= p->options.workers_max && !evict(p))
			return;
		if (start_worker(w, &e) != 0)
			return;
	}
}

static struct worker *
find_worker(struct pool *p, uid_t uid, gid_t gid, const char *name)
{
	struct worker *w;

	LIST_EACH(&p->workers, link)
	{
		w = CONTAINER_OF(link, struct worker, link);
		if (w->uid == uid && w->gid == gid &&
		    strcmp(w->name, name) == 0)
			return w;
	}
	w = MEM_NEW(w);
	w->pool = p;
	w->uid = uid;
	w->gid = gid;
	w->name = mem_strdup(name);
	list_init(&w->items);
	list_push(&p->workers, &w->link);
	return w;
}

void
pool_submit(struct pool *p, uid_t uid, gid_t gid, const char *name,
    struct msg_out *m, pool_fn fn, void *arg)
{
	struct worker *w = find_worker(p, uid, gid, name);
	struct item *it = MEM_NEW(it);
	const bool idle = list_empty(&w->items);

	it->m = *m;
	*m = (struct msg_out){ 0 };
	it->fn = fn;
	it->arg = arg;
	list_push(&w->items, &it->link);
	p->pending++;
	if (w->channel != NULL) {
		if (idle && !w->finishing)
			send_first(w);
		return;
	}
	start_waiting(p);
}

/* ---- the pool ---- */
static void
on_check(void *arg)
{
	struct pool *p = arg;
	const uint64_t now = loop_now_ms(p->loop);

	LIST_EACH(&p->workers, link)
	{
		struct worker *w = CONTAINER_OF(link, struct worker, link);

		if (w->channel != NULL && first_item(w) == NULL &&
		    now - w->idle_since_ms >= p->options.idle_ms)
			worker_free(w);
	}
	start_waiting(p);
	timer_start(p->check, CHECK_MS);
}

static void
on_forker_message(void *arg, struct msg_in *m)
{
	(void)arg;
	(void)m;
}

static void
on_forker_closed(void *arg, const struct err *e)
{
	struct pool *p = arg;

	(void)e;
	p->options.lost(p->options.arg);
}

struct pool *
pool_new(struct loop *loop, const struct pool_options *o)
{
	static const struct channel_handler handler = { on_forker_message,
		on_forker_closed };
	struct pool *p = MEM_NEW(p);

	p->loop = loop;
	p->options = *o;
	list_init(&p->workers);
	p->forker = channel_new(loop, o->forker_fd, &handler, p);
	p->check = timer_new(loop, on_check, p);
	timer_start(p->check, CHECK_MS);
	return p;
}

void
pool_free(struct pool **pool)
{
	struct pool *p = *pool;

	if (p == NULL)
		return;
	*pool = NULL;
	LIST_EACH(&p->workers, link)
	{
		struct worker *w = CONTAINER_OF(link, struct worker, link);

		while (first_item(w) != NULL)
			item_free(first_item(w));
		worker_free(w);
	}
	channel_free(&p->forker);
	timer_free(&p->check);
	mem_free(p);
}

size_t
pool_pending(const struct pool *p)
{
	return p->pending;
}
