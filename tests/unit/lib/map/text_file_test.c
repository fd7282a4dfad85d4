/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/text_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/chappe-unit-XXXXXX";
static char path[64], link_path[64];

static int
set_up(void **state)
{
	FILE *f;

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/text", dir);
	snprintf(link_path, sizeof(link_path), "%s/link", dir);
	f = fopen(path, "w");
	if (f == NULL)
		return -1;
	fputs("some text\n", f);
	fclose(f);
	return symlink(path, link_path);
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(link_path);
	return rmdir(dir);
}

static void
test_reads_whole_through_a_link(void **state)
{
	struct stat st;
	struct buf out;
	struct err e;

	(void)state;
	assert_int_equal(text_file_read(link_path, 10, &out, &st, &e), 0);
	assert_string_equal(buf_cstr(&out), "some text\n");
	assert_int_equal(st.st_size, 10);
	buf_release(&out);
}

static void
test_errors_name_the_path(void **state)
{
	struct buf out;
	struct err e;

	(void)state;
	assert_int_equal(text_file_read(path, 9, &out, NULL, &e), -1);
	assert_non_null(strstr(e.text, path));
	buf_release(&out);
	assert_int_equal(text_file_read(dir, 100, &out, NULL, &e), -1);
	assert_non_null(strstr(e.text, dir));
	buf_release(&out);
	assert_int_equal(
	    text_file_read("/no/such/file", 100, &out, NULL, &e), -1);
	assert_non_null(strstr(e.text, "open /no/such/file: "));
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_whole_through_a_link),
		cmocka_unit_test(test_errors_name_the_path),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
