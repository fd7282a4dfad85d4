/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/forker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/daemon/logsink.h"
#include "lib/ipc/channel.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/priv.h"
#include "lib/store/dotlock.h"

enum { CHILDREN_MAX = 2000, ANSWER_MS = 5000, NAME_LENGTH = 128 };

/* The second socket of a worker. */
struct child {
	int fd;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char name[NAME_LENGTH];
};

struct forker {
	const struct local_setting *setting;
	worker_fn worker;
	int fd; /* to the dispatcher */
	struct child *children;
	size_t count;
	struct pollfd *polls; /* the dispatcher's, then the children's */
};

/* ---- lock files ---- */
static bool
name_ok(const char *name)
{
	return name[0] != '\0' && name[0] != '.' &&
	    strchr(name, '/') == NULL && strlen(name) < NAME_LENGTH;
}

/* The mailbox is made by the user itself, in the group of the directory,
 * which may write there: so it is the user's from the first moment, and no
 * right to change owners is needed. */
static int
create_mailbox(int dir_fd, const char *name, uid_t uid)
{
	const bool root = geteuid() == 0;
	struct stat st;
	int fd, sysno = 0;

	if (fstat(dir_fd, &st) != 0)
		return errno;
	if (root && uid != 0 &&
	    (setresgid((gid_t)-1, st.st_gid, 0) != 0 ||
		setresuid((uid_t)-1, uid, 0) != 0))
		return errno;
	fd = openat(dir_fd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		sysno = errno;
	else
		close(fd);
	if (root && uid != 0 &&
	    (setresuid((uid_t)-1, 0, 0) != 0 ||
		setresgid((gid_t)-1, 0, 0) != 0))
		log_fatal(75, "can't become root again: %s", strerror(errno));
	return sysno;
}

int
forker_lockfile(const char *spool, const char *op, const char *name, uid_t uid,
    pid_t pid)
{
	char lock[NAME_LENGTH + 8];
	int dir_fd, sysno;
	struct err e;

	if (!name_ok(name))
		return EINVAL;
	snprintf(lock, sizeof(lock), "%s.lock", name);
	dir_fd = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return errno;
	if (strcmp(op, "make") == 0)
		sysno =
		    dotlock_make(dir_fd, lock, pid, &e) != 0 ? e.sysno : 0;
	else if (strcmp(op, "touch") == 0)
		sysno = utimensat(dir_fd, lock, NULL, AT_SYMLINK_NOFOLLOW) != 0 ?
		    errno :
		    0;
	else if (strcmp(op, "remove") == 0)
		sysno = fs_unlink(dir_fd, lock, &e) != 0 ? e.sysno : 0;
	else if (strcmp(op, "create") == 0)
		sysno = create_mailbox(dir_fd, name, uid);
	else
		sysno = EINVAL;
	close(dir_fd);
	return sysno;
}

static void
answer_lockfile(struct forker *f, struct child *c, struct msg_in *m)
{
	char op[16];
	struct msg_out out;
	int sysno = EINVAL;

	msg_get_str(m, F_OP, op, sizeof(op));
	if (!m->bad && m->type == MSG_LOCKFILE)
		sysno = forker_lockfile(
		    f->setting->common->mail_spool_directory, op, c->name,
		    c->uid, c->pid);
	msg_begin(&out, MSG_OK, m->id, m->trace);
	msg_put_u64(&out, F_STATUS, (uint64_t)sysno);
	sync_send(c->fd, &out, ANSWER_MS, NULL);
	msg_out_release(&out);
}

/* ---- workers ---- */
static void
close_all_but(int keep_a, int keep_b)
{
	const int low = keep_a < keep_b ? keep_a : keep_b;
	const int high = keep_a < keep_b ? keep_b : keep_a;

	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, UINT32_MAX, 0);
}

static void
reset_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* root keeps its uid but no capability at all. */
static int
become(uid_t uid, gid_t gid, struct err *e)
{
	const struct priv_user user = { uid, gid };

	if (!priv_is_root())
		return 0;
	if (uid == 0)
		return priv_limit_caps(NULL, 0, e);
	return priv_become(&user, NULL, 0, NULL, 0, e);
}

