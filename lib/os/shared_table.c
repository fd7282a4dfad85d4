/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/shared_table_impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/siphash.h"

_Static_assert(sizeof(struct header) <= HEADER_SIZE, "header");
_Static_assert(sizeof(struct record) == 64, "a record is one cache line");

/* ---- words ----
 * An id has its highest bit set when the record is owned by a key; a claim on
 * a record that is being made is the second in which it was begun. Meta and
 * values have the tag, 16 bits of the id, in their highest bits. */
#define ID_OWNED ((uint64_t)1 << 63)
#define VALUE_MASK (((uint64_t)1 << 48) - 1)
#define HALF_MASK (((uint64_t)1 << 24) - 1)

enum { TAG_SHIFT = 48, HALF_SHIFT = 24, TIME_UNIT_S = 4, CLAIM_S = 3,
	TRIES = 8 };

static uint64_t
tag_of(uint64_t id)
{
	return (id & 0xffff) << TAG_SHIFT;
}

static bool
has_tag(uint64_t word, uint64_t id)
{
	return (word & ~VALUE_MASK) == tag_of(id);
}

/* Meta: when in use last and for how long it lives, in units of 4 s. */
static uint64_t
meta_make(uint64_t id, int64_t now_s, int64_t ttl_s)
{
	const uint64_t now = (uint64_t)(now_s / TIME_UNIT_S) & HALF_MASK;
	const int64_t most = ttl_s < SHARED_TTL_MAX ? ttl_s : SHARED_TTL_MAX;

	return tag_of(id) | now << HALF_SHIFT |
	    ((uint64_t)(most / TIME_UNIT_S + 1) & HALF_MASK);
}

/* Units of 4 s since it was in use; 0 when the clock was set back. */
static uint64_t
meta_age(uint64_t meta, int64_t now_s)
{
	const uint64_t now = (uint64_t)(now_s / TIME_UNIT_S);
	const uint64_t age = (now - (meta >> HALF_SHIFT)) & HALF_MASK;

	return age > HALF_MASK / 2 ? 0 : age;
}

bool
shared_record_expired(uint64_t meta, int64_t now_s)
{
	return meta_age(meta, now_s) > (meta & HALF_MASK);
}

/* ---- finding records ---- */
static struct record *
bucket(struct shared_table *t, enum shared_area area, uint64_t id, int which)
{
	const uint32_t mask = shared_buckets[area] - 1;
	const uint32_t n = (uint32_t)(which == 0 ? id >> 16 : id >> 40) & mask;

	return t->area[area] + (size_t)n * WAYS;
}

static struct record *
find(struct shared_table *t, enum shared_area area, uint64_t id)
{
	for (int which = 0; which < 2; which++) {
		struct record *b = bucket(t, area, id, which);

		for (int i = 0; i < WAYS; i++)
			if (atomic_load(&b[i].id) == id)
				return &b[i];
	}
	return NULL;
}

/* How good it is to take this record's place: higher is better, 0 never. */
static uint64_t
merit(uint64_t id, uint64_t meta, int64_t now_s)
{
	if (id == 0)
		return UINT64_MAX;
	if (!(id & ID_OWNED))
		return now_s - (int64_t)id > CLAIM_S || now_s < (int64_t)id ?
		    UINT64_MAX : 0;
	if (!has_tag(meta, id) || shared_record_expired(meta, now_s))
		return UINT64_MAX - 1;
	return meta_age(meta, now_s) + 1;
}

static struct record *
choose(struct shared_table *t, enum shared_area area, uint64_t id,
    int64_t now_s, uint64_t *out_old)
{
	struct record *best = NULL;
	uint64_t best_merit = 0;

	for (int i = 0; i < 2 * WAYS; i++) {
		struct record *r = bucket(t, area, id, i / WAYS) + i % WAYS;
		const uint64_t old = atomic_load(&r->id);
		const uint64_t m = merit(old, atomic_load(&r->meta), now_s);

		if (m > best_merit) {
			best = r;
			best_merit = m;
			*out_old = old;
		}
	}
	return best;
}

