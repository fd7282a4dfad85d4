/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc0\x00\x02\x19\x04\x01\x00\x19"
#define V6                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                           \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\x00\x19"

/* Whole, and each shorter piece, which must be asked to go on. */
static enum parse
parse(struct span in, struct proxy_header *out, size_t *out_used)
{
	for (size_t n = 0; n < in.n; n++) {
		const enum parse part =
		    proxy_header_parse(span_slice(in, 0, n), out, out_used);

		if (part == PARSE_BAD)
			return part;
		if (part == PARSE_OK) {
			/* What stands behind is not looked at. */
			assert_int_equal(*out_used, n);
			break;
		}
	}
	return proxy_header_parse(in, out, out_used);
}

static void
reads_version_1(void **state)
{
	struct proxy_header h;
	size_t used = 0;

	(void)state;
	assert_int_equal(
	    parse(SPAN("PROXY TCP4 192.0.2.1 192.0.2.25 1025 25\r\nEHLO"), &h,
		&used),
	    PARSE_OK);
	assert_int_equal(used, 41);
	assert_false(h.local || h.ipv6);
	assert_string_equal(h.addr, "192.0.2.1");
	assert_string_equal(h.dest_addr, "192.0.2.25");
	assert_int_equal(h.port, 1025);
	assert_int_equal(h.dest_port, 25);
	assert_int_equal(
	    parse(SPAN("PROXY TCP6 2001:DB8:0::1 ::1 65535 25\r\n"), &h,
		&used),
	    PARSE_OK);
	assert_true(h.ipv6);
	assert_string_equal(h.addr, "2001:db8::1");
	assert_int_equal(
	    parse(SPAN("PROXY UNKNOWN\r\n"), &h, &used), PARSE_OK);
	assert_true(h.local);
	assert_int_equal(
	    parse(SPAN("PROXY UNKNOWN ff:: 1 2 3\r\n"), &h, &used), PARSE_OK);
	assert_true(h.local);
}

static void
reads_version_2(void **state)
{
	struct proxy_header h;
	size_t used = 0;

	(void)state;
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x21\x11\0\x0c" V4 "EHLO"), &h, &used),
	    PARSE_OK);
	assert_int_equal(used, 28);
	assert_string_equal(h.addr, "192.0.2.1");
	assert_string_equal(h.dest_addr, "192.0.2.25");
	assert_int_equal(h.port, 1025);
	assert_int_equal(h.dest_port, 25);
	/* With a TLV behind the addresses. */
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01x"), &h,
		&used),
	    PARSE_OK);
	assert_int_equal(used, 32);
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x21\x21\0\x24" V6), &h, &used), PARSE_OK);
	assert_true(h.ipv6 && !h.local);
	assert_string_equal(h.addr, "2001:db8::1");
	assert_string_equal(h.dest_addr, "2001:db8::2");
	assert_int_equal(h.port, 65535);
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x20\0\0\0"), &h, &used), PARSE_OK);
	assert_true(h.local);
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x20\x11\0\x0c" V4), &h, &used), PARSE_OK);
	assert_true(h.local);
	assert_int_equal(
	    parse(SPAN(SIGNATURE "\x21\0\0\x01x"), &h, &used), PARSE_OK);
	assert_true(h.local);
}

static void
refuses_what_is_none(void **state)
{
	const struct span bad[] = {
		SPAN("EHLO x\r\n"),
		SPAN("PROXY\r\n"),
		SPAN("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		SPAN("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
		SPAN("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
		SPAN("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
		SPAN("PROXY TCP4 ::1 ::1 1 2\r\n"),
		SPAN("PROXY TCP6 1.2.3.4 ::1 1 2\r\n"),
		SPAN("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		SPAN("PROXY UNKNOWN 00000000000000000000000000000000000000000"
		     "000000000000000000000000000000000000000000000000000000"
		     "\r\n"),
		SPAN(SIGNATURE "\x11\x11\0\x0c" V4),
		SPAN(SIGNATURE "\x22\x11\0\x0c" V4),
		SPAN(SIGNATURE "\x21\x41\0\x0c" V4),
		SPAN(SIGNATURE "\x21\x13\0\x0c" V4),
		SPAN(SIGNATURE "\x21\x11\0\x0b" V4),
		SPAN(SIGNATURE "\x21\x21\0\x0c" V4),
		SPAN(SIGNATURE "\x21\x11\xff\xff" V4),
		SPAN("\r\n\r\n\0\r\nQUIT\r"),
	};
	struct proxy_header h;
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(parse(bad[i], &h, &used), PARSE_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_version_1),
		cmocka_unit_test(reads_version_2),
		cmocka_unit_test(refuses_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
