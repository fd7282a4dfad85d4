/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
gives_zeroed_aligned_pieces(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t n = 1; n < 9000; n = n * 3 + 1) {
		const unsigned char *p = arena_alloc(&a, n);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(arena_alloc(&a, n), 0xff, n);
	}
	assert_true(arena_ok(&a));
	arena_reset(&a);
	assert_int_equal(a.used, 0);
	arena_reset(&a);
}

static void
copies_bytes(void **state)
{
	struct arena a;
	struct span s;

	(void)state;
	arena_init(&a, 1000);
	s = arena_dup(&a, SPAN("a\0b"));
	assert_true(span_eq(s, SPAN("a\0b")));
	assert_int_equal(s.p[3], 0);
	assert_string_equal(arena_str(&a, SPAN_EMPTY), "");
	arena_reset(&a);
}

static void
tells_when_it_was_too_much(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 100);
	arena_alloc(&a, 96);
	assert_true(arena_ok(&a));
	assert_non_null(arena_alloc(&a, 16));
	assert_false(arena_ok(&a));
	arena_reset(&a);
	assert_true(arena_ok(&a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_zeroed_aligned_pieces),
		cmocka_unit_test(copies_bytes),
		cmocka_unit_test(tells_when_it_was_too_much),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
