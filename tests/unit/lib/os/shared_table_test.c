/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/shared_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { NOW = 1700000000 };

static struct shared_table *
table(void)
{
	struct shared_table *t;
	struct err e;
	int fd;

	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	return t;
}

static uint64_t
key(const struct shared_table *t, const char *what, int n)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", n);
	return shared_table_key(t, what, span_str(text));
}

/* ---- counting ---- */
static void
counts_in_units_of_time(void **state)
{
	struct shared_table *t = table();
	const uint64_t k = key(t, "rate", 1), other = key(t, "rate", 2);
	uint32_t n;

	(void)state;
	for (uint32_t i = 1; i <= 5; i++) {
		assert_true(shared_table_count(t, SHARED_RATES, k, 0, 1, 5,
		    NOW + (int64_t)i, 60, &n));
		assert_int_equal(n, i);
	}
	assert_false(
	    shared_table_count(t, SHARED_RATES, k, 0, 1, 5, NOW + 6, 60, &n));
	assert_int_equal(n, 6);
	/* What was refused is not counted; values and keys are apart. */
	assert_false(
	    shared_table_count(t, SHARED_RATES, k, 0, 1, 5, NOW + 7, 60, &n));
	assert_int_equal(n, 6);
	shared_table_count(t, SHARED_RATES, k, 1, 7, 0, NOW + 7, 60, &n);
	assert_int_equal(n, 7);
	shared_table_count(t, SHARED_RATES, other, 0, 0, 0, NOW, 60, &n);
	assert_int_equal(n, 0);
	/* The unit began with the first event. */
	shared_table_count(t, SHARED_RATES, k, 0, 0, 0, NOW + 60, 60, &n);
	assert_int_equal(n, 5);
	assert_true(
	    shared_table_count(t, SHARED_RATES, k, 0, 3, 5, NOW + 61, 60, &n));
	assert_int_equal(n, 3);
	/* Never more than fits. */
	shared_table_count(t, SHARED_RATES, k, 2, SHARED_COUNT_MAX, 0, NOW,
	    60, &n);
	shared_table_count(t, SHARED_RATES, k, 2, 9, 0, NOW, 60, &n);
	assert_int_equal(n, SHARED_COUNT_MAX);
	shared_table_free(&t);
}

static void
a_clock_set_back_starts_anew(void **state)
{
	struct shared_table *t = table();
	const uint64_t k = key(t, "rate", 1);
	uint32_t n;

	(void)state;
	shared_table_count(t, SHARED_RATES, k, 0, 5, 0, NOW, 60, NULL);
	assert_true(
	    shared_table_count(t, SHARED_RATES, k, 0, 1, 5, NOW - 3600, 60,
		&n));
	assert_int_equal(n, 1);
	shared_table_free(&t);
}

/* ---- memories ---- */
static void
remembers_and_forgets(void **state)
{
	struct shared_table *t = table();
	const uint64_t k = key(t, "grey", 1);
	uint64_t v[SHARED_WORDS];

	(void)state;
	assert_false(shared_table_get(t, SHARED_GREY, k, NOW, v));
	shared_table_put(t, SHARED_GREY, k, 1, NOW, NOW, 100);
	assert_true(shared_table_get(t, SHARED_GREY, k, NOW + 99, v));
	assert_int_equal(v[0], 0);
	assert_int_equal(v[1], NOW);
	assert_false(shared_table_get(t, SHARED_SCREEN, k, NOW, v));
	assert_false(shared_table_get(t, SHARED_GREY, k, NOW + 120, v));
	/* A new life begins with zeros; the last use counts. */
	shared_table_put(t, SHARED_GREY, k, 0, 7, NOW + 120, 100);
	shared_table_put(t, SHARED_GREY, k, 2, 8, NOW + 200, 100);
	assert_true(shared_table_get(t, SHARED_GREY, k, NOW + 290, v));
	assert_int_equal(v[0], 7);
	assert_int_equal(v[1], 0);
	assert_int_equal(v[2], 8);
	shared_table_forget(t, SHARED_GREY, k);
	assert_false(shared_table_get(t, SHARED_GREY, k, NOW + 290, v));
	shared_table_free(&t);
}

