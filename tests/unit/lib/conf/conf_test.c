/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

struct demo_conf {
	const char *greeting, *demo_maps;
	bool verbose;
	int64_t size_limit, wait, long_wait;
	int level;
};

static const struct param demo_params[] = {
	PARAM_STR(struct demo_conf, greeting, "$myhostname hello", "text"),
	PARAM_STR(struct demo_conf, demo_maps, "", "tables"),
	PARAM_BOOL(struct demo_conf, verbose, "no", "more words"),
	PARAM_INT(struct demo_conf, size_limit, "10k", 0, 1 << 20, "bytes"),
	PARAM_TIME(struct demo_conf, wait, "300s", "a wait"),
	PARAM_TIME(struct demo_conf, long_wait, "5d", "a longer one"),
	PARAM_WORD(struct demo_conf, level, "may", "none may encrypt", "level"),
	PARAM_END,
};

struct fixture {
	char dir[64];
	struct conf *c;
};

static void
put_file(const struct fixture *f, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/conf_test.XXXXXX");
	*state = f;
	return mkdtemp(f->dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = { "main.cf", "master.cf",
		"conf.d/10-a.cf", "conf.d/20-b.cf", "conf.d/notes.txt",
		"mailname", "conf.d", "" };
	char path[128];

	conf_free(&f->c);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		remove(path);
	}
	free(f);
	return 0;
}

static void
load(struct fixture *f, const char *text)
{
	struct err e = { 0 };

	conf_free(&f->c);
	put_file(f, "main.cf", text);
	if (conf_load(f->dir, NULL, 0, &f->c, &e) < 0)
		fail_msg("%s", e.text);
	conf_add_params(f->c, common_params);
	conf_add_params(f->c, demo_params);
}

/* The error of loading a text, with the directory taken off. */
static const char *
load_error(struct fixture *f, const char *text, struct err *e)
{
	conf_free(&f->c);
	put_file(f, "main.cf", text);
	assert_int_equal(conf_load(f->dir, NULL, 0, &f->c, e), -1);
	assert_int_equal(e->kind, ERR_PERM);
	assert_null(f->c);
	return e->text + strlen(f->dir) + 1;
}

static void
reads_postfix_syntax(void **state)
{
	struct fixture *f = *state;

	load(f, "# a comment\n"
		"\n"
		"  # an indented comment\n"
		"myhostname = mx.example.com\n"
		"mydestination = $myhostname,\n"
		"# a comment in between\n"
		"\tlocalhost\n"
		"relayhost=[a.example]:587\n"
		"mynetworks =\n"
		"relayhost = [b.example]\n");
	assert_string_equal(conf_value(f->c, "myhostname"), "mx.example.com");
	assert_string_equal(conf_value(f->c, "mydomain"), "example.com");
	assert_string_equal(
	    conf_value(f->c, "mydestination"), "mx.example.com,\tlocalhost");
	assert_string_equal(
	    conf_raw(f->c, "mydestination"), "$myhostname,\tlocalhost");
	assert_string_equal(conf_value(f->c, "relayhost"), "[b.example]");
	assert_string_equal(conf_value(f->c, "mynetworks"), "");
	assert_null(conf_value(f->c, "no_such"));
	assert_null(conf_raw(f->c, "no_such"));
	assert_string_equal(conf_value(f->c, "config_directory"), f->dir);

	struct conf_origin o = conf_origin(f->c, "mydestination");
	assert_int_equal(o.line, 5);
	assert_true(span_ends(span_str(o.file), SPAN("/main.cf")));
	o = conf_origin(f->c, "relayhost");
	assert_int_equal(o.line, 10);
	o = conf_origin(f->c, "myorigin");
	assert_string_equal(o.file, "default");
	assert_int_equal(o.line, 0);
}

