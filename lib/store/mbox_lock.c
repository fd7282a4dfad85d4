/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/dotlock.h"
#include "lib/store/mbox.h"

enum { WAIT_MS = 30000, STEP_MS = 100 };

/* ---- the lock file ---- */
static int
lockfile(const struct mbox_lock *l, const char *op, struct err *e)
{
	char *path;
	int fd, rc = 0;

	if (strcmp(op, "create") == 0)
		path = mem_strdup(l->path);
	else
		path = mem_printf("%s.lock", l->path);
	if (l->s->user.lockfile != NULL) {
		rc = l->s->user.lockfile(
		    l->s->user.lockfile_arg, op, path, e);
	} else if (strcmp(op, "remove") == 0) {
		rc = fs_unlink(AT_FDCWD, path, e);
	} else if (strcmp(op, "make") == 0) {
		rc = dotlock_make(AT_FDCWD, path, getpid(), e);
	} else {
		rc = fs_create(AT_FDCWD, path, 0600, &fd, e);
		if (rc == 0)
			close(fd);
	}
	mem_free(path);
	return rc;
}

static bool
lockfile_stale(const struct mbox_lock *l)
{
	char *path = mem_printf("%s.lock", l->path);
	const bool stale = dotlock_stale(AT_FDCWD, path);

	mem_free(path);
	return stale;
}

/* 1 locked, 0 someone else has it, -1 error. Where nobody may make files, no
 * other program can rely on one: then fcntl alone has to do. */
static int
take_lockfile(struct mbox_lock *l, struct err *e)
{
	if (lockfile(l, "make", e) == 0) {
		l->dotlock = true;
		return 1;
	}
	if (e->sysno == EACCES || e->sysno == EPERM || e->sysno == EROFS)
		return 1;
	if (e->sysno != EEXIST)
		return -1;
	if (lockfile_stale(l))
		lockfile(l, "remove", NULL);
	return 0;
}

/* ---- the file ---- */
static int
check_file(const char *path, int fd, struct stat *out, struct err *e)
{
	if (fstat(fd, out) != 0)
		return err_sys(e, "stat %s", path);
	if (out->st_nlink != 1)
		return err_set(e, ERR_TEMP, "4.2.0",
		    "mailbox %s has %lu links", path,
		    (unsigned long)out->st_nlink);
	if (out->st_uid != geteuid())
		return err_set(e, ERR_TEMP, "4.2.0",
		    "mailbox %s is not owned by its user", path);
	return 0;
}

static int
open_file(struct mbox_lock *l, bool write, bool create, struct err *e)
{
	const int flags = write ? O_RDWR : O_RDONLY;

	for (int i = 0; i < 3; i++) {
		if (fs_open(AT_FDCWD, l->path, flags, &l->fd, e) == 0)
			return 0;
		if (e->sysno != ENOENT)
			return -1;
		if (!create)
			return 0;
		if (lockfile(l, "create", e) != 0 && e->sysno != EEXIST)
			return -1;
	}
	return -1;
}

/* 1 locked, 0 not now, -1 error. */
static int
lock_file(struct mbox_lock *l, bool write, struct err *e)
{
	struct flock lock = { .l_type = write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET };
	struct stat ours, named;

	if (fcntl(l->fd, F_OFD_SETLK, &lock) != 0) {
		if (errno == EAGAIN || errno == EACCES || errno == EINTR)
			return 0;
		return err_sys(e, "lock %s", l->path);
	}
	/* Some programs do replace it. */
	if (check_file(l->path, l->fd, &ours, e) != 0)
		return -1;
	if (lstat(l->path, &named) != 0 || named.st_ino != ours.st_ino ||
	    named.st_dev != ours.st_dev)
		return 0;
	return write ? take_lockfile(l, e) : 1;
}

int
mbox_lock(const struct store *s, const char *path, bool write, bool create,
    struct mbox_lock *out, struct err *e)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct mbox_lock l = { .s = s, .path = mem_strdup(path), .fd = -1 };
	struct err ignored;
	int rc = 0;

	if (e == NULL)
		e = &ignored;
	for (int ms = 0; rc == 0; ms += STEP_MS) {
		rc = open_file(&l, write, create, e);
		if (rc == 0 && l.fd < 0)
			break;
		if (rc == 0)
			rc = lock_file(&l, write, e);
		if (rc == 1)
			break;
		/* Everything is given back before waiting: programs that
		 * lock in another order must not wait for us for ever. */
		if (l.fd >= 0)
			close(l.fd);
		l.fd = -1;
		if (rc == 0 && ms >= WAIT_MS)
			rc = err_set(e, ERR_TEMP, "4.2.0",
			    "mailbox %s is locked by another program", path);
		if (rc == 0)
			nanosleep(&step, NULL);
	}
	if (rc < 0) {
		mem_free(l.path);
		return -1;
	}
	*out = l;
	return 0;
}

void
mbox_unlock(struct mbox_lock *l)
{
	if (l->dotlock)
		lockfile(l, "remove", NULL);
	if (l->fd >= 0)
		close(l->fd);
	mem_free(l->path);
	*l = (struct mbox_lock){ .fd = -1 };
}
