/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const struct origin here = { "host", 42 };

static void
check(void (*fn)(struct buf *, const struct ring_record *,
	  const struct origin *),
    const struct ring_record *r, const char *want)
{
	struct buf out;

	buf_init(&out, 100000);
	fn(&out, r, &here);
	assert_string_equal(buf_cstr(&out), want);
	buf_release(&out);
}

static void
postfix_shape(void **state)
{
	struct ring_record r = { .kind = LOG_K_LINE, .level = LOG_L_INFO,
		.time_us = INT64_C(1762164001999999), .qid = SPAN("5F1B"),
		.tag = SPAN("postfix/qmgr"), .text = SPAN("removed") };

	(void)state;
	check(text_line, &r, "Nov  3 10:00:01 host postfix/qmgr[42]: "
	    "5F1B: removed\n");
	check(text_syslog, &r, "<22>Nov  3 10:00:01 postfix/qmgr[42]: "
	    "5F1B: removed");
	r.level = LOG_L_WARNING;
	r.qid = SPAN_EMPTY;
	r.text = SPAN("a\nb\x1b\xc3\xa9");
	check(text_line, &r, "Nov  3 10:00:01 host postfix/qmgr[42]: "
	    "warning: a?b?\xc3\xa9\n");
	r.kind = LOG_K_EVENT;
	check(text_line, &r, "");
	check(text_syslog, &r, "");
}

static void
json_is_escaped(void **state)
{
	struct ring_record r = { .kind = LOG_K_LINE, .level = LOG_L_ERROR,
		.time_us = INT64_C(1762164001000007), .trace = 0xab,
		.tag = SPAN("t"),
		.text = SPAN("\"\\\n\xc3\xa9\xff\xed\xa0\x80\xf4\x90\x80\x80") };

	(void)state;
	check(text_json, &r,
	    "{\"time\":\"2025-11-03T10:00:01.000007Z\",\"host\":\"host\","
	    "\"program\":\"t\",\"pid\":42,\"level\":\"error\","
	    "\"trace\":\"00000000000000ab\",\"text\":\"\\\"\\\\\\u000a"
	    "\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"
	    "\\ufffd\"}\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(postfix_shape),
		cmocka_unit_test(json_is_escaped),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
