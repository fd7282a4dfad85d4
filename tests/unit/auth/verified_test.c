/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/verified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void
remembers_for_a_while(void **state)
{
	struct verified *v = verified_new(1000);

	(void)state;
	assert_false(verified_has(v, "bob", SPAN("secret"), 0));
	verified_add(v, "bob", SPAN("secret"), 0);
	assert_true(verified_has(v, "bob", SPAN("secret"), 999));
	assert_false(verified_has(v, "bob", SPAN("Secret"), 999));
	assert_false(verified_has(v, "bob", SPAN_EMPTY, 999));
	assert_false(verified_has(v, "jane", SPAN("secret"), 999));
	assert_false(verified_has(v, "bob", SPAN("secret"), 1000));
	/* It is gone then, whatever the clock says. */
	assert_false(verified_has(v, "bob", SPAN("secret"), 1));
	verified_free(&v);
	assert_null(v);
}

/* Where the name ends and the password begins matters. */
static void
name_and_password_are_apart(void **state)
{
	struct verified *v = verified_new(1000);

	(void)state;
	verified_add(v, "bob", SPAN("bysecret"), 0);
	assert_false(verified_has(v, "bobby", SPAN("secret"), 0));
	verified_add(v, "bob", SPAN("new"), 0);
	assert_false(verified_has(v, "bob", SPAN("bysecret"), 0));
	assert_true(verified_has(v, "bob", SPAN("new"), 0));
	verified_free(&v);
}

static void
zero_remembers_nothing(void **state)
{
	struct verified *v = verified_new(0);

	(void)state;
	verified_add(v, "bob", SPAN("secret"), 0);
	assert_false(verified_has(v, "bob", SPAN("secret"), 0));
	verified_free(&v);
}

static void
limited(void **state)
{
	struct verified *v = verified_new(1000);
	char name[16];

	(void)state;
	for (int i = 0; i <= VERIFIED_MAX; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		verified_add(v, name, SPAN("x"), 0);
	}
	assert_true(verified_has(v, name, SPAN("x"), 0));
	assert_false(verified_has(v, "u0", SPAN("x"), 0));
	verified_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_for_a_while),
		cmocka_unit_test(name_and_password_are_apart),
		cmocka_unit_test(zero_remembers_nothing),
		cmocka_unit_test(limited),
	};

	return cmocka_run_group_tests_name("verified", tests, NULL, NULL);
}
