/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/proc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a shell command with descriptor 3 as a pipe that is read to its end. */
static int
run_shell(const char *script, char *out, size_t size)
{
	char shell[] = "/bin/sh", dash_c[] = "-c", *text = strdup(script);
	char *argv[] = { shell, dash_c, text, NULL };
	char env1[] = "COLOUR=red", env2[] = "PATH=/bin:/usr/bin";
	char *env[] = { env1, env2, NULL };
	int pipe_fd[2], status;
	struct err e;
	pid_t pid;
	ssize_t n;
	size_t got = 0;

	assert_int_equal(pipe(pipe_fd), 0);
	{
		const int fds[] = { -1, -1, -1, pipe_fd[1] };
		const struct proc_spec spec = { .path = shell,
			.argv = argv,
			.env = env,
			.fds = fds,
			.fd_count = 4 };

		assert_int_equal(proc_spawn(&spec, &pid, &e), 0);
	}
	close(pipe_fd[1]);
	while ((n = read(pipe_fd[0], out + got, size - 1 - got)) > 0)
		got += (size_t)n;
	out[got] = '\0';
	close(pipe_fd[0]);
	free(text);
	assert_int_equal(proc_wait(pid, &status, &e), 0);
	return status;
}

static void
gives_exactly_what_was_asked_for(void **state)
{
	char out[4096];

	(void)state;
	setenv("SECRET", "x", 1);
	assert_int_equal(run_shell("env >&3", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "COLOUR=red\n"));
	assert_null(strstr(out, "SECRET"));
	/* 10 and up: what the shell makes of its own. */
	run_shell("ls -l /proc/self/fd >&3", out, sizeof(out));
	assert_null(strstr(out, " 4 -> /dev"));
	assert_null(strstr(out, " 5 -> "));
	assert_non_null(strstr(out, " 0 -> /dev/null"));
}

static void
resets_signals(void **state)
{
	unsigned long long blocked, ignored;
	char out[4096], *end;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	run_shell("sed -n 's/^Sig[BI][lg][kn]:.//p' /proc/self/status >&3", out,
	    sizeof(out));
	signal(SIGPIPE, SIG_DFL);
	blocked = strtoull(out, &end, 16);
	ignored = strtoull(end, NULL, 16);
	assert_int_equal(blocked, 0);
	/* 32 and 33 belong to the C library, whose posix_spawn(3) leaves
	 * them ignored when it starts us. */
	assert_int_equal(ignored & ~0x180000000ull, 0);
}

static void
tells_how_it_ended(void **state)
{
	char out[16], text[PROC_STATUS_TEXT];
	int status;

	(void)state;
	status = run_shell("exit 3", out, sizeof(out));
	proc_status_text(status, text);
	assert_string_equal(text, "exit status 3");
	status = run_shell("kill -9 $$", out, sizeof(out));
	proc_status_text(status, text);
	assert_string_equal(text, "killed by signal 9");
}

static int
refuse(void *arg, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_PERM, "5.3.5", "not today");
}

static void
says_why_it_did_not_start(void **state)
{
	char name[] = "x";
	char *argv[] = { name, NULL }, *env[] = { NULL };
	struct proc_spec spec = {
		.path = "/nonexistent/x", .argv = argv, .env = env
	};
	struct err e;
	pid_t pid;

	(void)state;
	assert_int_equal(proc_spawn(&spec, &pid, &e), -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_non_null(strstr(e.text, "exec /nonexistent/x"));
	spec.prepare = refuse;
	assert_int_equal(proc_spawn(&spec, &pid, &e), -1);
	assert_string_equal(e.text, "not today");
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_exactly_what_was_asked_for),
		cmocka_unit_test(resets_signals),
		cmocka_unit_test(tells_how_it_ended),
		cmocka_unit_test(says_why_it_did_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
