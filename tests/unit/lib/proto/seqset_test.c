/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/seqset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* The set's numbers up to 20 as printed by the writer. */
static void
check(const char *text, uint32_t largest, const char *want)
{
	struct seqset_writer w;
	struct seqset set;
	struct arena a;
	struct buf b;

	arena_init(&a, 4096);
	buf_init(&b, 1000);
	assert_true(seqset_parse(span_str(text), &a, &set));
	seqset_resolve(&set, largest);
	seqset_writer_init(&w, &b);
	for (uint32_t i = 1; i <= 20; i++) {
		if (seqset_has(&set, i))
			seqset_writer_add(&w, i);
	}
	seqset_writer_finish(&w);
	assert_string_equal(buf_cstr(&b), want);
	buf_release(&b);
	arena_reset(&a);
}

static void
resolves(void **state)
{
	(void)state;
	check("1", 10, "1");
	check("3,1,2", 10, "1:3");
	check("9:3", 10, "3:9");
	check("*", 10, "10");
	check("*:8", 10, "8:10");
	check("12:*", 10, "10:12");
	check("1:*", 5, "1:5");
	check("*", 0, "");
	check("1:*", 0, "1");
	check("2,4:7,6:9,12:*", 15, "2,4:9,12:15");
	check("4294967295,1:4294967295", 3, "1:20");
}

static void
refuses(void **state)
{
	static const char *const rows[] = { "", ",", "1,", ",1", "0", "1:0",
		"1:", ":1", "1:2:3", "a", "4294967296", "-1", "1 2", "**" };
	struct seqset set;
	struct arena a;

	(void)state;
	arena_init(&a, 4096);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_false(seqset_parse(span_str(rows[i]), &a, &set));
	arena_reset(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolves),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests_name("seqset", tests, NULL, NULL);
}
