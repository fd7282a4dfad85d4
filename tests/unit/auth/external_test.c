/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/external.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
whose_it_is(void **state)
{
	static const struct {
		const char *maps, *name, *print;
		int rc;
		const char *user; /* or why not */
	} rows[] = {
		/* Without a table the name of a verified one. */
		{ "", "joe", "AA:BB", 1, "joe" },
		{ "", "", "AA:BB", 0, "no verified client certificate" },
		{ "", "", "", 0, "no client certificate" },
		/* With one only it counts: fingerprint first. */
		{ "inline:{aa:bb=al, joe=bob}", "joe", "AA:BB", 1, "al" },
		{ "inline:{aa:bb=al, joe=bob}", "Joe", "CC:DD", 1, "bob" },
		{ "inline:{aa:bb=al, joe=bob}", "", "AA:BB", 1, "al" },
		{ "inline:{aa:bb=al, joe=bob}", "eve", "CC:DD", 0,
		    "the client's certificate is nobody's" },
		{ "inline:{aa:bb=al, joe=bob}", "", "", 0,
		    "no client certificate" },
		{ "fail:x", "joe", "AA:BB", -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char user[AUTH_NAME_MAX + 1] = "";
		const char *why = "";
		struct maps *maps;
		struct err e;

		assert_int_equal(maps_open(rows[i].maps, &maps, &e), 0);
		assert_int_equal(external_user(maps, rows[i].name,
				     rows[i].print, user, &why, &e),
		    rows[i].rc);
		if (rows[i].rc == 1)
			assert_string_equal(user, rows[i].user);
		else if (rows[i].rc == 0)
			assert_string_equal(why, rows[i].user);
		maps_free(&maps);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_it_is),
	};

	return cmocka_run_group_tests_name("external", tests, NULL, NULL);
}
