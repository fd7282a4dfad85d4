/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/worker.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/pam.h"
#include "auth/password.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

/* ---- the jobs -------------------------------------------------------------
 */

enum { HASH_MAX = 512 };

/* Everything the job was sent, as C strings; wiped at its end. */
struct job {
	char op[16], user[AUTH_NAME_MAX + 1], service[64], addr[48];
	char hash[HASH_MAX], password[AUTH_PASSWORD_MAX + 1];
};

static void
put_error(struct msg_out *out, const struct err *e)
{
	msg_out_release(out);
	msg_begin(out, MSG_ERROR, 0, 0);
	msg_put_err(out, e);
}

static void
put_groups(const struct passwd *pw, struct msg_out *out)
{
	gid_t groups[AUTH_GROUPS_MAX];
	int count = AUTH_GROUPS_MAX;

	/* A user in more groups than that has the first of them. */
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) < 0)
		count = AUTH_GROUPS_MAX;
	for (int i = 0; i < count; i++)
		msg_put_u64(out, F_GROUPS, groups[i]);
}

static void
do_user(const struct job *job, struct msg_out *out)
{
	enum { NSS_BUFFER = 65536 };
	struct passwd pw, *found = NULL;
	char store[NSS_BUFFER];
	struct err e;

	const int rc = getpwnam_r(job->user, &pw, store, sizeof(store), &found);
	if (found == NULL && rc != 0 && rc != ENOENT && rc != ESRCH) {
		errno = rc;
		err_sys(&e, "the system's user database");
		put_error(out, &e);
		return;
	}
	msg_put_u64(out, F_FOUND, found != NULL);
	if (found == NULL)
		return;
	msg_put_u64(out, F_UID, pw.pw_uid);
	msg_put_u64(out, F_GID, pw.pw_gid);
	msg_put_str(out, F_HOME, pw.pw_dir);
	put_groups(&pw, out);
}

static void
do_match(const struct job *job, const struct msg_in *m, struct msg_out *out)
{
	struct scram_key last = { .hash = SASL_HASH_NONE };
	char stored[HASH_MAX];
	struct span value;
	size_t cursor = 0;
	unsigned number = 0, found = 0;

	while (found == 0 && msg_next_value(m, F_TEXT, &cursor, &value)) {
		number++;
		if (span_copy(value, stored, sizeof(stored)) &&
		    password_slow_matches(stored, job->password, &last))
			found = number;
	}
	msg_put_u64(out, F_COUNT, found);
	explicit_bzero(&last, sizeof(last));
}

static void
do_derive(const struct job *job, struct msg_out *out)
{
	struct scram_key like, k;
	struct buf text;
	struct err e;

	if (!scram_key_parse(span_str(job->hash), &like)) {
		err_set(&e, ERR_TEMP, "4.3.0", "a bad key");
		put_error(out, &e);
		return;
	}
	scram_key_derive(like.hash, span_str(job->password),
	    span_of(like.salt, like.salt_n), like.iterations, &k);
	buf_init(&text, HASH_MAX);
	scram_key_print(&k, &text);
	msg_put(out, F_DATA, buf_span(&text));
	buf_wipe(&text);
	explicit_bzero(&k, sizeof(k));
}

static void
do_pam(const struct job *job, struct msg_out *out)
{
	char why[200] = "";

	const enum worker_pam result = pam_check(job->service, job->user,
	    job->password, job->addr, why, sizeof(why));
	msg_put_u64(out, F_STATUS, result);
	msg_put_str(out, F_TEXT, why);
}

