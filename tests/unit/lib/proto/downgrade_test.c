/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/downgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static void
add(void *arg, struct span bytes)
{
	buf_add(arg, bytes);
}

/* Whole, and in pieces of several sizes. */
static void
check(struct span in, const char *wanted)
{
	for (size_t step = 1; step < 2 * in.n + 2; step = step * 2 + 1) {
		struct downgrade *d;
		struct span rest = in;
		struct buf b;

		buf_init(&b, 1 << 20);
		d = downgrade_new(add, &b);
		for (; rest.n > 0; rest = span_skip(rest, step))
			downgrade_feed(d, span_slice(rest, 0, step));
		downgrade_end(d);
		downgrade_free(&d);
		assert_string_equal(buf_cstr(&b), wanted);
		buf_release(&b);
	}
}

static void
what_is_not_announced_passes(void **state)
{
	(void)state;
	check(SPAN("Subject: \xc3\xa4\r\n\r\n\xc3\xa4\r\n"),
	    "Subject: \xc3\xa4\r\n\r\n\xc3\xa4\r\n");
	check(SPAN("Content-Type: text/plain\r\n"
		   "Content-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n"),
	    "Content-Type: text/plain\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n");
	check(SPAN(""), "");
	check(SPAN("no header\xff"), "no header\xff");
}

static void
text_becomes_quoted_printable(void **state)
{
	(void)state;
	check(SPAN("Content-Transfer-Encoding:  8BIT (x)\r\nX: y\r\n\r\n"
		   "a=\xc3\xa4 \r\n\tb\t\r\n\r\n.\r\nlast\xe4"),
	    "Content-Transfer-Encoding: quoted-printable\r\nX: y\r\n\r\n"
	    "a=3D=C3=A4=20\r\n\tb=09\r\n\r\n.\r\nlast=E4");
	check(SPAN("Content-Transfer-Encoding: 8bit\r\n\r\n"
		   "0123456789012345678901234567890123456789"
		   "0123456789012345678901234567890123456789\r\n"),
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "0123456789012345678901234567890123456789"
	    "01234567890123456789012345678901234=\r\n56789\r\n");
}

static void
binary_becomes_base64(void **state)
{
	(void)state;
	check(SPAN("Content-Transfer-Encoding: binary\r\n\r\n\0\n\xff\r\n"),
	    "Content-Transfer-Encoding: base64\r\n\r\nAAr/DQo=\r\n");
	check(SPAN("Content-Transfer-Encoding: binary\r\n\r\n"
		   "0123456789012345678901234567890123456789"
		   "01234567890123456789"),
	    "Content-Transfer-Encoding: base64\r\n\r\n"
	    "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3"
	    "ODkwMTIzNDU2\r\nNzg5\r\n");
}

static void
parts_are_looked_at_one_by_one(void **state)
{
	(void)state;
	check(SPAN("MIME-Version: 1.0\r\n"
		   "Content-Type: multipart/mixed;\r\n boundary=\"b b\"\r\n"
		   "Content-Transfer-Encoding: binary\r\n\r\n"
		   "preamble\r\n--b b\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--b bx\r\n"
		   "--b b  \r\n"
		   "Content-Type: message/rfc822\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n\xf6\r\n"
		   "--b b\r\n"
		   "Content-Transfer-Encoding: binary\r\n\r\nx\0\r\n--b b\r\n"
		   "\r\nplain\r\n--b b--\r\nepilogue\r\n"),
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/mixed;\r\n boundary=\"b b\"\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n"
	    "preamble\r\n--b b\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4\r\n"
	    "--b bx\r\n--b b  \r\n"
	    "Content-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=F6\r\n"
	    "--b b\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\neAA=\r\n--b b\r\n"
	    "\r\nplain\r\n--b b--\r\nepilogue\r\n");
}

static void
an_outer_boundary_ends_inner_parts(void **state)
{
	(void)state;
	check(SPAN("Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
		   "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--o\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--i\r\n"
		   "--o--\r\n"),
	    "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
	    "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4\r\n"
	    "--o\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4\r\n"
	    "--i\r\n--o--\r\n");
}

static void
long_lines_and_headers_stay_whole(void **state)
{
	struct buf in, out;
	struct downgrade *d;
	size_t kept = 0;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 22);
	buf_str(&in, "Content-Transfer-Encoding: 8bit\r\n\r\n");
	for (int i = 0; i < 100000; i++)
		buf_byte(&in, 'x');
	buf_str(&in, "\r\n");
	d = downgrade_new(add, &out);
	downgrade_feed(d, buf_span(&in));
	downgrade_end(d);
	downgrade_free(&d);
	for (size_t i = 0; i < out.n; i++)
		kept += out.p[i] == 'x';
	assert_int_equal(kept, 100000);
	buf_reset(&in);
	buf_reset(&out);
	for (int i = 0; i < 20000; i++)
		buf_str(&in, "X-Field: y\r\n");
	d = downgrade_new(add, &out);
	downgrade_feed(d, buf_span(&in));
	downgrade_end(d);
	downgrade_free(&d);
	assert_true(span_eq(buf_span(&in), buf_span(&out)));
	buf_release(&in);
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_announced_passes),
		cmocka_unit_test(text_becomes_quoted_printable),
		cmocka_unit_test(binary_becomes_base64),
		cmocka_unit_test(parts_are_looked_at_one_by_one),
		cmocka_unit_test(an_outer_boundary_ends_inner_parts),
		cmocka_unit_test(long_lines_and_headers_stay_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
