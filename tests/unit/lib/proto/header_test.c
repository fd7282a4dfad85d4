/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static const char message[] = "From: a@b.test\r\n"
			      "Subject : folded\r\n\tline\r\n"
			      "this is no field\r\n"
			      "X-Empty:\r\n"
			      "To: c@d.test\n"
			      "\r\nbody: not a field\r\n";

static void
iterates_over_fields(void **state)
{
	static const struct {
		const char *name, *body;
	} rows[] = { { "From", " a@b.test" },
		{ "Subject", " folded\r\n\tline" }, { "", "this is no field" },
		{ "X-Empty", "" }, { "To", " c@d.test" } };
	struct span rest = span_str(message);
	struct header_field f;
	size_t i = 0;

	(void)state;
	for (; header_next(&rest, &f); i++) {
		assert_true(i < COUNT_OF(rows));
		assert_true(span_eq(f.name, span_str(rows[i].name)));
		assert_true(span_eq(f.body, span_str(rows[i].body)));
	}
	assert_int_equal(i, COUNT_OF(rows));
	assert_true(span_starts(rest, SPAN("\r\nbody")));
}

static void
raw_pieces_are_the_header(void **state)
{
	struct span rest = span_str(message);
	struct header_field f;
	struct buf b;
	size_t end;

	(void)state;
	buf_init(&b, 1000);
	while (header_next(&rest, &f))
		buf_add(&b, f.raw);
	assert_int_equal(header_end(span_str(message), &end), PARSE_OK);
	assert_int_equal(end, b.n + 2);
	assert_memory_equal(message, b.p, b.n);
	buf_release(&b);
}

static void
end_is_found_byte_by_byte(void **state)
{
	const struct span m = span_str(message);
	const size_t want = span_find(m, SPAN("body: not"));
	size_t end = 0;

	(void)state;
	for (size_t n = 0; n < want; n++)
		assert_int_equal(
		    header_end(span_slice(m, 0, n), &end), PARSE_MORE);
	assert_int_equal(end, 0);
	for (size_t n = want; n <= m.n; n++) {
		assert_int_equal(
		    header_end(span_slice(m, 0, n), &end), PARSE_OK);
		assert_int_equal(end, want);
	}
	assert_int_equal(header_end(SPAN("\nx"), &end), PARSE_OK);
	assert_int_equal(end, 1);
}

static void
finds_and_unfolds(void **state)
{
	struct header_field f;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_true(header_find(span_str(message), SPAN("SUBJECT"), &f));
	header_unfold(f.body, &b);
	assert_string_equal(buf_cstr(&b), "folded\tline");
	assert_false(header_find(span_str(message), SPAN("body"), &f));
	buf_reset(&b);
	header_unfold(span_of(" a\r\n b\n\tc\rd\0e \r\n", 16), &b);
	assert_string_equal(buf_cstr(&b), "a b\tc d e");
	buf_release(&b);
	/* What does not fit whole is taken in part. */
	buf_init(&b, 5);
	header_unfold(SPAN("ab\r\n cdef"), &b);
	assert_string_equal(buf_cstr(&b), "ab cd");
	assert_false(buf_ok(&b));
	buf_release(&b);
}

static void
takes_odd_headers(void **state)
{
	struct header_field f;
	struct span rest = SPAN(" begins folded\r\n: no name\r\nA:1");

	(void)state;
	assert_true(header_next(&rest, &f));
	assert_int_equal(f.name.n, 0);
	assert_true(span_eq(f.body, SPAN(" begins folded")));
	assert_true(header_next(&rest, &f));
	assert_int_equal(f.name.n, 0);
	assert_true(header_next(&rest, &f));
	assert_true(span_eq(f.name, SPAN("A")));
	assert_true(span_eq(f.body, SPAN("1")));
	assert_false(header_next(&rest, &f));
	assert_false(header_name_ok(SPAN("a b")));
	assert_false(header_name_ok(SPAN_EMPTY));
	assert_false(header_name_ok(SPAN("\xc3\xa4")));
	assert_true(header_name_ok(SPAN("X-1_!")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iterates_over_fields),
		cmocka_unit_test(raw_pieces_are_the_header),
		cmocka_unit_test(end_is_found_byte_by_byte),
		cmocka_unit_test(finds_and_unfolds),
		cmocka_unit_test(takes_odd_headers),
	};

	return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
