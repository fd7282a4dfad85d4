/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"

static const char name[] = "journal/reserve";

static int
open_reserve(struct queue *q, int *out_fd, struct err *e)
{
	*out_fd = openat(
	    q->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *out_fd >= 0 ? 0 : err_sys(e, "open %s", name);
}

int
queue_reserve_make(struct queue *q, uint64_t size, struct err *e)
{
	struct stat st;
	int fd, ret = 0;

	if (open_reserve(q, &fd, e) != 0)
		return -1;
	/* Blocks, in 512 bytes, are what counts. */
	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != size ||
	    (uint64_t)st.st_blocks < size / 512)
		ret = fs_allocate(fd, (off_t)size, e);
	if (ret != 0)
		fs_truncate(fd, 0, NULL);
	close(fd);
	return ret;
}

int
queue_reserve_free(struct queue *q, struct err *e)
{
	int fd, ret;

	if (open_reserve(q, &fd, e) != 0)
		return -1;
	ret = fs_truncate(fd, 0, e);
	/* Some file systems give blocks away only when it is durable that they
	 * are free. */
	if (ret == 0)
		ret = fs_sync(fd, e);
	close(fd);
	return ret;
}
