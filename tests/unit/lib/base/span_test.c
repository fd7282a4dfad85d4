/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
compares(void **state)
{
	(void)state;
	assert_true(span_eq(SPAN_EMPTY, SPAN("")));
	assert_true(span_ieq(SPAN("MAIL"), SPAN("mail")));
	assert_false(span_ieq(SPAN("\xc3"), SPAN("\xe3")));
	assert_true(span_istarts(SPAN("Mail From"), SPAN("MAIL ")));
	assert_false(span_starts(SPAN("ab"), SPAN("abc")));
	assert_true(span_ends(SPAN("a.b"), SPAN(".b")));
	assert_true(span_iends(SPAN("x.DE"), SPAN(".de")));
	assert_true(span_cmp(SPAN("a"), SPAN("ab")) < 0);
	assert_true(span_cmp(SPAN("b"), SPAN("ab")) > 0);
	assert_int_equal(span_cmp(SPAN("ab"), SPAN("ab")), 0);
}

static void
finds(void **state)
{
	(void)state;
	assert_int_equal(span_chr(SPAN("a@b@c"), '@'), 1);
	assert_int_equal(span_rchr(SPAN("a@b@c"), '@'), 3);
	assert_true(span_chr(SPAN_EMPTY, 'x') == SIZE_MAX);
	assert_int_equal(span_find(SPAN("abcabd"), SPAN("abd")), 3);
	assert_int_equal(span_find(SPAN("abc"), SPAN("")), 0);
	assert_true(span_find(SPAN("ab"), SPAN("abc")) == SIZE_MAX);
}

static void
slices_within_bounds(void **state)
{
	(void)state;
	assert_true(span_eq(span_slice(SPAN("abc"), 1, 99), SPAN("bc")));
	assert_int_equal(span_slice(SPAN("abc"), 4, 5).n, 0);
	assert_true(span_eq(span_trim(SPAN(" \ta b\r\n")), SPAN("a b")));
	assert_int_equal(span_trim(SPAN(" \r\n")).n, 0);
}

static void
cuts_tokens(void **state)
{
	struct span rest = SPAN(", a,b  c,"), token;

	(void)state;
	assert_true(span_token(&rest, ", ", &token));
	assert_true(span_eq(token, SPAN("a")));
	assert_true(span_token(&rest, ", ", &token));
	assert_true(span_eq(token, SPAN("b")));
	assert_true(span_token(&rest, ", ", &token));
	assert_true(span_eq(token, SPAN("c")));
	assert_false(span_token(&rest, ", ", &token));
}

static void
parses_numbers(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_false(span_u64(SPAN(""), 10, &v));
	assert_false(span_u64(SPAN("-1"), 10, &v));
	assert_false(span_u64(SPAN("11"), 10, &v));
	assert_false(span_u64(SPAN("18446744073709551616"), UINT64_MAX, &v));
	assert_int_equal(v, 7);
	assert_true(span_u64(SPAN("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(span_u64(SPAN("0010"), 10, &v));
	assert_int_equal(v, 10);
	assert_true(span_hex64(SPAN("fFfFfFfFfFfFfFfF"), &v));
	assert_true(v == UINT64_MAX);
	assert_false(span_hex64(SPAN("10000000000000000"), &v));
	assert_false(span_hex64(SPAN("g"), &v));
}

static void
copies_to_c_strings(void **state)
{
	char out[4] = "xyz", *heap;

	(void)state;
	assert_false(span_copy(SPAN("abcd"), out, sizeof(out)));
	assert_false(span_copy(SPAN("a\0b"), out, sizeof(out)));
	assert_string_equal(out, "xyz");
	assert_true(span_copy(SPAN("abc"), out, sizeof(out)));
	assert_string_equal(out, "abc");
	heap = span_dup(SPAN_EMPTY);
	assert_string_equal(heap, "");
	mem_free(heap);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares),
		cmocka_unit_test(finds),
		cmocka_unit_test(slices_within_bounds),
		cmocka_unit_test(cuts_tokens),
		cmocka_unit_test(parses_numbers),
		cmocka_unit_test(copies_to_c_strings),
	};

	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
