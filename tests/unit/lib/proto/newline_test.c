/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/newline.h"

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

static void
brings_line_ends_into_order(void **state)
{
	const struct {
		struct span in;
		const char *out;
	} rows[] = {
		{ SPAN(""), "" },
		{ SPAN("a\r\nb\r\n"), "a\r\nb\r\n" },
		{ SPAN("a\nb\n\n"), "a\r\nb\r\n\r\n" },
		{ SPAN("a\rb\r"), "a b " },
		{ SPAN("\r\r\n.\r\r\n"), " \r\n. \r\n" },
		{ SPAN("\n.\n"), "\r\n.\r\n" },
		{ SPAN("\n\r.\r\n"), "\r\n .\r\n" },
		{ SPAN("a\0\r\0b"), "a   b" },
		{ SPAN("\r\n\r\n\n\r"), "\r\n\r\n\r\n " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t step = 1; step < 9; step++) {
			struct newline n = { .cr = false };
			struct span rest = rows[i].in;
			struct buf b;

			buf_init(&b, 1000);
			for (; rest.n > 0; rest = span_skip(rest, step))
				newline_feed(
				    &n, span_slice(rest, 0, step), add, &b);
			newline_end(&n, add, &b);
			assert_string_equal(buf_cstr(&b), rows[i].out);
			buf_release(&b);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brings_line_ends_into_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
