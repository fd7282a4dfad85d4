/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void
splits_rows(void **state)
{
	static const struct {
		const char *text, *rows;
	} rows[] = {
		{ "", "" },
		{ "a b", "1:a b|" },
		{ "a b\n", "1:a b|" },
		{ "a b\r\nc d\r\n", "1:a b|2:c d|" },
		{ "# x\n\n \t\na b\n", "4:a b|" },
		{ "a\n b\n\tc\nd\n", "1:a b\tc|4:d|" },
		{ "a,\n# between\n\n  b\nc", "1:a,  b|5:c|" },
		{ "a\n  # not a continuation\nb\n", "1:a|3:b|" },
		{ "  leading\n", "1:  leading|" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct table_text t;
		struct span row;
		char got[200] = "";

		table_text_init(&t, span_str(rows[i].text));
		while (table_text_next(&t, &row)) {
			const size_t n = strlen(got);
			snprintf(got + n, sizeof(got) - n, "%u:%.*s|", t.line,
			    SPAN_FMT(row));
		}
		table_text_release(&t);
		assert_string_equal(got, rows[i].rows);
	}
}

static void
tells_a_row_that_is_too_long(void **state)
{
	const size_t n = LIMIT_TABLE_ROW + 2;
	uint8_t *big = mem_alloc(n);
	struct table_text t;
	struct span row;

	(void)state;
	memset(big, 'x', n);
	big[n - 2] = '\n';
	big[n - 1] = 'y';
	table_text_init(&t, span_of(big, n));
	assert_true(table_text_next(&t, &row));
	assert_true(buf_ok(&t.row));
	assert_true(table_text_next(&t, &row));
	table_text_release(&t);
	big[n - 2] = 'x';
	table_text_init(&t, span_of(big, n));
	assert_true(table_text_next(&t, &row));
	assert_false(buf_ok(&t.row));
	table_text_release(&t);
	mem_free(big);
}

static void
splits_key_and_value(void **state)
{
	struct span key, value;

	(void)state;
	assert_true(map_text_split(SPAN("  k \t v w "), &key, &value));
	assert_true(span_eq(key, SPAN("k")));
	assert_true(span_eq(value, SPAN("v w")));
	assert_false(map_text_split(SPAN("k "), &key, &value));
	assert_false(map_text_split(SPAN("  "), &key, &value));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_rows),
		cmocka_unit_test(tells_a_row_that_is_too_long),
		cmocka_unit_test(splits_key_and_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
