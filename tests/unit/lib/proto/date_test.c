/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

#define INSTANT INT64_C(1795358062) /* 2026-11-22 14:34:22 UTC */

static void
prints_each_form(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	date_print_rfc5322(&b, INSTANT, 0, "UTC");
	assert_string_equal(
	    buf_cstr(&b), "Sun, 22 Nov 2026 14:34:22 +0000 (UTC)");
	buf_reset(&b);
	date_print_rfc5322(&b, INSTANT, -210, NULL);
	assert_string_equal(buf_cstr(&b), "Sun, 22 Nov 2026 11:04:22 -0330");
	buf_reset(&b);
	date_print_imap(&b, INSTANT - 21 * 86400, 60);
	assert_string_equal(buf_cstr(&b), " 1-Nov-2026 15:34:22 +0100");
	buf_reset(&b);
	date_print_asctime(&b, INSTANT - 20 * 86400, 0);
	assert_string_equal(buf_cstr(&b), "Mon Nov  2 14:34:22 2026");
	buf_release(&b);
}

static void
parses_tolerantly(void **state)
{
	static const struct {
		const char *text;
		int64_t t;
		int offset;
	} rows[] = {
		{ "Sun, 22 Nov 2026 14:34:22 +0000 (UTC)", INSTANT, 0 },
		{ "22 Nov 2026 15:34:22 +0100", INSTANT, 60 },
		{ " Sun , 22 nov 26 14:34:22 GMT", INSTANT, 0 },
		{ "Sun, 22 Nov 2026 09:34:22 EST", INSTANT, -300 },
		{ "Sun,(a(b)\\)) 22 Nov 126 14 : 34 :22 Z", INSTANT, 0 },
		{ "Sun, 22 Nov 2026 14:34 -0000", INSTANT - 22, 0 },
		{ "Sun, 22\r\n Nov 2026 14:34:22", INSTANT, 0 },
		{ "1 Jan 1970 00:00:00 +0000", 0, 0 },
		{ "29 Feb 2000 00:00:00 +0000", 951782400, 0 },
		{ "31 Dec 1969 23:59:59 +0000", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int64_t t = 0;
		int offset = -1;

		assert_true(
		    date_parse_rfc5322(span_str(rows[i].text), &t, &offset));
		assert_int_equal(t, rows[i].t);
		assert_int_equal(offset, rows[i].offset);
	}
}

static void
refuses_what_is_no_date(void **state)
{
	static const char *const rows[] = { "", "Sun", "Sun, 22 Nov",
		"32 Nov 2026 00:00:00 +0000", "22 Foo 2026 00:00:00 +0000",
		"22 Nov 2026 24:00:00 +0000", "22 Nov 2026 00:61:00 +0000",
		"22 Nov 20261 00:00:00 +0000", "(((((", "0 Nov 2026 0:0:0" };
	int64_t t = 7;
	int offset = 7;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_false(
		    date_parse_rfc5322(span_str(rows[i]), &t, &offset));
	assert_int_equal(t, 7);
	assert_int_equal(offset, 7);
}

static void
parses_imap_dates(void **state)
{
	int64_t t;
	int offset;

	(void)state;
	assert_true(
	    date_parse_imap(SPAN("22-Nov-2026 14:34:22 +0000"), &t, &offset));
	assert_int_equal(t, INSTANT);
	assert_true(
	    date_parse_imap(SPAN(" 1-Nov-2026 15:34:22 +0100"), &t, &offset));
	assert_int_equal(t, INSTANT - 21 * 86400);
	assert_int_equal(offset, 60);
	assert_false(
	    date_parse_imap(SPAN("22-Nov-2026 14:34:22"), &t, &offset));
	assert_false(
	    date_parse_imap(SPAN("22-Nov-2026 14:34:22 +00001"), &t, &offset));
	assert_true(date_parse_imap_day(SPAN("22-Nov-2026"), &t));
	assert_int_equal(t, INSTANT - INSTANT % 86400);
	assert_true(date_parse_imap_day(SPAN("1-Jan-1970"), &t));
	assert_int_equal(t, 0);
	assert_false(date_parse_imap_day(SPAN("1-Jan-1970 "), &t));
}

static void
parses_mbox_dates(void **state)
{
	static const char *const rows[] = { "Sun Nov 22 14:34:22 2026",
		"Sun Nov 22 14:34:22 UTC 2026",
		"Sun Nov 22 15:34:22 2026 +0100",
		"Sun Nov 22 14:34:22 MET DST 2026" };
	int64_t t;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(date_parse_asctime(span_str(rows[i]), &t));
		assert_int_equal(t, INSTANT);
	}
	assert_false(date_parse_asctime(span_str(rows[3]), &t));
	assert_false(date_parse_asctime(SPAN("Nov 22"), &t));
}

static void
every_day_comes_back(void **state)
{
	(void)state;
	for (int64_t t = -62167219200; t < 253402300800; t += 86400 * 13 + 7) {
		struct date d;

		date_from_time(t, 0, &d);
		assert_int_equal(date_to_time(&d), t);
		date_from_time(t, 345, &d);
		if (t > -62167000000 && t < 253402000000)
			assert_int_equal(date_to_time(&d), t);
	}
}

static void
clips_to_four_digit_years(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	date_print_rfc5322(&b, INT64_MAX, 90000, NULL);
	assert_true(span_starts(buf_span(&b), SPAN("Fri, 31 Dec 9999")));
	buf_reset(&b);
	date_print_rfc5322(&b, INT64_MIN, -90000, NULL);
	assert_true(span_starts(buf_span(&b), SPAN("Sat, 1 Jan 0000")));
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_each_form),
		cmocka_unit_test(parses_tolerantly),
		cmocka_unit_test(refuses_what_is_no_date),
		cmocka_unit_test(parses_imap_dates),
		cmocka_unit_test(parses_mbox_dates),
		cmocka_unit_test(every_day_comes_back),
		cmocka_unit_test(clips_to_four_digit_years),
	};

	return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
