/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/spool.h"
#include "lib/os/work.h"

static char dir[] = "/tmp/chappe-mail-test-XXXXXX";
static struct loop *loop;

static int
begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	loop = loop_new();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	work_finish(loop);
	loop_free(&loop);
	return rmdir(dir); /* nothing is left in it */
}

/* ---- the sink ---- */

struct taken {
	struct milter_mail *mail;
	struct buf all;
	bool pause, running, done;
	struct err err;
};

static void
go_on(void *arg)
{
	struct taken *t = arg;

	milter_mail_go_on(t->mail);
}

static bool
out(void *arg, struct span bytes)
{
	struct taken *t = arg;

	buf_add(&t->all, bytes);
	if (t->pause)
		loop_later(loop, go_on, t);
	return !t->pause;
}

static void
done(void *arg, const struct err *e)
{
	struct taken *t = arg;

	t->done = true;
	if (e != NULL)
		t->err = *e;
	if (t->running)
		loop_stop(loop);
}

/* The whole message. */
static struct span
give(struct milter_mail *m, struct taken *t, bool pause)
{
	const struct milter_mail_sink sink = { out, done, t };

	*t = (struct taken){ .mail = m, .pause = pause };
	buf_init(&t->all, 64 << 20);
	milter_mail_send(m, &sink);
	t->running = true;
	if (!t->done)
		loop_run(loop);
	assert_true(t->done);
	return buf_span(&t->all);
}

static struct milter_mail *
take(const char *text, size_t step, size_t own)
{
	struct milter_mail *m = milter_mail_new(loop, dir, own);
	struct span rest = span_str(text);

	while (rest.n > 0) {
		milter_mail_feed(m, span_slice(rest, 0, step));
		rest = span_skip(rest, step);
	}
	milter_mail_end(m);
	return m;
}

static void
is(struct milter_mail *m, const char *want)
{
	struct taken t;
	const struct span got = give(m, &t, false);

	if (!span_eq(got, span_str(want)))
		fail_msg("got \"%.*s\"", SPAN_FMT(got));
	buf_release(&t.all);
}

#define HEAD "Received: us\r\nA: 1\r\nB:\r\n x\r\nA: 2\r\n"

static void
comes_out_as_it_went_in(void **state)
{
	static const char *const rows[] = { HEAD "\r\nbody\r\n", HEAD "\r\n",
		HEAD "\n\nx\ny", "\r\nonly a body", "odd line\r\nA: 1\r\n\r\nx",
		HEAD };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t step = 1; step < 100; step += 98) {
			struct milter_mail *m = take(rows[i], step, 0);

			is(m, rows[i]);
			is(m, rows[i]);
			milter_mail_free(&m);
		}
	}
}

static void
fields_are_there(void **state)
{
	struct milter_mail *m = take(HEAD "\r\nbody", 7, 0);

	(void)state;
	assert_int_equal(milter_mail_field_count(m), 4);
	assert_true(milter_mail_field(m, 0)->own);
	assert_false(milter_mail_field(m, 1)->own);
	assert_true(span_eq(milter_mail_field(m, 2)->body, SPAN("\r\n x")));
	assert_int_equal(milter_mail_body_size(m), 4);
	milter_mail_free(&m);
}

static void
changes_fields(void **state)
{
	struct milter_mail *m = take(HEAD "\r\nbody", 1000, 0);

	(void)state;
	assert_true(milter_mail_change(m, 2, SPAN("a"), SPAN("two"), false));
	assert_true(milter_mail_change(m, 1, SPAN("C"), SPAN("new"), true));
	milter_mail_delete(m, 1, SPAN("B"));
	milter_mail_delete(m, 3, SPAN("A"));
	milter_mail_delete(m, 1, SPAN("Received"));
	assert_true(milter_mail_insert(m, 0, SPAN("T"), SPAN("top"), false));
	assert_true(milter_mail_insert(m, 2, SPAN("U"), SPAN("2"), false));
	assert_true(milter_mail_insert(m, 99, SPAN("V"), SPAN("end"), false));
	is(m, "T: top\r\nReceived: us\r\nU: 2\r\nA: 1\r\na: two\r\nC:new\r\n"
	      "V: end\r\n\r\nbody");
	milter_mail_free(&m);
}

