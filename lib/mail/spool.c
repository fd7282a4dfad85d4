/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/work.h"

enum { WRITE_SIZE = 256 << 10, BUSY_SIZE = 1 << 20, MEMORY_MAX = 256 << 20 };

enum step { STEP_NONE, STEP_WRITE, STEP_READ, STEP_CLOSE };

struct spool {
	struct work work;
	struct loop *loop;
	char *dir;
	size_t memory_max;
	int fd;		   /* -1: all is in memory */
	uint64_t in_file;  /* bytes that are there, or on their way */
	struct buf memory; /* what comes behind them */
	enum step step;	   /* under way */
	struct buf piece;  /* of that step */
	uint64_t piece_at;
	size_t piece_max;
	bool stale; /* it is read for nobody any more */
	bool freed, failed;
	bool step_failed; /* as the thread found it */
	struct err err;
	spool_ready_fn ready;
	void *ready_arg;
	spool_read_fn read; /* NULL: nobody reads */
	void *read_arg;
	uint64_t read_at;
	size_t read_max;
};

static void step_done(struct work *w);
static void step_run(struct work *w);

struct spool *
spool_new(struct loop *loop, const char *dir, size_t memory_max)
{
	struct spool *s = MEM_NEW(s);

	s->loop = loop;
	s->dir = mem_strdup(dir);
	s->memory_max = memory_max;
	s->fd = -1;
	buf_init(&s->memory, MEMORY_MAX);
	buf_init(&s->piece, MEMORY_MAX);
	return s;
}

uint64_t
spool_size(const struct spool *s)
{
	return s->in_file + s->memory.n;
}

/* ---- in a thread --------------------------------------------------------- */

/* Where the file system has no files without a name, it loses it at once. */
static int
make_file(const char *dir, int *out_fd, struct err *e)
{
	char name[64];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int dir_fd, r;

	if (fd >= 0) {
		*out_fd = fd;
		return 0;
	}
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return err_sys(e, "make a file in %s", dir);
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_sys(e, "open %s", dir);
	snprintf(name, sizeof(name), "scratch.%ld.%ld", (long)getpid(),
	    (long)gettid());
	r = fs_create(dir_fd, name, 0600, &fd, e);
	if (r == 0 && fs_unlink(dir_fd, name, e) != 0) {
		close(fd);
		r = -1;
	}
	close(dir_fd);
	if (r == 0)
		*out_fd = fd;
	return r;
}

static int
write_piece(struct spool *s)
{
	if (s->fd < 0 && make_file(s->dir, &s->fd, &s->err) != 0)
		return -1;
	return fs_pwrite(
	    s->fd, buf_span(&s->piece), (off_t)s->piece_at, &s->err);
}

static int
read_piece(struct spool *s)
{
	while (s->piece.n < s->piece_max) {
		const size_t want = s->piece_max - s->piece.n;
		uint8_t *p = buf_room(&s->piece, want);
		const ssize_t n =
		    pread(s->fd, p, want, (off_t)(s->piece_at + s->piece.n));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(&s->err, "read a file in %s", s->dir);
		if (n == 0)
			return err_set(&s->err, ERR_TEMP, "4.3.0",
			    "a file in %s has become shorter", s->dir);
		buf_grown(&s->piece, (size_t)n);
	}
	return 0;
}

static void
step_run(struct work *w)
{
	struct spool *s = CONTAINER_OF(w, struct spool, work);

	switch (s->step) {
	case STEP_WRITE:
		s->step_failed = write_piece(s) != 0;
		break;
	case STEP_READ:
		s->step_failed = read_piece(s) != 0;
		break;
	case STEP_CLOSE:
		close(s->fd);
		break;
	case STEP_NONE:
		break;
	}
}

/* ---- on the loop --------------------------------------------------------- */

