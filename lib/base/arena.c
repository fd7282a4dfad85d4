/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/arena.h"

#include <stdalign.h>

#include "lib/base/mem.h"

/* Each block is twice as large as the one before. */
enum { ARENA_FIRST = 480, ARENA_BLOCK = 4000 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

void
arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		mem_free(b);
	}
	arena_init(a, a->max);
}

static size_t
usual_size(const struct arena_block *last)
{
	if (last == NULL)
		return ARENA_FIRST;
	return last->size < ARENA_BLOCK / 2 ? 2 * last->size : ARENA_BLOCK;
}

static struct arena_block *
block_for(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	const size_t usual = usual_size(b);
	const size_t size = n > usual ? n : usual;

	if (b != NULL && n <= b->size - b->used)
		return b;
	b = mem_zalloc(sizeof(*b) + size);
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b;
	void *p;

	n = (n + align - 1) / align * align;
	a->used += n;
	if (a->used > a->max)
		a->spilt = true;
	BUG_ON(a->used / 2 > a->max);
	b = block_for(a, n);
	p = b->data + b->used;
	b->used += n;
	return p;
}

struct span
arena_dup(struct arena *a, struct span s)
{
	return span_of(arena_str(a, s), s.n);
}

char *
arena_str(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

bool
arena_ok(const struct arena *a)
{
	return !a->spilt;
}
