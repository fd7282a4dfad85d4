/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/dotlock.h"

enum { ANSWER_MS = 1000 };

/* The only names in the spool directory that a user has a claim to. */
static bool
allowed(const struct spawned *s, const char *spool, struct span op,
    struct span path, char *name, size_t size)
{
	const bool create = span_eq(op, SPAN("create"));
	char want[LIMIT_PATH];
	int n;

	if (strchr(s->user, '/') != NULL || s->user[0] == '.')
		return false;
	n = snprintf(name, size, create ? "%s" : "%s.lock", s->user);
	if (n < 0 || (size_t)n >= size)
		return false;
	n = snprintf(want, sizeof(want), "%s/%s", spool, name);
	return n > 0 && (size_t)n < sizeof(want) &&
	       span_eq(path, span_str(want));
}

static int
create(int dir, const char *name, struct err *e)
{
	int fd;

	if (fs_create(dir, name, 0600, &fd, e) != 0)
		return -1;
	close(fd);
	return 0;
}

static int
perform(
    struct spawned *s, int dir, struct span op, const char *name, struct err *e)
{
	if (span_eq(op, SPAN("make")))
		return dotlock_make(dir, name, s->pid, e);
	if (span_eq(op, SPAN("create")))
		return create(dir, name, e);
	if (span_eq(op, SPAN("remove")))
		return fs_unlink(dir, name, e);
	if (span_eq(op, SPAN("touch")))
		return utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW) == 0
			   ? 0
			   : err_sys(e, "touch %s", name);
	return err_set(e, ERR_PERM, "5.5.0", "unknown operation");
}

/* As the user, in the spool directory's group: the files become the user's,
 * and nothing can be done that group mail could not do. */
static int
perform_as_user(struct spawned *s, const char *spool, struct span op,
    const char *name, struct err *e)
{
	const bool root = geteuid() == 0;
	int dir, result = -1;
	struct stat st;

	dir = open(spool, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) != 0) {
		result = err_sys(e, "%s", spool);
	} else if (root && (setegid(st.st_gid) != 0 || seteuid(s->uid) != 0)) {
		result = err_sys(e, "become uid %u", (unsigned)s->uid);
	} else {
		result = perform(s, dir, op, name, e);
	}
	if (root && (seteuid(0) != 0 || setegid(0) != 0))
		BUG_ON(true);
	if (dir >= 0)
		close(dir);
	return result;
}

int
spawn_lockfile(struct spawner *sp, struct spawned *s, struct msg_in *m)
{
	const char *spool = daemon_common(sp->daemon)->mail_spool_directory;
	const struct span op = msg_need(m, F_OP, 16);
	const struct span path = msg_need(m, F_PATH, LIMIT_PATH);
	char name[LIMIT_PATH];
	struct msg_out out;
	struct err e = { 0 };
	int result;

	if (msg_done(m, &e) != 0)
		return -1;
	if (!allowed(s, spool, op, path, name, sizeof(name)))
		result = err_set(&e, ERR_PERM, "5.7.0", "not your file");
	else
		result = perform_as_user(s, spool, op, name, &e);
	msg_begin(&out, result == 0 ? MSG_OK : MSG_ERROR, m->id, m->trace);
	if (result != 0)
		msg_put_err(&out, &e); /* EEXIST means "locked" */
	result = sync_send(s->control, &out, ANSWER_MS, &e);
	msg_out_release(&out);
	return result;
}
