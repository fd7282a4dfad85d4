/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/rfc2047.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
decodes_headers(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ " plain text ", "plain text" },
		{ "=?iso-8859-1?q?caf=E9_x?=", "caf\xc3\xa9 x" },
		{ "=?UTF-8?B?w7w=?= =?utf-8?Q?=C3=A4?=", "\xc3\xbc\xc3\xa4" },
		{ "=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c" },
		{ "x =?utf-8*en?q?a?= y", "x a y" },
		{ "=?nonsense-9?q?a=FF?=", "a\xef\xbf\xbd" },
		{ "=?utf-8?x?a?= =? =?a?q?b c?=",
		    "=?utf-8?x?a?= =? =?a?q?b c?=" },
		{ "folded\r\n text", "folded text" },
		{ "=?utf-8?q?a", "=?utf-8?q?a" },
		{ "raw \xc3\xbc \xff", "raw \xc3\xbc \xef\xbf\xbd" },
		/* What iconv lets through, but is no character. */
		{ "=?utf8?q?a=FC=AA=AA=AA=AA=AAb?=",
		    "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		    "b" },
		{ "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=",
		    "\xe6\x97\xa5\xe6\x9c\xac" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf b;

		buf_init(&b, 1000);
		rfc2047_decode(span_str(rows[i].in), &b);
		assert_string_equal(buf_cstr(&b), rows[i].want);
		buf_release(&b);
	}
}

static void
decodes_bodies(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	qp_decode(SPAN("a=3D=\r\nb= \nc=4g=_"), false, &b);
	assert_string_equal(buf_cstr(&b), "a=bc=4g=_");
	buf_reset(&b);
	base64_decode_loose(SPAN("aGVs\r\nbG8h!!aGk=\r\nYQ=="), &b);
	assert_string_equal(buf_cstr(&b), "hello!hia");
	buf_release(&b);
	assert_true(charset_known(SPAN("us-ascii")));
	assert_false(charset_known(SPAN("x-nonsense")));
	assert_false(charset_known(SPAN("utf-8//TRANSLIT")));
	assert_false(charset_known(SPAN("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_headers),
		cmocka_unit_test(decodes_bodies),
	};

	return cmocka_run_group_tests_name("rfc2047", tests, NULL, NULL);
}