static void
under_pressure_the_oldest_go(void **state)
{
	enum { MANY = 100000 }; /* the area has 32768 records */
	struct shared_table *t = table();
	uint64_t v[SHARED_WORDS];
	int young = 0, old = 0;

	(void)state;
	for (int i = 0; i < MANY; i++)
		shared_table_put(t, SHARED_QUOTA, key(t, "q", i), 0,
		    (uint64_t)i, NOW + i, 10 * MANY);
	for (int i = 0; i < MANY; i++) {
		if (!shared_table_get(t, SHARED_QUOTA, key(t, "q", i),
			NOW + MANY, v))
			continue;
		assert_int_equal(v[0], i);
		young += i >= MANY - 20000;
		old += i < MANY - 40000;
	}
	assert_in_range(young, 19500, 20000);
	assert_in_range(old, 0, 1000);
	/* What has run out goes before anything that lives. */
	shared_table_put(t, SHARED_QUOTA, key(t, "fresh", 1), 0, 1,
	    NOW + 20 * MANY, 10);
	assert_true(shared_table_get(t, SHARED_QUOTA, key(t, "fresh", 1),
	    NOW + 20 * MANY, v));
	shared_table_free(&t);
}

/* ---- several processes ---- */
/* Runs fn in a process of its own, which ends with what fn returns. */
static pid_t
start(int fd, int (*fn)(struct shared_table *t, int arg), int arg)
{
	const pid_t pid = fork();
	struct shared_table *t;
	struct err e;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (shared_table_attach(dup(fd), &t, &e) != 0)
		_exit(99);
	_exit(fn(t, arg));
}

