/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/store/boot.h"

static const char file_name[] = "chappe.index";
static const uint64_t file_magic = 0x3158444950504843; /* "CHPPIDX1" */

enum { LOCK_WAIT_MS = 30000, LOCK_STEP_MS = 10 };
/* 16 million messages; more is rubbish. */
static const uint64_t file_max = (uint64_t)1 << 30;

static_assert(sizeof(struct index_record) == 64, "record layout");

/* The start of the file; also tells which byte order wrote it. */
struct file_head {
	uint64_t magic;
	uint64_t generation; /* counts changes */
	uint64_t boot;       /* the boot that wrote it */
	uint64_t modseq_reserved;
	uint32_t count; /* records in the file, gone ones too */
	uint32_t record_size;
	struct index_head head;
	uint32_t reserved;
	uint32_t check;
};
static_assert(sizeof(struct file_head) == 128, "head layout");

struct index {
	int dir_fd, fd; /* -1: in memory; no file yet */
	bool locked, broken;
	bool rewrite; /* the whole file has to be written */
	struct file_head file; /* as on the disk at the last lock */
	struct index_head head;
	uint64_t modseq_reserved;
	uint64_t boot; /* this one */
	struct index_record *slots;
	uint8_t *dirty; /* one for each slot */
	uint32_t slot_count, slot_cap;
	uint32_t *live; /* slots of the records that are there */
	uint32_t live_count;
};

/* ---- life ---- */
struct index *
index_new(int dir_fd)
{
	struct index *ix = MEM_NEW(ix);

	ix->fd = -1;
	ix->dir_fd = dir_fd < 0 ? -1 : fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	ix->boot = boot_mark();
	ix->head.uid_next = 1;
	ix->head.uid_reserved = 1;
	ix->head.recent_from = 1;
	return ix;
}

void
index_free(struct index **ix)
{
	if (*ix == NULL)
		return;
	if ((*ix)->fd >= 0)
		close((*ix)->fd);
	if ((*ix)->dir_fd >= 0)
		close((*ix)->dir_fd);
	mem_free((*ix)->slots);
	mem_free((*ix)->dirty);
	mem_free((*ix)->live);
	mem_free(*ix);
	*ix = NULL;
}

/* ---- records in memory ---- */
static uint32_t
record_check(const struct index_record *r)
{
	return crc32c(0, span_of(r, offsetof(struct index_record, check)));
}

static void
slots_room(struct index *ix, uint32_t n)
{
	if (n <= ix->slot_cap)
		return;
	ix->slot_cap = n + n / 2 + 16;
	ix->slots = mem_resize(ix->slots, ix->slot_cap, sizeof(*ix->slots));
	ix->dirty = mem_resize(ix->dirty, ix->slot_cap, 1);
	ix->live = mem_resize(ix->live, ix->slot_cap, sizeof(*ix->live));
}

void
index_sweep(struct index *ix)
{
	ix->live_count = 0;
	for (uint32_t i = 0; i < ix->slot_count; i++)
		if (!ix->slots[i].gone)
			ix->live[ix->live_count++] = i;
}

void
index_clear(struct index *ix)
{
	ix->slot_count = ix->live_count = 0;
	ix->head.uid_merged = 0;
	memset(ix->head.driver, 0, sizeof(ix->head.driver));
	ix->rewrite = true;
}

struct index_head *
index_head(struct index *ix)
{
	return &ix->head;
}

uint32_t
index_count(const struct index *ix)
{
	return ix->live_count;
}

const struct index_record *
index_at(const struct index *ix, uint32_t i)
{
	BUG_ON(i >= ix->live_count);
	return &ix->slots[ix->live[i]];
}

