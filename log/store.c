/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/trace.h"

/*
 * The newest segment is appended to until it has its share of the limit; a
 * new one then begins, and the oldest beyond the limit goes.
 */
struct store {
	int dir_fd, fd;
	uint64_t limit, segment_max;
	uint64_t number, size; /* of the newest segment */
};

static int
segment_open(struct store *s, struct err *e)
{
	char name[TRACE_SEGMENT_NAME];
	struct stat st;
	int fd;

	trace_segment_name(s->number, name);
	fd = openat(s->dir_fd, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_sys(e, "open trace/%s", name);
	if (fstat(fd, &st) != 0) {
		close(fd);
		return err_sys(e, "open trace/%s", name);
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->size = (uint64_t)st.st_size;
	return 0;
}

/* Leaves one segment's share of room for the newest. */
static int
remove_oldest(struct store *s, struct err *e)
{
	uint64_t *numbers;
	size_t count;

	if (trace_segments(s->dir_fd, &numbers, &count, e) != 0)
		return -1;
	for (size_t i = 0; i + TRACE_SEGMENTS - 1 < count; i++) {
		char name[TRACE_SEGMENT_NAME];

		trace_segment_name(numbers[i], name);
		/* A trace is no mail: this is no durable step. */
		if (unlinkat(s->dir_fd, name, 0) != 0 && errno != ENOENT)
			err_sys(e, "remove trace/%s", name);
	}
	mem_free(numbers);
	return 0;
}

static int
newest(struct store *s, struct err *e)
{
	uint64_t *numbers;
	size_t count;

	if (trace_segments(s->dir_fd, &numbers, &count, e) != 0)
		return -1;
	s->number = count > 0 ? numbers[count - 1] : 1;
	mem_free(numbers);
	if (segment_open(s, e) != 0)
		return -1;
	/* A line that a crash cut must not swallow the next one. */
	if (s->size > 0 && write(s->fd, "\n", 1) == 1)
		s->size++;
	return 0;
}

int
store_open(const char *dir, uint64_t limit, struct store **out,
    struct err *e)
{
	struct store *s = MEM_NEW(s);

	s->fd = -1;
	s->limit = limit;
	s->segment_max = limit / TRACE_SEGMENTS;
	s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		err_sys(e, "open %s", dir);
	if (s->dir_fd < 0 || newest(s, e) != 0) {
		store_free(&s);
		return -1;
	}
	*out = s;
	return 0;
}

void
store_free(struct store **ref)
{
	struct store *s = *ref;

	*ref = NULL;
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	mem_free(s);
}

int
store_dir(const struct store *s)
{
	return s->dir_fd;
}

int
store_write(struct store *s, struct span lines, struct err *e)
{
	ssize_t n;

	if (s->size > 0 && s->size + lines.n > s->segment_max) {
		s->number++;
		if (segment_open(s, e) != 0 || remove_oldest(s, e) != 0)
			return -1;
	}
	n = write(s->fd, lines.p, lines.n);
	if (n < 0)
		return err_sys(e, "write trace");
	s->size += (uint64_t)n;
	return 0;
}
