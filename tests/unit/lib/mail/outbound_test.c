/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/outbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static const struct outbound_limit base = { 10, 20, 3600, OUTBOUND_DEFER };

static void
assert_limit(const struct outbound_limit *a, const struct outbound_limit *b)
{
	assert_int_equal(a->messages, b->messages);
	assert_int_equal(a->recipients, b->recipients);
	assert_int_equal(a->unit_s, b->unit_s);
	assert_int_equal(a->action, b->action);
}

static void
what_a_table_says(void **state)
{
	static const struct {
		const char *text;
		struct outbound_limit l;
	} rows[] = {
		{ "messages=5", { 5, 20, 3600, OUTBOUND_DEFER } },
		{ "recipients=7, action=hold",
		    { 10, 7, 3600, OUTBOUND_HOLD } },
		{ "time=2d action=Reject", { 10, 20, 172800,
					       OUTBOUND_REJECT } },
		{ "time=90 messages=0", { 0, 20, 90, OUTBOUND_DEFER } },
		{ "unlimited", { 0, 0, 3600, OUTBOUND_DEFER } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outbound_limit l = base;

		assert_true(outbound_parse(span_str(rows[i].text), &l));
		assert_limit(&l, &rows[i].l);
	}
}

static void
what_is_refused(void **state)
{
	static const char *const rows[] = { "", "messages", "messages=",
		"messages=-1", "messages=x", "messages=99999999", "time=0",
		"time=100d", "time=d", "action=drop", "unlimited=1",
		"messages=1 foo" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outbound_limit l = base;

		assert_false(outbound_parse(span_str(rows[i]), &l));
		assert_limit(&l, &base);
	}
}

static void
counts_apart(void **state)
{
	const struct outbound_limit l = { 2, 3, 3600, OUTBOUND_DEFER };
	const struct outbound_limit none = { 0, 0, 3600, OUTBOUND_DEFER };
	struct shared_table *t;
	uint64_t k;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	k = shared_table_key(t, "outbound login", SPAN("alice"));
	for (int i = 0; i < 2; i++)
		assert_true(outbound_count(t, k, OUTBOUND_MESSAGES, 1, &l, 1000));
	assert_false(outbound_count(t, k, OUTBOUND_MESSAGES, 1, &l, 4599));
	for (int i = 0; i < 3; i++)
		assert_true(
		    outbound_count(t, k, OUTBOUND_RECIPIENTS, 1, &l, 1000));
	assert_false(outbound_count(t, k, OUTBOUND_RECIPIENTS, 1, &l, 1000));
	assert_true(outbound_count(t, k, OUTBOUND_MESSAGES, 1, &none, 1000));
	assert_true(outbound_count(t, k, OUTBOUND_MESSAGES, 1, &l, 4600));
	shared_table_free(&t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_table_says),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(counts_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
