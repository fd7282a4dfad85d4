/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/loop_uv.h"

enum { THREADS_MAX = 64, STACK_SIZE = 1 << 20 };

struct queue {
	struct work *first, **last;
};

struct pool {
	pthread_mutex_t lock;
	unsigned limit; /* threads at most */
	unsigned patience; /* pieces that may wait for a thread at work */
	unsigned started;
	unsigned waiting; /* threads with nothing to do, not called */
	unsigned called;  /* calls that no thread has answered yet */
	unsigned queued;
	struct queue queue;
	pthread_cond_t more;
	pthread_t threads[THREADS_MAX];
};

/* One set of pools for the process, as the contract says. */
#define POOL(n, p)                                                            \
	{                                                                     \
		.lock = PTHREAD_MUTEX_INITIALIZER, .limit = (n),              \
		.patience = (p), .more = PTHREAD_COND_INITIALIZER             \
	}
/* Name operations are short as a rule: to wake a thread for each would cost
 * more than they do. */
static struct pool pools[WORK_POOLS] = {
	[WORK_FLUSH] = POOL(8, 0),
	[WORK_NAME] = POOL(4, 8),
	[WORK_OTHER] = POOL(4, 0),
};
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static struct queue done_queue;
static atomic_bool ending;
static unsigned pending; /* touched by the loop's thread only */

static void
put(struct queue *q, struct work *w)
{
	w->next = NULL;
	if (q->first == NULL)
		q->last = &q->first;
	*q->last = w;
	q->last = &w->next;
}

static struct work *
take(struct queue *q)
{
	struct work *w = q->first;

	if (w != NULL)
		q->first = w->next;
	return w;
}

static void
publish(struct work *w)
{
	bool first;

	pthread_mutex_lock(&done_lock);
	first = done_queue.first == NULL;
	put(&done_queue, w);
	pthread_cond_signal(&finished);
	/* Inside, since the loop lives until it has collected all. */
	if (first)
		loop_wake(w->loop);
	pthread_mutex_unlock(&done_lock);
}

/* It counts as waiting already. */
static void
wait_for_call(struct pool *pool)
{
	while (pool->called == 0 && !ending)
		pthread_cond_wait(&pool->more, &pool->lock);
	if (pool->called > 0)
		pool->called--;
}

static void *
thread_main(void *arg)
{
	struct pool *pool = arg;

	struct work *w = NULL;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct work *const done = w;

		w = take(&pool->queue);
		if (w != NULL)
			pool->queued--;
		else if (ending)
			break;
		else
			pool->waiting++;
		pthread_mutex_unlock(&pool->lock);
		/* It may call for the next piece: this thread is free. */
		if (done != NULL)
			publish(done);
		if (w != NULL)
			w->run(w);
		pthread_mutex_lock(&pool->lock);
		if (w == NULL)
			wait_for_call(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Calls `done` for what has run. */
static void
collect(void *arg)
{
	struct queue ready;

	(void)arg;
	pthread_mutex_lock(&done_lock);
	ready = done_queue;
	done_queue = (struct queue){ 0 };
	pthread_mutex_unlock(&done_lock);
	while (ready.first != NULL) {
		struct work *w = take(&ready);

		pending--;
		w->done(w);
	}
}

/* Signals are for the loop's thread. */
static void
start_thread(struct pool *pool)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(
	    &pool->threads[pool->started], &attr, thread_main, pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		pool->started++;
	else if (pool->started == 0)
		log_fatal(75, "cannot start a thread: %s", strerror(rc));
}

/* One more thread when there is much for those that are at work. True when
 * one that waits is called. */
static bool
call_thread(struct pool *pool)
{
	const unsigned at_work = pool->started - pool->waiting;

	if (pool->queued <= pool->patience * at_work)
		return false;
	if (pool->waiting > 0) {
		pool->waiting--;
		pool->called++;
		return true;
	}
	if (pool->started < pool->limit)
		start_thread(pool);
	return false;
}

void
work_submit(struct loop *loop, enum work_pool which, struct work *w)
{
	struct pool *pool = &pools[which];
	bool call;

	w->loop = loop;
	loop_set_wake(loop, collect);
	pending++;
	pthread_mutex_lock(&pool->lock);
	put(&pool->queue, w);
	pool->queued++;
	call = call_thread(pool);
	pthread_mutex_unlock(&pool->lock);
	/* Not inside: the thread would wake up to wait for the lock. */
	if (call)
		pthread_cond_signal(&pool->more);
}

void
work_set_threads(enum work_pool which, unsigned n)
{
	BUG_ON(n < 1 || n > THREADS_MAX || pools[which].started > 0);
	pools[which].limit = n;
}

unsigned
work_pending(void)
{
	return pending;
}

static void
end_threads(void)
{
	ending = true;
	for (size_t i = 0; i < COUNT_OF(pools); i++) {
		struct pool *pool = &pools[i];

		pthread_mutex_lock(&pool->lock);
		pthread_cond_broadcast(&pool->more);
		pthread_mutex_unlock(&pool->lock);
		while (pool->started > 0)
			pthread_join(pool->threads[--pool->started], NULL);
		pool->waiting = pool->called = 0;
	}
	ending = false;
}

void
work_finish(struct loop *loop)
{
	(void)loop;
	while (pending > 0) {
		pthread_mutex_lock(&done_lock);
		while (done_queue.first == NULL)
			pthread_cond_wait(&finished, &done_lock);
		pthread_mutex_unlock(&done_lock);
		collect(NULL);
	}
	end_threads();
}
