/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "lib/base/mem.h"

struct row {
	const char *text;
	bool lmtp, ok;
	bool unix_, mx;
	const char *host;
	unsigned port;
};

static const struct row rows[] = {
	{ "example.com", false, true, false, true, "example.com", 25 },
	{ "example.com:2525", false, true, false, true, "example.com", 2525 },
	{ "[mx.example]", false, true, false, false, "mx.example", 25 },
	{ "[mx.example]:587", false, true, false, false, "mx.example", 587 },
	{ "[mx.example]:submission", false, true, false, false, "mx.example",
	    587 },
	{ "[127.0.0.1]:2525", false, true, false, false, "127.0.0.1", 2525 },
	{ "[::1]:26", false, true, false, false, "::1", 26 },
	{ "[IPv6:::1]", false, true, false, false, "::1", 25 },
	{ "unix:/run/lmtp", true, true, true, false, "/run/lmtp", 25 },
	{ "inet:host:24", true, true, false, false, "host", 24 },
	{ "inet:[::1]:24", true, true, false, false, "::1", 24 },
	{ "host", true, true, false, false, "host", 25 },
	{ "", false, false, false, false, NULL, 0 },
	{ "[]", false, false, false, false, NULL, 0 },
	{ "[a", false, false, false, false, NULL, 0 },
	{ "[a]25", false, false, false, false, NULL, 0 },
	{ "a:", false, false, false, false, NULL, 0 },
	{ "a:0", false, false, false, false, NULL, 0 },
	{ "a:65536", false, false, false, false, NULL, 0 },
	{ "a:x", false, false, false, false, NULL, 0 },
	{ ":25", false, false, false, false, NULL, 0 },
	{ "unix:", true, false, false, false, NULL, 0 },
};

static void
test_nexthop_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct nexthop hop = { .port = 77 };
		const bool ok =
		    nexthop_parse(span_str(r->text), r->lmtp, 25, &hop);

		assert_int_equal(ok, r->ok);
		if (!ok) {
			assert_int_equal(hop.port, 77);
			continue;
		}
		assert_int_equal(hop.unix_, r->unix_);
		assert_int_equal(hop.mx, r->mx);
		assert_string_equal(hop.host, r->host);
		assert_int_equal(hop.port, r->port);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nexthop_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
