/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/maildrop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static const char content[] = "Subject: s\n\nbody \xc3\xa9\n";

struct place {
	char path[40];
	int dir, content_fd;
	char *name;
};

static int
set_up(void **state)
{
	struct place *p = MEM_NEW(p);
	struct span rcpts[] = { SPAN("a@b.test"), SPAN("\"x y\"@c.test") };
	const struct maildrop_envelope env = { .sender = SPAN("s@h.test"),
		.rcpts = rcpts,
		.rcpt_count = 2,
		.dsn_notify = DSN_NOTIFY_NEVER,
		.dsn_ret = DSN_RET_HDRS,
		.dsn_envid = SPAN("id"),
		.eight_bit = true };
	struct err e;

	snprintf(p->path, sizeof(p->path), "/tmp/chappe-unit-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_PATH | O_DIRECTORY);
	p->content_fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(write(p->content_fd, content, sizeof(content) - 1),
	    sizeof(content) - 1);
	assert_int_equal(maildrop_write(p->dir, &env, p->content_fd,
	    sizeof(content) - 1, &p->name, &e), 0);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	unlinkat(p->dir, p->name, 0);
	rmdir(p->path);
	close(p->dir);
	close(p->content_fd);
	mem_free(p->name);
	mem_free(p);
	return 0;
}

/* Opens and reads all of it in pieces. 0 when it is whole and right. */
static int
read_all(int fd, struct buf *out, struct err *e)
{
	struct maildrop_reader r;
	struct arena a;
	struct stat st;
	char piece[3];
	ssize_t n = -1;

	fstat(fd, &st);
	arena_init(&a, MAILDROP_ENVELOPE_MAX * 2);
	if (maildrop_open(fd, (uint64_t)st.st_size, &a, &r, e) == 0)
		while ((n = maildrop_read(&r, piece, sizeof(piece), e)) > 0)
			buf_add(out, span_of(piece, (size_t)n));
	arena_reset(&a);
	return (int)n;
}

static void
test_written_is_read(void **state)
{
	struct place *p = *state;
	int fd = openat(p->dir, p->name, O_RDONLY);
	struct maildrop_reader r;
	struct arena a;
	struct stat st;
	struct buf out;
	struct err e;

	assert_true(maildrop_name_ok(p->name));
	assert_false(maildrop_name_ok(".0123456789012345678901"));
	fstat(fd, &st);
	assert_int_equal(st.st_mode & 07777, 0640);
	arena_init(&a, MAILDROP_ENVELOPE_MAX);
	assert_int_equal(
	    maildrop_open(fd, (uint64_t)st.st_size, &a, &r, &e), 0);
	assert_true(span_eq(r.env.sender, SPAN("s@h.test")));
	assert_int_equal(r.env.rcpt_count, 2);
	assert_true(span_eq(r.env.rcpts[1], SPAN("\"x y\"@c.test")));
	assert_int_equal(r.env.dsn_notify, DSN_NOTIFY_NEVER);
	assert_int_equal(r.env.dsn_ret, DSN_RET_HDRS);
	assert_true(span_eq(r.env.dsn_envid, SPAN("id")));
	assert_true(r.env.eight_bit);
	assert_int_equal(r.content_size, sizeof(content) - 1);
	arena_reset(&a);
	buf_init(&out, 1000);
	assert_int_equal(read_all(fd, &out, &e), 0);
	assert_string_equal(buf_cstr(&out), content);
	buf_release(&out);
	close(fd);
}

/* Every shortening, and every changed byte, is noticed. */
static void
test_damage_is_noticed(void **state)
{
	struct place *p = *state;
	int fd = openat(p->dir, p->name, O_RDWR);
	int copy = memfd_create("copy", MFD_CLOEXEC);
	uint8_t all[1000];
	const ssize_t n = read(fd, all, sizeof(all));

	assert_true(n > MAILDROP_HEAD);
	for (ssize_t i = 0; i < n; i++) {
		struct buf out;
		struct err e;

		buf_init(&out, 1000);
		assert_int_equal(ftruncate(copy, 0), 0);
		assert_int_equal(pwrite(copy, all, (size_t)i, 0), i);
		assert_int_equal(read_all(copy, &out, &e), -1);
		assert_int_equal(e.kind, ERR_PERM);
		buf_release(&out);
		/* Bytes 24 to 31 are for later versions. */
		if (i >= 24 && i < MAILDROP_HEAD)
			continue;
		buf_init(&out, 1000);
		all[i] ^= 0x40;
		assert_int_equal(pwrite(copy, all, (size_t)n, 0), n);
		all[i] ^= 0x40;
		assert_int_equal(read_all(copy, &out, &e), -1);
		buf_release(&out);
	}
	close(copy);
	close(fd);
}

static void
test_control_bytes_are_refused(void **state)
{
	struct place *p = *state;
	struct span rcpt = SPAN("a\nb@c.test");
	const struct maildrop_envelope env = { .rcpts = &rcpt,
		.rcpt_count = 1 };
	char *name;
	struct buf out;
	struct err e;
	int fd;

	assert_int_equal(maildrop_write(p->dir, &env, p->content_fd, 3, &name,
	    &e), 0);
	fd = openat(p->dir, name, O_RDONLY);
	buf_init(&out, 1000);
	assert_int_equal(read_all(fd, &out, &e), -1);
	buf_release(&out);
	close(fd);
	unlinkat(p->dir, name, 0);
	mem_free(name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_written_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_damage_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_control_bytes_are_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
