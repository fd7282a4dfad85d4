/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/heap.h"

#include "lib/base/mem.h"

void
heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void
heap_release(struct heap *h)
{
	mem_free(h->nodes);
	heap_init(h);
}

static bool
before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void
put(struct heap *h, size_t i, struct heap_node *n)
{
	h->nodes[i] = n;
	n->at = i + 1;
}

static void
rise(struct heap *h, size_t i, struct heap_node *n)
{
	while (i > 0 && before(n, h->nodes[(i - 1) / 2])) {
		put(h, i, h->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, n);
}

static void
sink(struct heap *h, size_t i, struct heap_node *n)
{
	size_t child;

	while ((child = 2 * i + 1) < h->count) {
		if (child + 1 < h->count &&
		    before(h->nodes[child + 1], h->nodes[child]))
			child++;
		if (!before(h->nodes[child], n))
			break;
		put(h, i, h->nodes[child]);
		i = child;
	}
	put(h, i, n);
}

void
heap_add(struct heap *h, struct heap_node *n)
{
	BUG_ON(n->at != 0);
	if (h->count == h->room) {
		h->room = h->room == 0 ? 64 : 2 * h->room;
		h->nodes = mem_resize(h->nodes, h->room, sizeof(*h->nodes));
	}
	rise(h, h->count++, n);
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	const size_t i = n->at - 1;
	struct heap_node *last;

	if (n->at == 0)
		return;
	BUG_ON(i >= h->count || h->nodes[i] != n);
	n->at = 0;
	last = h->nodes[--h->count];
	if (last == n)
		return;
	if (i > 0 && before(last, h->nodes[(i - 1) / 2]))
		rise(h, i, last);
	else
		sink(h, i, last);
}

struct heap_node *
heap_first(const struct heap *h)
{
	return h->count > 0 ? h->nodes[0] : NULL;
}
