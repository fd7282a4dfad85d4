/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/delivery_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
two_digits_not_finer_than_a_hundredth(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
		{ -7, "0" },
		{ 0, "0" },
		{ 4999, "0" },
		{ 5000, "0.01" },
		{ 21000, "0.02" },
		{ 100000, "0.1" },
		{ 149000, "0.15" },
		{ 999000, "1" },
		{ 1040000, "1" },
		{ 1050000, "1.1" },
		{ 9940000, "9.9" },
		{ 9960000, "10" },
		{ 12500000, "13" },
		{ 340123456, "340" },
		{ 86400000000, "86400" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&b);
		delivery_log_seconds(&b, rows[i].us);
		assert_string_equal(buf_cstr(&b), rows[i].text);
	}
	buf_release(&b);
}

static void
the_shape_of_the_line(void **state)
{
	struct delivery_facts f = {
		.to = SPAN("john@example.com"),
		.orig_to = SPAN("john@example.com"),
		.relay = SPAN("mx.example.com[192.0.2.1]:25"),
		.arrival_us = 1000000,
		.active_us = 1010000,
		.now_us = 1500000,
		.setup_us = 200000,
		.transmit_us = 280000,
		.dsn = "2.0.0",
		.action = RCPT_SENT,
		.text = SPAN("250 2.0.0 Ok: queued as 4F"),
	};
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	delivery_log_text(&f, &b);
	assert_string_equal(buf_cstr(&b),
	    "to=<john@example.com>, relay=mx.example.com[192.0.2.1]:25, "
	    "delay=0.5, delays=0.01/0.01/0.2/0.28, dsn=2.0.0, status=sent "
	    "(250 2.0.0 Ok: queued as 4F)");
	buf_reset(&b);
	f.orig_to = SPAN("j@example.com");
	f.conn_use = 3;
	f.relay = SPAN_EMPTY;
	f.dsn = "4.4.1";
	f.action = RCPT_DEFERRED;
	f.text = SPAN("no\n\033way");
	delivery_log_text(&f, &b);
	assert_string_equal(buf_cstr(&b),
	    "to=<john@example.com>, orig_to=<j@example.com>, relay=none, "
	    "conn_use=3, delay=0.5, delays=0.01/0.01/0.2/0.28, dsn=4.4.1, "
	    "status=deferred (no\\012\\033way)");
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_digits_not_finer_than_a_hundredth),
		cmocka_unit_test(the_shape_of_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
