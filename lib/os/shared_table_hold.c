/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/shared_table_impl.h"

#include <string.h>

#include "lib/base/mem.h"

/*
 * What is held, and peaks: memory that one process alone writes and the
 * others read. So there is nothing to lock and nothing to give back.
 */

enum { COUNT_BITS = 24 };
#define COUNT_MASK (((uint64_t)1 << COUNT_BITS) - 1)

/* ---- held ---- */
static struct hold_bucket *
hold_bucket(struct shared_table *t, unsigned m, uint64_t key, int which)
{
	const uint64_t n = which == 0 ? key : key >> 12;

	return t->holds + (size_t)m * HOLD_BUCKETS +
	    (n & (HOLD_BUCKETS - 1));
}

static bool
is_of(uint64_t entry, uint64_t key)
{
	return (entry ^ key) >> COUNT_BITS == 0;
}

/* This process's entry of the key; else a free one, NULL when there is
 * none. */
static _Atomic uint64_t *
own_entry(struct shared_table *t, uint64_t key)
{
	_Atomic uint64_t *free_entry = NULL;

	for (int i = 0; i < 2 * WAYS; i++) {
		struct hold_bucket *b =
		    hold_bucket(t, t->self, key, i / WAYS);
		_Atomic uint64_t *entry = &b->entry[i % WAYS];
		const uint64_t now = atomic_load(entry);

		if (now != 0 && is_of(now, key))
			return entry;
		if ((now & COUNT_MASK) == 0 && free_entry == NULL)
			free_entry = entry;
	}
	return free_entry;
}

static unsigned
held_by(struct shared_table *t, unsigned m, uint64_t key)
{
	unsigned n = 0;

	for (int i = 0; i < 2 * WAYS; i++) {
		struct hold_bucket *b = hold_bucket(t, m, key, i / WAYS);
		const uint64_t now = atomic_load(&b->entry[i % WAYS]);

		if (is_of(now, key))
			n += (unsigned)(now & COUNT_MASK);
	}
	/* Both places may be the same bucket. */
	return hold_bucket(t, m, key, 0) == hold_bucket(t, m, key, 1) ?
	    n / 2 : n;
}

/* Is it the process it seems to be? Notes when it is not. */
static bool
is_alive(struct shared_table *t, unsigned m, uint32_t pid)
{
	if (shared_member_lives(t, m))
		return true;
	atomic_compare_exchange_strong(&t->header->member[m].pid, &pid, 0);
	return false;
}

static unsigned
held(struct shared_table *t, uint64_t key, bool closely)
{
	const uint32_t end = atomic_load(&t->header->members_end);
	unsigned total = 0;

	for (unsigned m = 0; m < end && m < MEMBERS; m++) {
		const uint32_t pid = atomic_load(&t->header->member[m].pid);
		const unsigned n = pid != 0 ? held_by(t, m, key) : 0;

		if (n > 0 && (!closely || is_alive(t, m, pid)))
			total += n;
	}
	return total;
}

unsigned
shared_table_hold(struct shared_table *t, uint64_t key, unsigned limit,
    bool *out_held)
{
	_Atomic uint64_t *entry = own_entry(t, key);
	unsigned total;

	*out_held = entry != NULL;
	if (entry != NULL) {
		const uint64_t count = atomic_load(entry) & COUNT_MASK;

		BUG_ON(count == COUNT_MASK);
		atomic_store(entry, (key & ~COUNT_MASK) | (count + 1));
	}
	total = held(t, key, false);
	if (limit > 0 && total > limit)
		total = held(t, key, true);
	return entry != NULL ? total : total + 1;
}

void
shared_table_drop(struct shared_table *t, uint64_t key)
{
	_Atomic uint64_t *entry = own_entry(t, key);
	const uint64_t now = entry != NULL ? atomic_load(entry) : 0;

	BUG_ON(!is_of(now, key) || (now & COUNT_MASK) == 0);
	/* An entry of nothing is nobody's. */
	atomic_store(entry, (now & COUNT_MASK) == 1 ? 0 : now - 1);
}

/* ---- room ---- */
void
shared_table_set_room(struct shared_table *t, uint64_t key, uint32_t room)
{
	struct member *self = &t->header->member[t->self];

	atomic_store(&self->room_key, key);
	atomic_store(&self->room, room);
}

uint32_t
shared_table_others_room(struct shared_table *t, uint64_t key)
{
	const uint32_t end = atomic_load(&t->header->members_end);
	uint32_t total = 0;

	for (unsigned m = 0; m < end && m < MEMBERS; m++) {
		struct member *other = &t->header->member[m];
		const uint32_t pid = atomic_load(&other->pid);
		const uint32_t room = atomic_load(&other->room);

		if (m != t->self && pid != 0 && room > 0 &&
		    atomic_load(&other->room_key) == key &&
		    is_alive(t, m, pid))
			total += room;
	}
	return total;
}

/* ---- peaks ---- */
void
shared_table_peak(struct shared_table *t, unsigned i, uint32_t value,
    int64_t now_s, const char *who)
{
	struct peak *p = t->peaks + (size_t)t->self * SHARED_PEAKS + i;
	const uint32_t epoch = atomic_load(&t->header->peak_epoch);

	BUG_ON(i >= SHARED_PEAKS);
	if (atomic_load(&p->epoch) == epoch && value <= p->peak.value)
		return;
	atomic_fetch_add(&p->seq, 1);
	p->peak.value = value;
	p->peak.time_s = now_s;
	memset(p->peak.who, 0, sizeof(p->peak.who));
	memcpy(p->peak.who, who, strnlen(who, sizeof(p->peak.who) - 1));
	atomic_store(&p->epoch, epoch);
	atomic_fetch_add(&p->seq, 1);
}

/* A copy of another process's peak; false while it is being written. */
static bool
read_peak(const struct peak *p, uint32_t epoch, struct shared_peak *out)
{
	const uint32_t seq = atomic_load(&p->seq);

	if (seq % 2 != 0 || atomic_load(&p->epoch) != epoch)
		return false;
	memcpy(out, &p->peak, sizeof(*out));
	out->who[sizeof(out->who) - 1] = '\0';
	atomic_thread_fence(memory_order_acquire);
	return atomic_load(&p->seq) == seq;
}

void
shared_table_peaks(struct shared_table *t,
    struct shared_peak out[SHARED_PEAKS])
{
	const uint32_t end = atomic_load(&t->header->members_end);
	const uint32_t epoch = atomic_fetch_add(&t->header->peak_epoch, 1);
	struct shared_peak one;

	memset(out, 0, SHARED_PEAKS * sizeof(*out));
	for (unsigned m = 0; m < end && m < MEMBERS; m++)
		for (unsigned i = 0; i < SHARED_PEAKS; i++) {
			const struct peak *p =
			    t->peaks + (size_t)m * SHARED_PEAKS + i;

			if (read_peak(p, epoch, &one) &&
			    one.value > out[i].value)
				out[i] = one;
		}
}
