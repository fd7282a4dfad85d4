/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void
reads_one_after_the_other(void **state)
{
	static const char in[] = "250 2.1.0 Ok\r\n250-a\r\n250-b c\r\n250 d\n"
				 "354\r\n220 x\x01\xff\r\n";
	static const struct {
		unsigned code;
		const char *text;
	} rows[] = { { 250, "2.1.0 Ok" }, { 250, "a\nb c\nd" }, { 354, "" },
		{ 220, "x??" } };

	(void)state;
	for (size_t step = 1; step <= sizeof(in); step += sizeof(in) - 1) {
		struct span rest = span_str(in);
		struct smtp_reply_reader r;
		size_t n = 0;

		smtp_reply_init(&r);
		while (rest.n > 0) {
			struct span part = span_slice(rest, 0, step), text;
			const size_t before = part.n;
			unsigned code;
			const enum parse got =
			    smtp_reply_read(&r, &part, &code, &text);

			rest = span_skip(rest, before - part.n);
			if (got == PARSE_MORE)
				continue;
			assert_int_equal(got, PARSE_OK);
			assert_true(n < COUNT_OF(rows));
			assert_int_equal(code, rows[n].code);
			assert_true(span_eq(text, span_str(rows[n].text)));
			n++;
		}
		assert_int_equal(n, COUNT_OF(rows));
		smtp_reply_release(&r);
	}
}

static void
refuses_what_is_none(void **state)
{
	static const char *const rows[] = { "hello\r\n", "25\r\n", "250x\r\n",
		"150 x\r\n", "650 x\r\n", "250-a\r\n251 b\r\n", "\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span in = span_str(rows[i]), text;
		struct smtp_reply_reader r;
		unsigned code;

		smtp_reply_init(&r);
		assert_int_equal(
		    smtp_reply_read(&r, &in, &code, &text), PARSE_BAD);
		smtp_reply_release(&r);
	}
}

static void
has_limits(void **state)
{
	static char line[LIMIT_SMTP_REPLY_LINE + 10];
	struct span in = span_of(line, sizeof(line)), text;
	struct smtp_reply_reader r;
	enum parse got = PARSE_MORE;
	unsigned code;

	(void)state;
	memset(line, 'a', sizeof(line));
	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_read(&r, &in, &code, &text), PARSE_BAD);
	smtp_reply_release(&r);
	smtp_reply_init(&r);
	for (int i = 0; i < LIMIT_SMTP_REPLY && got == PARSE_MORE; i++) {
		in = SPAN("250-0123456789\r\n");
		got = smtp_reply_read(&r, &in, &code, &text);
	}
	assert_int_equal(got, PARSE_BAD);
	smtp_reply_release(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_after_the_other),
		cmocka_unit_test(refuses_what_is_none),
		cmocka_unit_test(has_limits),
	};

	return cmocka_run_group_tests_name("smtp_reply", tests, NULL, NULL);
}
