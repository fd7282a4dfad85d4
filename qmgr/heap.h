/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_HEAP_H
#define CHAPPE_QMGR_HEAP_H

/*
 * A binary heap whose nodes live inside the elements: the least key first,
 * and among equal keys the least order. It owns only its array of pointers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t key, order;
	size_t at; /* place in the heap plus one; 0: in none */
};

struct heap {
	struct heap_node **nodes;
	size_t count, room;
};

void heap_init(struct heap *h);
void heap_release(struct heap *h);

/* The node must be in no heap (at 0). */
void heap_add(struct heap *h, struct heap_node *n);
/* In no heap: nothing happens. */
void heap_remove(struct heap *h, struct heap_node *n);
/* The first, or NULL. */
struct heap_node *heap_first(const struct heap *h);

static inline bool
heap_holds(const struct heap_node *n)
{
	return n->at != 0;
}

#endif