static void
values_can_do_no_harm(void **state)
{
	static const struct {
		const char *name, *value, *want;
	} rows[] = {
		{ "X", "a\nb", "X: a\r\n\tb\r\n" },
		{ "X", "a\r\n b\r\n", "X: a\r\n b\r\n" },
		{ "X", "a\n\nb\r\n\r\n\tc", "X: a\r\n\tb\r\n\tc\r\n" },
		{ "X", "\nb", "X: b\r\n" },
		{ "X", "a\rb", "X: a b\r\n" },
		{ "X y:z", "a", "X_y_z: a\r\n" },
		{ "X", "", "X: \r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct milter_mail *m = take("\r\n", 10, SIZE_MAX);
		struct buf want;

		buf_init(&want, 1000);
		buf_fmt(&want, "%s\r\n", rows[i].want);
		assert_true(milter_mail_add(
		    m, span_str(rows[i].name), span_str(rows[i].value), false));
		is(m, buf_cstr(&want));
		buf_release(&want);
		milter_mail_free(&m);
	}
}

static void
header_has_a_maximum(void **state)
{
	struct milter_mail *m = take("A: 1\r\n\r\nx", 100, SIZE_MAX);
	struct buf big;
	unsigned n = 0;

	(void)state;
	buf_init(&big, 200000);
	while (big.n < 100000)
		buf_str(&big, "0123456789");
	while (milter_mail_add(m, SPAN("B"), buf_span(&big), false))
		n++;
	assert_true(n > 10 && n < 50);
	buf_release(&big);
	milter_mail_free(&m);
	/* One that comes with more is not cut. */
	m = milter_mail_new(loop, dir, SIZE_MAX);
	for (int i = 0; i < LIMIT_HEADER / 10 + 1000; i++)
		milter_mail_feed(m, SPAN("A: 345678\r\n"));
	milter_mail_end(m);
	struct taken t;
	assert_int_equal(
	    give(m, &t, true).n, 11 * (size_t)(LIMIT_HEADER / 10 + 1000));
	buf_release(&t.all);
	milter_mail_free(&m);
}

/* With the empty line and a body, with nothing behind it, and in a header
 * that is too long besides. */
static void
fields_have_a_maximum(void **state)
{
	static const int counts[] = { LIMIT_HEADER_FIELDS,
		LIMIT_HEADER_FIELDS + 1, 100000, LIMIT_HEADER / 4 + 1000 };
	struct taken t;

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(counts); i++) {
		const int n = counts[i / 2];
		struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
		unsigned added = 0;

		for (int k = 0; k < n; k++)
			milter_mail_feed(m, SPAN("a:\r\n"));
		if (i % 2 == 0)
			milter_mail_feed(m, SPAN("\r\nx\r\n"));
		milter_mail_end(m);
		assert_int_equal(milter_mail_too_many(m), i / 2 > 0);
		assert_int_equal(
		    milter_mail_field_count(m), LIMIT_HEADER_FIELDS);
		assert_int_equal(give(m, &t, false).n,
		    4 * (size_t)n + (i % 2 == 0 ? 5 : 0));
		buf_release(&t.all);
		while (milter_mail_insert(m, 0, SPAN("b"), SPAN("1"), false))
			added++;
		assert_int_equal(added, 1000);
		milter_mail_free(&m);
	}
}

static void
replaces_the_body(void **state)
{
	struct milter_mail *m = take("A: 1\r\n\r\nold", 100, SIZE_MAX);

	(void)state;
	assert_true(milter_mail_replace(m, SPAN("half"), 0));
	milter_mail_replaced(m, false);
	is(m, "A: 1\r\n\r\nold");
	milter_mail_replaced(m, true);
	is(m, "A: 1\r\n\r\nold");
	assert_true(milter_mail_replace(m, SPAN("a\nb\r"), 0));
	assert_true(milter_mail_replace(m, SPAN("\nc\n\n"), 0));
	assert_true(milter_mail_replace(m, SPAN("end"), 14));
	assert_false(milter_mail_replace(m, SPAN("12"), 15));
	milter_mail_replaced(m, true);
	is(m, "A: 1\r\n\r\na\r\nb\r\nc\r\n\r\nend\r\n");
	milter_mail_free(&m);
}

