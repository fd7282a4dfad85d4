/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/keywords.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
names_get_numbers_for_good(void **state)
{
	struct keywords k = { .count = 0 };

	(void)state;
	assert_int_equal(keywords_add(&k, SPAN("$Forwarded")), 0);
	assert_int_equal(keywords_add(&k, SPAN("work")), 1);
	assert_int_equal(keywords_find(&k, SPAN("WORK")), 1);
	assert_int_equal(keywords_find(&k, SPAN("wor")), -1);
	assert_int_equal(keywords_add(&k, SPAN("")), -1);
	assert_int_equal(keywords_add(&k, SPAN("a b")), -1);
	assert_int_equal(keywords_add(&k, SPAN("a\nb")), -1);
	for (int i = 2; i < KEYWORDS_MAX; i++) {
		char name[] = { 'k', (char)('0' + i / 10), (char)('0' + i % 10),
			'\0' };

		assert_int_equal(keywords_add(&k, span_str(name)), i);
	}
	assert_int_equal(keywords_add(&k, SPAN("more")), -1);
	keywords_release(&k);
}

static void
letters_stand_for_keywords(void **state)
{
	struct keywords k = { .count = 0 };
	struct keyword_letters l;

	(void)state;
	keywords_add(&k, SPAN("own"));
	keyword_letters_parse(SPAN("0 one\n2 own\n25 last\n26 no\nx y\n3\n"),
	    &k, &l);
	assert_int_equal(k.count, 3);
	assert_int_equal(l.number[0], 1);
	assert_int_equal(l.number[1], -1);
	assert_int_equal(l.number[2], 0);
	assert_int_equal(l.number[25], 2);
	assert_int_equal(keyword_letters_to_set(&l, 1U << 2 | 1U << 1), 1);
	assert_int_equal(keyword_letters_from_set(&l, 5), 1U << 2 | 1U << 25);
	keywords_release(&k);
}

static void
lists_are_copied(void **state)
{
	const char *words[] = { "one", "two", NULL };
	char **copy = keywords_copy(words);

	(void)state;
	words[0] = "other";
	assert_string_equal(copy[0], "one");
	assert_string_equal(copy[1], "two");
	assert_null(copy[2]);
	keywords_copy_free(copy);
	assert_null(keywords_copy(NULL));
	keywords_copy_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_get_numbers_for_good),
		cmocka_unit_test(letters_stand_for_keywords),
		cmocka_unit_test(lists_are_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
