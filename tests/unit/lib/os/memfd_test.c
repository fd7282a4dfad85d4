/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/memfd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

static void
nobody_can_change_it(void **state)
{
	struct buf b;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(memfd_seal("key", SPAN("secret"), &fd, &e), 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	buf_init(&b, 100);
	assert_int_equal(memfd_read(fd, 100, &b, &e), 0);
	assert_int_equal(memfd_read(fd, 100, &b, &e), 0);
	assert_true(span_eq(buf_span(&b), SPAN("secretsecret")));
	assert_int_equal(memfd_read(fd, 5, &b, &e), -1);
	assert_int_equal(memfd_read(fd, 100, &b, &e), 0);
	buf_release(&b);
	buf_init(&b, 5);
	assert_int_equal(memfd_read(fd, 100, &b, &e), -1);
	buf_release(&b);
	close(fd);
}

static void
other_files_are_refused(void **state)
{
	struct buf b;
	struct err e;
	int pipe_fd[2];

	(void)state;
	assert_int_equal(pipe(pipe_fd), 0);
	buf_init(&b, 100);
	assert_int_equal(memfd_read(pipe_fd[0], 100, &b, &e), -1);
	assert_int_equal(memfd_read(-1, 100, &b, &e), -1);
	buf_release(&b);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_can_change_it),
		cmocka_unit_test(other_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