static void
start(struct spool *s, enum step step)
{
	s->step = step;
	s->work = (struct work){
		.run = step_run, .done = step_done, .loop = s->loop
	};
	work_submit(s->loop, WORK_OTHER, &s->work);
}

/* With the last piece of a file that nobody names its blocks are given back,
 * and that may take a while. */
static void
release(struct spool *s)
{
	buf_release(&s->memory);
	buf_release(&s->piece);
	if (s->fd >= 0 && s->step != STEP_CLOSE) {
		start(s, STEP_CLOSE);
		return;
	}
	mem_free(s->dir);
	mem_free(s);
}

void
spool_free(struct spool **ref)
{
	struct spool *s = *ref;

	if (s == NULL)
		return;
	*ref = NULL;
	s->freed = true;
	if (s->step == STEP_NONE)
		release(s);
}

/* What is in memory goes to the file when it is more than it may be. */
static void
spill(struct spool *s)
{
	const size_t enough = s->in_file > 0 ? WRITE_SIZE : s->memory_max;

	if (s->step != STEP_NONE || s->failed || s->memory.n <= enough)
		return;
	buf_release(&s->piece);
	s->piece = s->memory;
	buf_init(&s->memory, MEMORY_MAX);
	s->piece_at = s->in_file;
	s->in_file += s->piece.n;
	start(s, STEP_WRITE);
}

void
spool_add(struct spool *s, struct span bytes)
{
	if (s->failed)
		return; /* spool_read will tell */
	buf_add(&s->memory, bytes);
	BUG_ON(!buf_ok(&s->memory));
	spill(s);
}

bool
spool_busy(struct spool *s, spool_ready_fn ready, void *arg)
{
	if (s->step != STEP_WRITE || s->memory.n < BUSY_SIZE)
		return false;
	s->ready = ready;
	s->ready_arg = arg;
	return true;
}

static void
tell_reader(struct spool *s, struct span bytes)
{
	const spool_read_fn fn = s->read;

	s->read = NULL;
	fn(s->read_arg, s->failed ? SPAN_EMPTY : bytes,
	    s->failed ? &s->err : NULL);
}

/* May free s. */
static void
serve_reader(struct spool *s)
{
	uint64_t from;

	if (s->failed || s->read_at >= s->in_file) {
		from = s->failed ? 0 : s->read_at - s->in_file;
		tell_reader(s, span_slice(buf_span(&s->memory), (size_t)from,
				   (size_t)from + s->read_max));
		return;
	}
	s->piece_at = s->read_at;
	s->piece_max = s->read_max;
	if (s->piece_max > s->in_file - s->read_at)
		s->piece_max = (size_t)(s->in_file - s->read_at);
	buf_reset(&s->piece);
	start(s, STEP_READ);
}

static void
step_done(struct work *w)
{
	struct spool *s = CONTAINER_OF(w, struct spool, work);
	const enum step step = s->step;
	const spool_ready_fn ready = s->ready;

	if (s->freed) {
		if (step != STEP_CLOSE)
			s->step = STEP_NONE;
		release(s);
		return;
	}
	s->step = STEP_NONE;
	s->failed |= s->step_failed;
	if (step == STEP_READ && !s->stale) {
		tell_reader(s, buf_span(&s->piece));
		return;
	}
	s->stale = false;
	s->ready = NULL;
	if (s->read != NULL) {
		serve_reader(s);
		return;
	}
	spill(s);
	if (ready != NULL)
		ready(s->ready_arg);
}

void
spool_read(
    struct spool *s, uint64_t at, size_t max, spool_read_fn fn, void *arg)
{
	BUG_ON(s->read != NULL);
	s->read = fn;
	s->read_arg = arg;
	s->read_at = at;
	s->read_max = max;
	if (s->step == STEP_NONE)
		serve_reader(s);
}

void
spool_read_cancel(struct spool *s)
{
	if (s->read == NULL)
		return;
	s->read = NULL;
	s->stale = s->step == STEP_READ;
}
