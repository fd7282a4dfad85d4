/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
parses(void **state)
{
	static const struct {
		const char *text;
		int family;
		unsigned bits;
	} rows[] = {
		{ "192.0.2.1", AF_INET, 32 },
		{ "192.0.2.0/24", AF_INET, 24 },
		{ "0.0.0.0/0", AF_INET, 0 },
		{ "2001:db8::1", AF_INET6, 128 },
		{ "2001:db8::/32", AF_INET6, 32 },
		{ "[2001:db8::]/32", AF_INET6, 32 },
		{ "[2001:db8::/32]", AF_INET6, 32 },
		{ "[::1]", AF_INET6, 128 },
		{ "::/0", AF_INET6, 0 },
		{ "::ffff:192.0.2.1", AF_INET, 32 },
		{ "::ffff:192.0.2.0/120", AF_INET, 24 },
	};
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!cidr_parse(span_str(rows[i].text), &c, NULL))
			fail_msg("%s", rows[i].text);
		assert_int_equal(c.family, rows[i].family);
		assert_int_equal(c.bits, rows[i].bits);
	}
}

static void
refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", NULL },
		{ "/", NULL },
		{ "[", NULL },
		{ "[]", NULL },
		{ "[::1", NULL },
		{ "[::1/128", NULL },
		{ "example.com", NULL },
		{ "192.0.2", NULL },
		{ "192.0.2.256", NULL },
		{ "192.0.2.0/33", "bad length of the network mask" },
		{ "192.0.2.0/", "bad length of the network mask" },
		{ "192.0.2.0/x", "bad length of the network mask" },
		{ "::/129", "bad length of the network mask" },
		{ "192.0.2.1/24",
		    "the address has bits beyond its network mask" },
		{ "::1/127", "the address has bits beyond its network mask" },
	};
	struct cidr c = { .bits = 99 };
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		why = "";
		if (cidr_parse(span_str(rows[i].text), &c, &why))
			fail_msg("%s", rows[i].text);
		if (rows[i].why == NULL)
			assert_null(why);
		else
			assert_string_equal(why, rows[i].why);
		assert_int_equal(c.bits, 99);
	}
}

static void
contains(void **state)
{
	static const struct {
		const char *net, *host;
		bool want;
	} rows[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.4/30", "192.0.2.7", true },
		{ "192.0.2.4/30", "192.0.2.8", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "192.0.2.1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", true },
		{ "::ffff:127.0.0.0/104", "127.1.2.3", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.0/24", "192.0.0.0/16", false },
	};
	struct cidr net, host;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(cidr_parse(span_str(rows[i].net), &net, NULL));
		assert_true(cidr_parse(span_str(rows[i].host), &host, NULL));
		if (cidr_contains(&net, &host) != rows[i].want)
			fail_msg("%s %s", rows[i].net, rows[i].host);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses),
		cmocka_unit_test(contains),
	};

	return cmocka_run_group_tests_name("cidr", tests, NULL, NULL);
}
