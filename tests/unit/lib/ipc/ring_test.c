/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/ring.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

struct pair {
	struct ring *writer, *reader;
};

static struct ring *
attach(const struct ring *writer)
{
	struct ring *reader;
	struct err e;
	int memory = fcntl(ring_memory_fd(writer), F_DUPFD_CLOEXEC, 0);
	int event = fcntl(ring_event_fd(writer), F_DUPFD_CLOEXEC, 0);

	assert_int_equal(ring_attach(memory, event, &reader, &e), 0);
	return reader;
}

static int
setup(void **state)
{
	struct pair *p = MEM_NEW(p);

	assert_int_equal(ring_new(16384, &p->writer, NULL), 0);
	p->reader = attach(p->writer);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	ring_free(&p->writer);
	ring_free(&p->reader);
	mem_free(p);
	return 0;
}

static void
put(struct ring *r, const char *text)
{
	const struct ring_record record = { .kind = LOG_K_LINE,
		.level = LOG_L_INFO, .time_us = 5, .trace = 6,
		.qid = SPAN("ABC"), .tag = SPAN("postfix/smtpd"),
		.text = span_str(text) };

	ring_put(r, &record);
}

static void
take(struct ring *r, const char *text)
{
	struct ring_record record;
	struct err e;

	assert_int_equal(ring_next(r, &record, &e), 1);
	assert_true(span_eq(record.text, span_str(text)));
}

static void
records_come_back_whole(void **state)
{
	struct pair *p = *state;
	const struct ring_record in = { .kind = LOG_K_EVENT,
		.level = LOG_L_WARNING, .time_us = INT64_MIN + 3,
		.trace = UINT64_MAX, .qid = SPAN("0123456789ABCDE"),
		.what = SPAN("accept"), .tag = SPAN("postfix/smtpd"),
		.text = SPAN("a \xff text") };
	struct ring_record out;

	ring_put(p->writer, &in);
	assert_int_equal(ring_next(p->reader, &out, NULL), 1);
	assert_int_equal(out.kind, in.kind);
	assert_int_equal(out.level, in.level);
	assert_true(out.time_us == in.time_us && out.trace == in.trace);
	assert_true(span_eq(out.qid, in.qid));
	assert_true(span_eq(out.what, in.what));
	assert_true(span_eq(out.tag, in.tag));
	assert_true(span_eq(out.text, in.text));
	assert_int_equal(ring_next(p->reader, &out, NULL), 0);
}

static void
goes_around_many_times(void **state)
{
	struct pair *p = *state;
	char text[400];

	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%0*d", 1 + i % 350, i);
		put(p->writer, text);
		if (i % 3 == 0)
			put(p->writer, "more");
		take(p->reader, text);
		if (i % 3 == 0)
			take(p->reader, "more");
		ring_commit(p->reader);
	}
	assert_int_equal(ring_lost(p->reader, LOG_K_LINE), 0);
}

static void
events_leave_room_for_lines(void **state)
{
	struct pair *p = *state;
	const struct ring_record event = { .kind = LOG_K_EVENT,
		.what = SPAN("milter"), .tag = SPAN("postfix/pickup"),
		.text = SPAN("one of very many") };
	struct ring_record record;
	unsigned events = 0, lines = 0;

	for (int i = 0; i < 1000; i++)
		ring_put(p->writer, &event);
	for (int i = 0; i < 20; i++)
		put(p->writer, "what has to be known");
	while (ring_next(p->reader, &record, NULL) == 1)
		*(record.kind == LOG_K_EVENT ? &events : &lines) += 1;
	assert_int_equal(lines, 20);
	assert_true(events > 50);
	assert_int_equal(ring_lost(p->reader, LOG_K_LINE), 0);
	assert_int_equal(ring_lost(p->reader, LOG_K_EVENT), 1000 - events);
	assert_int_equal(ring_lost(p->reader, LOG_K_EVENT), 0);
}