static _Noreturn void
be_worker(struct forker *f, const struct child *c, int fd, int lock_fd)
{
	struct err e;

	close_all_but(fd, lock_fd);
	if (logsink_child(&e) != 0 || become(c->uid, c->gid, &e) != 0 ||
	    priv_not_dumpable(&e) != 0)
		log_fatal(75, "worker for %s: %s", c->name, e.text);
	umask(0077);
	f->worker(fd, lock_fd, f->setting);
	logsink_stop();
	_exit(0);
}

/* _Fork, because libuv, once used, wants to repair its descriptors in a child
 * of fork: here they are closed and their numbers are others'.
 * On failure the dispatcher sees the worker's socket end. */
static void
start_worker(struct forker *f, struct msg_in *m)
{
	struct child c = { .fd = -1 };
	int pair[2], fd = msg_take_fd(m);
	struct err e;
	pid_t pid;

	msg_get_str(m, F_USER, c.name, sizeof(c.name));
	c.uid = (uid_t)msg_get_u32(m, F_UID);
	c.gid = (gid_t)msg_get_u32(m, F_GID);
	if (msg_done(m, &e) != 0 || m->type != MSG_FORK || fd < 0 ||
	    f->count == CHILDREN_MAX || sock_pair(SOCK_SEQPACKET, pair, &e)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	pid = _Fork();
	if (pid == 0) {
		close(pair[0]);
		be_worker(f, &c, fd, pair[1]);
	}
	if (pid < 0)
		log_warning(NULL, "fork: %s", strerror(errno));
	close(fd);
	close(pair[1]);
	c.fd = pair[0];
	c.pid = pid;
	if (pid > 0)
		f->children[f->count++] = c;
	else
		close(pair[0]);
}

/* ---- the process ---- */
/* One message from fd; false: it is at its end. */
static bool
receive(int fd, struct buf *store, struct msg_in *out)
{
	struct err e;
	const int got = sync_receive(fd, store, out, 0, &e);

	if (got == 1)
		return true;
	out->type = 0;
	return got < 0 && e.sysno == 0;
}

static void
serve_children(struct forker *f, struct buf *store)
{
	struct msg_in m;

	for (size_t i = f->count; i-- > 0;) {
		struct child *c = &f->children[i];

		if (f->polls[i + 1].revents == 0)
			continue;
		if (sync_receive(c->fd, store, &m, ANSWER_MS, NULL) == 1) {
			answer_lockfile(f, c, &m);
			msg_in_release(&m);
			continue;
		}
		close(c->fd);
		*c = f->children[--f->count];
	}
}

static _Noreturn void
forker_run(struct forker *f)
{
	struct msg_in m;
	struct buf store;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	for (;;) {
		f->polls[0] =
		    (struct pollfd){ .fd = f->fd, .events = POLLIN };
		for (size_t i = 0; i < f->count; i++)
			f->polls[i + 1] = (struct pollfd){
				.fd = f->children[i].fd, .events = POLLIN
			};
		if (poll(f->polls, f->count + 1, -1) < 0)
			continue;
		serve_children(f, &store);
		if (f->polls[0].revents == 0)
			continue;
		if (!receive(f->fd, &store, &m))
			break;
		if (m.type != 0) {
			start_worker(f, &m);
			msg_in_release(&m);
		}
	}
	/* The dispatcher is gone; the workers see that too. */
	logsink_stop();
	_exit(0);
}

int
forker_start(const struct local_setting *setting, worker_fn worker,
    int *out_fd, struct err *e)
{
	struct forker *f;
	int pair[2];
	pid_t pid;

	if (sock_pair(SOCK_SEQPACKET, pair, e) != 0)
		return -1;
	pid = _Fork();
	if (pid < 0) {
		err_sys(e, "fork");
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid > 0) {
		close(pair[1]);
		*out_fd = pair[0];
		return 0;
	}
	close_all_but(pair[1], pair[1]);
	reset_signals();
	/* Workers are not waited for. */
	signal(SIGCHLD, SIG_IGN);
	if (logsink_child(e) != 0)
		log_fatal(75, "%s", e->text);
	f = MEM_NEW(f);
	f->setting = setting;
	f->worker = worker;
	f->fd = pair[1];
	f->children = mem_zalloc(CHILDREN_MAX * sizeof(*f->children));
	f->polls = mem_zalloc((CHILDREN_MAX + 1) * sizeof(*f->polls));
	forker_run(f);
}