static void
drop_ins_and_overrides_win(void **state)
{
	struct fixture *f = *state;
	static const char *const overrides[] = { "verbose=yes",
		"greeting = a = b" };
	char path[128];
	struct err e;

	snprintf(path, sizeof(path), "%s/conf.d", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file(f, "main.cf", "level = none\nwait = 1\nlong_wait = 1\n");
	put_file(f, "conf.d/20-b.cf", "\nlevel = encrypt\n");
	put_file(f, "conf.d/10-a.cf", "level = may\nwait = 2\n");
	put_file(f, "conf.d/notes.txt", "not read\n");
	assert_int_equal(conf_load(f->dir, overrides, 2, &f->c, &e), 0);

	struct demo_conf d;
	assert_int_equal(conf_fill(f->c, demo_params, &d, &e), 0);
	assert_int_equal(d.level, 2);
	assert_int_equal(d.wait, 2000);
	assert_int_equal(d.long_wait, 86400000);
	assert_true(d.verbose);
	assert_string_equal(d.greeting, "a = b");
	assert_int_equal(conf_origin(f->c, "level").line, 2);
	assert_true(span_ends(span_str(conf_origin(f->c, "level").file),
	    SPAN("/conf.d/20-b.cf")));
	assert_string_equal(conf_origin(f->c, "verbose").file, "command line");
}

static void
expands_references(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "plain", "plain" },
		{ "$own", "x" },
		{ "${own}", "x" },
		{ "$(own)y", "xy" },
		{ "a$$b", "a$b" },
		{ "$own-$own.$own", "x-x.x" },
		{ "${own?yes}", "yes" },
		{ "${empty?yes}", "" },
		{ "${empty:no}", "no" },
		{ "${own:no}", "" },
		{ "${own?{yes}:{no}}", "yes" },
		{ "${empty?{yes}:{no $own}}", "no x" },
		{ "${own?<$nested>}", "<x!>" },
		{ "${{$own} == {x} ? {same} : {other}}", "same" },
		{ "${{$own} != {x} ? {same} : {other}}", "other" },
		{ "${{9} < {10} ? {number} : {text}}", "number" },
		{ "${{b} >= {a} ? {yes}}", "yes" },
		{ "${{b} > {c} ? {yes}}", "" },
		{ "$nothing|", "|" },
	};

	load(f, "own = x\nempty =\nnested = $own!\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out;
		struct err e = { 0 };

		buf_init(&out, 1000);
		if (conf_expand(f->c, rows[i].text, &out, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.text);
		assert_string_equal(buf_cstr(&out), rows[i].value);
		buf_release(&out);
	}
}

static void
refuses_bad_references(void **state)
{
	struct fixture *f = *state;
	static const char *const rows[] = { "${own", "$(own", "$", "$ x",
		"${own!x}", "${}", "${{a} ~ {b} ? {c}}", "${{a}", "$round",
		"$ping", "$bomb" };

	load(f, "own = x\nround = a $round\nping = $pong\npong = $ping\n"
		"b1 = $own$own$own$own$own$own$own$own\n"
		"b2 = $b1$b1$b1$b1$b1$b1$b1$b1\nb3 = $b2$b2$b2$b2$b2$b2$b2$b2\n"
		"b4 = $b3$b3$b3$b3$b3$b3$b3$b3\nb5 = $b4$b4$b4$b4$b4$b4$b4$b4\n"
		"bomb = $b5$b5$b5$b5$b5$b5$b5$b5\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out;
		struct err e = { 0 };

		buf_init(&out, 100000);
		if (conf_expand(f->c, rows[i], &out, &e) == 0)
			fail_msg("accepted: %s", rows[i]);
		assert_int_equal(e.kind, ERR_PERM);
		buf_release(&out);
	}
}

static void
says_file_and_line(void **state)
{
	struct fixture *f = *state;
	struct err e;

	assert_string_equal(load_error(f, "a = b\n\nnot this\n", &e),
	    "main.cf: line 3: missing '=' after parameter name: \"not this\"");
	assert_string_equal(load_error(f, "two words = b\n", &e),
	    "main.cf: line 1: bad parameter name: \"two words\"");
	assert_string_equal(load_error(f, "\n  x = y\n", &e),
	    "main.cf: line 2: the first line continues nothing");

	char path[128];
	snprintf(path, sizeof(path), "%s/main.cf", f->dir);
	unlink(path);
	assert_int_equal(conf_load(f->dir, NULL, 0, &f->c, &e), -1);
	assert_non_null(strstr(e.text, "main.cf: No such file"));
	assert_int_equal(e.kind, ERR_PERM);
}

struct faults {
	char text[2000];
	size_t dir_length;
};

static void
note_fault(void *arg, const struct err *e)
{
	struct faults *f = arg;
	const size_t n = strlen(f->text);

	snprintf(
	    f->text + n, sizeof(f->text) - n, "%s\n", e->text + f->dir_length);
}

static const char *
check_faults(struct fixture *f, struct faults *out)
{
	struct err e;

	*out = (struct faults){ .dir_length = strlen(f->dir) + 1 };
	const int rc = conf_check(f->c, note_fault, out, &e);
	assert_int_equal(rc, out->text[0] == '\0' ? 0 : -1);
	/* The first fault is also returned. */
	if (rc < 0)
		assert_memory_equal(out->text, e.text + out->dir_length,
		    strlen(e.text) - out->dir_length);
	return out->text;
}

static void
check_finds_every_fault(void **state)
{
	struct fixture *f = *state;
	struct faults got;

	load(f, "mynetwork = 10.0.0.0/8\n"
		"message_size_limit = lots\n"
		"biff = maybe\n"
		"size_limit = 2m\n"
		"wait = 5x\n"
		"level = must\n"
		"zzyzzx = 1\n"
		"greeting = $mydoman\n");
	assert_string_equal(check_faults(f, &got),
	    "main.cf: line 8: greeting refers to the unknown parameter "
	    "\"$mydoman\"; the nearest known is $mydomain\n"
	    "main.cf: line 3: biff = maybe: must be yes or no\n"
	    "main.cf: line 6: level = must: must be one of: none may encrypt\n"
	    "main.cf: line 2: message_size_limit = lots: must be a number\n"
	    "main.cf: line 1: unknown parameter \"mynetwork\"; the nearest "
	    "known is \"mynetworks\"\n"
	    "main.cf: line 4: size_limit = 2m: must be from 0 to 1048576\n"
	    "main.cf: line 5: wait = 5x: unknown unit; s, m, h, d or w\n"
	    "main.cf: line 7: unknown parameter \"zzyzzx\"\n");
}

