/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

struct dir {
	char path[40];
	int fd;
};

static int
setup(void **state)
{
	struct dir *d = MEM_NEW(d);

	snprintf(d->path, sizeof(d->path), "/tmp/chappe-lock-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY);
	assert_true(d->fd >= 0);
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct dir *d = *state;

	unlinkat(d->fd, "x.lock", 0);
	close(d->fd);
	assert_int_equal(rmdir(d->path), 0);
	mem_free(d);
	return 0;
}

static pid_t
dead_process(void)
{
	const pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void
one_has_it_at_a_time(void **state)
{
	struct dir *d = *state;
	struct err e;

	assert_int_equal(dotlock_take(d->fd, "x.lock", 0, &e), 0);
	assert_false(dotlock_stale(d->fd, "x.lock"));
	assert_int_equal(dotlock_take(d->fd, "x.lock", 0, &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	dotlock_release(d->fd, "x.lock");
	assert_int_equal(dotlock_take(d->fd, "x.lock", 0, &e), 0);
}

static void
a_dead_owner_does_not_keep_it(void **state)
{
	struct dir *d = *state;
	struct err e;

	assert_int_equal(
	    dotlock_make(d->fd, "x.lock", dead_process(), &e), 0);
	assert_true(dotlock_stale(d->fd, "x.lock"));
	assert_int_equal(dotlock_take(d->fd, "x.lock", 1000, &e), 0);
	assert_false(dotlock_stale(d->fd, "x.lock"));
}

/* Other programs' process ids may be of another name space. */
static void
foreign_locks_have_two_minutes(void **state)
{
	struct dir *d = *state;
	struct timespec old[2];
	char pid[20];
	const int n =
	    snprintf(pid, sizeof(pid), "%d\n", (int)dead_process());
	const int fd = openat(d->fd, "x.lock", O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, pid, (size_t)n), n);
	assert_false(dotlock_stale(d->fd, "x.lock"));
	clock_gettime(CLOCK_REALTIME, &old[0]);
	old[0].tv_sec -= DOTLOCK_STALE_S + 5;
	old[1] = old[0];
	assert_int_equal(futimens(fd, old), 0);
	close(fd);
	assert_true(dotlock_stale(d->fd, "x.lock"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(one_has_it_at_a_time),
		T(a_dead_owner_does_not_keep_it),
		T(foreign_locks_have_two_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
