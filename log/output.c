/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { LOOK_US = 1000000 };

/*
 * This is no durable step (lib/os/fs.h): a log line is never synced, and a
 * power cut may take the last ones.
 */
struct output {
	char *path;
	int fd;
	uint64_t inode, first_size; /* when opened */
	int64_t looked_us;
};

static int
open_path(struct output *o, struct err *e)
{
	struct stat st;
	int fd = open(o->path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    0640);

	if (fd < 0)
		return err_sys(e, "open %s", o->path);
	if (fstat(fd, &st) != 0) {
		close(fd);
		return err_sys(e, "open %s", o->path);
	}
	if (o->fd >= 0)
		close(o->fd);
	o->fd = fd;
	o->inode = st.st_ino;
	o->first_size = (uint64_t)st.st_size;
	return 0;
}

int
output_open(const char *path, struct output **out, struct err *e)
{
	struct output *o = MEM_NEW(o);

	o->path = mem_strdup(path);
	o->fd = -1;
	if (open_path(o, e) != 0) {
		output_free(&o);
		return -1;
	}
	*out = o;
	return 0;
}

void
output_free(struct output **ref)
{
	struct output *o = *ref;

	*ref = NULL;
	if (o == NULL)
		return;
	if (o->fd >= 0)
		close(o->fd);
	mem_free(o->path);
	mem_free(o);
}

bool
output_has(const struct output *o, const struct ring_intent *note)
{
	return note->inode == o->inode && note->end <= o->first_size;
}

int
output_reopen(struct output *o, struct err *e)
{
	return open_path(o, e);
}

static void
look(struct output *o)
{
	int64_t now = clock_wall_us();
	struct stat st;

	if (now - o->looked_us >= 0 && now - o->looked_us < LOOK_US)
		return;
	o->looked_us = now;
	if (stat(o->path, &st) != 0 || st.st_ino != o->inode)
		/* If it fails, the old file is better than none. */
		(void)open_path(o, NULL);
}

void
output_prepare(struct output *o, size_t n, struct ring_intent *out)
{
	struct stat st;

	look(o);
	out->inode = o->inode;
	out->end = UINT64_MAX;
	if (fstat(o->fd, &st) == 0)
		out->end = (uint64_t)st.st_size + n;
}

int
output_write(struct output *o, struct span bytes, struct err *e)
{
	struct stat before;
	size_t done = 0;

	if (fstat(o->fd, &before) != 0)
		return err_sys(e, "write %s", o->path);
	while (done < bytes.n) {
		ssize_t n = write(o->fd, bytes.p + done, bytes.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(e, "write %s", o->path);
			/* All or nothing: the caller writes it again. */
			if (done > 0 && S_ISREG(before.st_mode) &&
			    ftruncate(o->fd, before.st_size) != 0)
				err_sys(e, "write and truncate %s", o->path);
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}
