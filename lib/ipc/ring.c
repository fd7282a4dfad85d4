/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/ring.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define RING_MAGIC UINT64_C(0x31474f4c50414843) /* "CHAPLOG1" */

enum {
	RING_HEAD = 4096,
	RING_SIZE_MIN = 4096,
	RING_SIZE_MAX = 16 << 20,
	RECORD_HEAD = 32,
	QID_MAX = 15,
	WHAT_MAX = 64,
	TAG_MAX = 128,
	RECORD_MAX = RECORD_HEAD + QID_MAX + WHAT_MAX + TAG_MAX +
	    LIMIT_LOG_LINE + 7,
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

/* The first page. Places only ever grow; modulo the size they are offsets
 * into the bytes after the page. */
struct shared {
	uint64_t magic;
	uint64_t size;
	_Alignas(64) _Atomic uint64_t head; /* written by the writer */
	_Alignas(64) _Atomic uint64_t tail; /* written by the reader */
	_Atomic uint32_t sleeping;
	_Atomic uint32_t lost_lines;
	/* ring_intend */
	_Atomic uint64_t intent_tail, intent_inode, intent_end;
	_Atomic uint32_t lost_events;
};
_Static_assert(sizeof(struct shared) <= RING_HEAD, "one page");

struct record_head {
	uint32_t length; /* of all, a multiple of 8 */
	uint8_t kind, level, qid_n, what_n;
	int64_t time_us;
	uint64_t trace;
	uint16_t tag_n, text_n;
	uint32_t zero;
};
_Static_assert(sizeof(struct record_head) == RECORD_HEAD, "no padding");

struct ring {
	pthread_mutex_t lock; /* writers of this process */
	struct shared *shared;
	uint8_t *bytes;
	uint64_t size;        /* our own copy: the shared one may change */
	int memory_fd, event_fd;
	uint64_t cursor;      /* reader: taken up to here */
	uint8_t record[RECORD_MAX];
};

static int
map(struct ring *r, struct err *e)
{
	void *p = mmap(NULL, RING_HEAD + r->size, PROT_READ | PROT_WRITE,
	    MAP_SHARED, r->memory_fd, 0);

	if (p == MAP_FAILED)
		return err_sys(e, "map log ring");
	r->shared = p;
	r->bytes = (uint8_t *)p + RING_HEAD;
	return 0;
}

static struct ring *
ring_make(int memory_fd, int event_fd)
{
	struct ring *r = MEM_NEW(r);

	pthread_mutex_init(&r->lock, NULL);
	r->memory_fd = memory_fd;
	r->event_fd = event_fd;
	return r;
}

void
ring_free(struct ring **ref)
{
	struct ring *r = *ref;

	*ref = NULL;
	if (r == NULL)
		return;
	if (r->shared != NULL)
		munmap(r->shared, RING_HEAD + r->size);
	if (r->memory_fd >= 0)
		close(r->memory_fd);
	if (r->event_fd >= 0)
		close(r->event_fd);
	pthread_mutex_destroy(&r->lock);
	mem_free(r);
}

/* ---- writer ---- */

static int
memory_make(struct ring *r, size_t size, struct err *e)
{
	r->memory_fd = memfd_create("chappe-log",
	    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->memory_fd < 0 || r->event_fd < 0 ||
	    ftruncate(r->memory_fd, (off_t)(RING_HEAD + size)) != 0 ||
	    fcntl(r->memory_fd, F_ADD_SEALS, SEALS) != 0)
		return err_sys(e, "make log ring");
	r->size = size;
	if (map(r, e) != 0)
		return -1;
	r->shared->magic = RING_MAGIC;
	r->shared->size = size;
	return 0;
}

int
ring_new(size_t size, struct ring **out, struct err *e)
{
	struct ring *r = ring_make(-1, -1);

	BUG_ON(size < RING_SIZE_MIN || (size & (size - 1)) != 0);
	if (memory_make(r, size, e) != 0) {
		ring_free(&r);
		return -1;
	}
	*out = r;
	return 0;
}

int
ring_memory_fd(const struct ring *r)
{
	return r->memory_fd;
}

int
ring_event_fd(const struct ring *r)
{
	return r->event_fd;
}

/* Copies to (from) a place, around the end of the ring if need be. */
static void
copy_in(struct ring *r, uint64_t at, const void *p, size_t n)
{
	size_t offset = (size_t)(at & (r->size - 1));
	size_t first = n < r->size - offset ? n : (size_t)r->size - offset;

	memcpy(r->bytes + offset, p, first);
	memcpy(r->bytes, (const uint8_t *)p + first, n - first);
}

static void
copy_out(const struct ring *r, uint64_t at, void *p, size_t n)
{
	size_t offset = (size_t)(at & (r->size - 1));
	size_t first = n < r->size - offset ? n : (size_t)r->size - offset;

	memcpy(p, r->bytes + offset, first);
	memcpy((uint8_t *)p + first, r->bytes, n - first);
}

static uint8_t *
append(uint8_t *p, struct span s)
{
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

/* Builds the record's bytes; returns their number. */
static size_t
encode(const struct ring_record *record, uint8_t out[RECORD_MAX])
{
	struct span qid = span_slice(record->qid, 0, QID_MAX);
	struct span what = span_slice(record->what, 0, WHAT_MAX);
	struct span tag = span_slice(record->tag, 0, TAG_MAX);
	struct span text = span_slice(record->text, 0, LIMIT_LOG_LINE);
	size_t n = RECORD_HEAD + qid.n + what.n + tag.n + text.n;
	struct record_head h = { .length = (uint32_t)((n + 7) & ~(size_t)7),
		.kind = (uint8_t)record->kind,
		.level = (uint8_t)record->level,
		.qid_n = (uint8_t)qid.n,
		.what_n = (uint8_t)what.n,
		.time_us = record->time_us,
		.trace = record->trace,
		.tag_n = (uint16_t)tag.n,
		.text_n = (uint16_t)text.n };
	uint8_t *p = out + RECORD_HEAD;

	memcpy(out, &h, sizeof(h));
	p = append(append(append(append(p, qid), what), tag), text);
	memset(p, 0, h.length - n);
	return h.length;
}

static void
wake_reader(struct ring *r)
{
	const uint64_t one = 1;

	if (atomic_exchange(&r->shared->sleeping, 0) == 0)
		return;
	/* A full counter means that the reader has been told already. */
	if (write(r->event_fd, &one, sizeof(one)) < 0)
		return;
}

static _Atomic uint32_t *
lost_count(struct shared *s, enum log_kind kind)
{
	return kind == LOG_K_LINE ? &s->lost_lines : &s->lost_events;
}

void
ring_put(struct ring *r, const struct ring_record *record)
{
	struct shared *s = r->shared;
	const uint64_t room =
	    record->kind == LOG_K_LINE ? r->size : r->size / 4 * 3;
	uint8_t bytes[RECORD_MAX];
	size_t n = encode(record, bytes);
	uint64_t head;

	pthread_mutex_lock(&r->lock);
	head = atomic_load(&s->head);
	if (head - atomic_load(&s->tail) + n > room) {
		atomic_fetch_add(lost_count(s, record->kind), 1);
	} else {
		copy_in(r, head, bytes, n);
		atomic_store(&s->head, head + n);
	}
	pthread_mutex_unlock(&r->lock);
	wake_reader(r);
}

/* ---- reader ---- */

/* Only an eventfd may be watched and read: with anything else the reader could
 * be made to wait, or to fail. */
static int
event_check(int fd, struct err *e)
{
	char link[40], target[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target));
	if (n < 0)
		return err_sys(e, "log ring event");
	if (!span_eq(span_of(target, (size_t)n),
		SPAN("anon_inode:[eventfd]")))
		return err_set(e, ERR_PERM, "5.3.0",
		    "log ring: not an event descriptor");
	return 0;
}

static int
memory_check(struct ring *r, struct err *e)
{
	int seals = fcntl(r->memory_fd, F_GET_SEALS);
	struct stat st;
	uint64_t size;

	if (seals < 0 || fstat(r->memory_fd, &st) != 0)
		return err_sys(e, "log ring");
	size = (uint64_t)st.st_size - RING_HEAD;
	if ((seals & F_SEAL_SHRINK) == 0 || st.st_size < RING_HEAD ||
	    size < RING_SIZE_MIN || size > RING_SIZE_MAX ||
	    (size & (size - 1)) != 0)
		return err_set(e, ERR_PERM, "5.3.0",
		    "log ring: not of a fixed and sensible size");
	r->size = size;
	return 0;
}

int
ring_attach(int memory_fd, int event_fd, struct ring **out, struct err *e)
{
	struct ring *r = ring_make(memory_fd, event_fd);

	if (event_check(event_fd, e) != 0 || memory_check(r, e) != 0 ||
	    map(r, e) != 0) {
		ring_free(&r);
		return -1;
	}
	if (r->shared->magic != RING_MAGIC || r->shared->size != r->size) {
		ring_free(&r);
		return err_set(e, ERR_PERM, "5.3.0",
		    "log ring: of another version");
	}
	r->cursor = atomic_load(&r->shared->tail);
	*out = r;
	return 0;
}

static int
damaged(struct err *e)
{
	return err_set(e, ERR_PERM, "5.3.0", "log ring: damaged");
}

static int
decode(struct ring *r, const struct record_head *h, struct ring_record *out,
    struct err *e)
{
	size_t n = (size_t)RECORD_HEAD + h->qid_n + h->what_n + h->tag_n +
	    h->text_n;
	const uint8_t *p = r->record + RECORD_HEAD;

