/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/loop.h"
#include "lib/store/mbox.h"

static const char file_name[] = "chappe.repair";
static const uint64_t file_magic = 0x3150455250504843; /* "CHPPREP1" */
static const size_t file_max = (size_t)1 << 32;

/* Before the old tail and the new tail. */
struct repair_head {
	uint64_t magic;
	uint64_t at; /* where both begin in the mailbox */
	uint64_t old_size, new_size; /* of the tails */
	uint32_t old_check, new_check;
	uint32_t reserved;
	uint32_t check; /* of all before */
};

struct repair {
	struct repair_head head;
	struct span old, new;
	struct buf bytes;
};

static int
read_range(int fd, uint64_t at, uint64_t size, struct buf *out, struct err *e)
{
	while (size > 0) {
		const size_t want = size > 65536 ? 65536 : (size_t)size;
		uint8_t *room = buf_room(out, want);
		ssize_t n;

		if (room == NULL)
			return err_set(
			    e, ERR_TEMP, "4.3.0", "the mailbox is too large");
		n = pread(fd, room, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the mailbox");
		if (n == 0)
			return err_set(e, ERR_TEMP, "4.2.0",
			    "the mailbox became shorter");
		buf_grown(out, (size_t)n);
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static uint32_t
head_check(const struct repair_head *h)
{
	return crc32c(0, span_of(h, offsetof(struct repair_head, check)));
}

/* Both tails, durably, before the first byte moves. */
static int
write_repair(int index_fd, int fd, uint64_t at, uint64_t size,
    struct span tail, struct err *e)
{
	struct repair_head h = { .magic = file_magic, .at = at,
		.old_size = size - at, .new_size = tail.n };
	struct buf b;
	int rc;

	buf_init(&b, file_max);
	buf_add(&b, span_of(&h, sizeof(h)));
	rc = read_range(fd, at, size - at, &b, e);
	if (rc == 0) {
		h.old_check =
		    crc32c(0, span_skip(buf_span(&b), sizeof(h)));
		h.new_check = crc32c(0, tail);
		h.check = head_check(&h);
		memcpy(b.p, &h, sizeof(h));
		buf_add(&b, tail);
		rc = buf_ok(&b) ?
		    fs_replace(index_fd, file_name, 0600, buf_span(&b), e) :
		    err_set(e, ERR_TEMP, "4.3.0", "the mailbox is too large");
	}
	buf_release(&b);
	return rc;
}

static int
write_tail(int fd, uint64_t at, uint64_t old_end, struct span tail,
    struct err *e)
{
	if (fs_pwrite(fd, tail, (off_t)at, e) != 0)
		return -1;
	if (at + tail.n < old_end &&
	    fs_truncate(fd, (off_t)(at + tail.n), e) != 0)
		return -1;
	return fs_sync(fd, e);
}

static int
remove_repair(int index_fd, struct err *e)
{
	if (fs_unlink(index_fd, file_name, e) != 0)
		return -1;
	return fs_sync_dir(index_fd, e);
}

int
mbox_replace_tail(
    int index_fd, int fd, off_t at, struct span tail, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat the mailbox");
	BUG_ON(at > st.st_size);
	if (index_fd < 0)
		return write_tail(
		    fd, (uint64_t)at, (uint64_t)st.st_size, tail, e);
	if (write_repair(index_fd, fd, (uint64_t)at, (uint64_t)st.st_size,
		tail, e) != 0)
		return -1;
	if (write_tail(fd, (uint64_t)at, (uint64_t)st.st_size, tail, e) == 0)
		return remove_repair(index_fd, e);
	/* The next one to take the lock finishes it; perhaps there is room
	 * again by then. */
	return -1;
}

bool
mbox_repair_needed(int index_fd)
{
	return index_fd >= 0 && faccessat(index_fd, file_name, F_OK, 0) == 0;
}

static bool
verify(struct repair *r)
{
	if (r->bytes.n < sizeof(r->head))
		return false;
	memcpy(&r->head, r->bytes.p, sizeof(r->head));
	if (r->head.magic != file_magic ||
	    r->head.check != head_check(&r->head) ||
	    r->head.old_size > r->bytes.n || r->head.new_size > r->bytes.n ||
	    r->head.old_size + r->head.new_size !=
		r->bytes.n - sizeof(r->head))
		return false;
	r->old = span_slice(buf_span(&r->bytes), sizeof(r->head),
	    sizeof(r->head) + r->head.old_size);
	r->new = span_skip(
	    buf_span(&r->bytes), sizeof(r->head) + r->head.old_size);
	return crc32c(0, r->old) == r->head.old_check &&
	    crc32c(0, r->new) == r->head.new_check;
}

/* Could this tail be a stage on the way from the old to the new? Each byte is
 * one of both, in whatever order the disk took them; beyond the old end there
 * may be zeros. */
static bool
between(const struct repair *r, struct span tail)
{
	const size_t low =
	    r->old.n < r->new.n ? r->old.n : r->new.n;
	const size_t high =
	    r->old.n < r->new.n ? r->new.n : r->old.n;

	if (tail.n < low || tail.n > high)
		return false;
	for (size_t i = 0; i < tail.n; i++) {
		const uint8_t c = tail.p[i];

		if ((i < r->old.n && c == r->old.p[i]) ||
		    (i < r->new.n && c == r->new.p[i]) ||
		    (i >= r->old.n && c == 0))
			continue;
		return false;
	}
	return true;
}

/* Another program wrote to the mailbox between the crash and now: its work
 * is not ours to undo. */
static int
keep_both(int index_fd, const char *path, struct err *e)
{
	char kept[64];

	snprintf(kept, sizeof(kept), "%s.kept.%lld", file_name,
	    (long long)(clock_wall_us() / 1000000));
	log_warning(NULL,
	    "mailbox %s was changed by another program after an interrupted "
	    "change of ours; nothing is undone, the old bytes are in %s "
	    "beside its index",
	    path, kept);
	if (fs_rename(index_fd, file_name, index_fd, kept, e) != 0)
		return -1;
	return fs_sync_dir(index_fd, e);
}

static int
finish(int index_fd, int fd, const char *path, const struct repair *r,
    struct err *e)
{
	struct stat st;
	struct buf tail;
	int rc = -1;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat %s", path);
	if ((uint64_t)st.st_size < r->head.at)
		return keep_both(index_fd, path, e);
	buf_init(&tail, file_max);
	if (read_range(fd, r->head.at, (uint64_t)st.st_size - r->head.at,
		&tail, e) == 0) {
		if (!between(r, buf_span(&tail)))
			rc = keep_both(index_fd, path, e);
		else if (span_eq(buf_span(&tail), r->old))
			rc = remove_repair(index_fd, e);
		else if (write_tail(fd, r->head.at, (uint64_t)st.st_size,
			     r->new, e) == 0)
			rc = remove_repair(index_fd, e);
	}
	buf_release(&tail);
	return rc;
}

int
mbox_repair(int index_fd, int fd, const char *path, struct err *e)
{
	struct repair r;
	int rc;

	/* One that does not verify was never complete: nothing had moved. */
	buf_init(&r.bytes, file_max);
	if (fs_read_file(index_fd, file_name, file_max, &r.bytes, e) != 0)
		rc = -1;
	else if (verify(&r))
		rc = finish(index_fd, fd, path, &r, e);
	else
		rc = remove_repair(index_fd, e);
	buf_release(&r.bytes);
	return rc;
}
