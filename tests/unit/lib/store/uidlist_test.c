/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/uidlist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
version_three_is_read_and_written(void **state)
{
	struct uidlist l;
	struct buf b;

	(void)state;
	assert_true(uidlist_parse(SPAN("3 V1234 N20 Gabc Xnew\n"
				       "7 W35 S30 :1000.a.host\n"
				       "9 :1001.b:host,S=5:2,FS\n"
				       "8 :out.of.order\n"
				       "x :no.number\n"
				       "10 no.colon\n"
				       "11 :../evil\n"
				       "12 :\n"
				       "25 W1 :last.one\n"
				       "26 :unfinish"),
	    &l));
	assert_int_equal(l.validity, 1234);
	assert_string_equal(l.guid, "abc");
	assert_int_equal(l.count, 3);
	assert_int_equal(l.entries[0].uid, 7);
	assert_string_equal(l.entries[0].name, "1000.a.host");
	assert_string_equal(l.entries[1].name, "1001.b");
	assert_int_equal(l.entries[2].uid, 25);
	/* Never below a uid that is in use. */
	assert_int_equal(l.next, 26);
	buf_init(&b, 1000);
	uidlist_print(&l, &b);
	assert_string_equal(buf_cstr(&b),
	    "3 V1234 N26 Gabc\n7 :1000.a.host\n9 :1001.b\n25 :last.one\n");
	buf_release(&b);
	uidlist_release(&l);
}

static void
version_one_is_read(void **state)
{
	struct uidlist l;

	(void)state;
	assert_true(uidlist_parse(SPAN("1 99 5\n3 a.b.c\n4 d.e.f\n"), &l));
	assert_int_equal(l.validity, 99);
	assert_int_equal(l.next, 5);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.entries[1].name, "d.e.f");
	uidlist_release(&l);
}

static void
rubbish_is_no_list(void **state)
{
	static const char *const rows[] = { "", "\n", "3\n", "3 N5\n",
		"4 V1 N2\n", "3 V0 N1\n", "3 V99999999999 N1\n",
		"3 V1 N2", "1 5\n", "x\n" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct uidlist l;

		assert_false(uidlist_parse(span_str(rows[i]), &l));
		assert_int_equal(l.validity, 0);
		assert_int_equal(l.count, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_three_is_read_and_written),
		cmocka_unit_test(version_one_is_read),
		cmocka_unit_test(rubbish_is_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