static void
big_ones_go_to_a_file(void **state)
{
	struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
	struct taken t;
	struct buf want;

	(void)state;
	buf_init(&want, 64 << 20);
	buf_str(&want, "A: 1\r\n\r\n");
	milter_mail_feed(m, buf_span(&want));
	for (unsigned i = 0; i < 400000; i++) {
		const size_t at = want.n;

		buf_fmt(&want, "line %u\r\n", i);
		milter_mail_feed(m, span_skip(buf_span(&want), at));
	}
	milter_mail_end(m);
	for (int pause = 0; pause < 2; pause++) {
		assert_true(span_eq(give(m, &t, pause), buf_span(&want)));
		buf_release(&t.all);
	}
	buf_release(&want);
	milter_mail_free(&m);
}

/* ---- the spool by itself ---- */

static void
no_place_for_a_file_is_told(void **state)
{
	struct milter_mail *m = milter_mail_new(loop, "/nonexistent", SIZE_MAX);
	struct taken t;

	(void)state;
	milter_mail_feed(m, SPAN("\r\n"));
	for (int i = 0; i < 100000; i++)
		milter_mail_feed(m, SPAN("0123456789"));
	milter_mail_end(m);
	give(m, &t, false);
	assert_int_equal(t.err.kind, ERR_TEMP);
	assert_non_null(strstr(t.err.text, "/nonexistent"));
	buf_release(&t.all);
	milter_mail_free(&m);
}

/* Threads look at it when its owner may be gone. */
static void
the_name_of_its_place_is_kept(void **state)
{
	static char piece[100000];
	char name[sizeof(dir)];
	struct milter_mail *m;
	struct taken t;

	(void)state;
	memcpy(name, dir, sizeof(name));
	m = milter_mail_new(loop, name, SIZE_MAX);
	memset(name, '?', sizeof(name) - 1);
	milter_mail_feed(m, SPAN("\r\n"));
	for (int i = 0; i < 10; i++)
		milter_mail_feed(m, span_of(piece, sizeof(piece)));
	milter_mail_end(m);
	assert_int_equal(give(m, &t, false).n, 2 + 10 * sizeof(piece));
	buf_release(&t.all);
	for (int i = 0; i < 10; i++)
		milter_mail_replace(m, span_of(piece, sizeof(piece)), 0);
	milter_mail_replaced(m, true);
	assert_int_equal(give(m, &t, false).n, 2 + 10 * sizeof(piece) + 2);
	buf_release(&t.all);
	milter_mail_free(&m);
}

static void
ready(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

static void
spool_asks_for_a_pause(void **state)
{
	struct spool *s = spool_new(loop, dir, 1000);
	bool was_ready = false;
	static char piece[100000];

	(void)state;
	while (!spool_busy(s, ready, &was_ready))
		spool_add(s, span_of(piece, sizeof(piece)));
	assert_true(spool_size(s) > 1000000);
	loop_run(loop);
	assert_true(was_ready);
	spool_free(&s);
	/* Freed in the middle of it. */
	s = spool_new(loop, dir, 1000);
	for (int i = 0; i < 50; i++)
		spool_add(s, span_of(piece, sizeof(piece)));
	spool_free(&s);
	assert_null(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_out_as_it_went_in),
		cmocka_unit_test(fields_are_there),
		cmocka_unit_test(changes_fields),
		cmocka_unit_test(values_can_do_no_harm),
		cmocka_unit_test(header_has_a_maximum),
		cmocka_unit_test(fields_have_a_maximum),
		cmocka_unit_test(replaces_the_body),
		cmocka_unit_test(big_ones_go_to_a_file),
		cmocka_unit_test(no_place_for_a_file_is_told),
		cmocka_unit_test(the_name_of_its_place_is_kept),
		cmocka_unit_test(spool_asks_for_a_pause),
	};

	return cmocka_run_group_tests_name("milter_mail", tests, begin, end);
}
