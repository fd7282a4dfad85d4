/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_SHARED_TABLE_IMPL_H
#define CHAPPE_OS_SHARED_TABLE_IMPL_H

/* Private to lib/os/shared_table*.c: the layout of the memory. Every member
 * that another process may write is atomic and read once. */

#include <stdatomic.h>

#include "lib/os/shared_table.h"

enum {
	MEMBERS = 256,
	WAYS = 8,            /* records of a bucket, entries of one */
	HOLD_BUCKETS = 4096, /* of each member: 256 KB, if they are used */
	JOBS = 8,
	HEADER_SIZE = 16384,
	LAYOUT = 1,          /* of this file; nothing else has this number */
};

/* Records of an area. */
static const uint32_t shared_buckets[SHARED_AREAS] = {
	[SHARED_RATES] = 8192,
	[SHARED_SCREEN] = 16384,
	[SHARED_GREY] = 32768,
	[SHARED_QUOTA] = 4096,
};

/* One cache line. */
struct record {
	_Atomic uint64_t id;   /* 0: free; see ID_OWNED */
	_Atomic uint64_t meta; /* tag, when last in use, how long it lives */
	_Atomic uint64_t word[SHARED_WORDS];
};

/* Eight numbers of held things: the key's upper 40 bits above 24 of count. */
struct hold_bucket {
	_Atomic uint64_t entry[WAYS];
};

/* Written by one process only; seq is odd while it writes. */
struct peak {
	_Atomic uint32_t seq;
	_Atomic uint32_t epoch;
	struct shared_peak peak;
};

struct member {
	_Atomic uint32_t pid; /* 0: nobody, or found dead */
	_Atomic uint32_t room;
	_Atomic uint64_t room_key;
};

enum load_state { LOAD_NONE, LOAD_BEGUN, LOAD_DONE };

struct header {
	uint32_t layout;
	_Atomic uint32_t load;      /* enum load_state | member << 8 */
	uint64_t seed[2];           /* before LOAD_DONE the loader's to set */
	_Atomic uint32_t members_end; /* no member beyond was ever taken */
	_Atomic uint32_t changed;
	_Atomic uint32_t peak_epoch;
	_Atomic uint64_t turn[JOBS]; /* second of the last one */
	struct member member[MEMBERS];
};

struct shared_table {
	int fd;
	uint8_t *map;
	size_t size;
	struct header *header;
	struct record *area[SHARED_AREAS];
	struct hold_bucket *holds; /* of member 0, then 1, ... */
	struct peak *peaks;        /* the same */
	unsigned self;
};

/* Puts a whole record back; what is there already stays. */
void shared_record_restore(struct shared_table *t, enum shared_area area,
    uint64_t id, uint64_t meta, const uint64_t word[SHARED_WORDS],
    int64_t now_s);
/* Has the record of this meta word run out? */
bool shared_record_expired(uint64_t meta, int64_t now_s);
/* Does the member's process live? What the kernel says. */
bool shared_member_lives(struct shared_table *t, unsigned m);

#endif
