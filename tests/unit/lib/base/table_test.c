/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/list.h"

static struct span
key_of(int i, char text[16])
{
	snprintf(text, 16, "key%d", i);
	return span_str(text);
}

static void
puts_gets_and_removes(void **state)
{
	static int values[1000];
	struct table t;
	char text[16];

	(void)state;
	table_init(&t);
	assert_null(table_get(&t, SPAN("a")));
	assert_null(table_remove(&t, SPAN("a")));
	for (int i = 0; i < 1000; i++)
		assert_null(table_put(&t, key_of(i, text), &values[i]));
	assert_int_equal(t.count, 1000);
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(table_get(&t, key_of(i, text)), &values[i]);
	assert_ptr_equal(table_put(&t, SPAN("key3"), &values[4]), &values[3]);
	assert_ptr_equal(table_remove(&t, SPAN("key3")), &values[4]);
	assert_null(table_get(&t, SPAN("key3")));
	assert_int_equal(t.count, 999);
	table_release(&t);
}

static void
visits_each_entry_once_while_removing(void **state)
{
	static int seen[100];
	struct table_iter it;
	struct table t;
	struct span key;
	char text[16];
	void *value;
	size_t n = 0;

	(void)state;
	table_init(&t);
	table_iter_init(&t, &it);
	assert_false(table_iter_next(&t, &it, &key, &value));
	for (int i = 0; i < 100; i++)
		table_put(&t, key_of(i, text), &seen[i]);
	table_iter_init(&t, &it);
	while (table_iter_next(&t, &it, &key, &value)) {
		++*(int *)value;
		assert_null(table_remove(&t, SPAN("")));
		assert_ptr_equal(table_remove(&t, key), value);
		n++;
	}
	assert_int_equal(n, 100);
	assert_int_equal(t.count, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
	table_release(&t);
}

struct item {
	int n;
	struct list link;
};

static void
links_in_order(void **state)
{
	struct item items[4];
	struct list head;
	int sum = 0;

	(void)state;
	list_init(&head);
	assert_null(list_first(&head));
	for (int i = 0; i < 4; i++) {
		items[i].n = i;
		list_push(&head, &items[i].link);
	}
	list_remove(&items[0].link);
	list_remove(&items[0].link);
	list_unshift(&head, &items[0].link);
	assert_ptr_equal(CONTAINER_OF(list_first(&head), struct item, link),
	    &items[0]);
	LIST_EACH (&head, link) {
		sum = sum * 10 + CONTAINER_OF(link, struct item, link)->n;
		list_remove(link);
	}
	assert_int_equal(sum, 123);
	assert_true(list_empty(&head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_gets_and_removes),
		cmocka_unit_test(visits_each_entry_once_while_removing),
		cmocka_unit_test(links_in_order),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
