/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/os/fs.h"
#include "lib/store/dotlock.h"
#include "lib/os/log.h"

enum { CONTROL_WAIT_MS = 10000 };

static char *
text(struct msg_in *m, enum msg_field f)
{
	return span_dup(msg_get(m, f, LIMIT_PATH));
}

/* MSG_SESSION as the spawner sends it: docs/DESIGN.md, IPC. */
int
session_control_start(struct session *s, struct err *e)
{
	struct session_user *u = &s->user;
	struct buf store;
	struct msg_in m;
	int n;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	n = sync_receive(SESSION_CONTROL_FD, &store, &m, CONTROL_WAIT_MS, e);
	if (n == 1 && m.type == MSG_SESSION) {
		s->log.trace = m.trace;
		u->name = text(&m, F_USER);
		u->home = text(&m, F_HOME);
		u->location = text(&m, F_MAIL);
		u->quota_rule = text(&m, F_QUOTA);
		u->home_mailbox = text(&m, F_MAILBOX);
		u->spool_directory = text(&m, F_PATH);
		u->tag = text(&m, F_TAG);
		u->address = text(&m, F_ADDR);
		u->mailbox_size_max = msg_get_u64(&m, F_SIZE);
		u->message_size_max = msg_get_u64(&m, F_COUNT);
		u->idle_notify_ms = msg_get_u64(&m, F_TTL);
		n = msg_done(&m, e);
		msg_in_release(&m);
	} else if (n >= 0) {
		n = err_set(e, ERR_TEMP, "4.3.0", "the spawner said nothing");
	}
	buf_release(&store);
	return n;
}

static void
act(struct session *s, struct msg_in *m)
{
	struct span box;

	if (m->type == MSG_HURRY) {
		if (!imap_server_busy(s->server) || s->idling) {
			imap_server_bye(s->server, "Server is restarting");
			session_flush(s);
			s->closing = true;
			s->end_reason = "told to leave";
		}
		return;
	}
	if (m->type != MSG_NOTIFY)
		return;
	box = msg_get(m, F_MAILBOX, LIMIT_MAILBOX_NAME);
	if (s->box_name != NULL &&
	    (box.n == 0 || span_eq(box, span_str(s->box_name))))
		s->changed = true;
}

void
session_control_read(struct session *s)
{
	struct buf store;
	struct msg_in m;
	int n;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	n = sync_receive(SESSION_CONTROL_FD, &store, &m, 0, NULL);
	if (n == 1) {
		act(s, &m);
		msg_in_release(&m);
	} else {
		/* Mail can be read without a spawner; only new mail is then
		 * noticed by inotify alone. */
		s->control_lost = true;
	}
	buf_release(&store);
}

/* Notices that come between question and answer. */
static int
receive_answer(
    struct session *s, struct buf *store, struct msg_in *m, struct err *e)
{
	for (;;) {
		const int n = sync_receive(
		    SESSION_CONTROL_FD, store, m, CONTROL_WAIT_MS, e);

		if (n != 1)
			return n < 0 ? -1
				     : err_set(e, ERR_TEMP, "4.3.0",
					   "spawner is gone");
		if (m->id != 0)
			return 0;
		act(s, m);
		msg_in_release(m);
	}
}

/* By the user's own rights. */
static int
lockfile_directly(const char *op, const char *path, struct err *e)
{
	int fd;

	if (strcmp(op, "remove") == 0)
		return fs_unlink(AT_FDCWD, path, e);
	if (strcmp(op, "touch") == 0)
		return utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0
			   ? 0
			   : err_sys(e, "touch %s", path);
	if (strcmp(op, "make") == 0)
		return dotlock_make(AT_FDCWD, path, getpid(), e);
	if (fs_create(AT_FDCWD, path, 0600, &fd, e) != 0)
		return -1;
	close(fd);
	return 0;
}

static bool
in_spool(const struct session *s, const char *path)
{
	const size_t n = strlen(s->user.spool_directory);

	return n > 0 && strncmp(path, s->user.spool_directory, n) == 0 &&
	       path[n] == '/';
}

static int
lockfile_by_spawner(
    struct session *s, const char *op, const char *path, struct err *e)
{
	struct msg_out out;
	struct buf store;
	struct msg_in m;
	int result;

	if (s->control_lost)
		return err_set(e, ERR_TEMP, "4.3.0", "spawner is gone");
	msg_begin(&out, MSG_LOCKFILE, 1, s->log.trace);
	msg_put_str(&out, F_OP, op);
	msg_put_str(&out, F_PATH, path);
	result = sync_send(SESSION_CONTROL_FD, &out, CONTROL_WAIT_MS, e);
	msg_out_release(&out);
	if (result != 0)
		return -1;
	buf_init(&store, LIMIT_IPC_MESSAGE);
	result = receive_answer(s, &store, &m, e);
	if (result == 0) {
		if (m.type == MSG_ERROR) {
			result = -1;
			if (!msg_get_err(&m, e))
				err_set(e, ERR_TEMP, "4.3.0", "lock file");
		}
		msg_in_release(&m);
	}
	buf_release(&store);
	return result;
}

int
session_lockfile(void *arg, const char *op, const char *path, struct err *e)
{
	struct session *s = arg;
	struct err why = { 0 };

	if (lockfile_directly(op, path, &why) == 0)
		return 0;
	if ((why.sysno == EACCES || why.sysno == EPERM) && in_spool(s, path))
		return lockfile_by_spawner(s, op, path, e);
	if (e != NULL)
		*e = why;
	return -1;
}

void
session_quota(struct session *s)
{
	bool limited, full;
	struct msg_out m;
	struct err e;

	if (store_quota(s->store, &limited, &full, &e) != 0) {
		log_warning(&s->log, "quota: %s", e.text);
		return;
	}
	if (!limited || s->control_lost ||
	    (s->quota_told && s->quota_full == full))
		return;
	s->quota_told = true;
	s->quota_full = full;
	msg_begin(&m, MSG_QUOTA, 0, s->log.trace);
	msg_put_u64(&m, F_OVER_QUOTA, full);
	if (sync_send(SESSION_CONTROL_FD, &m, CONTROL_WAIT_MS, &e) != 0)
		log_warning(&s->log, "quota: %s", e.text);
	msg_out_release(&m);
}