bool
index_find(const struct index *ix, uint32_t uid, uint32_t *out_i)
{
	uint32_t low = 0, high = ix->live_count;

	while (low < high) {
		const uint32_t mid = low + (high - low) / 2;

		if (index_at(ix, mid)->uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == ix->live_count || index_at(ix, low)->uid != uid)
		return false;
	*out_i = low;
	return true;
}

static void
set_slot(struct index *ix, uint32_t slot, const struct index_record *r,
    bool new_modseq)
{
	struct index_record *s = &ix->slots[slot];

	*s = *r;
	if (new_modseq)
		s->modseq = ++ix->head.modseq;
	s->check = record_check(s);
	ix->dirty[slot] = 1;
}

void
index_add(struct index *ix, const struct index_record *r)
{
	BUG_ON(r->uid <= ix->head.uid_merged);
	slots_room(ix, ix->slot_count + 1);
	set_slot(ix, ix->slot_count, r, true);
	ix->slots[ix->slot_count].gone = 0;
	ix->slots[ix->slot_count].check =
	    record_check(&ix->slots[ix->slot_count]);
	ix->live[ix->live_count++] = ix->slot_count++;
	ix->head.uid_merged = r->uid;
	if (ix->head.uid_next <= r->uid)
		ix->head.uid_next = r->uid + 1;
}

void
index_change(struct index *ix, uint32_t i, const struct index_record *r,
    bool new_modseq)
{
	BUG_ON(i >= ix->live_count || r->uid != index_at(ix, i)->uid);
	set_slot(ix, ix->live[i], r, new_modseq);
}

void
index_remove(struct index *ix, uint32_t i)
{
	struct index_record r = *index_at(ix, i);

	r.gone = 1;
	set_slot(ix, ix->live[i], &r, true);
}

/* ---- reading the file ---- */
static bool
head_good(const struct file_head *h, uint64_t size)
{
	return h->magic == file_magic &&
	    h->record_size == sizeof(struct index_record) &&
	    h->check ==
	    crc32c(0, span_of(h, offsetof(struct file_head, check))) &&
	    size <= file_max && h->head.uid_next > 0 &&
	    h->head.uid_merged < h->head.uid_next &&
	    h->count <= (size - sizeof(*h)) / sizeof(struct index_record);
}

static bool
read_at(int fd, void *out, size_t n, off_t at)
{
	uint8_t *p = out;

	while (n > 0) {
		const ssize_t got = pread(fd, p, n, at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
		at += got;
	}
	return true;
}

static bool
records_good(const struct index *ix)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < ix->slot_count; i++) {
		const struct index_record *r = &ix->slots[i];

		if (r->check != record_check(r) || r->uid <= last ||
		    r->uid > ix->head.uid_merged)
			return false;
		last = r->uid;
	}
	return true;
}

/* Numbers of a block that was begun before an unclean stop are skipped: they
 * may have been announced without being written. */
static void
skip_blocks(struct index *ix)
{
	if (boot_same(ix->file.boot, ix->boot))
		return;
	if (ix->head.uid_next < ix->head.uid_reserved)
		ix->head.uid_next = ix->head.uid_reserved;
	if (ix->head.modseq < ix->modseq_reserved)
		ix->head.modseq = ix->modseq_reserved;
}

/* A head that does not verify: everything is filled anew. Modseqs go on from
 * the clock, which is above any count of changes. */
static void
start_anew(struct index *ix)
{
	memset(&ix->file, 0, sizeof(ix->file));
	memset(&ix->head, 0, sizeof(ix->head));
	ix->head.uid_next = ix->head.uid_reserved = ix->head.recent_from = 1;
	ix->head.modseq = (uint64_t)(clock_wall_us() / 1000);
	ix->modseq_reserved = 0;
	index_clear(ix);
}

static void
load(struct index *ix)
{
	struct stat st;
	struct file_head h;

	if (fstat(ix->fd, &st) != 0 || st.st_size < (off_t)sizeof(h) ||
	    !read_at(ix->fd, &h, sizeof(h), 0) ||
	    !head_good(&h, (uint64_t)st.st_size)) {
		start_anew(ix);
		return;
	}
	ix->file = h;
	ix->head = h.head;
	ix->modseq_reserved = h.modseq_reserved;
	ix->rewrite = false;
	/* Never none, so that the arrays are there. */
	slots_room(ix, h.count + 1);
	ix->slot_count = h.count;
	if (ix->slot_count > 0)
		memset(ix->dirty, 0, ix->slot_count);
	if (!read_at(ix->fd, ix->slots, h.count * sizeof(*ix->slots),
		sizeof(h)) ||
	    !records_good(ix))
		index_clear(ix);
	index_sweep(ix);
	skip_blocks(ix);
}

