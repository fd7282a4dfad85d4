/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
tells_well_formed_from_not(void **state)
{
	static const char *const good[] = { "", "a", "\xc3\xa4", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "a\xe2\x82",
		"\xc3z", "\xff" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(utf8_valid(span_str(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_false(utf8_valid(span_str(bad[i])));
		assert_false(utf8_is_ascii(span_str(bad[i])));
	}
	assert_true(utf8_is_ascii(SPAN("abc\x7f")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_well_formed_from_not),
	};

	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