/* Of two processes that made the same record at once the one found first by
 * all stays. */
static struct record *
settle_twins(struct shared_table *t, enum shared_area area, uint64_t id,
    struct record *mine)
{
	struct record *first = find(t, area, id);
	uint64_t expected = id;

	if (first == NULL || first == mine)
		return mine;
	atomic_compare_exchange_strong(&mine->id, &expected, 0);
	return first;
}

/* The key's record, made if need be; NULL when there is no room now. */
static struct record *
obtain(struct shared_table *t, enum shared_area area, uint64_t id,
    int64_t now_s, int64_t ttl_s)
{
	struct record *r = find(t, area, id);

	if (r != NULL && !shared_record_expired(atomic_load(&r->meta), now_s))
		return r;
	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t old = id;

		/* One of its own that has run out begins anew in its place. */
		if (r == NULL)
			r = choose(t, area, id, now_s, &old);
		if (r == NULL)
			return NULL;
		if (!atomic_compare_exchange_strong(&r->id, &old,
			(uint64_t)now_s & ~ID_OWNED)) {
			r = NULL;
			continue;
		}
		for (int i = 0; i < SHARED_WORDS; i++)
			atomic_store(&r->word[i], tag_of(id));
		atomic_store(&r->meta, meta_make(id, now_s, ttl_s));
		atomic_store(&r->id, id);
		return settle_twins(t, area, id, r);
	}
	return NULL;
}

static void
touch(struct record *r, uint64_t id, int64_t now_s, int64_t ttl_s)
{
	const uint64_t meta = meta_make(id, now_s, ttl_s);
	uint64_t old = atomic_load(&r->meta);

	while (old != meta && has_tag(old, id) &&
	    !atomic_compare_exchange_weak(&r->meta, &old, meta))
		;
}

static void
note_change(struct shared_table *t, enum shared_area area)
{
	if (area != SHARED_RATES && atomic_load(&t->header->changed) == 0)
		atomic_store(&t->header->changed, 1);
}

uint64_t
shared_table_key(const struct shared_table *t, const char *what,
    struct span whom)
{
	struct buf text;
	uint64_t key;

	buf_init(&text, 4096);
	buf_add(&text, span_str(what));
	buf_byte(&text, 0);
	buf_add(&text, span_slice(whom, 0, 2048));
	key = siphash(t->header->seed, buf_span(&text)) | ID_OWNED;
	buf_release(&text);
	return key;
}

/* ---- events ---- */
/* The count in a value, whose upper half is when its unit began. */
static uint32_t
count_now(uint64_t value, int64_t now_s, int64_t unit_s)
{
	const uint64_t age =
	    ((uint64_t)now_s - (value >> HALF_SHIFT)) & HALF_MASK;

	return age < (uint64_t)unit_s ? (uint32_t)(value & HALF_MASK) : 0;
}

bool
shared_table_count(struct shared_table *t, enum shared_area area,
    uint64_t key, unsigned i, uint32_t n, uint32_t limit, int64_t now_s,
    int64_t unit_s, uint32_t *out_count)
{
	struct record *r = n > 0 ? obtain(t, area, key, now_s, unit_s) :
				   find(t, area, key);
	uint64_t old = r != NULL ? atomic_load(&r->word[i]) : 0, next;
	uint32_t count = n;

	BUG_ON(i >= SHARED_WORDS || unit_s <= 0 || unit_s > SHARED_UNIT_MAX);
	while (r != NULL && has_tag(old, key)) {
		const uint32_t before = count_now(old, now_s, unit_s);
		const uint64_t start = before > 0 ?
		    old >> HALF_SHIFT & HALF_MASK :
		    (uint64_t)now_s & HALF_MASK;

		count = before + n < SHARED_COUNT_MAX ? before + n :
							SHARED_COUNT_MAX;
		if (n == 0 || (limit > 0 && count > limit))
			break;
		next = tag_of(key) | start << HALF_SHIFT | count;
		if (atomic_compare_exchange_weak(&r->word[i], &old, next)) {
			touch(r, key, now_s, unit_s);
			note_change(t, area);
			break;
		}
	}
	if (out_count != NULL)
		*out_count = count;
	return limit == 0 || count <= limit;
}

