/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void
doubles(void **state)
{
	struct throttle *t = throttle_new(1000);
	static const unsigned want[] = { 1000, 2000, 4000, 8000, 15000, 15000 };

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(
		    throttle_failed(t, "192.0.2.1", "", i * 1000), want[i]);
	/* Others do not wait for it. */
	assert_int_equal(throttle_failed(t, "192.0.2.2", "", 6000), 1000);
	throttle_free(&t);
	assert_null(t);
}

static void
forgets(void **state)
{
	struct throttle *t = throttle_new(1000);

	(void)state;
	throttle_failed(t, "192.0.2.1", "", 0);
	assert_int_equal(throttle_failed(t, "192.0.2.1", "", 1), 2000);
	throttle_succeeded(t, "192.0.2.1", "");
	assert_int_equal(throttle_failed(t, "192.0.2.1", "", 2), 1000);
	assert_int_equal(throttle_failed(t, "192.0.2.1", "", 3), 2000);
	assert_int_equal(
	    throttle_failed(t, "192.0.2.1", "", 3 + THROTTLE_MEMORY_MS), 1000);
	throttle_succeeded(t, "192.0.2.9", "");
	throttle_free(&t);
}

static void
counts_networks(void **state)
{
	struct throttle *t = throttle_new(1000);

	(void)state;
	throttle_failed(t, "2001:db8:0:1::1", "", 0);
	assert_int_equal(throttle_failed(t, "2001:db8:0:1:2:3:4:5", "", 1), 2000);
	assert_int_equal(throttle_failed(t, "2001:db8:0:2::1", "", 1), 1000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(throttle_failed(t, "127.0.0.1", "", 1), 1000);
		assert_int_equal(throttle_failed(t, "::1", "", 1), 1000);
		assert_int_equal(throttle_failed(t, "", "", 1), 1000);
		assert_int_equal(throttle_failed(t, "rubbish", "", 1), 1000);
	}
	throttle_free(&t);
}

/* Who tries one name from many places waits as well. */
static void
counts_users(void **state)
{
	struct throttle *t = throttle_new(1000);

	(void)state;
	assert_int_equal(throttle_failed(t, "192.0.2.1", "bob", 0), 1000);
	assert_int_equal(throttle_failed(t, "192.0.2.2", "bob", 0), 2000);
	assert_int_equal(throttle_failed(t, "192.0.2.3", "bob", 0), 4000);
	assert_int_equal(throttle_failed(t, "192.0.2.3", "al", 0), 2000);
	assert_int_equal(throttle_failed(t, "127.0.0.1", "bob", 0), 8000);
	throttle_succeeded(t, "192.0.2.9", "bob");
	assert_int_equal(throttle_failed(t, "192.0.2.4", "bob", 0), 1000);
	assert_int_equal(throttle_failed(t, "192.0.2.3", "x", 0), 4000);
	throttle_free(&t);
}

static void
a_long_delay_is_kept(void **state)
{
	struct throttle *t = throttle_new(THROTTLE_MAX_MS + 5000);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(throttle_failed(t, "192.0.2.1", "", 1),
		    THROTTLE_MAX_MS + 5000);
	throttle_free(&t);
}

static void
makes_room(void **state)
{
	struct throttle *t = throttle_new(1000);
	char addr[32];

	(void)state;
	throttle_failed(t, "192.0.2.1", "", 0);
	for (unsigned i = 0; i < THROTTLE_CLIENTS_MAX - 1; i++) {
		snprintf(addr, sizeof(addr), "10.%u.%u.%u", i >> 16,
		    i >> 8 & 255, i & 255);
		throttle_failed(t, addr, "", THROTTLE_MEMORY_MS);
	}
	/* The quiet one makes way; the others are remembered. */
	throttle_failed(t, "192.0.2.2", "", THROTTLE_MEMORY_MS);
	assert_int_equal(
	    throttle_failed(t, "10.0.0.0", "", THROTTLE_MEMORY_MS), 2000);
	throttle_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles),
		cmocka_unit_test(forgets),
		cmocka_unit_test(counts_networks),
		cmocka_unit_test(counts_users),
		cmocka_unit_test(a_long_delay_is_kept),
		cmocka_unit_test(makes_room),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
