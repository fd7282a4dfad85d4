/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/shared_table_impl.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/crc.h"

/*
 * The records that outlive a restart, as a file: a head, then the areas'
 * records one after the other. In the host's byte order: it never leaves the
 * host. docs/FORMATS.md has it byte by byte.
 */

enum { WAIT_ROUNDS = 1000, WAIT_NS = 5000000 };

struct file_head {
	char magic[8];
	uint32_t order; /* 0x01020304 */
	uint32_t crc;   /* crc32c of all that follows */
	uint64_t seed[2];
	uint32_t count[SHARED_AREAS];
};

struct file_record {
	uint64_t id, meta, word[SHARED_WORDS];
};

static const char magic[8] = { 'C', 'h', 'a', 'p', 'S', 'h', 'd', '1' };
enum { ORDER = 0x01020304, CRC_FROM = 16 };

_Static_assert(sizeof(struct file_head) == 48, "no padding");

/* ---- who loads ---- */
bool
shared_table_must_load(struct shared_table *t)
{
	const struct timespec pause = { 0, WAIT_NS };
	const uint32_t begun = LOAD_BEGUN | t->self << 8;

	for (int i = 0; i < WAIT_ROUNDS; i++) {
		uint32_t now = atomic_load(&t->header->load);

		if ((now & 0xff) == LOAD_DONE)
			return false;
		/* A claim in our own place is a dead predecessor's. */
		if (((now & 0xff) == LOAD_NONE || now >> 8 == t->self ||
			!shared_member_lives(t, now >> 8)) &&
		    atomic_compare_exchange_strong(&t->header->load, &now,
			begun))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int
check(struct span file, struct file_head *head, struct err *e)
{
	size_t count = 0;

	if (file.n < sizeof(*head))
		return err_set(e, ERR_PERM, "5.3.0", "too short");
	memcpy(head, file.p, sizeof(*head));
	if (memcmp(head->magic, magic, sizeof(magic)) != 0 ||
	    head->order != ORDER)
		return err_set(e, ERR_PERM, "5.3.0", "of another kind");
	for (int a = 0; a < SHARED_AREAS; a++)
		count += head->count[a];
	if (file.n != sizeof(*head) + count * sizeof(struct file_record) ||
	    head->crc != crc32c(0, span_skip(file, CRC_FROM)))
		return err_set(e, ERR_PERM, "5.3.0", "damaged");
	return 0;
}

int
shared_table_load(struct shared_table *t, struct span file, int64_t now_s,
    struct err *e)
{
	struct file_head head;
	int ret = 0;

	if (file.n > 0)
		ret = check(file, &head, e);
	if (file.n > 0 && ret == 0) {
		struct span rest = span_skip(file, sizeof(head));

		memcpy(t->header->seed, head.seed, sizeof(head.seed));
		for (int a = 0; a < SHARED_AREAS; a++)
			for (uint32_t i = 0; i < head.count[a]; i++) {
				struct file_record r;

				memcpy(&r, rest.p, sizeof(r));
				rest = span_skip(rest, sizeof(r));
				shared_record_restore(t, (enum shared_area)a,
				    r.id, r.meta, r.word, now_s);
			}
	}
	atomic_store(&t->header->load, LOAD_DONE);
	return ret;
}

/* ---- saving ---- */
bool
shared_table_changed(struct shared_table *t)
{
	return atomic_exchange(&t->header->changed, 0) != 0;
}

/* A copy of a record that had one owner all the while. */
static bool
copy(struct record *r, int64_t now_s, struct file_record *out)
{
	out->id = atomic_load(&r->id);
	if (out->id >> 63 == 0)
		return false;
	out->meta = atomic_load(&r->meta);
	for (int i = 0; i < SHARED_WORDS; i++)
		out->word[i] = atomic_load(&r->word[i]);
	return atomic_load(&r->id) == out->id &&
	    !shared_record_expired(out->meta, now_s);
}

/* The next record of the area, from index i on, whose memory exists at all:
 * to read the rest would make it. */
static size_t
next_used(const struct shared_table *t, int area, size_t i)
{
	const size_t page = 4096 / sizeof(struct record);
	const off_t base = (off_t)((uint8_t *)t->area[area] - t->map);
	off_t at;

	if (i % page != 0)
		return i;
	at = lseek(t->fd, base + (off_t)(i * sizeof(struct record)),
	    SEEK_DATA);
	return at < 0 ? SIZE_MAX :
	    (size_t)(at - base) / sizeof(struct record);
}

static uint32_t
save_area(struct shared_table *t, int area, int64_t now_s, struct buf *out)
{
	const size_t end = (size_t)shared_buckets[area] * WAYS;
	struct file_record record;
	uint32_t count = 0;

	for (size_t i = next_used(t, area, 0); i < end;
	    i = next_used(t, area, i + 1)) {
		if (!copy(&t->area[area][i], now_s, &record))
			continue;
		buf_add(out, span_of(&record, sizeof(record)));
		count++;
	}
	return count;
}

void
shared_table_save(struct shared_table *t, int64_t now_s, struct buf *out)
{
	struct file_head head = { .order = ORDER };
	const size_t at = buf_span(out).n;
	uint8_t *p;

	memcpy(head.magic, magic, sizeof(magic));
	memcpy(head.seed, t->header->seed, sizeof(head.seed));
	buf_add(out, span_of(&head, sizeof(head)));
	for (int a = SHARED_RATES + 1; a < SHARED_AREAS; a++)
		head.count[a] = save_area(t, a, now_s, out);
	if (!buf_ok(out))
		return;
	p = out->p + at;
	memcpy(p, &head, sizeof(head));
	head.crc = crc32c(0, span_skip(
	    span_slice(buf_span(out), at, buf_span(out).n), CRC_FROM));
	memcpy(p, &head, sizeof(head));
}
