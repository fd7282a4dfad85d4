/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <pthread.h>

#include "lib/base/mem.h"

enum { JOBS = 201 };

struct job {
	struct work work;
	struct loop *loop;
	pthread_t ran_in;
	int rounds;
};

static atomic_int ran;
static int done;

static void
run(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	j->ran_in = pthread_self();
	atomic_fetch_add(&ran, 1);
}

static void
on_done(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	assert_false(pthread_equal(j->ran_in, pthread_self()));
	if (--j->rounds > 0) {
		work_submit(j->loop, WORK_NAME, &j->work);
		return;
	}
	if (++done == JOBS)
		loop_stop(j->loop);
}

static void
submit_all(struct loop *loop, struct job *jobs)
{
	atomic_store(&ran, 0);
	done = 0;
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){
			.work = { .run = run, .done = on_done },
			.loop = loop,
			.rounds = 1 + i % 3,
		};
		work_submit(
		    loop, i % 2 ? WORK_FLUSH : WORK_OTHER, &jobs[i].work);
	}
	assert_int_equal(work_pending(), JOBS);
}

static void
runs_in_threads_ends_on_the_loop(void **state)
{
	static struct job jobs[JOBS];
	struct loop *loop = loop_new();

	(void)state;
	submit_all(loop, jobs);
	loop_run(loop);
	assert_int_equal(done, JOBS);
	assert_int_equal(work_pending(), 0);
	assert_int_equal(atomic_load(&ran), JOBS * 2);
	work_finish(loop);
	/* And again: the threads start anew. */
	submit_all(loop, jobs);
	work_finish(loop);
	assert_int_equal(done, JOBS);
	assert_int_equal(work_pending(), 0);
	loop_free(&loop);
}

static pthread_barrier_t barrier;

static void
meet(struct work *w)
{
	(void)w;
	pthread_barrier_wait(&barrier);
}

static void
stop_at_last(struct work *w)
{
	if (work_pending() == 0)
		loop_stop(w->loop);
}

/* Three jobs that wait for each other end only if three threads run them,
 * though a fourth is busy in another pool. */
static void
a_pool_grows_to_its_limit(void **state)
{
	struct loop *loop = loop_new();
	struct work w[3];

	(void)state;
	pthread_barrier_init(&barrier, NULL, 3);
	work_set_threads(WORK_OTHER, 3);
	for (size_t i = 0; i < COUNT_OF(w); i++) {
		w[i] = (struct work){ .run = meet, .done = stop_at_last };
		work_submit(loop, WORK_OTHER, &w[i]);
	}
	loop_run(loop);
	assert_int_equal(work_pending(), 0);
	work_finish(loop);
	pthread_barrier_destroy(&barrier);
	loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_in_threads_ends_on_the_loop),
		cmocka_unit_test(a_pool_grows_to_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
