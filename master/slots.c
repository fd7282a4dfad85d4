/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

/*
 * The slot number ends every queue id that a process gives out, so no two
 * living processes may have the same one: neither two of ours, nor one of
 * ours and one that a master left behind which was killed. Hence a lock that
 * lives in the descriptor: the child inherits it and only its death (and our
 * closing it) frees the number. qmgr looks at the locks to see who lives.
 */
static int
try_slot(const char *path, int slot, int *out_fd, struct err *e)
{
	const int fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = slot,
		.l_len = 1,
	};

	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
		/* Whatever our umask is, and earlier releases made. */
		(void)fchmod(fd, 0644);
		*out_fd = fd;
		return slot;
	}
	err_sys(e, "lock %s", path);
	close(fd);
	return -1;
}

int
slot_take(const struct master *m, int *out_fd, struct err *e)
{
	char *path =
	    mem_printf("%s/pid/slots", m->config->common.queue_directory);
	int slot = -1;

	for (int i = 0; i < SLOTS && slot < 0; i++) {
		slot = try_slot(path, i, out_fd, e);
		if (slot < 0 && e->sysno != EAGAIN && e->sysno != EACCES)
			break;
	}
	mem_free(path);
	return slot;
}