static int
result(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
count_many(struct shared_table *t, int n)
{
	for (int i = 0; i < n; i++)
		shared_table_count(t, SHARED_RATES, key(t, "r", i % 10), 0, 1,
		    0, NOW, 60, NULL);
	return 0;
}

static void
processes_count_together(void **state)
{
	enum { PROCESSES = 4, EVENTS = 20000 };
	struct shared_table *t;
	pid_t pid[PROCESSES];
	uint32_t n;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	/* The records are there before: two that make one at the very same
	 * time may lose an event. */
	assert_int_equal(result(start(fd, count_many, 10)), 0);
	for (int i = 0; i < PROCESSES; i++)
		pid[i] = start(fd, count_many, EVENTS);
	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(result(pid[i]), 0);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	for (int i = 0; i < 10; i++) {
		shared_table_count(t, SHARED_RATES, key(t, "r", i), 0, 0, 0,
		    NOW, 60, &n);
		assert_int_equal(n, PROCESSES * EVENTS / 10 + 1);
	}
	shared_table_free(&t);
}

static int
take_of_hundred(struct shared_table *t, int pipe_fd)
{
	char got = 0;

	while (shared_table_count(t, SHARED_QUOTA, key(t, "q", 1), 0, 1, 100,
	    NOW, 60, NULL))
		got++;
	return write(pipe_fd, &got, 1) == 1 ? 0 : 1;
}

static void
a_limit_is_exact_over_processes(void **state)
{
	int fd, ends[2], total = 0;
	char got;
	pid_t pid[4];
	struct err e;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(pipe(ends), 0);
	for (int i = 0; i < 4; i++)
		pid[i] = start(fd, take_of_hundred, ends[1]);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(result(pid[i]), 0);
		assert_int_equal(read(ends[0], &got, 1), 1);
		total += got;
	}
	/* Twins of the record, made in the same instant, may allow more. */
	assert_in_range(total, 100, 104);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

static int ready[2];

static int
hold_and_wait(struct shared_table *t, int n)
{
	bool held;

	for (int i = 0; i < n; i++)
		shared_table_hold(t, key(t, "conn", 1), 0, &held);
	if (write(ready[1], "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void
what_a_dead_process_held_is_free(void **state)
{
	struct shared_table *t;
	uint64_t k;
	pid_t pid[2];
	bool held;
	char c;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(pipe(ready), 0);
	for (int i = 0; i < 2; i++) {
		pid[i] = start(fd, hold_and_wait, 10);
		assert_int_equal(read(ready[0], &c, 1), 1);
	}
	assert_int_equal(shared_table_attach(dup(fd), &t, &e), 0);
	k = key(t, "conn", 1);
	assert_int_equal(shared_table_hold(t, k, 20, &held), 21);
	assert_true(held);
	shared_table_drop(t, k);
	kill(pid[0], SIGKILL);
	assert_int_equal(result(pid[0]), -1);
	/* It is looked at closely when the limit is passed. */
	assert_int_equal(shared_table_hold(t, k, 20, &held), 11);
	assert_int_equal(shared_table_hold(t, k, 0, &held), 12);
	shared_table_drop(t, k);
	assert_int_equal(shared_table_hold(t, key(t, "conn", 2), 0, &held), 1);
	/* Who comes next into the dead one's place holds nothing. */
	pid[0] = start(fd, hold_and_wait, 3);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(shared_table_hold(t, k, 0, &held), 15);
	for (int i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		assert_int_equal(result(pid[i]), -1);
	}
	assert_int_equal(shared_table_hold(t, k, 1, &held), 3);
	shared_table_free(&t);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

/* Makes, changes and throws out records, in a room too small for them, until
 * it is killed. */
static int
churn(struct shared_table *t, int seed)
{
	bool held;

	if (write(ready[1], "x", 1) != 1)
		return 1;
	for (unsigned i = (unsigned)seed;; i = i * 1103515245u + 12345) {
		const int n = (int)(i >> 8 & 0xffff);
		const uint64_t k = key(t, "churn", n);

		shared_table_put(t, SHARED_QUOTA, k, 0, (uint64_t)n, NOW,
		    1000);
		shared_table_put(t, SHARED_QUOTA, k, 5, (uint64_t)n, NOW,
		    1000);
		shared_table_count(t, SHARED_QUOTA, k, 3, 1, 0, NOW, 60,
		    NULL);
		shared_table_hold(t, k, 0, &held);
		if (held)
			shared_table_drop(t, k);
	}
}

static void
kill_9_at_any_instruction(void **state)
{
	enum { ROUNDS = 40, PROCESSES = 3 };
	struct shared_table *t;
	uint64_t v[SHARED_WORDS];
	pid_t pid[PROCESSES];
	int found = 0;
	bool held;
	char c;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(pipe(ready), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < PROCESSES; i++)
			pid[i] = start(fd, churn, round * 7 + i);
		for (int i = 0; i < PROCESSES; i++)
			assert_int_equal(read(ready[0], &c, 1), 1);
		usleep((useconds_t)(1000 + round * 200));
		for (int i = 0; i < PROCESSES; i++) {
			kill(pid[i], SIGKILL);
			assert_int_equal(result(pid[i]), -1);
		}
	}
	/* What is found belongs to its key; nothing is held; and a moment
	 * later every place can be used again. */
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	for (int n = 0; n < 65536; n++) {
		if (!shared_table_get(t, SHARED_QUOTA, key(t, "churn", n),
			NOW, v))
			continue;
		found++;
		assert_true(v[0] == 0 || v[0] == (uint64_t)n);
		assert_true(v[5] == 0 || v[5] == (uint64_t)n);
		assert_int_equal(shared_table_hold(t, key(t, "churn", n), 1,
				     &held), 1);
		shared_table_drop(t, key(t, "churn", n));
	}
	assert_true(found > 1000);
	for (int n = 0; n < 20000; n++)
		shared_table_put(t, SHARED_QUOTA, key(t, "after", n), 0, 1,
		    NOW + 10000, 1000);
	found = 0;
	for (int n = 0; n < 20000; n++)
		found += shared_table_get(t, SHARED_QUOTA, key(t, "after", n),
		    NOW + 10000, v);
	assert_in_range(found, 19900, 20000);
	shared_table_free(&t);
	close(ready[0]);
	close(ready[1]);
}

/* ---- peaks and turns ---- */
static int
peak_of(struct shared_table *t, int value)
{
	shared_table_peak(t, 0, (uint32_t)value, NOW, value == 7 ? "seven" :
								   "other");
	if (write(ready[1], "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void
peaks_of_all_processes(void **state)
{
	struct shared_peak peaks[SHARED_PEAKS];
	struct shared_table *t;
	pid_t pid[3];
	char c;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(pipe(ready), 0);
	for (int i = 0; i < 3; i++) {
		pid[i] = start(fd, peak_of, (const int[]){ 3, 7, 5 }[i]);
		assert_int_equal(read(ready[0], &c, 1), 1);
	}
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	shared_table_peak(t, 1, 2, NOW + 1, "me");
	shared_table_peak(t, 1, 1, NOW + 2, "later");
	shared_table_peaks(t, peaks);
	assert_int_equal(peaks[0].value, 7);
	assert_string_equal(peaks[0].who, "seven");
	assert_int_equal(peaks[1].value, 2);
	assert_int_equal(peaks[1].time_s, NOW + 1);
	assert_string_equal(peaks[1].who, "me");
	assert_int_equal(peaks[2].value, 0);
	shared_table_peaks(t, peaks);
	assert_int_equal(peaks[0].value, 0);
	shared_table_peak(t, 1, 1, NOW + 2, "anew");
	shared_table_peaks(t, peaks);
	assert_int_equal(peaks[1].value, 1);
	for (int i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		assert_int_equal(result(pid[i]), -1);
	}
	shared_table_free(&t);
	close(ready[0]);
	close(ready[1]);
}

static int
turn_of(struct shared_table *t, int job)
{
	return shared_table_turn(t, (unsigned)job, NOW, 60);
}

static void
one_has_the_turn(void **state)
{
	struct shared_table *t;
	struct err e;
	int fd, turns = 0;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	for (int i = 0; i < 3; i++)
		turns += result(start(fd, turn_of, 1));
	assert_int_equal(turns, 1);
	assert_int_equal(result(start(fd, turn_of, 2)), 1);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	assert_false(shared_table_turn(t, 1, NOW + 59, 60));
	assert_true(shared_table_turn(t, 1, NOW + 60, 60));
	/* The clock was set back: not never again. */
	assert_true(shared_table_turn(t, 1, NOW - 9999, 60));
	shared_table_free(&t);
}

/* ---- files ---- */
static void
load(struct shared_table *t, struct span file, int64_t now_s, int ret)
{
	struct err e;

	assert_true(shared_table_must_load(t));
	assert_int_equal(shared_table_load(t, file, now_s, &e), ret);
	assert_false(shared_table_must_load(t));
}

static void
survives_a_restart(void **state)
{
	struct shared_table *t = table();
	uint64_t v[SHARED_WORDS];
	struct buf file;
	uint32_t n;

	(void)state;
	load(t, SPAN_EMPTY, NOW, 0);
	assert_false(shared_table_changed(t));
	shared_table_count(t, SHARED_RATES, key(t, "x", 1), 0, 5, 0, NOW, 60,
	    NULL);
	assert_false(shared_table_changed(t));
	for (int i = 0; i < 1000; i++)
		shared_table_put(t, SHARED_GREY, key(t, "grey", i), 4,
		    (uint64_t)i, NOW, i % 2 == 0 ? 1000 : 100000);
	shared_table_count(t, SHARED_QUOTA, key(t, "x", 1), 1, 6, 0, NOW,
	    86400, NULL);
	assert_true(shared_table_changed(t));
	assert_false(shared_table_changed(t));
	buf_init(&file, SHARED_FILE_MAX);
	shared_table_save(t, NOW, &file);
	assert_true(buf_ok(&file));
	shared_table_free(&t);

	t = table();
	load(t, buf_span(&file), NOW + 5000, 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(shared_table_get(t, SHARED_GREY,
		    key(t, "grey", i), NOW + 5000, v), i % 2);
		if (i % 2 == 1)
			assert_int_equal(v[4], i);
	}
	shared_table_count(t, SHARED_QUOTA, key(t, "x", 1), 1, 1, 0,
	    NOW + 5000, 86400, &n);
	assert_int_equal(n, 7);
	shared_table_count(t, SHARED_RATES, key(t, "x", 1), 0, 0, 0, NOW, 60,
	    &n);
	assert_int_equal(n, 0);
	shared_table_free(&t);
	buf_release(&file);
}

static void
of_a_damaged_file_nothing(void **state)
{
	struct shared_table *t = table();
	uint64_t v[SHARED_WORDS];
	struct buf file;

	(void)state;
	load(t, SPAN_EMPTY, NOW, 0);
	shared_table_put(t, SHARED_GREY, key(t, "grey", 1), 0, 1, NOW, 1000);
	buf_init(&file, SHARED_FILE_MAX);
	shared_table_save(t, NOW, &file);
	shared_table_free(&t);
	for (size_t i = 0; i < file.n; i++) {
		t = table();
		if (i > 0)
			load(t, span_slice(buf_span(&file), 0, i), NOW, -1);
		shared_table_free(&t);
		t = table();
		file.p[i] ^= 0x10;
		load(t, buf_span(&file), NOW, -1);
		file.p[i] ^= 0x10;
		assert_false(shared_table_get(t, SHARED_GREY,
		    key(t, "grey", 1), NOW, v));
		shared_table_free(&t);
	}
	buf_release(&file);
}

static int
begin_to_load(struct shared_table *t, int arg)
{
	(void)arg;
	return shared_table_must_load(t);
}

static void
a_killed_loader_is_replaced(void **state)
{
	struct shared_table *t;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(result(start(fd, begin_to_load, 0)), 1);
	assert_int_equal(result(start(fd, begin_to_load, 0)), 1);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	load(t, SPAN_EMPTY, NOW, 0);
	shared_table_free(&t);
}

/* ---- memory that is none ---- */
static void
other_memory_is_refused(void **state)
{
	struct shared_table *t;
	struct err e;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(shared_table_attach(ends[0], &t, &e), -1);
	close(ends[1]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_in_units_of_time),
		cmocka_unit_test(a_clock_set_back_starts_anew),
		cmocka_unit_test(remembers_and_forgets),
		cmocka_unit_test(under_pressure_the_oldest_go),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(a_limit_is_exact_over_processes),
		cmocka_unit_test(what_a_dead_process_held_is_free),
		cmocka_unit_test(kill_9_at_any_instruction),
		cmocka_unit_test(peaks_of_all_processes),
		cmocka_unit_test(one_has_the_turn),
		cmocka_unit_test(survives_a_restart),
		cmocka_unit_test(of_a_damaged_file_nothing),
		cmocka_unit_test(a_killed_loader_is_replaced),
		cmocka_unit_test(other_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