/* ---- the lock ---- */
/* Is the file we hold still the one under the name? */
static bool
file_current(const struct index *ix)
{
	struct stat ours, named;

	return fstat(ix->fd, &ours) == 0 &&
	    fstatat(ix->dir_fd, file_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static int
open_file(struct index *ix, struct err *e)
{
	struct err why;

	for (int tries = 0; tries < 3; tries++) {
		if (fs_open(ix->dir_fd, file_name, O_RDWR, &ix->fd, &why) == 0)
			return 0;
		if (why.sysno != ENOENT)
			break;
		if (fs_create(ix->dir_fd, file_name, 0600, &ix->fd, &why) == 0)
			return 0;
		if (why.sysno != EEXIST)
			break;
	}
	*e = why;
	return -1;
}

static int
lock_file(struct index *ix, struct err *e)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	for (int ms = 0; fcntl(ix->fd, F_OFD_SETLK, &l) != 0;
	     ms += LOCK_STEP_MS) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_sys(e, "lock %s", file_name);
		if (ms >= LOCK_WAIT_MS)
			return err_set(e, ERR_TEMP, "4.2.0",
			    "the mailbox's index is locked");
		nanosleep(&step, NULL);
	}
	return 0;
}

static void
close_file(struct index *ix)
{
	if (ix->fd >= 0)
		close(ix->fd);
	ix->fd = -1;
}

int
index_lock(struct index *ix, struct err *e)
{
	struct err ignored;
	bool fresh;

	if (e == NULL)
		e = &ignored;
	BUG_ON(ix->locked);
	if (ix->dir_fd < 0) {
		ix->locked = true;
		return 0;
	}
	for (;;) {
		fresh = ix->fd < 0;
		if (fresh && open_file(ix, e) != 0)
			return -1;
		if (lock_file(ix, e) != 0) {
			close_file(ix);
			return -1;
		}
		if (file_current(ix))
			break;
		close_file(ix);
	}
	if (fresh || ix->broken || index_stale(ix))
		load(ix);
	ix->broken = false;
	ix->locked = true;
	return 0;
}

bool
index_stale(const struct index *ix)
{
	uint64_t start[2];

	if (ix->dir_fd < 0)
		return false;
	return ix->fd < 0 || !file_current(ix) ||
	    !read_at(ix->fd, start, sizeof(start), 0) ||
	    start[1] != ix->file.generation || start[0] != file_magic;
}

/* ---- writing ---- */
static void
seal_head(struct index *ix, struct file_head *h)
{
	*h = (struct file_head){
		.magic = file_magic,
		.generation = ix->file.generation + 1,
		.boot = ix->boot,
		.modseq_reserved = ix->modseq_reserved,
		.count = ix->slot_count,
		.record_size = sizeof(struct index_record),
		.head = ix->head,
	};
	h->check = crc32c(0, span_of(h, offsetof(struct file_head, check)));
}

/* Records first, the head last: it says how many there are. */
static int
write_records(struct index *ix, struct err *e)
{
	for (uint32_t i = 0; i < ix->slot_count;) {
		uint32_t end = i;

		while (end < ix->slot_count && ix->dirty[end])
			end++;
		if (end == i) {
			i++;
			continue;
		}
		if (fs_pwrite(ix->fd,
			span_of(&ix->slots[i], (end - i) * sizeof(*ix->slots)),
			(off_t)(sizeof(struct file_head) +
			    i * sizeof(*ix->slots)),
			e) != 0)
			return -1;
		memset(ix->dirty + i, 0, end - i);
		i = end;
	}
	return 0;
}

static int
write_head(struct index *ix, struct err *e)
{
	struct file_head h;

	seal_head(ix, &h);
	if (fs_pwrite(ix->fd, span_of(&h, sizeof(h)), 0, e) != 0)
		return -1;
	ix->file = h;
	return 0;
}

