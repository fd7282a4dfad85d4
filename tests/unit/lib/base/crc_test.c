/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* RFC 3720 B.4 and the usual check value. */
static void
gives_the_published_values(void **state)
{
	uint8_t b[32];

	(void)state;
	assert_int_equal(crc32c(0, SPAN("123456789")), 0xe3069283);
	assert_int_equal(crc32c(0, SPAN_EMPTY), 0);
	memset(b, 0, sizeof(b));
	assert_int_equal(crc32c(0, span_of(b, 32)), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(crc32c(0, span_of(b, 32)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, span_of(b, 32)), 0x46dd794e);
}

static void
does_not_depend_on_the_pieces(void **state)
{
	uint8_t b[100];
	uint32_t whole;

	(void)state;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 37 + 11);
	whole = crc32c(0, span_of(b, sizeof(b)));
	for (size_t i = 0; i <= sizeof(b); i++) {
		const uint32_t first = crc32c(0, span_of(b, i));

		assert_int_equal(
		    crc32c(first, span_of(b + i, sizeof(b) - i)), whole);
	}
}

static void
is_the_same_without_the_instruction(void **state)
{
	uint8_t b[100];

	(void)state;
	assert_int_equal(crc32c_tables(0, SPAN("123456789")), 0xe3069283);
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 59 + 3);
	for (size_t i = 0; i <= sizeof(b); i++)
		for (size_t from = 0; from < 9 && from <= i; from++)
			assert_int_equal(
			    crc32c(77, span_of(b + from, i - from)),
			    crc32c_tables(77, span_of(b + from, i - from)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_published_values),
		cmocka_unit_test(does_not_depend_on_the_pieces),
		cmocka_unit_test(is_the_same_without_the_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
