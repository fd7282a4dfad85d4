/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/verify_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

enum { NOW = 1000000 };

static const struct verify_times times = { 100, 10, 50, 5 };

static void
there_and_back(void **state)
{
	const struct verify_record r = { VERIFY_REFUSED, 0, 1234567890,
		SPAN("host a said: 550 5.1.1 x: no") };
	struct verify_record got;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	verify_record_put(&r, &b);
	assert_string_equal(buf_cstr(&b),
	    "2:0:1234567890:host a said: 550 5.1.1 x: no");
	assert_true(verify_record_get(buf_span(&b), &got));
	assert_int_equal(got.status, VERIFY_REFUSED);
	assert_int_equal(got.probed_s, 0);
	assert_int_equal(got.updated_s, 1234567890);
	assert_true(span_eq(got.text, r.text));
	buf_release(&b);
}

static void
damaged(void **state)
{
	static const char *const rows[] = { "", ":", "0", "0:", "0:0", "0:0:",
		"0:0:1", "4:0:1:x", "-1:0:1:x", "0:0:99999999999999999999:x",
		"x:0:1:x", "0:x:1:x", "0:0:x:x", " 0:0:1:x" };
	struct verify_record r = { .updated_s = 7 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_false(verify_record_get(span_str(rows[i]), &r));
	assert_int_equal(r.updated_s, 7);
	assert_true(verify_record_get(SPAN("0:0:1:"), &r));
	assert_int_equal(r.text.n, 0);
}

static void
ages(void **state)
{
	static const struct {
		enum verify_status status;
		int64_t age;
		bool expired, stale;
	} rows[] = {
		{ VERIFY_OK, 0, false, false },
		{ VERIFY_OK, 10, false, false },
		{ VERIFY_OK, 11, false, true },
		{ VERIFY_OK, 100, false, true },
		{ VERIFY_OK, 101, true, true },
		{ VERIFY_REFUSED, 5, false, false },
		{ VERIFY_REFUSED, 6, false, true },
		{ VERIFY_DEFERRED, 50, false, true },
		{ VERIFY_DEFERRED, 51, true, true },
		{ VERIFY_TODO, 0, true, false },
		/* from the future, a little and far */
		{ VERIFY_OK, -600, false, false },
		{ VERIFY_OK, -601, true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct verify_record r = { .status = rows[i].status,
			.updated_s = NOW - rows[i].age };

		assert_int_equal(verify_record_expired(&r, &times, NOW),
		    rows[i].expired);
		assert_int_equal(
		    verify_record_stale(&r, &times, NOW), rows[i].stale);
	}
}

static void
what_is_kept(void **state)
{
	const struct verify_record good = { .status = VERIFY_OK };
	const struct verify_record bad = { .status = VERIFY_REFUSED };

	(void)state;
	assert_true(verify_record_takes(NULL, VERIFY_OK, false));
	assert_true(verify_record_takes(&bad, VERIFY_OK, false));
	assert_true(verify_record_takes(&bad, VERIFY_DEFERRED, true));
	assert_true(verify_record_takes(NULL, VERIFY_REFUSED, true));
	assert_false(verify_record_takes(NULL, VERIFY_REFUSED, false));
	assert_false(verify_record_takes(&good, VERIFY_REFUSED, true));
	assert_false(verify_record_takes(NULL, VERIFY_TODO, true));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(damaged),
		cmocka_unit_test(ages),
		cmocka_unit_test(what_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
