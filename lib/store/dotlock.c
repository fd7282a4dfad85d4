/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/fs.h"

/* The file system's clock made the time stamp, so it is compared with that
 * of a file made now by the same clock: the machine's, on local disks. */
static bool
stale(int dir_fd, const char *name)
{
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &now);
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_mtim.tv_sec + DOTLOCK_STALE_S < now.tv_sec;
}

int
dotlock_take(int dir_fd, const char *name, int wait_ms, struct err *e)
{
	const struct timespec step = { .tv_nsec = DOTLOCK_STEP_MS * 1000000L };
	char pid[32];
	int fd, len;

	for (int ms = 0;; ms += DOTLOCK_STEP_MS) {
		if (fs_create(dir_fd, name, 0600, &fd, e) == 0)
			break;
		if (e->sysno != EEXIST || ms >= wait_ms)
			return -1;
		if (stale(dir_fd, name))
			fs_unlink(dir_fd, name, NULL);
		else
			nanosleep(&step, NULL);
	}
	/* Who holds it, for people; a failure here harms nothing. */
	len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (write(fd, pid, (size_t)len) < 0)
		errno = 0;
	close(fd);
	return 0;
}

void
dotlock_release(int dir_fd, const char *name)
{
	fs_unlink(dir_fd, name, NULL);
}
