/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
a_system_error_is_temporary(void **state)
{
	struct err e;

	(void)state;
	errno = EIO;
	assert_int_equal(err_sys(&e, "open %s", "x"), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(e.sysno, EIO);
	assert_string_equal(e.dsn, "4.3.0");
	assert_string_equal(e.text, "open x: Input/output error");
	errno = ENOSPC;
	err_sys(&e, "write");
	assert_string_equal(e.dsn, "4.3.1");
}

static void
text_is_one_printable_line(void **state)
{
	char text[500];
	struct err e;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	text[1] = '\n';
	assert_int_equal(err_set(&e, ERR_PERM, "5.1.1", "%s", text), -1);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(e.text[1], '?');
	assert_int_equal(e.kind, ERR_PERM);
}

static void
context_goes_in_front(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, ERR_PERM, "5.3.5", "unknown parameter");
	assert_int_equal(err_wrap(&e, "%s: line %d", "main.cf", 3), -1);
	assert_string_equal(e.text, "main.cf: line 3: unknown parameter");
	assert_string_equal(e.dsn, "5.3.5");
	assert_int_equal(err_set(NULL, ERR_TEMP, "4.0.0", "nobody cares"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_system_error_is_temporary),
		cmocka_unit_test(text_is_one_printable_line),
		cmocka_unit_test(context_goes_in_front),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
