/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/store/boot.h"
#include "lib/store/mbox.h"

/*
 * While messages are appended, a note beside the index says where, and which
 * bytes (the first of them, when there are many). It is not flushed, and counts in the same boot only:
 * there, one that is found means that the append did not come to its end and
 * was never reported, since the note goes before the report. What it left, if
 * it is that and nothing else, is taken away, so that the next attempt does
 * not stand behind half a message. After another boot the note may be older
 * than a message that was reported: it is thrown away.
 */
static const char file_name[] = "chappe.append";
static const uint64_t file_magic = 0x3150504150504843; /* "CHPPAPP1" */
static const size_t tail_max = (size_t)1 << 32;

/* Before the bytes that the append begins with. */
struct note {
	uint64_t magic, boot, size; /* size: the mbox's before */
	uint32_t reserved, check;   /* of all other bytes */
};

static uint32_t
note_check(const struct note *n, struct span start)
{
	return crc32c(
	    crc32c(0, span_of(n, offsetof(struct note, check))), start);
}

int
mbox_note_begin(int index_fd, int fd, struct span start, struct err *e)
{
	struct note n = { .magic = file_magic, .boot = boot_mark() };
	struct stat st;
	struct buf b;
	int note, rc;

	if (index_fd < 0)
		return 0;
	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat the mailbox");
	n.size = (uint64_t)st.st_size;
	n.check = note_check(&n, start);
	if (fs_create(index_fd, file_name, 0600, &note, e) != 0)
		return -1;
	buf_init(&b, sizeof(n) + start.n);
	buf_add(&b, span_of(&n, sizeof(n)));
	buf_add(&b, start);
	rc = fs_write(note, buf_span(&b), e);
	buf_release(&b);
	close(note);
	return rc;
}

int
mbox_note_end(int index_fd, struct err *e)
{
	return index_fd < 0 ? 0 : fs_unlink(index_fd, file_name, e);
}

bool
mbox_note_there(int index_fd)
{
	return index_fd >= 0 && faccessat(index_fd, file_name, F_OK, 0) == 0;
}

/* Is what follows the old end the beginning of what was to be appended, byte
 * for byte, and so no other program's work? */
static bool
ours_alone(int fd, uint64_t from, struct span start)
{
	struct buf tail;
	bool ours;

	buf_init(&tail, tail_max);
	ours = mbox_read_from(fd, from, &tail) == 0 && tail.n <= start.n &&
	    span_starts(start, buf_span(&tail));
	buf_release(&tail);
	return ours;
}

/* The note, if it counts; *out_start points into b. */
static bool
read_note(int index_fd, struct buf *b, struct note *out,
    struct span *out_start)
{
	if (fs_read_file(index_fd, file_name, MBOX_NOTE_START + sizeof(*out),
		b, NULL) != 0 ||
	    b->n < sizeof(*out))
		return false;
	memcpy(out, b->p, sizeof(*out));
	*out_start = span_skip(buf_span(b), sizeof(*out));
	return out->magic == file_magic &&
	    out->check == note_check(out, *out_start) &&
	    boot_same(out->boot, boot_mark());
}

static int
cut(int fd, const char *path, const struct note *n, struct span start,
    struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size <= n->size)
		return 0;
	if (!ours_alone(fd, n->size, start)) {
		log_warning(NULL,
		    "mailbox %s: another program has written after an "
		    "interrupted delivery; part of a message may stand in it",
		    path);
		return 0;
	}
	if (fs_truncate(fd, (off_t)n->size, e) != 0)
		return -1;
	return fs_sync(fd, e);
}

int
mbox_note_recover(int index_fd, int fd, const char *path, struct err *e)
{
	struct span start;
	struct note n;
	struct buf b;
	int rc = 0;

	buf_init(&b, MBOX_NOTE_START + sizeof(n));
	if (read_note(index_fd, &b, &n, &start))
		rc = cut(fd, path, &n, start, e);
	buf_release(&b);
	return rc == 0 ? fs_unlink(index_fd, file_name, e) : -1;
}
