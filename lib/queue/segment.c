/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"

enum {
	ZEROS = 1 << 20, /* written at a time */
	WINDOW_FIRST = 1 << 13, /* often one record is wanted, */
	WINDOW = 1 << 18,	/* or many */
	NAME_DIGITS = 8,
	NAME_SIZE = 32,
};

static const char directory[] = "journal";

static void
segment_name(uint32_t number, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "%s/%0*lu", directory, NAME_DIGITS,
	    (unsigned long)number);
}

/* ---- making ---- */
static int
fill(int fd, uint64_t size, struct err *e)
{
	uint8_t *zeros = mem_zalloc(ZEROS);
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < size; at += ZEROS) {
		const uint64_t n = size - at < ZEROS ? size - at : ZEROS;

		ret = fs_pwrite(fd, span_of(zeros, (size_t)n), (off_t)at, e);
	}
	mem_free(zeros);
	return ret;
}

static int
sync_journal(struct queue *q, struct err *e)
{
	const int fd =
	    openat(q->fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return err_sys(e, "open %s", directory);
	ret = fs_sync_dir(fd, e);
	close(fd);
	return ret;
}

int
segment_create(struct queue *q, uint32_t number, uint64_t size,
    struct segment *out, struct err *e)
{
	char name[NAME_SIZE];
	int fd;

	segment_name(number, name);
	if (fs_create(q->fd, name, 0600, &fd, e) != 0)
		return -1;
	if (fill(fd, size, e) != 0 || fs_sync(fd, e) != 0 ||
	    sync_journal(q, e) != 0) {
		err_wrap(e, "%s", name);
		fs_unlink(q->fd, name, NULL);
		close(fd);
		return -1;
	}
	*out = (struct segment){ .fd = fd,
		.head = { .number = number, .size = size } };
	return 0;
}

int
segment_remove(struct queue *q, uint32_t number, struct err *e)
{
	char name[NAME_SIZE];

	segment_name(number, name);
	return fs_unlink(q->fd, name, e);
}

/* ---- opening ---- */
static int
read_at(
    int fd, uint8_t *to, size_t n, uint64_t at, size_t *out_n, struct err *e)
{
	size_t got = 0;

	while (got < n) {
		const ssize_t r =
		    pread(fd, to + got, n - got, (off_t)(at + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "read journal");
		if (r == 0)
			break;
		got += (size_t)r;
	}
	*out_n = got;
	return 0;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

int
segment_open(struct queue *q, uint32_t number, struct segment *out,
    enum segment_state *out_state, struct err *e)
{
	/* Where another version may have had records, too. */
	const size_t behind = JOURNAL_HEAD_SECOND + JOURNAL_HEAD;
	uint8_t first[JOURNAL_RECORDS + JOURNAL_FRAME] = { 0 };
	char name[NAME_SIZE];
	struct journal_head h;
	struct stat st;
	size_t n;
	int fd;

	segment_name(number, name);
	if (fs_open(q->fd, name, O_RDWR, &fd, e) != 0)
		return -1;
	if (read_at(fd, first, sizeof(first), 0, &n, e) != 0) {
		close(fd);
		return -1;
	}
	/* A copied or cut file is no segment either. */
	if (journal_head_get(span_of(first, n), &h) && h.number == number &&
	    fstat(fd, &st) == 0 && (uint64_t)st.st_size >= h.size) {
		*out_state = SEGMENT_HEADED;
	} else {
		*out_state = is_zero(first + behind, sizeof(first) - behind) ?
		    SEGMENT_UNUSED :
		    SEGMENT_DAMAGED;
		h = (struct journal_head){ .number = number };
	}
	*out = (struct segment){ .fd = fd, .head = h };
	return 0;
}

void
segment_close(struct segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int
segment_writer(struct queue *q, uint32_t number, int *out_fd, struct err *e)
{
	char name[NAME_SIZE];

	segment_name(number, name);
	return fs_open(q->fd, name, O_WRONLY, out_fd, e);
}

int
segment_head(struct segment *s, struct err *e)
{
	struct buf b;
	int ret;

	s->head.sequence++;
	buf_init(&b, JOURNAL_HEAD);
	journal_head_put(&b, &s->head);
	ret = fs_pwrite(s->fd, buf_span(&b),
	    (off_t)journal_head_place(s->head.sequence), e);
	buf_release(&b);
	return ret == 0 ? fs_datasync(s->fd, e) : -1;
}

int
segment_begin(struct segment *s, struct err *e)
{
	return segment_head(s, e) == 0 ? segment_head(s, e) : -1;
}

/* ---- reading ---- */
struct scan {
	int fd;
	uint64_t at, end; /* of the bytes not yet read */
	size_t window;	  /* to be read next, or more */
	struct buf win;	  /* read, */
	size_t used;	  /* and of them consumed */
};

static uint64_t
scan_place(const struct scan *s)
{
	return s->at - (s->win.n - s->used);
}

/* Has the window hold n bytes, if there are so many. */
static int
fill_window(struct scan *s, size_t n, struct err *e)
{
	size_t want = n < s->window ? s->window : n;
	size_t got;

	if (s->window < WINDOW)
		s->window *= 2;
	buf_consume(&s->win, s->used);
	s->used = 0;
	if (want > s->end - s->at)
		want = (size_t)(s->end - s->at);
	if (read_at(s->fd, buf_room(&s->win, want), want, s->at, &got, e) != 0)
		return -1;
	buf_grown(&s->win, got);
	s->at += got;
	if (got < want)
		s->end = s->at;
	return 0;
}

/* 1 one, 0 none, -1 error. */
static int
next_record(struct scan *s, uint64_t generation, struct journal_record *out,
    size_t *out_used, struct err *e)
{
	for (;;) {
		const struct span in = span_skip(buf_span(&s->win), s->used);

		switch (journal_record_get(
		    in, generation, scan_place(s), out, out_used)) {
		case PARSE_OK:
			return 1;
		case PARSE_BAD:
			return 0;
		case PARSE_MORE:
			break;
		}
		if (*out_used - in.n > s->end - s->at)
			return 0;
		if (fill_window(s, *out_used - in.n, e) != 0)
			return -1;
	}
}

int
segment_scan(const struct segment *s, uint64_t from, uint64_t to, segment_fn fn,
    void *arg, uint64_t *out_end, struct err *e)
{
	struct scan scan = { .fd = s->fd, .at = from,
		.window = WINDOW_FIRST };
	struct journal_record r;
	size_t used = 0;
	int got = 0;
	bool go = true;

	scan.end = to != 0 && to < s->head.size ? to : s->head.size;
	BUG_ON(from < JOURNAL_RECORDS || from > s->head.size);
	if (scan.end < from)
		scan.end = from;
	buf_init(&scan.win, (size_t)s->head.size + 2 * WINDOW);
	while (go && (got = next_record(
			  &scan, s->head.generation, &r, &used, e)) > 0) {
		go = fn(arg, &r, scan_place(&scan));
		scan.used += used;
	}
	*out_end = scan_place(&scan);
	buf_release(&scan.win);
	return got < 0 ? -1 : 0;
}

/* ---- listing ---- */
static bool
parse_name(const char *name, uint32_t *out)
{
	uint64_t n;

	if (strlen(name) != NAME_DIGITS ||
	    !span_u64(span_str(name), 99999999, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

int
segment_list(struct queue *q, segment_list_fn fn, void *arg, struct err *e)
{
	const int fd =
	    openat(q->fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint32_t number;
	int error;

	if (dir == NULL) {
		if (fd < 0 && errno == ENOENT)
			return 0;
		err_sys(e, "open %s", directory);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		if (parse_name(entry->d_name, &number))
			fn(arg, number);
		errno = 0;
	}
	error = errno;
	closedir(dir);
	errno = error;
	return error == 0 ? 0 : err_sys(e, "read %s", directory);
}
