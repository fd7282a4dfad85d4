/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* ---- the place where tests make steps fail ---- */
static atomic_uint steps;
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;
static struct {
	unsigned at; /* the step, from 1; 0: no fault */
	bool onward;
	unsigned slow_ms; /* it takes so much longer; 0: it fails */
	int sysno;        /* 0: kill */
} fault;

static int
errno_by_name(const char *name)
{
	for (int n = 1; n < 256; n++) {
		const char *known = strerrorname_np(n);

		if (known != NULL && strcmp(known, name) == 0)
			return n;
	}
	return -1;
}

/* "1500ms"; 0: it is none. */
static unsigned
read_delay(const char *text)
{
	char *end;
	const unsigned long ms = strtoul(text, &end, 10);

	return strcmp(end, "ms") == 0 && ms <= 60000 ? (unsigned)ms : 0;
}

static void
read_fault(void)
{
	const char *text = getenv("CHAPPE_FAULT");
	const char *only = getenv("CHAPPE_FAULT_PROC");
	unsigned long at;
	char *end;

	if (text == NULL ||
	    (only != NULL && strcmp(only, program_invocation_short_name) != 0))
		return;
	at = strtoul(text, &end, 10);
	fault.onward = *end == '+';
	if (fault.onward)
		end++;
	if (at == 0 || at > UINT32_MAX || *end != ':')
		return;
	fault.slow_ms = read_delay(end + 1);
	fault.sysno = strcmp(end + 1, "kill") == 0 ? 0 : errno_by_name(end + 1);
	if (fault.sysno >= 0 || fault.slow_ms > 0)
		fault.at = (unsigned)at;
}

enum step { STEP_GO, STEP_FAIL, STEP_KILL };

/* Counts a step; STEP_FAIL sets errno. */
static enum step
next_step(void)
{
	const unsigned n = atomic_fetch_add(&steps, 1) + 1;

	pthread_once(&fault_once, read_fault);
	if (fault.at == 0 || n < fault.at || (n > fault.at && !fault.onward))
		return STEP_GO;
	if (fault.slow_ms > 0) {
		const struct timespec wait = { fault.slow_ms / 1000,
			(long)(fault.slow_ms % 1000) * 1000000 };

		nanosleep(&wait, NULL);
		return STEP_GO;
	}
	if (fault.sysno == 0)
		return STEP_KILL;
	errno = fault.sysno;
	return STEP_FAIL;
}

static bool
step_fails(void)
{
	const enum step s = next_step();

	if (s == STEP_KILL)
		kill(getpid(), SIGKILL);
	return s == STEP_FAIL;
}

unsigned
fs_steps(void)
{
	return atomic_load(&steps);
}