static void
full_counts_what_is_lost(void **state)
{
	struct pair *p = *state;
	struct ring_record record;
	unsigned taken = 0;
	char text[100];

	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%099d", i);
		put(p->writer, text);
	}
	while (ring_next(p->reader, &record, NULL) == 1) {
		snprintf(text, sizeof(text), "%099u", taken++);
		assert_true(span_eq(record.text, span_str(text)));
	}
	assert_true(taken > 50);
	assert_int_equal(ring_lost(p->reader, LOG_K_LINE), 1000 - taken);
	assert_int_equal(ring_lost(p->reader, LOG_K_LINE), 0);
	/* Taken, but not committed: there is still no room. */
	put(p->writer, text);
	assert_int_equal(ring_lost(p->reader, LOG_K_LINE), 1);
	ring_commit(p->reader);
	put(p->writer, "room again");
	take(p->reader, "room again");
}

static void
long_parts_are_cut(void **state)
{
	static char text[2 * LIMIT_LOG_LINE];
	struct pair *p = *state;
	struct ring_record out, in = { .text = span_of(text, sizeof(text)),
		.qid = span_of(text, 100), .what = span_of(text, 100),
		.tag = span_of(text, 1000) };

	memset(text, 'x', sizeof(text));
	ring_put(p->writer, &in);
	assert_int_equal(ring_next(p->reader, &out, NULL), 1);
	assert_int_equal(out.text.n, LIMIT_LOG_LINE);
	assert_int_equal(out.qid.n, 15);
	assert_int_equal(out.what.n, 64);
	assert_int_equal(out.tag.n, 128);
}

/* What a crashed reader took without a commit is read by the next one, what
 * it committed is not. */
static void
the_next_reader_goes_on(void **state)
{
	struct pair *p = *state;

	put(p->writer, "one");
	put(p->writer, "two");
	put(p->writer, "three");
	take(p->reader, "one");
	ring_commit(p->reader);
	take(p->reader, "two");
	ring_free(&p->reader);
	p->reader = attach(p->writer);
	take(p->reader, "two");
	ring_rewind(p->reader);
	take(p->reader, "two");
	take(p->reader, "three");
}

static void
a_note_tells_what_was_about_to_be_written(void **state)
{
	struct pair *p = *state;
	const struct ring_intent note = { 77, 1000 };
	struct ring_intent found;

	put(p->writer, "one");
	put(p->writer, "two");
	assert_false(ring_intended(p->reader, &found));
	take(p->reader, "one");
	ring_intend(p->reader, ring_place(p->reader), &note);
	ring_free(&p->reader);
	p->reader = attach(p->writer);
	assert_true(ring_intended(p->reader, &found));
	assert_int_equal(found.inode, 77);
	assert_int_equal(found.end, 1000);
	ring_skip_intended(p->reader);
	assert_false(ring_intended(p->reader, &found));
	take(p->reader, "two");
	ring_commit(p->reader);
	assert_false(ring_intended(p->reader, &found));
}