static void
check_knows_a_users_own_names(void **state)
{
	struct fixture *f = *state;
	struct faults got;

	load(f, "my_tables = hash:/etc/x\n"
		"my_fallback = 1\n"
		"mua_rules = permit\n"
		"demo_maps = $my_tables ${my_fallback?x} ${unheard_of:y}\n"
		"smtpd_restriction_classes = greylist, other\n"
		"greylist = check_policy_service inet:127.0.0.1:1\n"
		"slow_destination_concurrency_limit = 2\n");
	put_file(f, "master.cf",
	    "# $zz\nx inet n - y - - smtpd\n"
	    "  -o smtpd_client_restrictions=$mua_rules\n");
	assert_string_equal(check_faults(f, &got),
	    "main.cf: line 5: unknown parameter "
	    "\"smtpd_restriction_classes\"\n");
}

static void
defaults_of_all_rows_are_good(void **state)
{
	struct fixture *f = *state;
	struct faults got;
	struct common_conf common;
	struct err e;

	load(f, "myhostname = a.b.c\n");
	assert_string_equal(check_faults(f, &got), "");
	assert_int_equal(conf_fill(f->c, common_params, &common, &e), 0);
	assert_string_equal(common.myorigin, "a.b.c");
	assert_string_equal(
	    common.mydestination, "a.b.c, localhost.b.c, localhost");
	assert_string_equal(common.alias_maps, "hash:/etc/aliases");
	assert_string_equal(common.local_transport, "local:a.b.c");
	assert_int_equal(common.message_size_limit, 10240000);
	assert_int_equal(common.mailbox_size_limit, 51200000);
	assert_int_equal(common.ipc_timeout, 3600000);
	assert_string_equal(common.syslog_name, "postfix");
}

static void
host_name_is_qualified(void **state)
{
	struct fixture *f = *state;

	load(f, "");
	assert_non_null(strchr(conf_value(f->c, "myhostname"), '.'));
	load(f, "myhostname = bare\n");
	assert_string_equal(conf_value(f->c, "mydomain"), "localdomain");
}

static void
origin_may_stand_in_a_file(void **state)
{
	struct fixture *f = *state;
	char text[200];

	put_file(f, "mailname", "  mail.example.net \nrest\n");
	snprintf(text, sizeof(text), "myorigin = %s/mailname\n", f->dir);
	load(f, text);
	assert_string_equal(conf_value(f->c, "myorigin"), "mail.example.net");
}

static void
fill_says_where_a_bad_value_stands(void **state)
{
	struct fixture *f = *state;
	struct demo_conf d;
	struct err e;

	load(f, "\nwait = -3\n");
	assert_int_equal(conf_fill(f->c, demo_params, &d, &e), -1);
	assert_string_equal(e.text + strlen(f->dir) + 1,
	    "main.cf: line 2: wait = -3: must be a time such as 300s, 5m or "
	    "2d");
}

static void
units_follow_the_default(void **state)
{
	struct fixture *f = *state;
	struct demo_conf d;
	struct err e;

	load(f, "long_wait = 2\nwait = 2m\nsize_limit = 3k\n");
	assert_int_equal(conf_fill(f->c, demo_params, &d, &e), 0);
	assert_int_equal(d.long_wait, 2 * 86400000);
	assert_int_equal(d.wait, 120000);
	assert_int_equal(d.size_limit, 3072);
}

static void
steps_through_names_in_order(void **state)
{
	struct fixture *f = *state;
	const char *last = NULL, *name;
	size_t count = 0;

	load(f, "aaa = 1\nzzz = 2\n");
	for (name = conf_next(f->c, NULL); name != NULL;
	     name = conf_next(f->c, name)) {
		if (last != NULL)
			assert_true(strcmp(last, name) < 0);
		last = name;
		count++;
	}
	assert_string_equal(conf_next(f->c, NULL), "aaa");
	assert_string_equal(last, "zzz");
	assert_true(count > COUNT_OF(demo_params));
	assert_null(conf_row(f->c, "zzz"));
	assert_string_equal(conf_row(f->c, "level")->def, "may");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_postfix_syntax),
		TEST(drop_ins_and_overrides_win),
		TEST(expands_references),
		TEST(refuses_bad_references),
		TEST(says_file_and_line),
		TEST(check_finds_every_fault),
		TEST(check_knows_a_users_own_names),
		TEST(defaults_of_all_rows_are_good),
		TEST(host_name_is_qualified),
		TEST(origin_may_stand_in_a_file),
		TEST(fill_says_where_a_bad_value_stands),
		TEST(units_follow_the_default),
		TEST(steps_through_names_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