/* ---- memories ---- */
void
shared_table_put(struct shared_table *t, enum shared_area area, uint64_t key,
    unsigned i, uint64_t value, int64_t now_s, int64_t ttl_s)
{
	struct record *r = obtain(t, area, key, now_s, ttl_s);
	const uint64_t next = tag_of(key) | (value & VALUE_MASK);
	uint64_t old;

	BUG_ON(i >= SHARED_WORDS);
	if (r == NULL)
		return;
	old = atomic_load(&r->word[i]);
	while (has_tag(old, key) &&
	    !atomic_compare_exchange_weak(&r->word[i], &old, next))
		;
	touch(r, key, now_s, ttl_s);
	note_change(t, area);
}

bool
shared_table_get(struct shared_table *t, enum shared_area area, uint64_t key,
    int64_t now_s, uint64_t out[SHARED_WORDS])
{
	struct record *r = find(t, area, key);
	uint64_t found[SHARED_WORDS];

	if (r == NULL || shared_record_expired(atomic_load(&r->meta), now_s))
		return false;
	for (int i = 0; i < SHARED_WORDS; i++) {
		const uint64_t word = atomic_load(&r->word[i]);

		if (!has_tag(word, key))
			return false;
		found[i] = word & VALUE_MASK;
	}
	memcpy(out, found, sizeof(found));
	return true;
}

void
shared_table_forget(struct shared_table *t, enum shared_area area,
    uint64_t key)
{
	struct record *r = find(t, area, key);

	if (r != NULL)
		atomic_compare_exchange_strong(&r->id, &key, 0);
	note_change(t, area);
}

void
shared_record_restore(struct shared_table *t, enum shared_area area,
    uint64_t id, uint64_t meta, const uint64_t word[SHARED_WORDS],
    int64_t now_s)
{
	struct record *r;

	if (!(id & ID_OWNED) || !has_tag(meta, id) ||
	    shared_record_expired(meta, now_s) || find(t, area, id) != NULL)
		return;
	for (int i = 0; i < SHARED_WORDS; i++)
		if (!has_tag(word[i], id))
			return;
	r = obtain(t, area, id, now_s, 1);
	if (r == NULL)
		return;
	for (int i = 0; i < SHARED_WORDS; i++)
		atomic_store(&r->word[i], word[i]);
	atomic_store(&r->meta, meta);
}

/* ---- the memory ---- */
static size_t
area_size(int area)
{
	return (size_t)shared_buckets[area] * WAYS * sizeof(struct record);
}

static size_t
total_size(void)
{
	size_t size = HEADER_SIZE;

	for (int a = 0; a < SHARED_AREAS; a++)
		size += area_size(a);
	size += (size_t)MEMBERS * HOLD_BUCKETS * sizeof(struct hold_bucket);
	return size + (size_t)MEMBERS * SHARED_PEAKS * sizeof(struct peak);
}