/* Only the reservations, durably: the rest of the head goes on describing
 * the records that are in the file now. */
static int
write_reservations(struct index *ix, struct err *e)
{
	struct file_head h = ix->file;

	h.generation++;
	h.modseq_reserved = ix->modseq_reserved;
	h.head.uid_reserved = ix->head.uid_reserved;
	h.check = crc32c(0, span_of(&h, offsetof(struct file_head, check)));
	if (fs_pwrite(ix->fd, span_of(&h, sizeof(h)), 0, e) != 0 ||
	    fs_datasync(ix->fd, e) != 0)
		return -1;
	ix->file = h;
	return 0;
}

/* The whole index as a new file, without the records that are gone. */
static int
write_whole(struct index *ix, struct err *e)
{
	struct file_head h;
	struct buf b;
	uint32_t n = 0;
	int rc;

	for (uint32_t i = 0; i < ix->slot_count; i++)
		if (!ix->slots[i].gone)
			ix->slots[n++] = ix->slots[i];
	ix->slot_count = n;
	if (n > 0)
		memset(ix->dirty, 0, n);
	index_sweep(ix);
	seal_head(ix, &h);
	buf_init(&b, sizeof(h) + n * sizeof(*ix->slots));
	buf_add(&b, span_of(&h, sizeof(h)));
	buf_add(&b, span_of(ix->slots, n * sizeof(*ix->slots)));
	rc = fs_replace(ix->dir_fd, file_name, 0600, buf_span(&b), e);
	buf_release(&b);
	if (rc != 0)
		return -1;
	ix->file = h;
	ix->rewrite = false;
	/* Closing gives the lock back; the next one opens the new file. */
	close_file(ix);
	return fs_open(ix->dir_fd, file_name, O_RDWR, &ix->fd, e);
}

/* A modseq may be announced only when it is below a durable bound. */
static int
reserve_modseqs(struct index *ix, struct err *e)
{
	if (ix->head.modseq < ix->modseq_reserved)
		return 0;
	ix->modseq_reserved = ix->head.modseq + INDEX_MODSEQ_BLOCK;
	return ix->rewrite ? 0 : write_reservations(ix, e);
}

static bool
anything_dirty(const struct index *ix)
{
	return memcmp(&ix->head, &ix->file.head, sizeof(ix->head)) != 0 ||
	    (ix->slot_count > 0 &&
		memchr(ix->dirty, 1, ix->slot_count) != NULL);
}

static int
write_changes(struct index *ix, struct err *e)
{
	if (ix->slot_count > 2 * ix->live_count + 1000)
		ix->rewrite = true;
	if (!ix->rewrite && !anything_dirty(ix))
		return 0;
	if (reserve_modseqs(ix, e) != 0)
		return -1;
	if (ix->rewrite)
		return write_whole(ix, e);
	return write_records(ix, e) != 0 ? -1 : write_head(ix, e);
}

int
index_unlock(struct index *ix, struct err *e)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	int rc = 0;

	BUG_ON(!ix->locked);
	ix->locked = false;
	index_sweep(ix);
	if (ix->dir_fd < 0)
		return 0;
	if (write_changes(ix, e) != 0) {
		rc = err_wrap(e, "index");
		ix->broken = true;
	}
	if (ix->fd >= 0)
		fcntl(ix->fd, F_OFD_SETLK, &l);
	return rc;
}

int
index_reserve_uids(struct index *ix, uint32_t n, struct err *e)
{
	BUG_ON(!ix->locked);
	if (ix->head.uid_next > UINT32_MAX - n - INDEX_UID_BLOCK)
		return err_set(e, ERR_PERM, "5.2.0", "no more uids");
	if (ix->head.uid_next + n <= ix->head.uid_reserved)
		return 0;
	ix->head.uid_reserved = ix->head.uid_next + n + INDEX_UID_BLOCK;
	if (ix->dir_fd < 0 || ix->rewrite)
		return 0; /* written whole, hence durably, at the unlock */
	return write_reservations(ix, e);
}
