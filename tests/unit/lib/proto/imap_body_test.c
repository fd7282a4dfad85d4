/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static const char mixed[] =
    "Subject: top\r\n"
    "Content-Type: multipart/mixed; boundary=\"q\"\r\n"
    "Content-Language: en, de\r\n\r\n"
    "--q\r\nContent-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n"
    "--q\r\nContent-Type: image/png; name=x.png\r\nContent-ID: <i@d>\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "Content-Disposition: attachment; filename=x.png\r\n\r\nAAAA\r\n"
    "--q\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: in\r\nTo: a@b\r\n\r\nbody\r\n"
    "--q--\r\n";

static void
structure(const char *message, bool extended, const char *want)
{
	struct mime m;
	struct buf b;

	buf_init(&b, 100000);
	mime_parse(span_str(message), &m);
	imap_body_structure(&m, extended, &b);
	assert_string_equal(buf_cstr(&b), want);
	mime_release(&m);
	buf_release(&b);
}

#define INNER "(NIL \"in\" NIL NIL NIL ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL)"

static void
prints_structures(void **state)
{
	(void)state;
	structure("Subject: x\r\n\r\nhi\r\n", true,
	    "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 "
	    "1"
	    " NIL NIL NIL NIL)");
	structure("Content-Type: multipart/mixed; boundary=q\r\n\r\n", false,
	    "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0) \"mixed\")");
	structure("Content-Type: multipart/mixed\r\n\r\nx", false,
	    "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "
	    "1 0)");
	structure(mixed, false,
	    "((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 8 1)"
	    "(\"image\" \"png\" (\"name\" \"x.png\") \"<i@d>\" NIL \"base64\" "
	    "4)"
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 28 " INNER
	    " (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "
	    "4 0) 3) \"mixed\")");
	structure(mixed, true,
	    "((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 8 1"
	    " NIL NIL NIL NIL)"
	    "(\"image\" \"png\" (\"name\" \"x.png\") \"<i@d>\" NIL \"base64\" 4"
	    " NIL (\"attachment\" (\"filename\" \"x.png\")) NIL NIL)"
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 28 " INNER
	    " (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "
	    "4 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) \"mixed\" "
	    "(\"boundary\" \"q\") NIL (\"en\" \"de\") NIL)");
}

static void
section(const char *fetch, const char *want)
{
	struct imap_cmd c;
	const char *why = "";
	struct arena a;
	struct mime m;
	struct span got;
	struct buf cmd, scratch;

	buf_init(&cmd, 1000);
	buf_init(&scratch, 10000);
	buf_fmt(&cmd, "a FETCH 1 BODY.PEEK[%s]", fetch);
	arena_init(&a, 100000);
	assert_int_equal(
	    imap_cmd_parse(buf_span(&cmd), IMAP_SELECTED, &a, &c, &why),
	    PARSE_OK);
	mime_parse(span_str(mixed), &m);
	if (imap_body_section(&m, &c.fetch->section, &scratch, &got)) {
		assert_non_null(want);
		assert_true(span_eq(got, span_str(want)));
	} else {
		assert_null(want);
	}
	mime_release(&m);
	arena_reset(&a);
	buf_release(&cmd);
	buf_release(&scratch);
}

static void
gives_sections(void **state)
{
	(void)state;
	section("", mixed);
	section("HEADER.FIELDS (subject x)", "Subject: top\r\n\r\n");
	section("HEADER.FIELDS.NOT (Content-Type Content-Language)",
	    "Subject: top\r\n\r\n");
	section("HEADER.FIELDS (none)", "\r\n");
	section("1", "one\r\ntwo");
	section("1.MIME", "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	section("1.TEXT", NULL);
	section("2", "AAAA");
	section("3", "Subject: in\r\nTo: a@b\r\n\r\nbody");
	section("3.HEADER", "Subject: in\r\nTo: a@b\r\n\r\n");
	section("3.HEADER.FIELDS (To)", "To: a@b\r\n\r\n");
	section("3.TEXT", "body");
	section("3.1", "body");
	section("3.2", NULL);
	section("4", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_structures),
		cmocka_unit_test(gives_sections),
	};

	return cmocka_run_group_tests_name("imap_body", tests, NULL, NULL);
}
