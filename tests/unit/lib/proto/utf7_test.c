/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/utf7.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
goes_both_ways(void **state)
{
	static const struct {
		const char *utf7, *utf8;
	} rows[] = {
		{ "", "" },
		{ "INBOX", "INBOX" },
		{ "A&-B", "A&B" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		    "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" },
		{ "Entw&APw-rfe", "Entw\xc3\xbcrfe" },
		{ "&2D3eCQ-x", "\xf0\x9f\x98\x89x" },
		{ "&APwA,A-", "\xc3\xbc\xc3\xbc" },
		{ "&AAo-", "\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_true(utf7_encode(span_str(rows[i].utf8), &b));
		assert_string_equal(buf_cstr(&b), rows[i].utf7);
		buf_reset(&b);
		assert_true(utf7_decode(span_str(rows[i].utf7), &b));
		assert_string_equal(buf_cstr(&b), rows[i].utf8);
		buf_release(&b);
	}
}

static void
refuses(void **state)
{
	static const char *const rows[] = {
		"&",
		"&abc",
		"&AC4ALg-", /* encoded ASCII */
		"&AAA-",    /* NUL */
		"&2D0-",    /* half a pair */
		"&3gk-",
		"&APx-",
		"&APwA-",
		"a\x80",
		"a\n",
		"&A-",
		"&APw-&APw-",
		"&AP/-",
		"&APw",
	};
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_str(&b, "kept");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (utf7_decode(span_str(rows[i]), &b))
			fail_msg("%s was taken", rows[i]);
		assert_string_equal(buf_cstr(&b), "kept");
	}
	assert_false(utf7_encode(SPAN("a\xff"), &b));
	assert_false(utf7_encode(SPAN("a\0b"), &b));
	assert_false(utf7_encode(SPAN("\xed\xa0\x80"), &b));
	assert_false(utf7_encode(SPAN("\xc3"), &b));
	assert_string_equal(buf_cstr(&b), "kept");
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_both_ways),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests_name("utf7", tests, NULL, NULL);
}
