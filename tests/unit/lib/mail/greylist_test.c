/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/greylist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

enum { NOW = 1700000000, DAY = 86400 };

static const struct greylist conf = {
	.delay_s = 300,
	.retry_s = 2 * DAY,
	.lifetime_s = 35 * DAY,
	.auto_allow = 3,
};

static struct shared_table *
table(void)
{
	struct shared_table *t;
	struct err e;
	int fd;

	assert_int_equal(shared_table_create(&fd, &e), 0);
	assert_int_equal(shared_table_attach(fd, &t, &e), 0);
	return t;
}

/* Seconds to wait, or minus those it was held up. */
static int64_t
ask(struct shared_table *t, const char *client, const char *sender,
    const char *rcpt, int64_t now_s)
{
	const struct grey_mail mail = { span_str(client), span_str(sender),
		span_str(rcpt) };
	int64_t s;

	return greylist_ask(t, &conf, &mail, now_s, &s) == GREY_WAIT ? s : -s;
}

static void
waits_once(void **state)
{
	struct shared_table *t = table();

	(void)state;
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW), 300);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW + 100), 200);
	assert_int_equal(ask(t, "192.0.2.0", "A@b", "C@D", NOW + 299), 1);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW + 300), -300);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW + 301), 0);
	/* Others are not it. */
	assert_int_equal(ask(t, "192.0.3.0", "a@b", "c@d", NOW + 301), 300);
	assert_int_equal(ask(t, "192.0.2.0", "x@b", "c@d", NOW + 301), 300);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "x@d", NOW + 301), 300);
	assert_int_equal(ask(t, "192.0.2.0", "", "c@d", NOW + 301), 300);
	shared_table_free(&t);
}

static void
known_for_a_time_from_its_last_use(void **state)
{
	struct shared_table *t = table();

	(void)state;
	ask(t, "192.0.2.0", "a@b", "c@d", NOW);
	/* Too late: it is new again. */
	assert_int_equal(
	    ask(t, "192.0.2.0", "a@b", "c@d", NOW + 2 * DAY + 60), 300);
	assert_int_equal(
	    ask(t, "192.0.2.0", "a@b", "c@d", NOW + 2 * DAY + 400), -340);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW + 30 * DAY), 0);
	assert_int_equal(ask(t, "192.0.2.0", "a@b", "c@d", NOW + 60 * DAY), 0);
	assert_int_equal(
	    ask(t, "192.0.2.0", "a@b", "c@d", NOW + 100 * DAY), 300);
	shared_table_free(&t);
}

static void
senders_with_numbers_are_one(void **state)
{
	struct shared_table *t = table();

	(void)state;
	ask(t, "192.0.2.0", "bounce-123-x+tag@list", "c@d", NOW);
	assert_int_equal(ask(t, "192.0.2.0", "bounce-4567-x@list", "c@d",
	    NOW + 300), -300);
	assert_int_equal(ask(t, "192.0.2.0", "bounce-x@list", "c@d",
	    NOW + 300), 300);
	shared_table_free(&t);
}

static void
a_client_that_comes_back_is_not_asked(void **state)
{
	static const char *const rcpts[] = { "1@d", "2@d", "3@d" };
	struct shared_table *t = table();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rcpts); i++) {
		assert_int_equal(
		    ask(t, "192.0.2.0", "a@b", rcpts[i], NOW), 300);
		assert_int_equal(
		    ask(t, "192.0.2.0", "a@b", rcpts[i], NOW), 300);
	}
	for (size_t i = 0; i < COUNT_OF(rcpts); i++)
		assert_int_equal(
		    ask(t, "192.0.2.0", "a@b", rcpts[i], NOW + 400), -400);
	assert_int_equal(ask(t, "192.0.2.0", "new@b", "4@d", NOW + 400), 0);
	assert_int_equal(ask(t, "192.0.9.0", "new@b", "4@d", NOW + 400), 300);
	shared_table_free(&t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_once),
		cmocka_unit_test(known_for_a_time_from_its_last_use),
		cmocka_unit_test(senders_with_numbers_are_one),
		cmocka_unit_test(a_client_that_comes_back_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