	if (h->qid_n > QID_MAX || h->what_n > WHAT_MAX ||
	    h->tag_n > TAG_MAX || h->text_n > LIMIT_LOG_LINE ||
	    h->kind > LOG_K_EVENT || h->level > LOG_L_PANIC ||
	    n > h->length || h->length - n > 7)
		return damaged(e);
	out->kind = (enum log_kind)h->kind;
	out->level = (enum log_level)h->level;
	out->time_us = h->time_us;
	out->trace = h->trace;
	out->at = r->cursor;
	out->qid = span_of(p, h->qid_n);
	out->what = span_of(p += h->qid_n, h->what_n);
	out->tag = span_of(p += h->what_n, h->tag_n);
	out->text = span_of(p + h->tag_n, h->text_n);
	return 0;
}

int
ring_next(struct ring *r, struct ring_record *out, struct err *e)
{
	uint64_t there = atomic_load(&r->shared->head) - r->cursor;
	struct record_head h;

	if (there == 0)
		return 0;
	if (there > r->size || there < RECORD_HEAD)
		return damaged(e);
	/* The writer could change what we look at: look only at a copy. */
	copy_out(r, r->cursor, &h, sizeof(h));
	if (h.length < RECORD_HEAD || h.length > RECORD_MAX ||
	    h.length % 8 != 0 || h.length > there)
		return damaged(e);
	copy_out(r, r->cursor, r->record, h.length);
	if (decode(r, &h, out, e) != 0)
		return -1;
	r->cursor += h.length;
	return 1;
}

uint64_t
ring_place(const struct ring *r)
{
	return r->cursor;
}

void
ring_commit_to(struct ring *r, uint64_t place)
{
	atomic_store(&r->shared->tail, place);
}

void
ring_commit(struct ring *r)
{
	ring_commit_to(r, r->cursor);
}

void
ring_rewind(struct ring *r)
{
	r->cursor = atomic_load(&r->shared->tail);
}

void
ring_reset(struct ring *r)
{
	r->cursor = atomic_load(&r->shared->head);
	ring_commit(r);
}

uint32_t
ring_lost(struct ring *r, enum log_kind kind)
{
	return atomic_exchange(lost_count(r->shared, kind), 0);
}

bool
ring_sleep(struct ring *r)
{
	atomic_store(&r->shared->sleeping, 1);
	if (atomic_load(&r->shared->head) == r->cursor)
		return true;
	atomic_store(&r->shared->sleeping, 0);
	return false;
}

void
ring_woken(struct ring *r)
{
	uint64_t count;

	if (read(r->event_fd, &count, sizeof(count)) < 0)
		return;
}

void
ring_intend(
    struct ring *r, uint64_t place, const struct ring_intent *intent)
{
	atomic_store(&r->shared->intent_inode, intent->inode);
	atomic_store(&r->shared->intent_end, intent->end);
	atomic_store(&r->shared->intent_tail, place);
}

bool
ring_intended(struct ring *r, struct ring_intent *out)
{
	uint64_t tail = atomic_load(&r->shared->tail);
	uint64_t intended = atomic_load(&r->shared->intent_tail);

	if (intended - tail == 0 ||
	    intended - tail > atomic_load(&r->shared->head) - tail)
		return false;
	out->inode = atomic_load(&r->shared->intent_inode);
	out->end = atomic_load(&r->shared->intent_end);
	return true;
}

void
ring_skip_intended(struct ring *r)
{
	r->cursor = atomic_load(&r->shared->intent_tail);
	ring_commit(r);
}
