/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/passwd_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"

static void
reads_lines(void **state)
{
	static const struct {
		const char *line, *user, *password;
		long uid, gid;
		const char *home, *mail;
	} rows[] = {
		{ "a:{PLAIN}x:1:2:g:/h:/s:userdb_mail=mbox:~/m", "a",
		    "{PLAIN}x", 1, 2, "/h", "mbox:~/m" },
		{ "a:x", "a", "x", -1, -1, "", "" },
		{ "a", "a", "", -1, -1, "", "" },
		{ "a::::", "a", "", -1, -1, "", "" },
		{ "a@b.test:p:5:6::/h::x=y userdb_uid=7  userdb_gid=8 z "
		  "userdb_home=/k",
		    "a@b.test", "p", 7, 8, "/k", "" },
		{ ":x", NULL, NULL, 0, 0, NULL, NULL },
		{ "a:x:one", NULL, NULL, 0, 0, NULL, NULL },
		{ "a:x:1:-2", NULL, NULL, 0, 0, NULL, NULL },
		{ "a:x:4294967295", NULL, NULL, 0, 0, NULL, NULL },
		{ "a:x:1:2::::userdb_uid=x", NULL, NULL, 0, 0, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *line = mem_strdup(rows[i].line);
		struct passwd_entry e;
		const char *user, *why;

		const bool good = passwd_line_parse(line, &user, &e, &why);
		if (good != (rows[i].user != NULL))
			fail_msg("%s", rows[i].line);
		if (good) {
			assert_string_equal(user, rows[i].user);
			assert_string_equal(e.password, rows[i].password);
			assert_int_equal((int)e.uid, rows[i].uid);
			assert_int_equal((int)e.gid, rows[i].gid);
			assert_string_equal(e.home, rows[i].home);
			assert_string_equal(e.mail, rows[i].mail);
		}
		mem_free(line);
	}
}

static void
reads_app_passwords(void **state)
{
	char line[] = "a:x:1:2:::: app_password=one:imap:{PLAIN}a:b "
		      "app_password=bad name userdb_mail=mbox:~/m "
		      "app_password=two:smtp,imap:y";
	struct passwd_entry e;
	const char *user, *why;

	(void)state;
	assert_true(passwd_line_parse(line, &user, &e, &why));
	assert_int_equal(e.app_count, 2);
	assert_string_equal(e.apps[0], "one:imap:{PLAIN}a:b");
	assert_string_equal(e.apps[1], "two:smtp,imap:y");
	assert_string_equal(e.fault, "app_password: bad scopes");
	assert_string_equal(e.mail, "mbox:~/m");
}

static void
has_a_ceiling(void **state)
{
	struct passwd_entry e;
	const char *user, *why;
	struct buf line;

	(void)state;
	buf_init(&line, 4096);
	buf_str(&line, "a:x:1:2:::");
	for (int i = 0; i <= APP_PASSWORDS_MAX; i++)
		buf_fmt(&line, "%sapp_password=n%d:imap:x", i ? " " : ":", i);
	char *text = mem_strdup(buf_cstr(&line));
	assert_true(passwd_line_parse(text, &user, &e, &why));
	assert_int_equal(e.app_count, APP_PASSWORDS_MAX);
	assert_string_equal(e.fault, "too many app passwords");
	mem_free(text);
	buf_release(&line);
}

static char last_warning[300];

static void
note_warning(const struct log_record *r, void *arg)
{
	(void)arg;
	snprintf(last_warning, sizeof(last_warning), "%s", r->text);
}

static void
put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void
follows_the_file(void **state)
{
	char path[] = "/tmp/passwd_file.XXXXXX", expected[200];
	struct passwd_entry e;
	struct err err;

	(void)state;
	close(mkstemp(path));
	put_file(path, "# users\n\n a:x:1:1 \nb:y\na:z\nbad:x:y\n");
	log_set_sink(note_warning, NULL);
	struct passwd_file *f = passwd_file_new(path);
	assert_int_equal(passwd_file_get(f, "a", &e, &err), 1);
	assert_string_equal(e.password, "x");
	assert_int_equal(e.line, 3);
	snprintf(
	    expected, sizeof(expected), "%s, line 6: bad uid or gid", path);
	assert_string_equal(last_warning, expected);
	assert_int_equal(passwd_file_get(f, "bad", &e, &err), 0);
	assert_int_equal(passwd_file_get(f, "A", &e, &err), 0);

	put_file(path, "c:changed\n");
	assert_int_equal(passwd_file_get(f, "a", &e, &err), 0);
	assert_int_equal(passwd_file_get(f, "c", &e, &err), 1);
	/* Gone, the last content stays. */
	unlink(path);
	assert_int_equal(passwd_file_get(f, "c", &e, &err), 1);
	passwd_file_free(&f);
	f = passwd_file_new(path);
	assert_int_equal(passwd_file_get(f, "c", &e, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	passwd_file_free(&f);
	log_set_sink(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_lines),
		cmocka_unit_test(reads_app_passwords),
		cmocka_unit_test(has_a_ceiling),
		cmocka_unit_test(follows_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
