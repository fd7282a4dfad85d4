/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/dovecot_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
commands(void **state)
{
	static const struct {
		const char *text;
		enum dovecot_command command;
		uint32_t number;
	} rows[] = {
		{ "VERSION\t1\t2", DOVECOT_VERSION, 1 },
		{ "VERSION\t2\t0", DOVECOT_VERSION, 2 },
		{ "VERSION", DOVECOT_BAD, 0 },
		{ "VERSION\tx", DOVECOT_BAD, 0 },
		{ "CPID\t123", DOVECOT_CPID, 123 },
		{ "CPID\t-1", DOVECOT_BAD, 0 },
		{ "CANCEL\t5", DOVECOT_CANCEL, 5 },
		{ "CONT\t7\tYWJj", DOVECOT_CONT, 7 },
		{ "CONT\t7", DOVECOT_CONT, 7 },
		{ "CONT", DOVECOT_BAD, 0 },
		{ "CONT\t4294967296\tx", DOVECOT_BAD, 0 },
		{ "AUTH\t1", DOVECOT_BAD, 0 },
		{ "AUTH\t1\tPLAIN", DOVECOT_AUTH, 1 },
		{ "AUTH\tx\tPLAIN", DOVECOT_BAD, 0 },
		{ "FROB\t1", DOVECOT_OTHER, 0 },
		{ "", DOVECOT_BAD, 0 },
		{ "\t1", DOVECOT_BAD, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dovecot_line line;

		dovecot_line_parse(span_str(rows[i].text), &line);
		if (line.command != rows[i].command)
			fail_msg("%s", rows[i].text);
		if (line.command == DOVECOT_VERSION)
			assert_int_equal(line.major, rows[i].number);
		else if (line.command == DOVECOT_CPID)
			assert_int_equal(line.pid, rows[i].number);
		else if (line.command != DOVECOT_BAD)
			assert_int_equal(line.id, rows[i].number);
	}
}

static void
parameters(void **state)
{
	struct dovecot_line line;

	(void)state;
	dovecot_line_parse(
	    SPAN("AUTH\t3\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\t"
		 "rip=192.0.2.9\tsecured\tvalid-client-cert\t"
		 "cert_username=joe\tfuture=x\tresp=AGE=\tservice=x"),
	    &line);
	assert_int_equal(line.command, DOVECOT_AUTH);
	assert_true(span_eq(line.mechanism, SPAN("PLAIN")));
	assert_true(span_eq(line.service, SPAN("smtp")));
	assert_true(span_eq(line.rip, SPAN("192.0.2.9")));
	assert_true(line.secured);
	assert_true(line.cert);
	assert_true(span_eq(line.cert_user, SPAN("joe")));
	assert_true(line.has_resp);
	assert_true(span_eq(line.resp, SPAN("AGE=")));
	dovecot_line_parse(SPAN("AUTH\t3\tLOGIN\tsecuredx\tresp="), &line);
	assert_false(line.secured);
	assert_true(line.has_resp);
	assert_int_equal(line.resp.n, 0);
	dovecot_line_parse(SPAN("AUTH\t3\tLOGIN\tsecured=tls"), &line);
	assert_true(line.secured);
	assert_false(line.has_resp);
	dovecot_line_parse(SPAN("CONT\t3\tAGE="), &line);
	assert_true(span_eq(line.resp, SPAN("AGE=")));
	/* A NUL is nowhere. */
	dovecot_line_parse(span_of("CPID\t1\0", 7), &line);
	assert_int_equal(line.command, DOVECOT_BAD);
}

static void
escapes(void **state)
{
	const struct span raw = span_of("a\tb\nc\rd\001e\0f", 11);
	struct buf text, back;

	(void)state;
	buf_init(&text, 100);
	buf_init(&back, 100);
	dovecot_escape(raw, &text);
	assert_int_equal(span_chr(buf_span(&text), '\t'), SIZE_MAX);
	assert_int_equal(span_chr(buf_span(&text), '\n'), SIZE_MAX);
	dovecot_unescape(buf_span(&text), &back);
	assert_true(span_eq(buf_span(&back), raw));
	buf_reset(&back);
	dovecot_unescape(SPAN("a\001"), &back);
	assert_int_equal(back.n, 2);
	buf_release(&text);
	buf_release(&back);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands),
		cmocka_unit_test(parameters),
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests_name("dovecot_line", tests, NULL, NULL);
}
