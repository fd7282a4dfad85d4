/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/chappe-box-XXXXXX";
static char inside[64], outside[64];

static int
make_dirs(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(inside, sizeof(inside), "%s/in", dir);
	snprintf(outside, sizeof(outside), "%s/out", dir);
	return mkdir(inside, 0700) == 0 && mkdir(outside, 0700) == 0 ? 0 : -1;
}

static int
remove_dirs(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static int
in_child(int (*fn)(void))
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
confine(int rights, int classes)
{
	struct sandbox *s = sandbox_new();
	bool partial;

	sandbox_dir(s, inside, rights);
	sandbox_dir(s, "/nonexistent/directory", SANDBOX_READ);
	sandbox_syscalls(s, classes);
	return sandbox_apply(&s, &partial, NULL);
}

/* 0 when the file could be made; else the errno. */
static int
make(const char *where, const char *name)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", where, name);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
writes_inside_only(void)
{
	char from[100], to[100];

	if (confine(SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE, 0) != 0)
		return 1;
	if (make(inside, "a") != 0)
		return 2;
	if (make(outside, "a") != EACCES)
		return 3;
	snprintf(from, sizeof(from), "%s/a", inside);
	snprintf(to, sizeof(to), "%s/b", inside);
	if (rename(from, to) != 0)
		return 4;
	if (mkdir(from, 0700) == 0 || errno != EACCES)
		return 5;
	return open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 0 : 6;
}

static int
reads_only(void)
{
	char path[100];
	int fd;

	if (make(inside, "r") != 0 || confine(SANDBOX_READ, 0) != 0)
		return 1;
	snprintf(path, sizeof(path), "%s/r", inside);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 2;
	if (open(path, O_RDWR) >= 0 || errno != EACCES)
		return 3;
	return unlink(path) != 0 && errno == EACCES ? 0 : 4;
}

static void
confines_files(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0,
		LANDLOCK_CREATE_RULESET_VERSION) < 3) {
		print_message("skipped: this kernel has no Landlock 3\n");
		skip();
	}
	assert_int_equal(in_child(writes_inside_only), 0);
	assert_int_equal(in_child(reads_only), 0);
}

static void *
nothing(void *arg)
{
	return arg;
}

static bool
refused(long rc)
{
	return rc < 0 && errno == EPERM;
}

static int
keeps_to_itself(void)
{
	pthread_t thread;

	if (confine(SANDBOX_READ, 0) != 0)
		return 1;
	if (!refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
		return 2;
	if (!refused(kill(getppid(), 0)) || kill(getpid(), 0) != 0)
		return 3;
	if (!refused(fork()))
		return 4;
	if (!refused(execl("/bin/true", "true", (char *)NULL)))
		return 5;
	if (pthread_create(&thread, NULL, nothing, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		return 6;
	if (pthread_kill(pthread_self(), 0) != 0)
		return 7;
	if (!refused(syscall(SYS_io_uring_setup, 1, NULL)) ||
	    !refused(syscall(SYS_pidfd_open, getppid(), 0)) ||
	    !refused(setuid(getuid())))
		return 8;
	return 0;
}

static int
has_no_network(void)
{
	const struct sockaddr_un none = { .sun_family = AF_UNIX,
		.sun_path = "/nonexistent" };
	int fd;

	if (confine(SANDBOX_READ, 0) != 0)
		return 1;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EAFNOSUPPORT)
		return 2;
	if (socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || errno != EAFNOSUPPORT)
		return 3;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return 4;
	return connect(fd, (const struct sockaddr *)&none, sizeof(none)) != 0
		   ? 0
		   : 5;
}

static int
may_have_classes(void)
{
	int status;
	pid_t pid;

	if (confine(SANDBOX_READ, SANDBOX_SYS_NET | SANDBOX_SYS_FORK) != 0)
		return 1;
	if (socket(AF_INET, SOCK_STREAM, 0) < 0)
		return 2;
	pid = fork();
	if (pid == 0)
		_exit(7);
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    WEXITSTATUS(status) != 7)
		return 3;
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) ? 0 : 4;
}

static void
confines_system_calls(void **state)
{
	(void)state;
	assert_int_equal(in_child(keeps_to_itself), 0);
	assert_int_equal(in_child(has_no_network), 0);
	assert_int_equal(in_child(may_have_classes), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(confines_files),
		cmocka_unit_test(confines_system_calls),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
