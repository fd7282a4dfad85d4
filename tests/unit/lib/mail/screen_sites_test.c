/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/screen_sites.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage addr;
	socklen_t len;

	assert_true(sock_addr_parse(text, 0, &addr, &len));
	return addr;
}

static void
weights_and_filters(void **state)
{
	static const struct {
		const char *answer;
		int first, second;
	} rows[] = {
		{ "127.0.0.2", 3, -2 },
		{ "127.0.0.11", 4, -2 },
		{ "127.0.0.12", 1, -2 },
		{ "127.0.9.12", 1, -2 },
		{ "::1", 0, 0 },
	};
	struct screen_sites *s;
	struct err e;

	(void)state;
	assert_int_equal(screen_sites_open("bl.example=127.0.0.[2..11]*2, "
	    "bl.example\twhite.example*-2,BL.example=127.0.0.11", &s, &e), 0);
	assert_int_equal(screen_sites_count(s), 2);
	assert_string_equal(screen_sites_name(s, 0), "bl.example");
	assert_string_equal(screen_sites_name(s, 1), "white.example");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct sockaddr_storage a = address(rows[i].answer);

		assert_int_equal(screen_sites_score(s, 0, &a, 1),
		    rows[i].first);
		assert_int_equal(screen_sites_score(s, 1, &a, 1),
		    rows[i].second);
	}
	assert_int_equal(screen_sites_score(s, 0, NULL, 0), 0);
	/* An entry counts once, however many addresses match it. */
	{
		const struct sockaddr_storage two[] = { address("127.0.0.3"),
			address("127.0.0.4") };

		assert_int_equal(screen_sites_score(s, 0, two, 2), 3);
	}
	screen_sites_free(&s);
}

static void
names_to_ask_for(void **state)
{
	struct sockaddr_storage a = address("192.0.2.99");
	struct screen_sites *s;
	char name[128];
	struct err e;

	(void)state;
	assert_int_equal(screen_sites_open("bl.example", &s, &e), 0);
	assert_true(screen_sites_query(s, 0, (struct sockaddr *)&a, name,
	    sizeof(name)));
	assert_string_equal(name, "99.2.0.192.bl.example");
	assert_false(
	    screen_sites_query(s, 0, (struct sockaddr *)&a, name, 10));
	a = address("2001:db8::1");
	assert_true(screen_sites_query(s, 0, (struct sockaddr *)&a, name,
	    sizeof(name)));
	assert_string_equal(name, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	    "0.0.0.8.b.d.0.1.0.0.2.bl.example");
	screen_sites_free(&s);
}

static void
what_is_refused(void **state)
{
	static const char *const rows[] = { "bl.example*x", "bl.example*",
		"bl.example=127.0.0*2", "=127.0.0.2", "bl.example=127.0.0.[2",
		"b/l.example", "bl.example*99999", ".bl.example" };
	struct screen_sites *s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(screen_sites_open(rows[i], &s, &e), -1);
		assert_int_equal(e.kind, ERR_PERM);
	}
	assert_int_equal(screen_sites_open("", &s, &e), 0);
	assert_int_equal(screen_sites_count(s), 0);
	screen_sites_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_and_filters),
		cmocka_unit_test(names_to_ask_for),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
