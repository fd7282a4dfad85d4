/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/table.h"

#include "lib/base/mem.h"

enum { TABLE_FIRST = 16 };

struct table_entry {
	struct table_entry *next;
	uint64_t hash;
	void *value;
	size_t key_n;
	uint8_t key[];
};

void
table_init(struct table *t)
{
	*t = (struct table){ 0 };
}

void
table_release(struct table *t)
{
	for (size_t i = 0; i < t->slot_count; i++) {
		struct table_entry *e = t->slots[i];

		while (e != NULL) {
			struct table_entry *next = e->next;

			mem_free(e);
			e = next;
		}
	}
	mem_free(t->slots);
	table_init(t);
}

/* The link that points at the key's entry, or at the end of its chain. */
static struct table_entry **
find(const struct table *t, struct span key, uint64_t hash)
{
	struct table_entry **link = &t->slots[hash & (t->slot_count - 1)];

	while (*link != NULL &&
	    ((*link)->hash != hash ||
		!span_eq(span_of((*link)->key, (*link)->key_n), key)))
		link = &(*link)->next;
	return link;
}

static void
grow(struct table *t)
{
	struct table next = { .count = t->count };

	next.slot_count = t->slot_count > 0 ? t->slot_count * 2 : TABLE_FIRST;
	next.slots = mem_zalloc(next.slot_count * sizeof(next.slots[0]));
	for (size_t i = 0; i < t->slot_count; i++) {
		struct table_entry *e = t->slots[i];

		while (e != NULL) {
			struct table_entry *after = e->next;
			struct table_entry **slot =
			    &next.slots[e->hash & (next.slot_count - 1)];

			e->next = *slot;
			*slot = e;
			e = after;
		}
	}
	mem_free(t->slots);
	*t = next;
}

void *
table_get(const struct table *t, struct span key)
{
	struct table_entry *e;

	if (t->count == 0)
		return NULL;
	e = *find(t, key, span_hash(key));
	return e != NULL ? e->value : NULL;
}

void *
table_put(struct table *t, struct span key, void *value)
{
	const uint64_t hash = span_hash(key);
	struct table_entry **link, *e;
	void *old = NULL;

	BUG_ON(value == NULL);
	if (t->count >= t->slot_count)
		grow(t);
	link = find(t, key, hash);
	if (*link != NULL) {
		old = (*link)->value;
		(*link)->value = value;
		return old;
	}
	e = mem_zalloc(sizeof(*e) + key.n);
	e->hash = hash;
	e->value = value;
	e->key_n = key.n;
	if (key.n > 0)
		memcpy(e->key, key.p, key.n);
	*link = e;
	t->count++;
	return NULL;
}

void *
table_remove(struct table *t, struct span key)
{
	struct table_entry **link, *e;
	void *value;

	if (t->count == 0)
		return NULL;
	link = find(t, key, span_hash(key));
	e = *link;
	if (e == NULL)
		return NULL;
	value = e->value;
	*link = e->next;
	mem_free(e);
	t->count--;
	return value;
}

void
table_iter_init(const struct table *t, struct table_iter *it)
{
	*it = (struct table_iter){ .slot = 0 };
	if (t->slot_count > 0)
		it->next = t->slots[0];
}

bool
table_iter_next(const struct table *t, struct table_iter *it,
    struct span *out_key, void **out_value)
{
	struct table_entry *e;

	while (it->next == NULL) {
		if (++it->slot >= t->slot_count)
			return false;
		it->next = t->slots[it->slot];
	}
	e = it->next;
	it->next = e->next;
	*out_key = span_of(e->key, e->key_n);
	*out_value = e->value;
	return true;
}