/* ---- the steps ---- */
int
fs_create(int dir_fd, const char *name, mode_t mode, int *out_fd, struct err *e)
{
	int fd;

	if (step_fails())
		return err_sys(e, "create %s", name);
	fd = openat(dir_fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(e, "create %s", name);
	*out_fd = fd;
	return 0;
}

int
fs_open(int dir_fd, const char *name, int flags, int *out_fd, struct err *e)
{
	struct stat st;
	const int fd = openat(dir_fd, name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %s", name);
	if (fstat(fd, &st) != 0) {
		err_sys(e, "stat %s", name);
		close(fd);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(
		    e, ERR_TEMP, "4.3.0", "%s: not a regular file", name);
	}
	*out_fd = fd;
	return 0;
}

/* All bytes at the file position (at < 0) or at a place. */
static int
write_all(int fd, struct span s, off_t at)
{
	while (s.n > 0) {
		const ssize_t n =
		    at < 0 ? write(fd, s.p, s.n) : pwrite(fd, s.p, s.n, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		s = span_skip(s, (size_t)n);
		if (at >= 0)
			at += n;
	}
	return 0;
}

static int
write_step(int fd, struct span bytes, off_t at, struct err *e)
{
	switch (next_step()) {
	case STEP_GO:
		break;
	case STEP_FAIL:
		return err_sys(e, "write");
	case STEP_KILL:
		/* Torn in the middle is the worst place to die. */
		write_all(fd, span_slice(bytes, 0, bytes.n / 2), at);
		kill(getpid(), SIGKILL);
	}
	if (write_all(fd, bytes, at) != 0)
		return err_sys(e, "write");
	return 0;
}

int
fs_write(int fd, struct span bytes, struct err *e)
{
	return write_step(fd, bytes, -1, e);
}

int
fs_pwrite(int fd, struct span bytes, off_t at, struct err *e)
{
	BUG_ON(at < 0);
	return write_step(fd, bytes, at, e);
}

/* Takes n bytes from the front of the pieces. */
static void
skip_pieces(struct iovec **pieces, size_t *count, size_t n)
{
	while (*count > 0 && n >= (*pieces)->iov_len) {
		n -= (*pieces)->iov_len;
		++*pieces;
		--*count;
	}
	if (n > 0) {
		(*pieces)->iov_base = (char *)(*pieces)->iov_base + n;
		(*pieces)->iov_len -= n;
	}
}

static int
write_pieces(int fd, struct iovec *pieces, size_t count, off_t at)
{
	while (count > 0) {
		const ssize_t n = pwritev(fd, pieces, (int)count, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		skip_pieces(&pieces, &count, (size_t)n);
		at += n;
	}
	return 0;
}

int
fs_pwritev(int fd, struct iovec *pieces, size_t count, off_t at, struct err *e)
{
	BUG_ON(at < 0 || count > FS_PIECES);
	switch (next_step()) {
	case STEP_GO:
		break;
	case STEP_FAIL:
		return err_sys(e, "write");
	case STEP_KILL:
		if (count > 0)
			pieces[count / 2].iov_len /= 2;
		write_pieces(fd, pieces, count / 2 + (count > 0), at);
		kill(getpid(), SIGKILL);
	}
	if (write_pieces(fd, pieces, count, at) != 0)
		return err_sys(e, "write");
	return 0;
}

int
fs_sync(int fd, struct err *e)
{
	if (step_fails() || fsync(fd) != 0)
		return err_sys(e, "fsync");
	return 0;
}

int
fs_write_early(int fd, off_t at, size_t n, struct err *e)
{
	if (sync_file_range(fd, at, (off_t)n, SYNC_FILE_RANGE_WRITE) == 0 ||
	    errno == ENOSYS || errno == EINVAL || errno == ESPIPE)
		return 0;
	return err_sys(e, "sync_file_range");
}

int
fs_datasync(int fd, struct err *e)
{
	if (step_fails() || fdatasync(fd) != 0)
		return err_sys(e, "fdatasync");
	return 0;
}

int
fs_sync_dir(int dir_fd, struct err *e)
{
	if (step_fails() || fsync(dir_fd) != 0)
		return err_sys(e, "fsync directory");
	return 0;
}

int
fs_sync_all(int fd, struct err *e)
{
	if (step_fails() || syncfs(fd) != 0)
		return err_sys(e, "syncfs");
	return 0;
}

bool
fs_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int
fs_truncate(int fd, off_t size, struct err *e)
{
	if (step_fails() || ftruncate(fd, size) != 0)
		return err_sys(e, "truncate");
	return 0;
}

int
fs_allocate(int fd, off_t size, struct err *e)
{
	errno = posix_fallocate(fd, 0, size);
	return errno == 0 ? 0 : err_sys(e, "allocate");
}

int
fs_rename(
    int from_dir, const char *from, int to_dir, const char *to, struct err *e)
{
	if (step_fails() || renameat(from_dir, from, to_dir, to) != 0)
		return err_sys(e, "rename %s to %s", from, to);
	return 0;
}

int
fs_rename_new(int from_dir, const char *from, int to_dir, const char *to,
    struct err *e)
{
	if (step_fails() ||
	    renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) != 0)
		return err_sys(e, "rename %s to %s", from, to);
	return 0;
}

int
fs_link(
    int from_dir, const char *from, int to_dir, const char *to, struct err *e)
{
	if (step_fails() || linkat(from_dir, from, to_dir, to, 0) != 0)
		return err_sys(e, "link %s to %s", from, to);
	return 0;
}

int
fs_unlink(int dir_fd, const char *name, struct err *e)
{
	if (step_fails())
		return err_sys(e, "unlink %s", name);
	if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
		return err_sys(e, "unlink %s", name);
	return 0;
}

int
fs_mkdir(int dir_fd, const char *name, mode_t mode, struct err *e)
{
	if (step_fails() || mkdirat(dir_fd, name, mode) != 0)
		return err_sys(e, "mkdir %s", name);
	return 0;
}

int
fs_rmdir(int dir_fd, const char *name, struct err *e)
{
	if (step_fails() || unlinkat(dir_fd, name, AT_REMOVEDIR) != 0)
		return err_sys(e, "rmdir %s", name);
	return 0;
}

/* ---- made of steps ---- */
int
fs_commit(int fd, int from_dir, const char *from, int to_dir, const char *to,
    struct err *e)
{
	if (fs_sync(fd, e) != 0)
		return err_wrap(e, "%s", from);
	if (fs_rename(from_dir, from, to_dir, to, e) != 0)
		return -1;
	return fs_sync_dir(to_dir, e);
}

int
fs_replace(
    int dir_fd, const char *name, mode_t mode, struct span bytes, struct err *e)
{
	char temp[NAME_MAX + 1];
	uint64_t random;
	int fd = -1, ret = -1;

	BUG_ON(getrandom(&random, sizeof(random), 0) != sizeof(random));
	snprintf(temp, sizeof(temp), ".%.200s.%016llx", name,
	    (unsigned long long)random);
	if (fs_create(dir_fd, temp, mode, &fd, e) != 0)
		return -1;
	if (fs_write(fd, bytes, e) != 0)
		err_wrap(e, "%s", temp);
	else
		ret = fs_commit(fd, dir_fd, temp, dir_fd, name, e);
	/* After a rename there is none of this name, which is fine. */
	if (ret != 0)
		fs_unlink(dir_fd, temp, NULL);
	close(fd);
	return ret;
}

int
fs_read_file(
    int dir_fd, const char *name, size_t max, struct buf *out, struct err *e)
{
	enum { CHUNK = 16384 };
	size_t total = 0;
	ssize_t n = 0;
	uint8_t chunk[CHUNK];
	int fd = -1;

	if (fs_open(dir_fd, name, O_RDONLY, &fd, e) != 0)
		return -1;
	for (;;) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || total + (size_t)n > max)
			break;
		buf_add(out, span_of(chunk, (size_t)n));
		total += (size_t)n;
	}
	if (n < 0)
		err_sys(e, "read %s", name);
	else if (n > 0 || !buf_ok(out))
		err_set(
		    e, ERR_TEMP, "4.3.0", "%s: more than %zu bytes", name, max);
	close(fd);
	return n == 0 && buf_ok(out) ? 0 : -1;
}
