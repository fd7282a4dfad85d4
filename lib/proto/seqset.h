/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SEQSET_H
#define CHAPPE_PROTO_SEQSET_H

/*
 * Sets of message numbers: "2,4:7,9,12:*" (RFC 3501 9, sequence-set). A set
 * lives in the arena it was parsed into. As parsed it may hold "*", reversed
 * and overlapping ranges; seqset_resolve makes it sorted and disjoint.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/span.h"

struct seqrange {
	uint32_t from, to; /* 0 stands for "*" until resolved */
};

struct seqset {
	struct seqrange *ranges;
	size_t count;
};

/* Parses all of s. False when it is no sequence set (empty, a number 0 or
 * above 2^32-1, a stray byte) or the arena is full; *out untouched then. */
bool seqset_parse(struct span s, struct arena *a, struct seqset *out);

/* Replaces "*" by largest, turns "9:3" into 3:9, sorts and merges. With
 * largest 0 (an empty mailbox) "*" matches nothing. */
void seqset_resolve(struct seqset *set, uint32_t largest);

/* Is n in the set? Only on a resolved set; logarithmic. */
bool seqset_has(const struct seqset *set, uint32_t n);

/* Collects ascending numbers and prints them as the shortest set. */
struct seqset_writer {
	struct buf *out;
	uint32_t from, to; /* the range still open; 0 none */
	bool any;
};
void seqset_writer_init(struct seqset_writer *w, struct buf *out);
/* n must be above every number added before. */
void seqset_writer_add(struct seqset_writer *w, uint32_t n);
/* Writes what is open. True if anything was written at all. */
bool seqset_writer_finish(struct seqset_writer *w);

#endif
