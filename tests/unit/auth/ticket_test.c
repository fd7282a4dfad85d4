/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static char *
redeem(struct tickets *t, const uint8_t *ticket, pid_t pid, uint64_t now_ms)
{
	return tickets_redeem(t, span_of(ticket, TICKET_SIZE), pid, now_ms);
}

static void
good_once(void **state)
{
	struct tickets *t = tickets_new();
	uint8_t one[TICKET_SIZE], two[TICKET_SIZE];
	char *user;

	(void)state;
	assert_true(tickets_issue(t, "bob", 10, 0, one));
	assert_true(tickets_issue(t, "jane", 10, 0, two));
	assert_memory_not_equal(one, two, TICKET_SIZE);
	user = redeem(t, two, 10, 1);
	assert_string_equal(user, "jane");
	mem_free(user);
	assert_null(redeem(t, two, 10, 1));
	user = redeem(t, one, 10, TICKET_MS - 1);
	assert_string_equal(user, "bob");
	mem_free(user);
	tickets_free(&t);
	assert_null(t);
}

static void
refused(void **state)
{
	struct tickets *t = tickets_new();
	uint8_t ticket[TICKET_SIZE];

	(void)state;
	/* Another process's, and then it is used up. */
	assert_true(tickets_issue(t, "bob", 10, 0, ticket));
	assert_null(redeem(t, ticket, 11, 1));
	assert_null(redeem(t, ticket, 10, 1));
	/* Too late. */
	assert_true(tickets_issue(t, "bob", 10, 0, ticket));
	assert_null(redeem(t, ticket, 10, TICKET_MS));
	/* None of ours. */
	memset(ticket, 0, sizeof(ticket));
	assert_null(redeem(t, ticket, 10, 1));
	assert_null(tickets_redeem(t, SPAN_EMPTY, 10, 1));
	assert_null(tickets_redeem(t, span_of(ticket, 3), 10, 1));
	tickets_free(&t);
}

static void
limited(void **state)
{
	struct tickets *t = tickets_new();
	uint8_t ticket[TICKET_SIZE];

	(void)state;
	for (int i = 0; i < TICKETS_MAX; i++)
		assert_true(tickets_issue(t, "bob", 10, 0, ticket));
	assert_false(tickets_issue(t, "bob", 10, TICKET_MS - 1, ticket));
	/* Those that nobody came for make room. */
	assert_true(tickets_issue(t, "bob", 10, TICKET_MS, ticket));
	tickets_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_once),
		cmocka_unit_test(refused),
		cmocka_unit_test(limited),
	};

	return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
