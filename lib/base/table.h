/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_TABLE_H
#define CHAPPE_BASE_TABLE_H

/*
 * A hash table from bytes to pointers. Keys are copied; values are the
 * caller's. Order is unspecified.
 */

#include <stddef.h>

#include "lib/base/span.h"

struct table_entry;

struct table {
	struct table_entry **slots;
	size_t slot_count; /* power of two, or 0 */
	size_t count;
};

void table_init(struct table *t);

/* Frees keys and slots, not the values. */
void table_release(struct table *t);

/* The value under the key, or NULL. */
void *table_get(const struct table *t, struct span key);

/* Sets the value (not NULL); returns the one that stood there, or NULL. */
void *table_put(struct table *t, struct span key, void *value);

/* Removes the key; returns its value, or NULL. */
void *table_remove(struct table *t, struct span key);

/* Steps through all entries: start with *cursor NULL; false at the end. The
 * entry just returned may be removed, nothing else may change meanwhile. */
struct table_iter {
	size_t slot;
	struct table_entry *next;
};
void table_iter_init(const struct table *t, struct table_iter *it);
bool table_iter_next(const struct table *t, struct table_iter *it,
    struct span *out_key, void **out_value);

#endif
