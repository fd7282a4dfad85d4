/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/probe_sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
senders(void **state)
{
	static const struct {
		const char *sender;
		uint64_t ttl_s, now_s;
		const char *wanted;
	} rows[] = {
		{ "", 0, 0, "" },
		{ "<>", 60, 100, "" },
		{ "double-bounce", 0, 123456789, "double-bounce" },
		{ "v@x.test", 0, 1, "v@x.test" },
		{ "v", 60, 59, "v0" },
		{ "v", 60, 60, "v1" },
		{ "v@x.test", 10, 310, "v10@x.test" },
		{ "v@x.test", 1, 30, "vZ@x.test" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf b;

		buf_init(&b, 100);
		probe_sender_make(span_str(rows[i].sender), rows[i].ttl_s,
		    rows[i].now_s, &b);
		assert_string_equal(buf_cstr(&b), rows[i].wanted);
		buf_release(&b);
	}
}

/* Each is known in its period and in those beside it. */
static void
known_for_a_while(void **state)
{
	const struct span sender = SPAN("Probe@x.test");

	(void)state;
	for (uint64_t then = 0; then < 2000; then += 37)
		for (uint64_t now = 0; now < 2000; now += 41) {
			const uint64_t a = then / 100, b = now / 100;
			struct span local;
			struct buf text;

			buf_init(&text, 100);
			probe_sender_make(sender, 100, then, &text);
			local = span_slice(buf_span(&text), 0,
			    span_chr(buf_span(&text), '@'));
			assert_int_equal(
			    probe_sender_is(sender, 100, now, local),
			    (a > b ? a - b : b - a) <= 1);
			buf_release(&text);
		}
	assert_true(probe_sender_is(sender, 100, 0, SPAN("pROBE0")));
	assert_false(probe_sender_is(sender, 0, 0, SPAN("Probe")));
	assert_false(probe_sender_is(sender, 100, 0, SPAN("Probe")));
	assert_false(probe_sender_is(SPAN(""), 100, 0, SPAN("0")));
	assert_false(probe_sender_is(SPAN("<>"), 100, 0, SPAN("<>0")));
}

static void
good(void **state)
{
	(void)state;
	assert_true(probe_sender_good(SPAN("")));
	assert_true(probe_sender_good(SPAN("a@b")));
	assert_false(probe_sender_good(SPAN("@b")));
	assert_false(probe_sender_good(SPAN("a@")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(senders),
		cmocka_unit_test(known_for_a_while),
		cmocka_unit_test(good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
