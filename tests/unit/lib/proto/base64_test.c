/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
vectors_of_rfc4648(void **state)
{
	static const char *const rows[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79" } };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&b);
		base64_encode(span_str(rows[i][0]), &b);
		assert_string_equal(buf_cstr(&b), rows[i][1]);
		buf_reset(&b);
		assert_true(base64_decode(span_str(rows[i][1]), &b));
		assert_string_equal(buf_cstr(&b), rows[i][0]);
	}
	buf_release(&b);
}

static void
refuses_what_is_not_canonical(void **state)
{
	static const char *const rows[] = { "Z", "Zg",
		"Zg=", "Zg===", "=Zg=", "Zh==", "Zm9=", "Zm 9", "Zm9v\n",
		"Zg==Zg==", "====", "Zm-_", "Z===" };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_str(&b, "kept");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_false(base64_decode(span_str(rows[i]), &b));
		assert_true(buf_ok(&b));
		assert_string_equal(buf_cstr(&b), "kept");
	}
	buf_release(&b);
}

static void
keeps_to_the_maximum(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_false(base64_decode(SPAN("Zm9vYmFy"), &b));
	assert_false(buf_ok(&b));
	assert_int_equal(b.n, 0);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_rfc4648),
		cmocka_unit_test(refuses_what_is_not_canonical),
		cmocka_unit_test(keeps_to_the_maximum),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
