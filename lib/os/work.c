/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/work.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/loop_uv.h"

enum { THREADS_MAX = 64, STACK_SIZE = 1 << 20 };

struct queue {
	struct work *first, **last;
};

struct pool {
	unsigned limit; /* threads at most */
	unsigned started;
	unsigned waiting; /* threads with nothing to do */
	unsigned queued;
	struct queue queue;
	pthread_cond_t more;
	pthread_t threads[THREADS_MAX];
};

/* One set of pools for the process, as the contract says. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static struct pool pools[WORK_POOLS] = {
	[WORK_FLUSH] = { .limit = 8, .more = PTHREAD_COND_INITIALIZER },
	[WORK_NAME] = { .limit = 4, .more = PTHREAD_COND_INITIALIZER },
	[WORK_OTHER] = { .limit = 4, .more = PTHREAD_COND_INITIALIZER },
};
static struct queue done_queue;
static bool ending;
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

static void *
thread_main(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct work *w = take(&pool->queue);

		if (w == NULL && ending)
			break;
		if (w == NULL) {
			pool->waiting++;
			pthread_cond_wait(&pool->more, &lock);
			pool->waiting--;
			continue;
		}
		pool->queued--;
		pthread_mutex_unlock(&lock);
		w->run(w);
		pthread_mutex_lock(&lock);
		put(&done_queue, w);
		loop_wake(w->loop);
		pthread_cond_signal(&finished);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Calls `done` for what has run. */
static void
collect(void *arg)
{
	struct queue ready;

	(void)arg;
	pthread_mutex_lock(&lock);
	ready = done_queue;
	done_queue = (struct queue){ 0 };
	pthread_mutex_unlock(&lock);
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

void
work_submit(struct loop *loop, enum work_pool which, struct work *w)
{
	struct pool *pool = &pools[which];

	w->loop = loop;
	loop_set_wake(loop, collect);
	pending++;
	pthread_mutex_lock(&lock);
	put(&pool->queue, w);
	pool->queued++;
	if (pool->queued > pool->waiting && pool->started < pool->limit)
		start_thread(pool);
	else
		pthread_cond_signal(&pool->more);
	pthread_mutex_unlock(&lock);
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
	pthread_mutex_lock(&lock);
	ending = true;
	for (size_t i = 0; i < COUNT_OF(pools); i++)
		pthread_cond_broadcast(&pools[i].more);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < COUNT_OF(pools); i++) {
		while (pools[i].started > 0)
			pthread_join(
			    pools[i].threads[--pools[i].started], NULL);
	}
	ending = false;
}

void
work_finish(struct loop *loop)
{
	(void)loop;
	while (pending > 0) {
		pthread_mutex_lock(&lock);
		while (done_queue.first == NULL)
			pthread_cond_wait(&finished, &lock);
		pthread_mutex_unlock(&lock);
		collect(NULL);
	}
	end_threads();
}
