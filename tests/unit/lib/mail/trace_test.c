/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/trace.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
lines_come_back(void **state)
{
	struct ring_record r = { .kind = LOG_K_EVENT, .level = LOG_L_INFO,
		.time_us = 1500000, .trace = 0xab0001, .at = 64,
		.qid = SPAN("Q1"), .tag = SPAN("postfix/smtpd"),
		.what = SPAN("accept"), .text = SPAN("size=5") };
	struct trace_line t;
	struct buf out;

	(void)state;
	buf_init(&out, TRACE_LINE_MAX);
	trace_format(&out, &r, 42);
	assert_string_equal(buf_cstr(&out), "1500000\t0000000000ab0001\tQ1\t"
	    "event\tpostfix/smtpd\t42\t40\taccept\tsize=5\n");
	assert_true(trace_parse(span_slice(buf_span(&out), 0, out.n - 1), &t));
	assert_true(t.time_us == 1500000 && t.trace == 0xab0001);
	assert_true(t.pid == 42 && t.at == 64);
	assert_true(span_eq(t.qid, r.qid) && span_eq(t.what, r.what));
	assert_true(span_eq(t.level, SPAN("event")));
	assert_true(span_eq(t.text, r.text));
	for (size_t n = 0; n < out.n - 8; n++)
		assert_false(trace_parse(span_slice(buf_span(&out), 0, n), &t));
	buf_reset(&out);
	r.kind = LOG_K_LINE;
	r.qid = r.what = SPAN_EMPTY;
	r.text = SPAN("a\tb\nc");
	trace_format(&out, &r, 42);
	assert_true(trace_parse(span_slice(buf_span(&out), 0, out.n - 1), &t));
	assert_int_equal(t.qid.n, 0);
	assert_true(span_eq(t.text, SPAN("a?b?c")));
	buf_release(&out);
}

static void
segment_names(void **state)
{
	char name[TRACE_SEGMENT_NAME];
	uint64_t n = 0;

	(void)state;
	trace_segment_name(17, name);
	assert_string_equal(name, "0000000017.trace");
	assert_true(trace_segment_number(name, &n));
	assert_int_equal(n, 17);
	assert_false(trace_segment_number("17.trace", &n));
	assert_false(trace_segment_number("000000001x.trace", &n));
	assert_false(trace_segment_number("0000000017.trash", &n));
}

static void
write_segment(int dir, uint64_t number, const char *text)
{
	char name[TRACE_SEGMENT_NAME];
	int fd;

	trace_segment_name(number, name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Over segments out of order, with a record twice and a line that a crash
 * cut: the mail's lines once, in order, with those of its connection. */
static void
search_finds_one_mail(void **state)
{
	char path[] = "/tmp/chappe-trace-XXXXXX", command[64];
	const struct trace_query q = { .qid = SPAN("Q1") };
	struct buf out;
	struct err e;
	FILE *f;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_segment(dir, 2,
	    "40\t0000000000ab0001\tQ1\tinfo\tp/a\t1\t1\t-\tfourth\n"
	    "40\t0000000000ab0001\tQ1\tinfo\tp/a\t1\t1\t-\tfourth\n"
	    "50\t0000000000ab0001\tQ1\tinfo\tp/a\t1\t2\t-\tcut");
	write_segment(dir, 1,
	    "30\t0000000000ab0001\t-\tevent\tp/b\t2\t0\tx\tthird\n"
	    "rubbish\n"
	    "10\t0000000000ab0000\t-\tevent\tp/b\t2\t1\tx\tfirst\n"
	    "20\t0000000000ab0002\tQ2\tevent\tp/b\t2\t2\tx\tnot this\n"
	    "25\t0000000000000000\t-\tevent\tp/b\t2\t3\tx\tnor this\n");
	buf_init(&out, TRACE_RESULT_MAX);
	assert_int_equal(trace_search(dir, &q, &out, &e), 0);
	assert_string_equal(buf_cstr(&out),
	    "10\t0000000000ab0000\t-\tevent\tp/b\t2\t1\tx\tfirst\n"
	    "30\t0000000000ab0001\t-\tevent\tp/b\t2\t0\tx\tthird\n"
	    "40\t0000000000ab0001\tQ1\tinfo\tp/a\t1\t1\t-\tfourth\n");
	f = fopen("/dev/null", "w");
	assert_int_equal(trace_print(f, buf_span(&out)), 3);
	fclose(f);
	buf_release(&out);
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	assert_int_equal(system(command), 0);
}

static void
prints_for_a_reader(void **state)
{
	char text[400] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_int_equal(trace_print(f,
	    SPAN("1500000\t0000000000ab0001\t-\tevent\tpostfix/smtpd\t42\t40\t"
		 "accept\tsize=5\n"
		 "1501500\t0000000000ab0001\tQ1\twarning\tpostfix/qmgr\t43\t0"
		 "\t-\tslow\n")), 2);
	fclose(f);
	assert_string_equal(text,
	    "1970-01-01 00:00:01.500000     +0.000 ms 0000000000ab0001 "
	    "smtpd[42]          "
	    "accept       size=5\n"
	    "1970-01-01 00:00:01.501500     +1.500 ms 0000000000ab0001 "
	    "qmgr[43]           "
	    "log          Q1: warning: slow\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_back),
		cmocka_unit_test(segment_names),
		cmocka_unit_test(search_finds_one_mail),
		cmocka_unit_test(prints_for_a_reader),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
