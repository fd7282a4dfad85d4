/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"

/* The kernel's signals end here. */
enum { SIGNAL_END = 65 };

static void
default_signals(void)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int signo = 1; signo < SIGNAL_END; signo++)
		sigaction(signo, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts all descriptors at their numbers, the report just above them. */
static int
place_fds(const struct proc_spec *spec, int *report, struct err *e)
{
	const int count = (int)spec->fd_count;
	int *high = mem_alloc((spec->fd_count + 1) * sizeof(*high));
	int ret = 0;

	/* First all out of each other's way. */
	for (int i = 0; i < count && ret == 0; i++) {
		const int null =
		    spec->fds[i] < 0 ? open("/dev/null", O_RDWR) : -1;

		high[i] = fcntl(spec->fds[i] < 0 ? null : spec->fds[i],
		    F_DUPFD_CLOEXEC, count + 1);
		if (high[i] < 0)
			ret = err_sys(e, "descriptor %d", i);
	}
	if (ret == 0) {
		high[count] = fcntl(*report, F_DUPFD_CLOEXEC, count + 1);
		if (high[count] < 0)
			ret = err_sys(e, "report");
	}
	for (int i = 0; i < count && ret == 0; i++)
		if (dup2(high[i], i) != i)
			ret = err_sys(e, "descriptor %d", i);
	if (ret == 0) {
		*report = high[count];
		if (close_range((unsigned)count, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
			ret = err_sys(e, "close_range");
	}
	mem_free(high);
	return ret;
}

static noreturn void
child(const struct proc_spec *spec, int report)
{
	struct err e = { 0 };
	ssize_t put;

	default_signals();
	setsid();
	if (place_fds(spec, &report, &e) == 0 &&
	    (spec->prepare == NULL || spec->prepare(spec->arg, &e) == 0)) {
		execve(spec->path, spec->argv, spec->env);
		err_sys(&e, "exec %s", spec->path);
	}
	put = write(report, &e, sizeof(e));
	(void)put;
	_exit(127);
}

int
proc_spawn(const struct proc_spec *spec, pid_t *out_pid, struct err *e)
{
	int report[2];
	struct err why;
	ssize_t n;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) != 0)
		return err_sys(e, "pipe");
	pid = fork();
	if (pid == 0)
		child(spec, report[1]);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return err_sys(e, "fork");
	}
	/* Closed by exec: then all is well. */
	do
		n = read(report[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == 0) {
		*out_pid = pid;
		return 0;
	}
	waitpid(pid, NULL, 0);
	if (n != sizeof(why))
		return err_set(
		    e, ERR_TEMP, "4.3.0", "%s did not start", spec->path);
	if (e != NULL)
		*e = why;
	return -1;
}

int
proc_wait(pid_t pid, int *out_status, struct err *e)
{
	int status;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got != pid)
		return err_sys(e, "wait for process %d", (int)pid);
	*out_status = status;
	return 0;
}

void
proc_status_text(int status, char out[PROC_STATUS_TEXT])
{
	if (WIFSIGNALED(status))
		snprintf(out, PROC_STATUS_TEXT, "killed by signal %d",
		    WTERMSIG(status));
	else
		snprintf(out, PROC_STATUS_TEXT, "exit status %d",
		    WEXITSTATUS(status));
}

int
proc_raise_files(struct err *e)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return err_sys(e, "getrlimit");
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		return err_sys(e, "setrlimit");
	return 0;
}