static bool
rings(const struct ring *r)
{
	struct pollfd p = { .fd = ring_event_fd(r), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
wakes_once_until_taken(void **state)
{
	struct pair *p = *state;

	put(p->writer, "one");
	assert_false(rings(p->reader));
	assert_false(ring_sleep(p->reader));
	take(p->reader, "one");
	ring_commit(p->reader);
	assert_true(ring_sleep(p->reader));
	put(p->writer, "two");
	assert_true(rings(p->reader));
	ring_woken(p->reader);
	put(p->writer, "three");
	assert_false(rings(p->reader));
}

static void
memory_that_may_shrink_is_refused(void **state)
{
	struct ring *reader;
	struct err e;
	int memory = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(memory, 4096 + 16384), 0);
	assert_int_equal(ring_attach(memory, eventfd(0, EFD_CLOEXEC),
	    &reader, &e), -1);
	assert_non_null(strstr(e.text, "fixed"));
	assert_int_equal(ring_attach(open("/dev/null", O_RDWR),
	    eventfd(0, EFD_CLOEXEC), &reader, &e), -1);
	assert_int_equal(ring_attach(open("/dev/null", O_RDWR),
	    open("/dev/null", O_RDONLY), &reader, &e), -1);
	assert_non_null(strstr(e.text, "event"));
}

/* Any bytes whatever, also in the page of places: the reader ends, with
 * records inside their limits. */
static void
rubbish_does_no_harm(void **state)
{
	struct pair *p = *state;
	struct ring_record record;
	uint8_t *bytes = mmap(NULL, 4096 + 16384, PROT_READ | PROT_WRITE,
	    MAP_SHARED, ring_memory_fd(p->writer), 0);
	unsigned damaged = 0, got = 0;

	srandom(1);
	for (int i = 0; i < 20000; i++) {
		int n;

		put(p->writer, "some text");
		put(p->writer, "some other text");
		for (int k = 0; k < 3; k++)
			bytes[random() % (i % 2 ? 256 : 4096 + 16384)] =
			    (uint8_t)random();
		for (int k = 0; k < 1000; k++) {
			n = ring_next(p->reader, &record, NULL);
			if (n != 1)
				break;
			got++;
			assert_true(record.text.n <= LIMIT_LOG_LINE);
			assert_true(record.qid.n <= 15);
		}
		if (n < 0) {
			damaged++;
			ring_reset(p->reader);
		}
		ring_commit(p->reader);
	}
	assert_true(damaged > 0 && got > 0);
	munmap(bytes, 4096 + 16384);
}

enum { THREADS = 4, LINES = 5000 };

struct writer_arg {
	struct ring *ring;
	int number;
};

static void *
write_lines(void *arg)
{
	const struct writer_arg *a = arg;
	char text[64];

	for (int i = 0; i < LINES; i++) {
		snprintf(text, sizeof(text), "%d %d", a->number, i);
		put(a->ring, text);
	}
	return NULL;
}

/* Several threads write while this one reads: each line that was not counted
 * as lost arrives once, in its thread's order. */
static void
threads_write_while_it_is_read(void **state)
{
	struct pair *p = *state;
	pthread_t threads[THREADS];
	struct writer_arg args[THREADS];
	int last[THREADS] = { -1, -1, -1, -1 };
	unsigned got = 0, lost = 0;
	struct ring_record record;
	struct pollfd poll_event = { .fd = ring_event_fd(p->reader),
		.events = POLLIN };

	for (int i = 0; i < THREADS; i++) {
		args[i] = (struct writer_arg){ p->writer, i };
		pthread_create(&threads[i], NULL, write_lines, &args[i]);
	}
	while (got + lost < THREADS * LINES) {
		int thread, number;
		char text[64];

		while (ring_next(p->reader, &record, NULL) == 1) {
			assert_true(span_copy(record.text, text, 64));
			assert_int_equal(
			    sscanf(text, "%d %d", &thread, &number), 2);
			assert_true(number > last[thread]);
			last[thread] = number;
			got++;
		}
		ring_commit(p->reader);
		lost += ring_lost(p->reader, LOG_K_LINE);
		if (got + lost < THREADS * LINES && ring_sleep(p->reader)) {
			/* Lines may have been lost just before the sleep. */
			lost += ring_lost(p->reader, LOG_K_LINE);
			if (got + lost >= THREADS * LINES)
				break;
			assert_int_equal(poll(&poll_event, 1, 10000), 1);
			ring_woken(p->reader);
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(got > 0);
	assert_int_equal(got + lost, THREADS * LINES);
}

/* A process killed while it logs leaves a ring that reads to its end. */
static void
a_killed_writer_leaves_its_lines(void **state)
{
	struct pair *p = *state;
	struct ring_record record;
	int next = 0, status, number;
	char text[64];
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 100000; i++) {
			snprintf(text, sizeof(text), "%d", i);
			put(p->writer, text);
			if (i == 100)
				raise(SIGKILL);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	while (ring_next(p->reader, &record, NULL) == 1) {
		assert_true(span_copy(record.text, text, sizeof(text)));
		number = (int)strtol(text, NULL, 10);
		assert_int_equal(number, next);
		next++;
	}
	assert_int_equal(next, 101);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(records_come_back_whole),
		T(goes_around_many_times),
		T(events_leave_room_for_lines),
		T(full_counts_what_is_lost),
		T(long_parts_are_cut),
		T(the_next_reader_goes_on),
		T(a_note_tells_what_was_about_to_be_written),
		T(wakes_once_until_taken),
		cmocka_unit_test(memory_that_may_shrink_is_refused),
		T(rubbish_does_no_harm),
		T(threads_write_while_it_is_read),
		T(a_killed_writer_leaves_its_lines),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
