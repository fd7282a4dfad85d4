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
 * bytes. It is not flushed, and counts in the same boot only: there, one that
 * is found means that the append did not come to its end and was never
 * reported, since the note goes before the report. What it left, if it is
 * that and nothing else, is taken away, so that the next attempt does not
 * stand behind half a message. After another boot the note may be older than a
 * message that was reported: it is thrown away.
 */
static const char file_name[] = "chappe.append";
static const uint64_t file_magic = 0x3250504150504843; /* "CHPPAPP2" */

enum { CHUNK = 65536 };

/* Before the bytes of the append. Written last. */
struct note {
	uint64_t magic, boot, size; /* size: the mbox's before */
	uint64_t added;             /* bytes that follow */
	uint32_t check, reserved;   /* of them, then of all before */
};

/* Reads all that is asked for, less at the end of the file only. */
static ssize_t
read_at(int fd, uint8_t *out, size_t size, uint64_t at)
{
	size_t done = 0;

	while (done < size) {
		const ssize_t n =
		    pread(fd, out + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static uint32_t
note_check(const struct note *n, uint32_t bytes)
{
	return crc32c(bytes, span_of(n, offsetof(struct note, check)));
}

/* Copies the bytes behind the place of the head, and sums them up. */
static int
copy_bytes(int added, int note, struct note *n, struct err *e)
{
	uint8_t *chunk = mem_alloc(CHUNK);
	uint32_t sum = 0;
	ssize_t got;
	int rc = 0;

	while (rc == 0 &&
	    (got = read_at(added, chunk, CHUNK, n->added)) != 0) {
		if (got < 0) {
			rc = err_sys(e, "memory for a message");
			break;
		}
		sum = crc32c(sum, span_of(chunk, (size_t)got));
		rc = fs_pwrite(note, span_of(chunk, (size_t)got),
		    (off_t)(sizeof(*n) + n->added), e);
		n->added += (uint64_t)got;
	}
	n->check = note_check(n, sum);
	mem_free(chunk);
	return rc;
}

int
mbox_note_begin(int index_fd, int fd, int added, struct err *e)
{
	struct note n = { .magic = file_magic, .boot = boot_mark() };
	struct stat st;
	int note, rc;

	if (index_fd < 0)
		return 0;
	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat the mailbox");
	n.size = (uint64_t)st.st_size;
	if (fs_create(index_fd, file_name, 0600, &note, e) != 0)
		return -1;
	rc = copy_bytes(added, note, &n, e);
	if (rc == 0)
		rc = fs_pwrite(note, span_of(&n, sizeof(n)), 0, e);
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

/* Does the note, open as note, count? */
static bool
note_counts(int note, struct note *out)
{
	uint8_t *chunk;
	uint32_t sum = 0;
	uint64_t at = 0;
	ssize_t got;

	if (read_at(note, (uint8_t *)out, sizeof(*out), 0) !=
		(ssize_t)sizeof(*out) ||
	    out->magic != file_magic || !boot_same(out->boot, boot_mark()))
		return false;
	chunk = mem_alloc(CHUNK);
	while ((got = read_at(note, chunk, CHUNK, sizeof(*out) + at)) > 0) {
		sum = crc32c(sum, span_of(chunk, (size_t)got));
		at += (uint64_t)got;
	}
	mem_free(chunk);
	return got == 0 && at == out->added &&
	    out->check == note_check(out, sum);
}

/* Is what follows the old end the beginning of what was to be appended, byte
 * for byte, and so no other program's work? */
static bool
ours_alone(int fd, int note, const struct note *n)
{
	uint8_t *tail = mem_alloc(CHUNK), *wanted = mem_alloc(CHUNK);
	uint64_t at = 0;
	bool ours = true;

	while (ours) {
		const ssize_t got = read_at(fd, tail, CHUNK, n->size + at);
		const ssize_t have =
		    read_at(note, wanted, CHUNK, sizeof(*n) + at);

		if (got == 0)
			break;
		ours = got > 0 && have >= got &&
		    memcmp(tail, wanted, (size_t)got) == 0;
		at += (uint64_t)got;
	}
	mem_free(tail);
	mem_free(wanted);
	return ours;
}

static int
cut(int fd, int note, const char *path, const struct note *n, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size <= n->size)
		return 0;
	if (!ours_alone(fd, note, n)) {
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
	struct note n;
	int note, rc = 0;

	if (fs_open(index_fd, file_name, O_RDONLY, &note, NULL) == 0) {
		if (note_counts(note, &n))
			rc = cut(fd, note, path, &n, e);
		close(note);
	}
	return rc == 0 ? fs_unlink(index_fd, file_name, e) : -1;
}
