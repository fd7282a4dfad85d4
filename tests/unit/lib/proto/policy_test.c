/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
requests(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	policy_attr_str(&b, "request", "smtpd_access_policy");
	policy_attr(&b, "sender", SPAN("a=b\nrecipient=x\r\0y"));
	policy_attr_u64(&b, "size", 12345);
	policy_end(&b);
	assert_string_equal(buf_cstr(&b), "request=smtpd_access_policy\n"
	    "sender=a=b?recipient=x??y\nsize=12345\n\n");
	buf_release(&b);
}

static const struct {
	const char *in;
	enum parse result;
	const char *action;
	size_t left;
} rows[] = {
	{ "action=dunno\n\n", PARSE_OK, "dunno", 0 },
	{ "action=dunno\r\n\r\n", PARSE_OK, "dunno", 0 },
	{ "action=\n\n", PARSE_OK, "", 0 },
	{ "action=450 4.7.1 a=b\n\nmore", PARSE_OK, "450 4.7.1 a=b", 4 },
	{ "a=b\naction=x\naction=y\nc=\n\n", PARSE_OK, "x", 0 },
	{ "", PARSE_MORE, NULL, 0 },
	{ "action=dunno", PARSE_MORE, NULL, 0 },
	{ "action=dunno\n", PARSE_MORE, NULL, 0 },
	{ "\n", PARSE_BAD, NULL, 0 },
	{ "a=b\n\n", PARSE_BAD, NULL, 0 },
	{ "action\n\n", PARSE_BAD, NULL, 0 },
	{ "ACTION=x\n\n", PARSE_BAD, NULL, 0 },
};

static void
replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct span in = span_str(rows[i].in);
		struct span action;
		size_t used = 0;

		assert_int_equal(policy_reply_parse(in, &used, &action),
		    rows[i].result);
		if (rows[i].result != PARSE_OK)
			continue;
		assert_true(span_eq(action, span_str(rows[i].action)));
		assert_int_equal(in.n - used, rows[i].left);
	}
}

/* Byte by byte the result is that of the whole. */
static void
cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct span in = span_str(rows[i].in);
		enum parse r = PARSE_MORE;
		struct span action;
		size_t used;

		for (size_t n = 0; n <= in.n && r == PARSE_MORE; n++)
			r = policy_reply_parse(span_slice(in, 0, n), &used,
			    &action);
		assert_int_equal(r, rows[i].result);
		if (r == PARSE_OK)
			assert_true(
			    span_eq(action, span_str(rows[i].action)));
	}
}

static void
endless(void **state)
{
	static uint8_t bytes[POLICY_REPLY_MAX + 10];
	struct span action;
	size_t used;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(policy_reply_parse(
	    span_of(bytes, POLICY_REPLY_MAX - 1), &used, &action),
	    PARSE_MORE);
	assert_int_equal(policy_reply_parse(span_of(bytes, sizeof(bytes)),
	    &used, &action), PARSE_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(replies),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
