/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The key 00 01 .. 0f over 00 01 .. n-1: the published vectors. */
static void
published_vectors(void **state)
{
	static const uint64_t key[2] = { 0x0706050403020100u,
		0x0f0e0d0c0b0a0908u };
	static const struct {
		size_t n;
		uint64_t hash;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31u },
		{ 1, 0x74f839c593dc67fdu },
		{ 7, 0xab0200f58b01d137u },
		{ 8, 0x93f5f5799a932462u },
		{ 15, 0xa129ca6149be45e5u },
	};
	uint8_t bytes[16];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(siphash(key, span_of(bytes, rows[i].n)),
		    rows[i].hash);
}

static void
depends_on_the_key(void **state)
{
	static const uint64_t a[2] = { 1, 2 }, b[2] = { 1, 3 };

	(void)state;
	assert_true(siphash(a, SPAN("x")) != siphash(b, SPAN("x")));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(depends_on_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
