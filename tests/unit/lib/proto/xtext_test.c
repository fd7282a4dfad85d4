/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/xtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
there_and_back(void **state)
{
	struct buf a, b;

	(void)state;
	buf_init(&a, 1000);
	buf_init(&b, 1000);
	for (int c = 0; c < 256; c++)
		buf_byte(&a, (uint8_t)c);
	xtext_encode(buf_span(&a), &b);
	assert_true(span_starts(buf_span(&b), SPAN("+00+01")));
	assert_true(span_find(buf_span(&b), SPAN("+20!")) != SIZE_MAX);
	assert_true(span_find(buf_span(&b), SPAN("*+2B,")) != SIZE_MAX);
	assert_true(span_find(buf_span(&b), SPAN("<+3D>")) != SIZE_MAX);
	buf_reset(&a);
	assert_true(xtext_decode(buf_span(&b), &a));
	assert_int_equal(a.n, 256);
	for (size_t c = 0; c < 256; c++)
		assert_int_equal(a.p[c], c);
	buf_release(&a);
	buf_release(&b);
}

static void
refuses_what_is_malformed(void **state)
{
	static const char *const rows[] = { "a+2", "+", "+2b", "+GG", "a b",
		"a=b", "\x80", "a\n" };
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_str(&b, "k");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_false(xtext_decode(span_str(rows[i]), &b));
		assert_string_equal(buf_cstr(&b), "k");
	}
	assert_false(xtext_decode(SPAN("0123456789"), &b));
	assert_false(buf_ok(&b));
	assert_int_equal(b.n, 1);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(refuses_what_is_malformed),
	};

	return cmocka_run_group_tests_name("xtext", tests, NULL, NULL);
}
