/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/server_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/log.h"

static char dir[64];
static char last_line[400];

static void
keep_line(const struct log_record *record, void *arg)
{
	(void)arg;
	if (record->kind == LOG_K_LINE)
		snprintf(last_line, sizeof(last_line), "%s", record->text);
}

static int
setup(void **state)
{
	char path[100];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/server_memory.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/memory", dir);
	last_line[0] = '\0';
	log_set_sink(keep_line, NULL);
	return mkdir(path, 0700);
}

static int
teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static int64_t
now_s(void)
{
	return clock_wall_us() / 1000000;
}

static bool
known(const struct server_memory *m, struct span who)
{
	struct shared_table *t = server_memory_table(m);
	uint64_t v[SHARED_WORDS];

	return shared_table_get(t, SHARED_GREY, shared_table_key(t, "x", who),
	    now_s(), v) && v[2] == 7;
}

static void
learn(const struct server_memory *m, struct span who)
{
	struct shared_table *t = server_memory_table(m);

	shared_table_put(t, SHARED_GREY, shared_table_key(t, "x", who), 2, 7,
	    now_s(), 1000);
}

static int
open_memory(struct loop *loop, int fd, struct server_memory **out)
{
	struct err e;

	return server_memory_open(loop, fd, dir, true, out, &e);
}

static void
kept_over_a_restart(void **state)
{
	struct loop *loop = loop_new();
	struct server_memory *m;
	char path[100];
	int fd;

	(void)state;
	assert_int_equal(open_memory(loop, -1, &m), 0);
	learn(m, SPAN("a"));
	server_memory_close(&m);
	/* What a killed writer left goes. */
	snprintf(path, sizeof(path), "%s/memory/.table.0123", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(open_memory(loop, -1, &m), 0);
	assert_true(known(m, SPAN("a")));
	assert_false(known(m, SPAN("b")));
	assert_int_equal(access(path, F_OK), -1);
	server_memory_close(&m);
	assert_string_equal(last_line, "");
	loop_free(&loop);
}

static void
a_damaged_file_is_a_line_in_the_log(void **state)
{
	struct loop *loop = loop_new();
	struct server_memory *m;
	char path[100];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/memory/table", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "rubbish", 7), 7);
	close(fd);
	assert_int_equal(open_memory(loop, -1, &m), 0);
	assert_non_null(strstr(last_line, "memory/table: too short"));
	learn(m, SPAN("a"));
	assert_true(known(m, SPAN("a")));
	server_memory_close(&m);
	assert_int_equal(open_memory(loop, -1, &m), 0);
	assert_true(known(m, SPAN("a")));
	server_memory_close(&m);
	loop_free(&loop);
}

static void
without_a_directory_it_works(void **state)
{
	struct loop *loop = loop_new();
	struct server_memory *m;
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/memory", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(open_memory(loop, -1, &m), 0);
	assert_non_null(strstr(last_line, "is not kept"));
	learn(m, SPAN("a"));
	assert_true(known(m, SPAN("a")));
	server_memory_close(&m);
	loop_free(&loop);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_over_a_restart, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    a_damaged_file_is_a_line_in_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_directory_it_works,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
