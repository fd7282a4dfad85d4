/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"

static char dir_name[] = "/tmp/chappe-fs-XXXXXX";
static int dir;

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir_name) == NULL)
		return -1;
	dir = open(dir_name, O_RDONLY | O_DIRECTORY);
	return dir >= 0 ? 0 : -1;
}

static int
remove_dir(void **state)
{
	(void)state;
	close(dir);
	return rmdir(dir_name);
}

static bool
holds(const char *name, struct span want)
{
	struct buf b;
	bool same;

	buf_init(&b, 1000);
	same = fs_read_file(dir, name, 1000, &b, NULL) == 0 &&
	       span_eq(buf_span(&b), want);
	buf_release(&b);
	return same;
}

static void
a_file_and_its_names(void **state)
{
	const unsigned before = fs_steps();
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(fs_create(dir, "a", 0600, &fd, &e), 0);
	assert_int_equal(fs_create(dir, "a", 0600, &fd, &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	assert_int_equal(fs_write(fd, SPAN("hello world"), &e), 0);
	assert_int_equal(fs_pwrite(fd, SPAN("W"), 6, &e), 0);
	assert_int_equal(fs_truncate(fd, 9, &e), 0);
	assert_int_equal(fs_datasync(fd, &e), 0);
	assert_int_equal(fs_commit(fd, dir, "a", dir, "b", &e), 0);
	close(fd);
	assert_true(holds("b", SPAN("hello Wor")));
	assert_int_equal(fs_link(dir, "b", dir, "c", &e), 0);
	assert_int_equal(fs_link(dir, "b", dir, "c", &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	assert_int_equal(fs_unlink(dir, "b", &e), 0);
	assert_int_equal(fs_unlink(dir, "b", &e), 0);
	assert_int_equal(fs_unlink(dir, "c", &e), 0);
	assert_int_equal(fs_steps() - before, 14);
}

static void
replaces_whole(void **state)
{
	struct stat st;
	struct err e;

	(void)state;
	assert_int_equal(fs_replace(dir, "r", 0640, SPAN("one"), &e), 0);
	assert_int_equal(fs_replace(dir, "r", 0640, SPAN("two"), &e), 0);
	assert_true(holds("r", SPAN("two")));
	assert_int_equal(fstatat(dir, "r", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(fs_unlink(dir, "r", &e), 0);
}

static void
opens_only_files(void **state)
{
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	assert_int_equal(symlinkat("fifo", dir, "link"), 0);
	assert_int_equal(fs_mkdir(dir, "sub", 0700, &e), 0);
	assert_int_equal(fs_open(dir, "fifo", O_RDONLY, &fd, &e), -1);
	assert_int_equal(fs_open(dir, "link", O_RDONLY, &fd, &e), -1);
	assert_int_equal(e.sysno, ELOOP);
	assert_int_equal(fs_open(dir, "sub", O_RDONLY, &fd, &e), -1);
	assert_int_equal(fs_open(dir, "none", O_RDONLY, &fd, &e), -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(fs_rmdir(dir, "sub", &e), 0);
	assert_int_equal(fs_unlink(dir, "link", &e), 0);
	assert_int_equal(fs_unlink(dir, "fifo", &e), 0);
}

static void
reads_up_to_a_limit(void **state)
{
	struct buf b;
	struct err e;

	(void)state;
	assert_int_equal(fs_replace(dir, "r", 0600, SPAN("12345"), &e), 0);
	buf_init(&b, 100);
	assert_int_equal(fs_read_file(dir, "r", 4, &b, &e), -1);
	buf_reset(&b);
	assert_int_equal(fs_read_file(dir, "r", 5, &b, &e), 0);
	buf_release(&b);
	assert_int_equal(fs_unlink(dir, "r", &e), 0);
}

/* In a child with CHAPPE_FAULT: replaces the file f; exits with the errno,
 * or 0. The child must not have made a step before. */
static int
replace_with_fault(const char *self, const char *how, const char *proc)
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CHAPPE_FAULT", how, 1);
		if (proc != NULL)
			setenv("CHAPPE_FAULT_PROC", proc, 1);
		execl(self, self, "child", dir_name, (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int
child(const char *where)
{
	const int fd = open(where, O_RDONLY | O_DIRECTORY);
	struct err e;

	if (fs_replace(fd, "f", 0600, SPAN("new"), &e) == 0)
		return 0;
	return e.kind == ERR_TEMP ? e.sysno : 98;
}

static const char *self;

/* How long the steps took in all. */
static int64_t
lasts_ms(const char *program, const char *how)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(replace_with_fault(program, how, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000 +
	    (b.tv_nsec - a.tv_nsec) / 1000000;
}

/* The steps of fs_replace: create, write, fsync, rename, fsync. */
static void
faults_hit_their_step(void **state)
{
	struct err e;

	(void)state;
	for (unsigned n = 1; n <= 5; n++) {
		char how[32];
		int status;

		fs_replace(dir, "f", 0600, SPAN("old"), &e);
		snprintf(how, sizeof(how), "%u:ENOSPC", n);
		status = replace_with_fault(self, how, NULL);
		assert_int_equal(WEXITSTATUS(status), ENOSPC);
		assert_true(holds("f", n < 5 ? SPAN("old") : SPAN("new")));
	}
	assert_int_equal(replace_with_fault(self, "6:EIO", NULL), 0);
	assert_int_equal(replace_with_fault(self, "1:EIO", "other"), 0);
	assert_int_equal(
	    WEXITSTATUS(replace_with_fault(self, "2+:EIO", "fs_test")), EIO);
	assert_int_equal(replace_with_fault(self, "2+:1ms", NULL), 0);
	assert_true(holds("f", SPAN("new")));
	assert_true(lasts_ms(self, "1+:40ms") >= 200);
	assert_true(lasts_ms(self, "5:250ms") >= 250);
	fs_unlink(dir, "f", &e);
}

/* Nothing that was cut off is left but a temporary file. */
static void
kill_leaves_old_or_new(void **state)
{
	char command[100];
	struct err e;

	(void)state;
	for (unsigned n = 1; n <= 5; n++) {
		char how[32];
		int status;

		fs_replace(dir, "f", 0600, SPAN("old"), &e);
		snprintf(how, sizeof(how), "%u:kill", n);
		status = replace_with_fault(self, how, NULL);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		assert_true(holds("f", n < 5 ? SPAN("old") : SPAN("new")));
	}
	fs_unlink(dir, "f", &e);
	snprintf(command, sizeof(command), "rm -f %s/.f.*", dir_name);
	assert_int_equal(system(command), 0);
}

static void
a_change_is_seen(void **state)
{
	const struct timespec times[2] = { { 5, 0 }, { 5, 7 } };
	struct stat before, now;
	struct err e;

	(void)state;
	assert_int_equal(fs_replace(dir, "f", 0600, SPAN("abc"), &e), 0);
	assert_int_equal(fstatat(dir, "f", &before, 0), 0);
	assert_true(fs_same(&before, &before));
	assert_int_equal(utimensat(dir, "f", times, 0), 0);
	assert_int_equal(fstatat(dir, "f", &now, 0), 0);
	assert_false(fs_same(&before, &now));
	before = now;
	assert_int_equal(fs_replace(dir, "f", 0600, SPAN("abd"), &e), 0);
	assert_int_equal(utimensat(dir, "f", times, 0), 0);
	assert_int_equal(fstatat(dir, "f", &now, 0), 0);
	assert_false(fs_same(&before, &now)); /* another inode */
	now = before;
	now.st_size++;
	assert_false(fs_same(&before, &now));
	fs_unlink(dir, "f", &e);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_and_its_names),
		cmocka_unit_test(replaces_whole),
		cmocka_unit_test(opens_only_files),
		cmocka_unit_test(reads_up_to_a_limit),
		cmocka_unit_test(a_change_is_seen),
		cmocka_unit_test(faults_hit_their_step),
		cmocka_unit_test(kill_leaves_old_or_new),
	};

	if (argc == 3)
		return child(argv[2]);
	self = argv[0];
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
