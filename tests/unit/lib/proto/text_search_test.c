/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/text_search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static const char message[] =
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= AUS Wien\r\n"
    "To: Bob <bob@example.org>\r\nX-Empty:\r\n"
    "Cc: <car (comment)@ (c) example.org>\r\n"
    "Content-Type: multipart/mixed; boundary=q\r\n\r\n"
    "--q\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    "the need=\r\nle is h=E4user\r\n"
    "--q\r\nContent-Type: text/html; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\naGlkZGVuIHdvcmQ=\r\n"
    "--q\r\nContent-Type: application/octet-stream\r\n\r\nbinary\r\n"
    "--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nz\r\n"
    "--q--\r\n";

static bool
in_body(const char *text)
{
	struct buf needle;
	struct mime m;
	bool found;

	buf_init(&needle, 100);
	text_fold(span_str(text), &needle);
	mime_parse(span_str(message), &m);
	found = text_in_body(&m, buf_span(&needle));
	mime_release(&m);
	buf_release(&needle);
	return found;
}

static void
finds_in_bodies(void **state)
{
	(void)state;
	assert_true(in_body("THE NEEDLE"));
	assert_true(in_body("H\xc3\x84USER"));
	assert_true(in_body("Hidden W"));
	assert_true(in_body("INNER"));
	assert_true(in_body(""));
	assert_false(in_body("binary"));
	assert_false(in_body("aGlk"));
	assert_false(in_body("Wien"));
}

static void
finds_in_headers(void **state)
{
	const struct span h = span_str(message);

	(void)state;
	assert_true(text_in_field(h, SPAN("subject"),
	    SPAN("gr\xc3\xbc\xc3\x9f"
		 "e aus")));
	assert_true(text_in_field(h, SPAN("To"), SPAN("bob@")));
	assert_true(text_in_field(h, SPAN("X-Empty"), SPAN_EMPTY));
	assert_false(text_in_field(h, SPAN("X-None"), SPAN_EMPTY));
	assert_true(text_in_field(h, SPAN("Cc"), SPAN("car@example.org")));
	assert_false(text_in_field(h, SPAN("To"), SPAN("wien")));
	assert_true(text_in_header(h, SPAN("wien")));
	assert_true(text_in_header(h, SPAN("to: bob")));
	assert_false(text_in_header(h, SPAN("needle")));
}

static void
folds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	text_fold(SPAN("aZ\xc3\x96\xc4\x8c\xce\xa3\xd0\x96\xff"), &b);
	assert_string_equal(
	    buf_cstr(&b), "az\xc3\xb6\xc4\x8d\xcf\x83\xd0\xb6\xff");
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_in_bodies),
		cmocka_unit_test(finds_in_headers),
		cmocka_unit_test(folds),
	};

	return cmocka_run_group_tests_name("text_search", tests, NULL, NULL);
}
