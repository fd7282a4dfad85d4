/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/crlf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* Each text cut at every place gives the same. */
static void
line_ends_change_in_any_pieces(void **state)
{
	static const struct {
		const char *in, *crlf, *lf;
	} rows[] = {
		{ "", "", "" },
		{ "a\nb\n", "a\r\nb\r\n", "a\nb\n" },
		{ "a\r\nb", "a\r\nb", "a\nb" },
		{ "\n\n", "\r\n\r\n", "\n\n" },
		{ "a\rb\r", "a\rb\r", "a\rb\r" },
		{ "a\r\r\n", "a\r\r\n", "a\r\n" },
		{ "\r", "\r", "\r" },
		{ "\r\n\r\r\r\n", "\r\n\r\r\r\n", "\n\r\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct span in = span_str(rows[i].in);

		for (size_t cut = 0; cut <= in.n; cut++) {
			struct buf crlf, lf;
			uint8_t a = 0, b = 0, c = 0;
			uint64_t size;

			buf_init(&crlf, 100);
			buf_init(&lf, 100);
			crlf_add(&crlf, span_slice(in, 0, cut), &a);
			crlf_add(&crlf, span_skip(in, cut), &a);
			size = crlf_size(span_slice(in, 0, cut), &b);
			size += crlf_size(span_skip(in, cut), &b);
			lf_add(&lf, span_slice(in, 0, cut), &c);
			lf_add(&lf, span_skip(in, cut), &c);
			lf_end(&lf, &c);
			assert_string_equal(buf_cstr(&crlf), rows[i].crlf);
			assert_int_equal(size, crlf.n);
			assert_string_equal(buf_cstr(&lf), rows[i].lf);
			buf_release(&crlf);
			buf_release(&lf);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_change_in_any_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
