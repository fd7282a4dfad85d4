/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_xattr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static enum parse
parse(enum smtp_verb verb, const char *args, struct smtp_xattrs *out,
    struct smtp_reject *why)
{
	const struct smtp_cmd cmd = { .verb = verb, .arg = span_str(args) };

	return smtp_xattr_parse(&cmd, out, why);
}

static void
reads_xclient(void **state)
{
	struct smtp_xattrs x;
	struct smtp_reject why;

	(void)state;
	assert_int_equal(parse(SMTP_XCLIENT,
			     "NAME=spike.test addr=IPv6:2001:DB8:0::1 "
			     "PORT=1025 PROTO=esmtp HELO=a+20b<c> "
			     "LOGIN=joe+40d DESTADDR=192.0.2.9 DESTPORT=25 "
			     "REVERSE_NAME=[UNAVAILABLE]",
			     &x, &why),
	    PARSE_OK);
	assert_string_equal(smtp_xattr_text(&x, XATTR_NAME), "spike.test");
	assert_string_equal(smtp_xattr_text(&x, XATTR_ADDR), "2001:db8::1");
	assert_string_equal(smtp_xattr_text(&x, XATTR_PORT), "1025");
	assert_string_equal(smtp_xattr_text(&x, XATTR_PROTO), "ESMTP");
	assert_string_equal(smtp_xattr_text(&x, XATTR_HELO), "a?b?c?");
	assert_string_equal(smtp_xattr_text(&x, XATTR_LOGIN), "joe@d");
	assert_string_equal(smtp_xattr_text(&x, XATTR_DESTADDR), "192.0.2.9");
	assert_null(smtp_xattr_text(&x, XATTR_REVERSE_NAME));
	assert_int_equal(x.v[XATTR_REVERSE_NAME].state, XATTR_UNAVAILABLE);
	assert_int_equal(x.v[XATTR_IDENT].state, XATTR_ABSENT);
	assert_int_equal(
	    parse(SMTP_XCLIENT, "NAME=[TEMPUNAVAIL]", &x, &why), PARSE_OK);
	assert_int_equal(x.v[XATTR_NAME].state, XATTR_TEMPUNAVAIL);
}

static void
reads_xforward(void **state)
{
	struct smtp_xattrs x;
	struct smtp_reject why;

	(void)state;
	assert_int_equal(parse(SMTP_XFORWARD,
			     "NAME=spike.test ADDR=192.0.2.1 PROTO=UUCP "
			     "HELO=x IDENT=1A2B;3 SOURCE=remote PORT=2",
			     &x, &why),
	    PARSE_OK);
	assert_string_equal(smtp_xattr_text(&x, XATTR_PROTO), "UUCP");
	assert_string_equal(smtp_xattr_text(&x, XATTR_IDENT), "1A2B?3");
	assert_string_equal(smtp_xattr_text(&x, XATTR_SOURCE), "REMOTE");
}

static void
refuses(void **state)
{
	static const struct {
		enum smtp_verb verb;
		const char *args, *text, *detail;
	} rows[] = {
		{ SMTP_XCLIENT, "", "Syntax: XCLIENT attribute=value...", "" },
		{ SMTP_XFORWARD, " ", "Syntax: XFORWARD attribute=value...",
		    "" },
		{ SMTP_XCLIENT, "NAME", "Error: attribute=value expected",
		    "" },
		{ SMTP_XCLIENT, "NAME=", "Error: attribute=value expected",
		    "" },
		{ SMTP_XCLIENT, "=x", "Bad XCLIENT attribute name: ", "" },
		{ SMTP_XCLIENT, "IDENT=x", "Bad XCLIENT attribute name: ",
		    "IDENT" },
		{ SMTP_XFORWARD, "LOGIN=x", "Bad XFORWARD attribute name: ",
		    "LOGIN" },
		{ SMTP_XCLIENT, "NAME=a..b", "Bad NAME syntax: ", "a..b" },
		{ SMTP_XCLIENT, "NAME=a+0Ab", "Bad NAME syntax: ", "a?b" },
		{ SMTP_XCLIENT, "ADDR=1.2.3", "Bad ADDR syntax: ", "1.2.3" },
		{ SMTP_XCLIENT, "ADDR=IPV6:1.2.3.4", "Bad ADDR syntax: ",
		    "IPV6:1.2.3.4" },
		{ SMTP_XCLIENT, "PORT=65536", "Bad PORT syntax: ", "65536" },
		{ SMTP_XCLIENT, "PORT=x", "Bad PORT syntax: ", "x" },
		{ SMTP_XCLIENT, "PROTO=LMTP", "Bad PROTO syntax: ", "LMTP" },
		{ SMTP_XCLIENT, "DESTPORT=-1", "Bad DESTPORT syntax: ", "-1" },
		{ SMTP_XFORWARD, "SOURCE=here", "Bad SOURCE syntax: ",
		    "HERE" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_xattrs x;
		struct smtp_reject why;

		assert_int_equal(
		    parse(rows[i].verb, rows[i].args, &x, &why), PARSE_BAD);
		assert_int_equal(why.code, 501);
		assert_string_equal(why.dsn, "5.5.4");
		assert_string_equal(why.text, rows[i].text);
		assert_true(span_eq(why.detail, span_str(rows[i].detail)));
	}
}

static void
refuses_long_values(void **state)
{
	char args[400] = "HELO=";
	struct smtp_xattrs x;
	struct smtp_reject why;

	(void)state;
	memset(args + 5, 'x', 255);
	assert_int_equal(parse(SMTP_XCLIENT, args, &x, &why), PARSE_OK);
	assert_int_equal(strlen(smtp_xattr_text(&x, XATTR_HELO)), 255);
	args[260] = 'x';
	assert_int_equal(parse(SMTP_XCLIENT, args, &x, &why), PARSE_BAD);
	assert_string_equal(why.text, "Error: attribute value too long");
}

static void
prints_what_is_offered(void **state)
{
	static uint8_t letters[300];
	struct smtp_forward f = { .name = SPAN("unknown"),
		.addr = SPAN("192.0.2.1"), .helo = SPAN("a b=") };
	struct span rest, line;
	struct buf out;

	(void)state;
	buf_init(&out, 4000);
	smtp_xforward_print(&f, SPAN(""), &out);
	assert_string_equal(buf_cstr(&out), "");
	smtp_xforward_print(&f, SPAN("helo  NAME x ADDR"), &out);
	assert_string_equal(buf_cstr(&out),
	    "XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.1 HELO=a+20b+3D\n");
	/* More than a line holds; what fits into none is left out. */
	memset(letters, 'x', sizeof(letters));
	f.name = f.addr = f.proto = span_of(letters, 300);
	memset(letters + 200, '+', 100);
	f.helo = span_of(letters + 10, 290);
	buf_reset(&out);
	f.name = f.addr = f.proto = span_of(letters, 200);
	smtp_xforward_print(&f, SPAN("NAME ADDR PROTO HELO"), &out);
	rest = buf_span(&out);
	for (int i = 0; i < 2; i++) {
		assert_true(span_token(&rest, "\n", &line));
		assert_true(span_starts(line, SPAN("XFORWARD ")));
		assert_true(line.n < 500);
	}
	assert_false(span_token(&rest, "\n", &line));
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_xclient),
		cmocka_unit_test(reads_xforward),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_long_values),
		cmocka_unit_test(prints_what_is_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