int
shared_table_create(int *out_fd, struct err *e)
{
	const int fd = memfd_create("chappe-shared",
	    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct header h = { .layout = LAYOUT };

	BUG_ON(getrandom(h.seed, sizeof(h.seed), 0) != sizeof(h.seed));
	if (fd < 0)
		return err_sys(e, "shared table");
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    ftruncate(fd, (off_t)total_size()) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
		F_SEAL_SEAL) != 0) {
		err_sys(e, "shared table");
		close(fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}

static void
place_parts(struct shared_table *t)
{
	uint8_t *at = t->map + HEADER_SIZE;

	t->header = (struct header *)(void *)t->map;
	for (int a = 0; a < SHARED_AREAS; a++) {
		t->area[a] = (struct record *)(void *)at;
		at += area_size(a);
	}
	t->holds = (struct hold_bucket *)(void *)at;
	at += (size_t)MEMBERS * HOLD_BUCKETS * sizeof(struct hold_bucket);
	t->peaks = (struct peak *)(void *)at;
}

/* The lock that tells the living from the dead: of the process, not of the
 * descriptor, so it ends with the process and is not passed on. */
static bool
lock_byte(struct shared_table *t, unsigned m, int command, struct flock *out)
{
	*out = (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)m,
		.l_len = 1,
	};
	return fcntl(t->fd, command, out) == 0;
}

bool
shared_member_lives(struct shared_table *t, unsigned m)
{
	struct flock lock;

	return m == t->self || !lock_byte(t, m, F_GETLK, &lock) ||
	    lock.l_type != F_UNLCK;
}

/* A member starts with nothing held, whatever its predecessor left. */
static void
begin_member(struct shared_table *t, unsigned m)
{
	const size_t size = HOLD_BUCKETS * sizeof(struct hold_bucket);
	struct hold_bucket *holds = t->holds + (size_t)m * HOLD_BUCKETS;
	uint32_t end = atomic_load(&t->header->members_end);

	atomic_store(&t->header->member[m].pid, 0);
	if (madvise(holds, size, MADV_REMOVE) != 0)
		memset(holds, 0, size);
	memset(t->peaks + (size_t)m * SHARED_PEAKS, 0,
	    SHARED_PEAKS * sizeof(struct peak));
	t->self = m;
	atomic_store(&t->header->member[m].room, 0);
	atomic_store(&t->header->member[m].pid, (uint32_t)getpid());
	while (end < m + 1 && !atomic_compare_exchange_weak(
		&t->header->members_end, &end, m + 1))
		;
}

static int
join(struct shared_table *t, struct err *e)
{
	struct flock lock;

	for (unsigned m = 0; m < MEMBERS; m++)
		if (lock_byte(t, m, F_SETLK, &lock)) {
			begin_member(t, m);
			return 0;
		}
	return err_set(e, ERR_TEMP, "4.3.0", "shared table: no place left");
}

int
shared_table_attach(int fd, struct shared_table **out, struct err *e)
{
	struct shared_table *t = MEM_NEW(t);
	struct stat st;

	t->fd = fd;
	t->size = total_size();
	if (fstat(fd, &st) != 0 || st.st_size != (off_t)t->size)
		err_set(e, ERR_TEMP, "4.3.0", "shared table: wrong size");
	else if ((t->map = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0)) == MAP_FAILED)
		err_sys(e, "shared table");
	else {
		place_parts(t);
		if (t->header->layout != LAYOUT)
			err_set(e, ERR_TEMP, "4.3.0",
			    "shared table: of another release");
		else if (join(t, e) == 0) {
			*out = t;
			return 0;
		}
		munmap(t->map, t->size);
	}
	close(fd);
	mem_free(t);
	return -1;
}

void
shared_table_free(struct shared_table **ref)
{
	struct shared_table *t = *ref;

	if (t == NULL)
		return;
	atomic_store(&t->header->member[t->self].pid, 0);
	munmap(t->map, t->size);
	close(t->fd);
	mem_free(t);
	*ref = NULL;
}

bool
shared_table_turn(struct shared_table *t, unsigned job, int64_t now_s,
    int64_t period_s)
{
	_Atomic uint64_t *turn = &t->header->turn[job];
	uint64_t last = atomic_load(turn);

	BUG_ON(job >= JOBS);
	/* A clock that was set back must not end the job for good. */
	if (now_s >= (int64_t)last && now_s - (int64_t)last < period_s)
		return false;
	return atomic_compare_exchange_strong(turn, &last, (uint64_t)now_s);
}
