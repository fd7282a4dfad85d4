/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static void
right_commands(void **state)
{
	static const struct {
		const char *line;
		enum smtp_verb verb;
		const char *arg, *local, *domain;
		size_t params;
	} rows[] = {
		{ "EHLO mail.test", SMTP_EHLO, "mail.test", "", "", 0 },
		{ "helo  [1.2.3.4] ", SMTP_HELO, "[1.2.3.4]", "", "", 0 },
		{ "LHLO x", SMTP_LHLO, "x", "", "", 0 },
		{ "MAIL FROM:<a@b.test>", SMTP_MAIL, NULL, "a", "b.test", 0 },
		{ "mail from: <a@b.test>  SIZE=10 BODY=8BITMIME", SMTP_MAIL,
		    NULL, "a", "b.test", 2 },
		{ "MAIL FROM:<>", SMTP_MAIL, NULL, "", "", 0 },
		{ "MAIL FROM:<> RET=HDRS ENVID=a=b+3D", SMTP_MAIL, NULL, "", "",
		    2 },
		{ "MAIL FROM:a@b.test SMTPUTF8", SMTP_MAIL, NULL, "a", "b.test",
		    1 },
		{ "RCPT TO:<@x.test,@y.test:a@b.test>", SMTP_RCPT, NULL, "a",
		    "b.test", 0 },
		{ "RCPT TO:<\"a b>@\\\"\"@b.test> NOTIFY=NEVER", SMTP_RCPT,
		    NULL, "\"a b>@\\\"\"", "b.test", 1 },
		{ "RCPT TO:<postmaster>", SMTP_RCPT, NULL, "postmaster", "",
		    0 },
		{ "RCPT TO:<a@[IPv6:::1]>", SMTP_RCPT, NULL, "a", "[IPv6:::1]",
		    0 },
		{ "RCPT TO:<\xc3\xa4@b>", SMTP_RCPT, NULL, "\xc3\xa4", "b", 0 },
		{ "DATA", SMTP_DATA, "", "", "", 0 },
		{ "DATA ", SMTP_DATA, "", "", "", 0 },
		{ "RSET", SMTP_RSET, "", "", "", 0 },
		{ "NOOP what ever", SMTP_NOOP, "what ever", "", "", 0 },
		{ "VRFY joe", SMTP_VRFY, "joe", "", "", 0 },
		{ "QUIT", SMTP_QUIT, "", "", "", 0 },
		{ "HELP me", SMTP_HELP, "me", "", "", 0 },
		{ "AUTH PLAIN", SMTP_AUTH, "", "", "", 0 },
		{ "AUTH PLAIN AGEAYg==", SMTP_AUTH, "AGEAYg==", "", "", 0 },
		{ "STARTTLS", SMTP_STARTTLS, "", "", "", 0 },
		{ "BDAT 10 LAST", SMTP_BDAT, "10 LAST", "", "", 0 },
		{ "XCLIENT ADDR=1.2.3.4", SMTP_XCLIENT, "ADDR=1.2.3.4", "", "",
		    0 },
		{ "ETRN b.test", SMTP_ETRN, "b.test", "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_reject why;
		struct smtp_cmd cmd;

		assert_int_equal(
		    smtp_cmd_parse(span_str(rows[i].line), &cmd, &why),
		    PARSE_OK);
		assert_int_equal(cmd.verb, rows[i].verb);
		if (rows[i].arg != NULL)
			assert_true(span_eq(cmd.arg, span_str(rows[i].arg)));
		assert_true(span_eq(cmd.path.local, span_str(rows[i].local)));
		assert_true(span_eq(cmd.path.domain, span_str(rows[i].domain)));
		assert_int_equal(cmd.param_count, rows[i].params);
	}
}

static void
wrong_commands(void **state)
{
	static const struct {
		const char *line, *reply;
	} rows[] = {
		{ "", "500 5.5.2 Error: bad syntax" },
		{ "FOO", "500 5.5.2 Error: command not recognized" },
		{ "MAILFROM:<a@b>", "500 5.5.2 Error: command not recognized" },
		{ "EHLO", "501  Syntax: EHLO hostname" },
		{ "HELO ", "501  Syntax: HELO hostname" },
		{ "MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>" },
		{ "MAIL FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>" },
		{ "MAIL TO:<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>" },
		{ "MAIL FROM:<a b@c>", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<a@b", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<a@b>x", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<a@b>> X", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<@a>", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<@a:>", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<;cmd;>", "501 5.1.7 Bad sender address syntax" },
		{ "MAIL FROM:<a@b> =5", "555 5.5.4 Unsupported option: =5" },
		{ "MAIL FROM:<a@b> X=", "555 5.5.4 Unsupported option: X=" },
		{ "MAIL FROM:<a@b> -X", "555 5.5.4 Unsupported option: -X" },
		{ "RCPT", "501 5.5.4 Syntax: RCPT TO:<address>" },
		{ "RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>" },
		{ "RCPT TO:<>", "501 5.1.3 Bad recipient address syntax" },
		{ "RCPT TO:<a@b@c>", "501 5.1.3 Bad recipient address syntax" },
		{ "RCPT TO:<a,b@c>", "501 5.1.3 Bad recipient address syntax" },
		{ "RCPT TO:a b@c", "555 5.5.4 Unsupported option: b@c" },
		{ "DATA x", "501 5.5.4 Syntax: DATA" },
		{ "RSET x", "501 5.5.4 Syntax: RSET" },
		{ "STARTTLS x", "501 5.5.4 Syntax: STARTTLS" },
		{ "AUTH", "501 5.5.4 Syntax: AUTH mechanism" },
		{ "AUTH PLAIN a b", "501 5.5.4 Syntax: AUTH mechanism" },
		{ "VRFY", "501 5.5.4 Syntax: VRFY address" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_reject why;
		struct smtp_cmd cmd;
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
		    smtp_cmd_parse(span_str(rows[i].line), &cmd, &why),
		    PARSE_BAD);
		buf_fmt(&b, "%u %s %s%.*s", why.code, why.dsn, why.text,
		    SPAN_FMT(why.detail));
		assert_string_equal(buf_cstr(&b), rows[i].reply);
		buf_release(&b);
	}
}

static void
parameters(void **state)
{
	struct smtp_reject why;
	struct smtp_cmd cmd;
	const struct smtp_param *p;
	struct buf b;

	(void)state;
	assert_int_equal(
	    smtp_cmd_parse(SPAN("MAIL FROM:<a@b> size=5 AUTH=<>"), &cmd, &why),
	    PARSE_OK);
	p = smtp_cmd_param(&cmd, "SIZE");
	assert_non_null(p);
	assert_true(span_eq(p->value, SPAN("5")));
	p = smtp_cmd_param(&cmd, "auth");
	assert_non_null(p);
	assert_true(span_eq(p->value, SPAN("<>")));
	assert_null(smtp_cmd_param(&cmd, "BODY"));
	buf_init(&b, 10000);
	buf_str(&b, "MAIL FROM:<a@b>");
	for (int i = 0; i < SMTP_PARAM_MAX; i++)
		buf_fmt(&b, " K%d", i);
	assert_int_equal(smtp_cmd_parse(buf_span(&b), &cmd, &why), PARSE_OK);
	assert_int_equal(cmd.param_count, SMTP_PARAM_MAX);
	buf_str(&b, " ONE-MORE");
	assert_int_equal(smtp_cmd_parse(buf_span(&b), &cmd, &why), PARSE_BAD);
	assert_int_equal(why.code, 555);
	buf_release(&b);
}

static bool
within(struct span part, struct span line)
{
	return part.n == 0 ||
	    (part.p >= line.p && part.p + part.n <= line.p + line.n);
}

/* Byte by byte more of a line: no read beyond the end, an answer each time,
 * and what it points to lies within the line. */
static void
cut_anywhere(void **state)
{
	static const char *const rows[] = {
		"MAIL FROM:<\"a b>\"@[IPv6:::1]> SIZE=10 BODY=8BITMIME",
		"RCPT TO:<@x.test,@y.test:a@b.test> NOTIFY=NEVER ORCPT=rfc822;a",
		"AUTH PLAIN AGEAYg==", "EHLO [1.2.3.4]", "BDAT 10 LAST" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t n = 0; n <= strlen(rows[i]); n++) {
			uint8_t *cut = mem_alloc(n > 0 ? n : 1);
			const struct span line = span_of(cut, n);
			struct smtp_reject why;
			struct smtp_cmd cmd;
			enum parse got;

			memcpy(cut, rows[i], n);
			got = smtp_cmd_parse(line, &cmd, &why);
			assert_true(got == PARSE_OK || got == PARSE_BAD);
			if (n == strlen(rows[i]))
				assert_int_equal(got, PARSE_OK);
			if (got == PARSE_BAD) {
				assert_true(why.code >= 500 && why.code < 600);
				assert_true(within(why.detail, line));
			} else {
				assert_true(within(cmd.arg, line));
				assert_true(within(cmd.mech, line));
			}
			mem_free(cut);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_commands),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(wrong_commands),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests_name("smtp_cmd", tests, NULL, NULL);
}
