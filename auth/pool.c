/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/pool.h"

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

struct job {
	struct list link;
	struct msg_out m;
	pool_fn fn;
	void *arg;
};

struct worker_slot {
	struct pool *pool;
	struct channel *channel; /* NULL: gone for good */
	struct job *job;
};

struct pool {
	struct loop *loop;
	struct list waiting;
	size_t pending;
	struct worker_slot workers[POOL_WORKERS_MAX];
	size_t count;
	void (*gone)(void *arg);
	void *arg;
};

static void
job_free(struct job *job)
{
	list_remove(&job->link);
	/* It may hold a password. */
	buf_wipe(&job->m.bytes);
	msg_out_release(&job->m);
	mem_free(job);
}

static void
job_end(struct pool *p, struct job *job, struct msg_in *m, const struct err *e)
{
	const pool_fn fn = job->fn;
	void *const arg = job->arg;

	p->pending--;
	job_free(job);
	fn(arg, m, e);
}

static void
start_jobs(struct pool *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct worker_slot *w = &p->workers[i];
		if (list_empty(&p->waiting))
			return;
		if (w->channel == NULL || w->job != NULL)
			continue;
		w->job =
		    CONTAINER_OF(list_first(&p->waiting), struct job, link);
		list_remove(&w->job->link);
		channel_send(w->channel, &w->job->m);
	}
}

/* A worker's answer; MSG_ERROR with id 0 says that it died. */
static void
on_message(void *arg, struct msg_in *m)
{
	struct worker_slot *w = arg;
	struct pool *p = w->pool;
	struct job *job = w->job;
	struct err e;

	if (job == NULL)
		return;
	w->job = NULL;
	if (m->type == MSG_AUTH_WORK_DONE) {
		job_end(p, job, m, NULL);
	} else {
		if (!msg_get_err(m, &e))
			err_set(&e, ERR_TEMP, "4.3.0", "a worker failed");
		job_end(p, job, NULL, &e);
	}
	start_jobs(p);
}

static void
on_closed(void *arg, const struct err *e)
{
	struct worker_slot *w = arg;
	struct pool *p = w->pool;
	struct job *job = w->job;
	size_t alive = 0;

	channel_free(&w->channel);
	w->job = NULL;
	for (size_t i = 0; i < p->count; i++)
		alive += p->workers[i].channel != NULL;
	if (job != NULL)
		job_end(p, job, NULL, e);
	if (alive == 0)
		p->gone(p->arg);
}

static const struct channel_handler handler = { on_message, on_closed };

struct pool *
pool_new(struct loop *loop, const int *fds, size_t count,
    void (*gone)(void *arg), void *arg)
{
	struct pool *p = MEM_NEW(p);

	BUG_ON(count == 0 || count > POOL_WORKERS_MAX);
	p->loop = loop;
	p->count = count;
	p->gone = gone;
	p->arg = arg;
	list_init(&p->waiting);
	for (size_t i = 0; i < count; i++) {
		p->workers[i].pool = p;
		p->workers[i].channel =
		    channel_new(loop, fds[i], &handler, &p->workers[i]);
	}
	return p;
}

void
pool_free(struct pool **p)
{
	struct pool *self = *p;

	if (self == NULL)
		return;
	LIST_EACH(&self->waiting, link)
	job_free(CONTAINER_OF(link, struct job, link));
	for (size_t i = 0; i < self->count; i++) {
		channel_free(&self->workers[i].channel);
		if (self->workers[i].job != NULL)
			job_free(self->workers[i].job);
	}
	mem_free(self);
	*p = NULL;
}

/* A job that was not taken: its owner hears of it from the loop. */
struct refusal {
	pool_fn fn;
	void *arg;
};

static void
refuse_later(void *arg)
{
	const struct refusal r = *(struct refusal *)arg;
	struct err e;

	mem_free(arg);
	err_set(&e, ERR_TEMP, "4.3.2", "too many logins are waiting");
	r.fn(r.arg, NULL, &e);
}

void
pool_submit(struct pool *p, struct msg_out *m, pool_fn fn, void *arg)
{
	if (p->pending >= POOL_QUEUE_MAX || !msg_ok(m)) {
		struct refusal *r = MEM_NEW(r);
		r->fn = fn;
		r->arg = arg;
		buf_wipe(&m->bytes);
		msg_out_release(m);
		loop_later(p->loop, refuse_later, r);
		return;
	}
	struct job *job = MEM_NEW(job);
	list_init(&job->link);
	job->m = *m;
	job->fn = fn;
	job->arg = arg;
	p->pending++;
	list_push(&p->waiting, &job->link);
	start_jobs(p);
}

size_t
pool_pending(const struct pool *p)
{
	return p->pending;
}
