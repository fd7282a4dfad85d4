/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
holds_up_to_its_maximum(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_str(&b, "abc");
	buf_str(&b, "de");
	assert_true(buf_ok(&b));
	assert_true(span_eq(buf_span(&b), SPAN("abcde")));
	assert_string_equal(buf_cstr(&b), "abcde");
	buf_release(&b);
}

static void
spills_whole_and_stays_spilt(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_str(&b, "abc");
	buf_fmt(&b, "%d", 123456);
	assert_false(buf_ok(&b));
	buf_byte(&b, 'x');
	assert_true(span_eq(buf_span(&b), SPAN("abc")));
	buf_reset(&b);
	buf_byte(&b, 'x');
	assert_true(buf_ok(&b));
	assert_true(span_eq(buf_span(&b), SPAN("x")));
	buf_wipe(&b);
}

static void
consumes_from_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (int i = 0; i < 100; i++)
		buf_fmt(&b, "%03d.", i);
	buf_consume(&b, 4);
	assert_true(span_starts(buf_span(&b), SPAN("001.002.")));
	buf_consume(&b, 4000);
	assert_int_equal(b.n, 0);
	buf_release(&b);
}

static void
lends_room(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	memcpy(buf_room(&b, 8), "12345678", 8);
	buf_grown(&b, 3);
	assert_true(span_eq(buf_span(&b), SPAN("123")));
	assert_null(buf_room(&b, 8));
	assert_false(buf_ok(&b));
	buf_release(&b);
}

static void
takes_several_strings(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_strs(&b, "a", "", "bc", NULL);
	assert_string_equal(buf_cstr(&b), "abc");
	buf_release(&b);
}

static void
prints_numbers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_u64(&b, 0);
	buf_byte(&b, ' ');
	buf_u64(&b, 10);
	buf_byte(&b, ' ');
	buf_u64(&b, UINT64_MAX);
	assert_string_equal(buf_cstr(&b), "0 10 18446744073709551615");
	buf_reset(&b);
	buf_hex(&b, 0, 1);
	buf_byte(&b, ' ');
	buf_hex(&b, 0xabc, 16);
	buf_byte(&b, ' ');
	buf_hex(&b, UINT64_MAX, 1);
	assert_string_equal(
	    buf_cstr(&b), "0 0000000000000abc ffffffffffffffff");
	buf_reset(&b);
	buf_clean(&b, SPAN("a\tb\x7f \xc3\xa4\r\n"));
	assert_string_equal(buf_cstr(&b), "a?b? \xc3\xa4??");
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_up_to_its_maximum),
		cmocka_unit_test(spills_whole_and_stays_spilt),
		cmocka_unit_test(consumes_from_the_front),
		cmocka_unit_test(lends_room),
		cmocka_unit_test(takes_several_strings),
		cmocka_unit_test(prints_numbers),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
