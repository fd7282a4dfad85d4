/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/ip_pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
matches(void **state)
{
	static const struct {
		const char *pattern;
		uint8_t address[4];
		bool match;
	} rows[] = {
		{ "127.0.0.2", { 127, 0, 0, 2 }, true },
		{ "127.0.0.2", { 127, 0, 0, 3 }, false },
		{ "127.0.0.[2..11]", { 127, 0, 0, 2 }, true },
		{ "127.0.0.[2..11]", { 127, 0, 0, 11 }, true },
		{ "127.0.0.[2..11]", { 127, 0, 0, 12 }, false },
		{ "127.0.[0..255].0", { 127, 0, 77, 0 }, true },
		{ "127.[1;3].[5].[0;4..5;255]", { 127, 3, 5, 255 }, true },
		{ "127.[1;3].[5].[0;4..5;255]", { 127, 1, 5, 4 }, true },
		{ "127.[1;3].[5].[0;4..5;255]", { 127, 2, 5, 4 }, false },
		{ "0.0.0.0", { 0, 0, 0, 0 }, true },
		{ "255.255.255.255", { 255, 255, 255, 255 }, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct ip_pattern p;
		const char *why;

		assert_true(ip_pattern_parse(span_str(rows[i].pattern), &p,
		    &why));
		assert_int_equal(ip_pattern_match(&p, rows[i].address),
		    rows[i].match);
	}
}

static void
bad_ones(void **state)
{
	static const char *const rows[] = { "", "127", "127.0.0", "127.0.0.",
		"127.0.0.1.", "127.0.0.256", "127.0.0.0001", "127.0.0.[",
		"127.0.0.[]", "127.0.0.[1", "127.0.0.[1..]", "127.0.0.[3..2]",
		"127.0.0.[1;]", "127.0.[0.1]", "127.0.0.3[6..9]", "a.b.c.d",
		"127.0.0.1 ", "::1", "127..0.1" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct ip_pattern p;
		const char *why = NULL;

		assert_false(ip_pattern_parse(span_str(rows[i]), &p, &why));
		assert_non_null(why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(bad_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