void
worker_do(struct msg_in *m, struct msg_out *out)
{
	struct job job;
	struct err e;

	msg_begin(out, MSG_AUTH_WORK_DONE, 0, m->trace);
	msg_get_str(m, F_OP, job.op, sizeof(job.op));
	msg_get_str(m, F_USER, job.user, sizeof(job.user));
	msg_get_str(m, F_SERVICE, job.service, sizeof(job.service));
	msg_get_str(m, F_ADDR, job.addr, sizeof(job.addr));
	if (strcmp(job.op, "derive") == 0)
		msg_get_str(m, F_TEXT, job.hash, sizeof(job.hash));
	msg_get_str(m, F_DATA, job.password, sizeof(job.password));
	if (msg_done(m, &e) < 0) {
		put_error(out, &e);
	} else if (strcmp(job.op, "user") == 0) {
		do_user(&job, out);
	} else if (strcmp(job.op, "match") == 0) {
		do_match(&job, m, out);
	} else if (strcmp(job.op, "derive") == 0) {
		do_derive(&job, out);
	} else if (strcmp(job.op, "pam") == 0) {
		do_pam(&job, out);
	} else {
		err_set(&e, ERR_TEMP, "4.3.0", "unknown job");
		put_error(out, &e);
	}
	explicit_bzero(&job, sizeof(job));
}

/* ---- a worker -------------------------------------------------------------
 */

/* Closes all but fds (ascending) and 0-2. */
static void
close_others(const int *fds, size_t count)
{
	unsigned from = 3;

	for (size_t i = 0; i < count; i++) {
		if ((unsigned)fds[i] > from)
			close_range(from, (unsigned)fds[i] - 1, 0);
		from = (unsigned)fds[i] + 1;
	}
	close_range(from, UINT_MAX, 0);
}

static noreturn void
work(int fd)
{
	struct buf store;
	struct msg_out out;
	struct msg_in m;
	struct err e;

	signal(SIGALRM, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	buf_init(&store, LIMIT_IPC_MESSAGE);
	for (;;) {
		if (sync_receive(fd, &store, &m, INT_MAX, &e) != 1)
			_exit(0);
		alarm(WORKER_JOB_S);
		worker_do(&m, &out);
		alarm(0);
		msg_in_release(&m);
		explicit_bzero(store.p, store.n);
		if (sync_send(fd, &out, 10000, &e) < 0)
			_exit(0);
		msg_out_release(&out);
	}
}

/* ---- the nursery ----------------------------------------------------------
 */

struct nursery {
	int fds[POOL_WORKERS_MAX]; /* the workers' ends, ascending */
	pid_t pids[POOL_WORKERS_MAX];
	size_t count;
};

static void
start_worker(struct nursery *n, size_t i)
{
	const pid_t pid = fork();

	if (pid == 0) {
		/* Not before: it works once in a line of processes. */
		loop_forget();
		close_others(&n->fds[i], 1);
		work(n->fds[i]);
	}
	/* A fork that fails is tried again with the next death. */
	n->pids[i] = pid;
}

/* Tells the loop that the job of this worker will not be done. */
static void
report_death(int fd, int status)
{
	struct msg_out m;
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.0", "a worker of auth died: %s %d",
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	msg_begin(&m, MSG_ERROR, 0, 0);
	msg_put_err(&m, &e);
	(void)sync_send(fd, &m, 1000, &e);
	msg_out_release(&m);
}

/* Waits for deaths. A worker that exits with 0 saw the loop's end. */
static noreturn void
nurse(struct nursery *n)
{
	const struct timespec pause = { .tv_nsec = 200000000 };
	int status;

	close_others(n->fds, n->count);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	for (size_t i = 0; i < n->count; i++)
		start_worker(n, i);
	for (;;) {
		const pid_t pid = wait(&status);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
			_exit(0);
		for (size_t i = 0; i < n->count; i++)
			if (n->pids[i] == pid) {
				report_death(n->fds[i], status);
				nanosleep(&pause, NULL);
				start_worker(n, i);
			}
	}
}

int
workers_start(size_t count, int *out_fds, struct err *e)
{
	struct nursery n = { .count = count };
	int pair[2];

	BUG_ON(count == 0 || count > POOL_WORKERS_MAX);
	/* First all of the workers' ends, so that they ascend. */
	for (size_t i = 0; i < count; i++) {
		if (sock_pair(SOCK_SEQPACKET, pair, e) < 0 ||
		    sock_set_nonblock(pair[0], true, e) < 0)
			return -1;
		out_fds[i] = pair[0];
		n.fds[i] = pair[1];
		BUG_ON(i > 0 && n.fds[i] <= n.fds[i - 1]);
	}
	const pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0)
		nurse(&n);
	for (size_t i = 0; i < count; i++)
		close(n.fds[i]);
	return 0;
}
