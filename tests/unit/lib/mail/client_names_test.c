/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/client_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
kept_for_a_while(void **state)
{
	static const struct {
		uint32_t ttl_s;
		uint64_t kept_s;
	} rows[] = {
		{ 0, CLIENT_NAMES_MIN_S },
		{ 1, CLIENT_NAMES_MIN_S },
		{ 30, 30 },
		{ 86400, CLIENT_NAMES_MAX_S },
		{ UINT32_MAX, CLIENT_NAMES_MAX_S },
	};
	const uint64_t now = 5000000;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const uint64_t end = now + rows[i].kept_s * 1000;
		struct client_names *n = client_names_new();

		assert_null(client_names_get(n, "192.0.2.1", now));
		client_names_put(n, "192.0.2.1", "mx.example", rows[i].ttl_s,
		    now);
		assert_string_equal(client_names_get(n, "192.0.2.1", now),
		    "mx.example");
		assert_string_equal(client_names_get(n, "192.0.2.1", end - 1),
		    "mx.example");
		assert_null(client_names_get(n, "192.0.2.1", end));
		client_names_free(&n);
		assert_null(n);
	}
}

static void
renamed(void **state)
{
	struct client_names *n = client_names_new();

	(void)state;
	client_names_put(n, "2001:db8::1", "old.example", 60, 0);
	client_names_put(n, "2001:db8::1", "new.example", 60, 1000);
	assert_string_equal(
	    client_names_get(n, "2001:db8::1", 60500), "new.example");
	client_names_free(&n);
	client_names_free(&n);
}

/* More clients than places: whoever is found has its own name. */
static void
many(void **state)
{
	struct client_names *n = client_names_new();
	unsigned found = 0;

	(void)state;
	for (int pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < 5000; i++) {
			char addr[40], name[40];
			const char *got;

			snprintf(addr, sizeof(addr), "10.0.%u.%u", i / 256,
			    i % 256);
			snprintf(name, sizeof(name), "h%u.example", i);
			if (pass == 0) {
				client_names_put(n, addr, name, 60, 0);
				assert_string_equal(
				    client_names_get(n, addr, 1), name);
				continue;
			}
			got = client_names_get(n, addr, 1);
			if (got == NULL)
				continue;
			assert_string_equal(got, name);
			found++;
		}
	assert_in_range(found, 500, 1024);
	client_names_free(&n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_for_a_while),
		cmocka_unit_test(renamed),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
