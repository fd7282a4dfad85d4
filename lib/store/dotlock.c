/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/os/fs.h"
#include "lib/store/boot.h"

enum { TEXT_MAX = 100 };

/* Where a process id means the same as here: this boot, this name space. */
static void
print_here(struct buf *out)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) != 0)
		return;
	buf_fmt(out, "%016llx %llx\n", (unsigned long long)boot_mark(),
	    (unsigned long long)st.st_ino);
}

int
dotlock_make(int dir_fd, const char *name, pid_t owner, struct err *e)
{
	struct buf b;
	int fd;

	if (fs_create(dir_fd, name, 0644, &fd, e) != 0)
		return -1;
	buf_init(&b, TEXT_MAX);
	buf_fmt(&b, "%ld\n", (long)owner);
	print_here(&b);
	/* Without the text it is a lock all the same. */
	(void)fs_write(fd, buf_span(&b), NULL);
	(void)fchmod(fd, 0644);
	buf_release(&b);
	close(fd);
	return 0;
}

/* Is it of our kind, and its owner gone? A process that may not be seen, or
 * signalled, is alive. */
static bool
owner_gone(int dir_fd, const char *name)
{
	struct buf text, here;
	struct span rest, pid;
	uint64_t number;
	bool gone = false;

	buf_init(&text, TEXT_MAX);
	buf_init(&here, TEXT_MAX);
	print_here(&here);
	if (here.n > 0 &&
	    fs_read_file(dir_fd, name, TEXT_MAX, &text, NULL) == 0) {
		rest = buf_span(&text);
		gone = span_token(&rest, "\n", &pid) &&
		    span_u64(pid, 1 << 30, &number) && number > 0 &&
		    span_eq(span_skip(rest, 1), buf_span(&here)) &&
		    kill((pid_t)number, 0) != 0 && errno == ESRCH;
	}
	buf_release(&text);
	buf_release(&here);
	return gone;
}

bool
dotlock_stale(int dir_fd, const char *name)
{
	struct timespec now;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	return st.st_mtim.tv_sec + DOTLOCK_STALE_S < now.tv_sec ||
	    owner_gone(dir_fd, name);
}

int
dotlock_take(int dir_fd, const char *name, int wait_ms, struct err *e)
{
	const struct timespec step = { .tv_nsec = DOTLOCK_STEP_MS * 1000000L };

	for (int ms = 0;; ms += DOTLOCK_STEP_MS) {
		if (dotlock_make(dir_fd, name, getpid(), e) == 0)
			return 0;
		if (e->sysno != EEXIST || ms >= wait_ms)
			return -1;
		if (dotlock_stale(dir_fd, name))
			fs_unlink(dir_fd, name, NULL);
		else
			nanosleep(&step, NULL);
	}
}

void
dotlock_release(int dir_fd, const char *name)
{
	fs_unlink(dir_fd, name, NULL);
}
