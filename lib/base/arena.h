/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_ARENA_H
#define CHAPPE_BASE_ARENA_H

/*
 * An arena holds what lives and dies together: one for each SMTP transaction,
 * IMAP command or message load. Single pieces are never freed. It has a
 * maximum; passing it sets `spilt`, and further pieces still succeed (the
 * caller asks arena_ok at points where it can refuse input), up to twice the
 * maximum, beyond which it is our bug and the process ends.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/span.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used;                /* bytes handed out */
	size_t max;
	bool spilt;
};

/* Makes an empty arena of at most max bytes; allocates nothing yet. */
void arena_init(struct arena *a, size_t max);

/* Forgets every piece and frees the memory. Idempotent. */
void arena_reset(struct arena *a);

/* n zeroed bytes aligned for any type, never NULL; valid until the reset. */
void *arena_alloc(struct arena *a, size_t n);

/* A copy of the bytes, with a NUL after them that is not counted. */
struct span arena_dup(struct arena *a, struct span s);

/* A NUL-ended copy. */
char *arena_str(struct arena *a, struct span s);

/* False once more than the maximum was handed out. */
bool arena_ok(const struct arena *a);

#define ARENA_NEW(a, ptr) arena_alloc((a), sizeof(*(ptr)))

#endif
