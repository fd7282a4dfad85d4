/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/maildir_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/store/store.h"

static void
names_are_read_and_printed(void **state)
{
	static const struct {
		const char *in, *out;
		uint8_t flags;
		uint32_t letters;
	} rows[] = {
		{ "1.a.h", "1.a.h:2,", 0, 0 },
		{ "1.a.h:2,", "1.a.h:2,", 0, 0 },
		{ "1.a.h:2,SF", "1.a.h:2,FS", FLAG_SEEN | FLAG_FLAGGED, 0 },
		{ "1.a.h:2,DFPRST", "1.a.h:2,DFPRST",
		    FLAG_SEEN | FLAG_FLAGGED | FLAG_DRAFT | FLAG_ANSWERED |
			FLAG_DELETED,
		    0 },
		{ "1.a.h,S=3:2,Sba,x=y", "1.a.h,S=3:2,Sab,x=y", FLAG_SEEN,
		    3 },
		{ "1.a.h:1,S", "1.a.h:2,", 0, 0 },
		{ "", ":2,", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct maildir_name n;
		struct buf b;

		maildir_name_parse(span_str(rows[i].in), &n);
		assert_int_equal(n.flags, rows[i].flags);
		assert_int_equal(n.letters, rows[i].letters);
		buf_init(&b, 100);
		maildir_name_print(&n, &b);
		assert_string_equal(buf_cstr(&b), rows[i].out);
		buf_release(&b);
	}
}

static void
sizes_are_found(void **state)
{
	uint64_t n;

	(void)state;
	assert_true(maildir_name_size(SPAN("1.a.h,S=12,W=34"), 'W', &n));
	assert_int_equal(n, 34);
	assert_true(maildir_name_size(SPAN("1.a.h,S=12,W=34"), 'S', &n));
	assert_int_equal(n, 12);
	assert_false(maildir_name_size(SPAN("1.a.h,S=,W=x"), 'S', &n));
	assert_false(maildir_name_size(SPAN("1.a.h,S=,W=x"), 'W', &n));
	assert_false(maildir_name_size(SPAN("1.S=4.h"), 'S', &n));
}

static void
names_tell_the_order(void **state)
{
	/* Each row is before the next. */
	static const char *const rows[] = { "9.M1P1.h", "10.M5P1.h",
		"10.M9P1.h", "10.M10P1.h", "11.a.h", "11.b.h",
		"99999999999999999999999.x" };

	(void)state;
	for (size_t i = 0; i + 1 < COUNT_OF(rows); i++) {
		assert_true(maildir_name_cmp(span_str(rows[i]),
				span_str(rows[i + 1])) < 0);
		assert_true(maildir_name_cmp(span_str(rows[i + 1]),
				span_str(rows[i])) > 0);
	}
	assert_int_equal(maildir_name_cmp(SPAN("1.a.h"), SPAN("1.a.h")), 0);
}

static void
names_carry_the_queue_id(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	maildir_name_make(1795358062000042, 77, SPAN("4F00R0"), "a/b:c.d", &b);
	assert_string_equal(
	    buf_cstr(&b), "1795358062.M42P77Q4F00R0.a\\057b\\072c.d");
	assert_true(maildir_name_has_id(buf_span(&b), SPAN("4F00R0")));
	assert_false(maildir_name_has_id(buf_span(&b), SPAN("4F00R")));
	assert_false(maildir_name_has_id(buf_span(&b), SPAN("")));
	assert_false(maildir_name_has_id(SPAN("1.Q4F00R0.h"), SPAN("4F00R0")));
	assert_false(
	    maildir_name_has_id(SPAN("1.M2P3.Q4F00R0.h"), SPAN("4F00R0")));
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_and_printed),
		cmocka_unit_test(sizes_are_found),
		cmocka_unit_test(names_tell_the_order),
		cmocka_unit_test(names_carry_the_queue_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
