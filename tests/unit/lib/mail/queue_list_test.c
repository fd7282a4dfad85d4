/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/queue_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

static void
an_empty_queue(void **state)
{
	struct queue_list l;

	(void)state;
	queue_list_init(&l, false);
	queue_list_end(&l);
	assert_string_equal(buf_cstr(&l.out), "Mail queue is empty\n");
	queue_list_release(&l);
	queue_list_init(&l, true);
	queue_list_end(&l);
	assert_int_equal(l.out.n, 0);
	queue_list_release(&l);
}

static void
fill(struct queue_list *l)
{
	const struct span refused =
	    SPAN("connect to 127.0.0.1[127.0.0.1]:2525: Connection refused");

	queue_list_message(
	    l, &(struct queue_list_entry){ .queue_name = SPAN("deferred"),
		   .id = SPAN("660E0EBA74AF001"),
		   .size = 258,
		   .arrival_s = 1795358062 });
	queue_list_rcpt(l, SPAN("\"a b\"@remote.test"), refused);
	queue_list_message(
	    l, &(struct queue_list_entry){ .queue_name = SPAN("hold"),
		   .id = SPAN("660E0EBA7545D01"),
		   .size = 2600,
		   .arrival_s = 1795358062,
		   .sender = SPAN("s@ext.test") });
	queue_list_rcpt(l, SPAN("r1@remote.test"), refused);
	queue_list_rcpt(l, SPAN("r2@remote2.test"), refused);
	queue_list_rcpt(l, SPAN("r3@remote2.test"), SPAN_EMPTY);
	queue_list_end(l);
}

static void
the_shape_of_mailq(void **state)
{
	struct queue_list l;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	queue_list_init(&l, false);
	fill(&l);
	assert_string_equal(buf_cstr(&l.out),
	    "----Queue ID----- --Size-- ---Arrival Time---- "
	    "--Sender/Recipient------\n"
	    "660E0EBA74AF001        258 Sun Nov 22 14:34:22 MAILER-DAEMON\n"
	    "                    (connect to 127.0.0.1[127.0.0.1]:2525: "
	    "Connection refused)\n"
	    "                                               "
	    "\"a b\"@remote.test\n"
	    "\n"
	    "660E0EBA7545D01!      2600 Sun Nov 22 14:34:22 s@ext.test\n"
	    "                    (connect to 127.0.0.1[127.0.0.1]:2525: "
	    "Connection refused)\n"
	    "                                               r1@remote.test\n"
	    "                                               r2@remote2.test\n"
	    "                                                          "
	    "(reason unavailable)\n"
	    "                                               r3@remote2.test\n"
	    "\n"
	    "-- 2 Kbytes in 2 Requests.\n");
	queue_list_release(&l);
}

static void
the_shape_of_json(void **state)
{
	struct queue_list l;

	(void)state;
	queue_list_init(&l, true);
	queue_list_message(
	    &l, &(struct queue_list_entry){ .queue_name = SPAN("deferred"),
		    .id = SPAN("660E0EBA74AF001"),
		    .size = 258,
		    .arrival_s = 1795358062,
		    .sender = SPAN("\"x y\"@ext.test") });
	queue_list_rcpt(&l, SPAN("a@b"), SPAN("said: \"no\"\t"));
	queue_list_rcpt(&l, SPAN("c@d"), SPAN_EMPTY);
	queue_list_end(&l);
	assert_string_equal(buf_cstr(&l.out),
	    "{\"queue_name\": \"deferred\", \"queue_id\": "
	    "\"660E0EBA74AF001\", \"arrival_time\": 1795358062, "
	    "\"message_size\": 258, \"forced_expire\": false, \"sender\": "
	    "\"\\\"x y\\\"@ext.test\", \"recipients\": [{\"address\": "
	    "\"a@b\", \"delay_reason\": \"said: \\\"no\\\"\\u0009\"}, "
	    "{\"address\": \"c@d\"}]}\n");
	queue_list_release(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_queue),
		cmocka_unit_test(the_shape_of_mailq),
		cmocka_unit_test(the_shape_of_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
