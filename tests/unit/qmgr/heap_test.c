/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

enum { COUNT = 500 };

/* Numbers that look random and are the same in each run. */
static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void
gives_in_order(void **state)
{
	struct heap_node nodes[COUNT] = { 0 };
	struct heap_node *n, *before = NULL;
	uint32_t seed = 1;
	struct heap h;

	(void)state;
	heap_init(&h);
	assert_null(heap_first(&h));
	for (size_t i = 0; i < COUNT; i++) {
		nodes[i].key = next(&seed) % 50;
		nodes[i].order = i;
		heap_add(&h, &nodes[i]);
		assert_true(heap_holds(&nodes[i]));
	}
	for (size_t i = 0; i < COUNT; i++) {
		n = heap_first(&h);
		assert_non_null(n);
		heap_remove(&h, n);
		assert_false(heap_holds(n));
		if (before != NULL)
			assert_true(before->key < n->key ||
			    (before->key == n->key &&
				before->order < n->order));
		before = n;
	}
	assert_null(heap_first(&h));
	heap_release(&h);
}

static const struct heap_node *
least(const struct heap_node *nodes)
{
	const struct heap_node *found = NULL;

	for (size_t i = 0; i < COUNT; i++)
		if (heap_holds(&nodes[i]) &&
		    (found == NULL || nodes[i].key < found->key))
			found = &nodes[i];
	return found;
}

/* Adding and removing anywhere: the first is always the least. */
static void
removes_anywhere(void **state)
{
	struct heap_node nodes[COUNT] = { 0 };
	uint32_t seed = 7;
	struct heap h;

	(void)state;
	heap_init(&h);
	for (unsigned step = 0; step < 5000; step++) {
		struct heap_node *n = &nodes[next(&seed) % COUNT];

		if (heap_holds(n)) {
			heap_remove(&h, n);
		} else {
			n->key = (uint64_t)next(&seed) * COUNT +
			    (uint64_t)(n - nodes);
			heap_add(&h, n);
		}
		assert_ptr_equal(heap_first(&h), least(nodes));
	}
	heap_release(&h);
}

static void
removing_twice_is_nothing(void **state)
{
	struct heap_node n = { 0 };
	struct heap h;

	(void)state;
	heap_init(&h);
	heap_remove(&h, &n);
	heap_add(&h, &n);
	heap_remove(&h, &n);
	heap_remove(&h, &n);
	assert_int_equal(h.count, 0);
	heap_release(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_in_order),
		cmocka_unit_test(removes_anywhere),
		cmocka_unit_test(removing_twice_is_nothing),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
