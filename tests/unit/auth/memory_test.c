/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What auth remembers: failures, tickets, verified logins. */
#include "auth/throttle.h"
#include "auth/ticket.h"
#include "auth/verified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
failures_make_slow(void **state)
{
	struct throttle *t = throttle_new(2000);
	static const uint64_t wanted[] = { 2000, 4000, 8000, 15000, 15000 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		assert_int_equal(
		    throttle_failed(t, "192.0.2.1", "", 10 * i), wanted[i]);
	assert_int_equal(throttle_failed(t, "192.0.2.2", "", 0), 2000);
	/* Quiet for a while: forgotten. */
	assert_int_equal(
	    throttle_failed(t, "192.0.2.1", "", 40 + THROTTLE_MEMORY_MS), 2000);
	throttle_failed(t, "192.0.2.1", "", 40 + THROTTLE_MEMORY_MS);
	throttle_succeeded(t, "192.0.2.1", "");
	assert_int_equal(
	    throttle_failed(t, "192.0.2.1", "", 41 + THROTTLE_MEMORY_MS), 2000);
	throttle_free(&t);
	assert_null(t);
}

static void
networks_count_together(void **state)
{
	struct throttle *t = throttle_new(1000);

	(void)state;
	assert_int_equal(throttle_failed(t, "2001:db8:1:2::1", "", 0), 1000);
	assert_int_equal(throttle_failed(t, "2001:db8:1:2:ffff::9", "", 0), 2000);
	assert_int_equal(throttle_failed(t, "2001:db8:1:3::1", "", 0), 1000);
	/* Who can't be told apart is not counted. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(throttle_failed(t, "127.0.0.1", "", 0), 1000);
		assert_int_equal(throttle_failed(t, "::1", "", 0), 1000);
		assert_int_equal(throttle_failed(t, "", "", 0), 1000);
		assert_int_equal(throttle_failed(t, "unknown", "", 0), 1000);
	}
	throttle_free(&t);
	/* A delay of the configuration above the ceiling is kept. */
	t = throttle_new(60000);
	assert_int_equal(throttle_failed(t, "192.0.2.1", "", 0), 60000);
	assert_int_equal(throttle_failed(t, "192.0.2.1", "", 0), 60000);
	throttle_free(&t);
}

static void
a_flood_of_clients_is_bounded(void **state)
{
	struct throttle *t = throttle_new(1000);
	char addr[40];

	(void)state;
	for (unsigned i = 0; i < THROTTLE_CLIENTS_MAX + 1000; i++) {
		snprintf(addr, sizeof(addr), "10.%u.%u.%u", i >> 16,
		    i >> 8 & 255, i & 255);
		assert_int_equal(throttle_failed(t, addr, "", i), 1000);
	}
	throttle_free(&t);
}

static void
a_ticket_is_good_once(void **state)
{
	struct tickets *t = tickets_new();
	uint8_t a[TICKET_SIZE], b[TICKET_SIZE];
	char *user;

	(void)state;
	assert_true(tickets_issue(t, "alice", 100, 5, a));
	assert_true(tickets_issue(t, "bob", 100, 5, b));
	assert_memory_not_equal(a, b, TICKET_SIZE);
	user = tickets_redeem(t, span_of(a, TICKET_SIZE), 100, 6);
	assert_string_equal(user, "alice");
	mem_free(user);
	assert_null(tickets_redeem(t, span_of(a, TICKET_SIZE), 100, 6));
	/* Of another process: refused, and used up. */
	assert_null(tickets_redeem(t, span_of(b, TICKET_SIZE), 101, 6));
	assert_null(tickets_redeem(t, span_of(b, TICKET_SIZE), 100, 6));
	assert_null(tickets_redeem(t, SPAN_EMPTY, 100, 6));
	/* Too late. */
	assert_true(tickets_issue(t, "alice", 100, 10, a));
	assert_null(
	    tickets_redeem(t, span_of(a, TICKET_SIZE), 100, 10 + TICKET_MS));
	tickets_free(&t);
	assert_null(t);
}

static void
tickets_are_bounded(void **state)
{
	struct tickets *t = tickets_new();
	uint8_t a[TICKET_SIZE];

	(void)state;
	for (unsigned i = 0; i < TICKETS_MAX; i++)
		assert_true(tickets_issue(t, "alice", 1, 0, a));
	assert_false(tickets_issue(t, "alice", 1, 0, a));
	/* Old ones make room. */
	assert_true(tickets_issue(t, "alice", 1, TICKET_MS, a));
	tickets_free(&t);
}

static void
verified_logins_expire(void **state)
{
	struct verified *v = verified_new(1000);

	(void)state;
	assert_false(verified_has(v, "alice", SPAN("secret"), 0));
	verified_add(v, "alice", SPAN("secret"), 0);
	assert_true(verified_has(v, "alice", SPAN("secret"), 999));
	assert_false(verified_has(v, "alice", SPAN("secret2"), 999));
	assert_false(verified_has(v, "alice", SPAN(""), 999));
	assert_false(verified_has(v, "bob", SPAN("secret"), 999));
	/* Name and password do not run together. */
	assert_false(verified_has(v, "alic", SPAN("esecret"), 999));
	assert_false(verified_has(v, "alice", SPAN("secret"), 1000));
	verified_add(v, "alice", SPAN("old"), 0);
	verified_add(v, "alice", SPAN("new"), 0);
	assert_false(verified_has(v, "alice", SPAN("old"), 1));
	assert_true(verified_has(v, "alice", SPAN("new"), 1));
	verified_free(&v);
	v = verified_new(0);
	verified_add(v, "alice", SPAN("secret"), 0);
	assert_false(verified_has(v, "alice", SPAN("secret"), 0));
	verified_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_make_slow),
		cmocka_unit_test(networks_count_together),
		cmocka_unit_test(a_flood_of_clients_is_bounded),
		cmocka_unit_test(a_ticket_is_good_once),
		cmocka_unit_test(tickets_are_bounded),
		cmocka_unit_test(verified_logins_expire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
