/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"

static char dir[64];

static int
set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/map_test.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static const char *
path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Writes a file, dated `age` seconds ago. */
static void
put_file(const char *name, const char *text, int age)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	const struct timespec t = { time(NULL) - age, 0 };
	const struct timespec times[2] = { t, t };
	assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

static char *
spec_of(const char *type, const char *name)
{
	return mem_printf("%s:%s/%s", type, dir, name);
}

static struct map *
open_map(const char *type, const char *name)
{
	char *spec = spec_of(type, name);
	struct map *m = NULL;
	struct err e;

	if (map_open(spec, &m, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(map_name(m), spec);
	mem_free(spec);
	return m;
}

/* The value, "-" for absent, "!" for failed; good until the next call. */
static const char *
ask(struct map *m, const char *key)
{
	static struct buf out = { .max = LIMIT_TABLE_VALUE };
	struct err e = { 0 };

	switch (map_get(m, span_str(key), &out, &e)) {
	case MAP_FOUND:
		return buf_cstr(&out);
	case MAP_ABSENT:
		return "-";
	case MAP_FAILED:
		assert_true(e.text[0] != '\0');
		return "!";
	}
	return NULL;
}

static void
build(const char *name, const char *const (*rows)[2])
{
	char *spec = spec_of("hash", name);
	struct map_builder *b = NULL;
	struct err e;
	bool duplicate;

	if (map_builder_begin(spec, 0644, &b, &e) < 0)
		fail_msg("%s", e.text);
	for (unsigned i = 0; rows[i][0] != NULL; i++)
		assert_int_equal(
		    map_builder_add(b, span_str(rows[i][0]),
			span_str(rows[i][1]), i + 1, false, &duplicate, &e),
		    0);
	if (map_builder_commit(&b, &e) < 0)
		fail_msg("%s", e.text);
	assert_null(b);
	mem_free(spec);
}

static void
an_index_is_built_and_read(void **state)
{
	static const char *const rows[][2] = { { "alice", "bob" },
		{ "carol", "x, y" }, { NULL, NULL } };
	struct stat st;
	char where[160];

	(void)state;
	build("t", rows);
	assert_int_equal(stat(path_of("t.gdbm"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	struct map *m = open_map("hash", "t");
	assert_string_equal(ask(m, "alice"), "bob");
	assert_string_equal(ask(m, "carol"), "x, y");
	snprintf(where, sizeof(where), "%s:2", path_of("t"));
	assert_string_equal(map_where(m), where);
	assert_string_equal(ask(m, "nobody"), "-");
	assert_string_equal(ask(m, ""), "-");
	map_free(&m);
	assert_null(m);

	/* Other spellings are the same table. */
	m = open_map("lmdb", "t");
	assert_string_equal(ask(m, "alice"), "bob");
	map_free(&m);
}

static void
duplicates_are_told(void **state)
{
	char *spec = spec_of("btree", "t");
	struct map_builder *b;
	struct err e;
	bool duplicate = true;

	(void)state;
	assert_int_equal(map_builder_begin(spec, 0600, &b, &e), 0);
	map_builder_add(b, SPAN("k"), SPAN("1"), 1, false, &duplicate, &e);
	assert_false(duplicate);
	map_builder_add(b, SPAN("k"), SPAN("2"), 2, false, &duplicate, &e);
	assert_true(duplicate);
	map_builder_add(b, SPAN("r"), SPAN("1"), 3, true, &duplicate, &e);
	map_builder_add(b, SPAN("r"), SPAN("2"), 4, true, &duplicate, &e);
	assert_true(duplicate);
	assert_int_equal(
	    map_builder_add(b, SPAN_EMPTY, SPAN("v"), 1, false, &duplicate, &e),
	    -1);
	assert_int_equal(map_builder_commit(&b, &e), 0);
	struct map *m = open_map("btree", "t");
	assert_string_equal(ask(m, "k"), "1");
	assert_string_equal(ask(m, "r"), "2");
	map_free(&m);
	mem_free(spec);
}

static void
an_aborted_build_leaves_the_old_index(void **state)
{
	static const char *const rows[][2] = { { "k", "old" }, { NULL, NULL } };
	char *spec = spec_of("hash", "t");
	struct map_builder *b;
	struct err e;
	bool duplicate;

	(void)state;
	build("t", rows);
	assert_int_equal(map_builder_begin(spec, 0600, &b, &e), 0);
	map_builder_add(b, SPAN("k"), SPAN("new"), 1, false, &duplicate, &e);
	map_builder_abort(&b);
	map_builder_abort(&b);
	struct map *m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "old");
	map_free(&m);
	/* Nothing else lies about. */
	char command[128];
	snprintf(command, sizeof(command), "test $(ls %s | wc -l) = 1", dir);
	assert_int_equal(system(command), 0);
	mem_free(spec);
}

/* Asks until the answer is as expected, at most 5 s. */
static void
await(struct map *m, const char *key, const char *value)
{
	const time_t end = time(NULL) + 5;
	const struct timespec pause = { 0, 20000000 };

	while (strcmp(ask(m, key), value) != 0) {
		assert_true(time(NULL) < end);
		nanosleep(&pause, NULL);
	}
}

static void
a_new_index_is_noticed_by_a_reader(void **state)
{
	static const char *const old[][2] = { { "k", "old" }, { NULL, NULL } };
	static const char *const new[][2] = { { "k", "new" }, { NULL, NULL } };

	(void)state;
	struct map *m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "!");
	build("t", old);
	await(m, "k", "old");
	build("t", new);
	await(m, "k", "new");
	/* One that is gone stays in use. */
	unlink(path_of("t.gdbm"));
	assert_string_equal(ask(m, "k"), "new");
	map_free(&m);
}

static unsigned warnings;
static char warning[300];

static void
note_warning(const struct log_record *r, void *arg)
{
	(void)arg;
	warnings++;
	snprintf(warning, sizeof(warning), "%s", r->text);
}

static void
newer_text_is_said_once(void **state)
{
	static const char *const rows[][2] = { { "k", "v" }, { NULL, NULL } };
	char expected[300];

	(void)state;
	log_set_sink(note_warning, NULL);
	warnings = 0;
	put_file("t", "k v\n", 100);
	build("t", rows);
	struct map *m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "v");
	assert_int_equal(warnings, 0);
	map_free(&m);

	put_file("t", "k w\n", -100);
	m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "v");
	assert_string_equal(ask(m, "k"), "v");
	assert_int_equal(warnings, 1);
	snprintf(expected, sizeof(expected),
	    "database %s/t.gdbm is older than source file %s/t", dir, dir);
	assert_string_equal(warning, expected);
	map_free(&m);
	log_set_sink(NULL, NULL);
}

static void
a_damaged_index_fails(void **state)
{
	static const char *const rows[][2] = { { "k", "v" }, { NULL, NULL } };

	(void)state;
	put_file("t.gdbm", "this is no table at all", 0);
	struct map *m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "!");
	map_free(&m);
	build("t", rows);
	assert_int_equal(truncate(path_of("t.gdbm"), 500), 0);
	m = open_map("hash", "t");
	assert_string_equal(ask(m, "k"), "!");
	map_free(&m);
}

static void
texthash_reads_the_text(void **state)
{
	char where[160];

	(void)state;
	put_file("t",
	    "# comment\nKey  some value\n  continued\nlonely\n"
	    "key second\nother x\n",
	    50);
	log_set_sink(note_warning, NULL);
	warnings = 0;
	struct map *m = open_map("texthash", "t");
	assert_string_equal(ask(m, "key"), "some value  continued");
	snprintf(where, sizeof(where), "%s:2", path_of("t"));
	assert_string_equal(map_where(m), where);
	assert_string_equal(ask(m, "lonely"), "-");
	assert_int_equal(warnings, 1);
	log_set_sink(NULL, NULL);
	put_file("t", "key changed\n", 10);
	await(m, "key", "changed");
	assert_string_equal(ask(m, "other"), "-");
	map_free(&m);
	m = open_map("texthash", "missing");
	assert_string_equal(ask(m, "key"), "!");
	map_free(&m);
}

static void
small_types(void **state)
{
	static const struct {
		const char *spec, *key, *value;
	} rows[] = {
		{ "static:OK", "anything", "OK" },
		{ "static:{two words}", "anything", "two words" },
		{ "inline:{a=1, b=2}", "b", "2" },
		{ "inline:{a=1, {b = 2, 3}}", "b", "2, 3" },
		{ "inline:{a=1}", "b", "-" },
		{ "inline:{A=1}", "a", "1" },
		{ "inline:{}", "a", "-" },
		{ "fail:reason", "a", "!" },
		{ "proxy:static:x", "a", "x" },
		{ "unix:passwd.byname", "no-such-user-here", "-" },
		{ "unix:group.byname", "no-such-group-here", "-" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct map *m;
		struct err e;

		if (map_open(rows[i].spec, &m, &e) < 0)
			fail_msg("%s: %s", rows[i].spec, e.text);
		assert_string_equal(ask(m, rows[i].key), rows[i].value);
		map_free(&m);
	}
	struct map *m;
	assert_int_equal(map_open("unix:passwd.byname", &m, NULL), 0);
	assert_true(span_starts(span_str(ask(m, "root")), SPAN("root:*:0:0:")));
	map_free(&m);
}

static void
bad_specs_are_refused(void **state)
{
	static const struct {
		const char *spec, *error;
	} rows[] = {
		{ "nonsense", "\"nonsense\" is not a table: write type:name" },
		{ "foo:/x",
		    "table foo:/x: no table type \"foo\"; there are "
		    "hash, texthash, inline, static, cidr, regexp, pcre, "
		    "unix, fail" },
		{ "inline:{a}", "table inline:{a}: \"a\" is not key=value" },
		{ "inline:a=b", "table inline:a=b: write inline:{key=value, "
				"{key = any text}}" },
		{ "hash:", "table hash:: no file name" },
		{ "unix:shadow.byname",
		    "table unix:shadow.byname: only "
		    "unix:passwd.byname and unix:group.byname are known" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct map *m;
		struct err e;

		assert_int_equal(map_open(rows[i].spec, &m, &e), -1);
		assert_string_equal(e.text, rows[i].error);
		assert_int_equal(e.kind, ERR_PERM);
	}
	struct map_builder *b;
	assert_int_equal(map_builder_begin("pcre:/x", 0600, &b, NULL), -1);
	assert_int_equal(map_builder_begin("nothing", 0600, &b, NULL), -1);
	assert_int_equal(
	    map_builder_begin("hash:/nonexistent/x", 0600, &b, NULL), -1);
}

static void
cidr_tables(void **state)
{
	char where[160];

	(void)state;
	put_file("t",
	    "10.1.2.3 host\n10.0.0.0/8 ten\n"
	    "2001:db8::/32 doc6\n[2001:db9::]/32 doc9\n"
	    "10.0.0.1/8 bad\nrubbish bad\n"
	    "if 192.168.0.0/16\n!192.168.1.0/24 notone\n"
	    "192.168.1.5 five\nendif\n"
	    "!0.0.0.0/0 six\n",
	    0);
	log_set_sink(note_warning, NULL);
	warnings = 0;
	struct map *m = open_map("cidr", "t");
	assert_string_equal(ask(m, "10.1.2.3"), "host");
	assert_string_equal(ask(m, "10.1.2.4"), "ten");
	snprintf(where, sizeof(where), "%s:2", path_of("t"));
	assert_string_equal(map_where(m), where);
	assert_string_equal(ask(m, "2001:db8:1::1"), "doc6");
	assert_string_equal(ask(m, "2001:db9::1"), "doc9");
	assert_string_equal(ask(m, "192.168.2.1"), "notone");
	assert_string_equal(ask(m, "192.168.1.5"), "five");
	assert_string_equal(ask(m, "192.168.1.6"), "-");
	assert_string_equal(ask(m, "::ffff:10.1.2.3"), "host");
	assert_string_equal(ask(m, "2001:dba::1"), "six");
	assert_string_equal(ask(m, "example.com"), "-");
	assert_int_equal(warnings, 2);
	map_free(&m);
	log_set_sink(NULL, NULL);
}

static void
pattern_tables(void **state)
{
	(void)state;
	put_file("t",
	    "/^(.*)@old\\.example$/ ${1}@new.example\n"
	    "/^a-(.)-(x)?/ <$1|$2|$(1)|$$|$z>\n"
	    "/CASE/i exact\n"
	    "!/@/ no-at\n"
	    "if /inner/\n/inner1/ one\nif /inner2/\n/2a/ two-a\nendif\n"
	    "/inner/ some\nendif\n"
	    "/unclosed\n/x/Q flag\n/(/ paren\n"
	    "/(a+)+@b$/ slow\n",
	    0);
	log_set_sink(note_warning, NULL);
	static const char *const types[] = { "pcre", "regexp" };
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		warnings = 0;
		struct map *m = open_map(types[i], "t");
		assert_string_equal(
		    ask(m, "Joe@OLD.example"), "Joe@new.example");
		assert_string_equal(ask(m, "a-q-@"), "<q||q|$|$z>");
		assert_int_equal(warnings, 3);
		assert_string_equal(ask(m, "@CASE"), "exact");
		assert_string_equal(ask(m, "@case"), "-");
		assert_string_equal(ask(m, "plain"), "no-at");
		assert_string_equal(ask(m, "@inner1"), "one");
		assert_string_equal(ask(m, "@inner22a"), "two-a");
		assert_string_equal(ask(m, "@inner2"), "some");
		assert_string_equal(ask(m, "@2a"), "-");
		map_free(&m);
	}
	log_set_sink(NULL, NULL);
}

static void
a_pattern_that_explodes_fails_in_bounded_time(void **state)
{
	(void)state;
	put_file("t", "/^(a|a|a|a?)+$/ never\n", 0);
	struct map *m = open_map("pcre", "t");
	assert_string_equal(
	    ask(m, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), "!");
	map_free(&m);
}

static void
lists_are_asked_in_order(void **state)
{
	struct buf out;
	struct maps *m;
	struct err e;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(maps_open("inline:{a=1, b=2}, inline:{b=3,c=4}\n"
				   "static:rest",
			     &m, &e),
	    0);
	assert_false(maps_empty(m));
	assert_int_equal(maps_get(m, SPAN("b"), &out, &e), MAP_FOUND);
	assert_string_equal(buf_cstr(&out), "2");
	assert_int_equal(maps_get(m, SPAN("c"), &out, &e), MAP_FOUND);
	assert_string_equal(buf_cstr(&out), "4");
	assert_string_equal(maps_where(m), "inline:{b=3,c=4}");
	assert_int_equal(maps_get(m, SPAN("z"), &out, &e), MAP_FOUND);
	assert_string_equal(buf_cstr(&out), "rest");
	maps_free(&m);

	assert_int_equal(maps_open("inline:{a=1} fail:x static:y", &m, &e), 0);
	assert_int_equal(maps_get(m, SPAN("a"), &out, &e), MAP_FOUND);
	assert_int_equal(maps_get(m, SPAN("b"), &out, &e), MAP_FAILED);
	assert_int_equal(e.kind, ERR_TEMP);
	maps_free(&m);

	assert_int_equal(maps_open("", &m, &e), 0);
	assert_true(maps_empty(m));
	assert_int_equal(maps_get(m, SPAN("a"), &out, &e), MAP_ABSENT);
	maps_free(&m);
	assert_int_equal(maps_open("static:a nope", &m, &e), -1);
	buf_release(&out);
}

static void
a_value_too_long_is_a_failure(void **state)
{
	struct buf out;
	struct map *m;
	struct err e;

	(void)state;
	buf_init(&out, 3);
	assert_int_equal(map_open("static:four", &m, &e), 0);
	assert_int_equal(map_get(m, SPAN("x"), &out, &e), MAP_FAILED);
	assert_string_equal(
	    e.text, "table static:four: a value is longer than 3 bytes");
	map_free(&m);
	buf_release(&out);
}

static void
addresses_are_looked_up_in_steps(void **state)
{
	static const struct {
		const char *table, *address, *delimiter;
		bool local;
		const char *value;
	} rows[] = {
		{ "inline:{u+x@d=1,u@d=2,u+x=3,u=4,@d=5}", "u+x@d", "+", true,
		    "1" },
		{ "inline:{u@d=2,u+x=3,u=4,@d=5}", "U+X@D", "+", true, "2" },
		{ "inline:{u+x=3,u=4,@d=5}", "u+x@d", "+", true, "3" },
		{ "inline:{u=4,@d=5}", "u+x@d", "+", true, "4" },
		{ "inline:{u=4,@d=5}", "u+x@d", "+", false, "5" },
		{ "inline:{u=4,@d=5}", "u+x@d", "", true, "5" },
		{ "inline:{u=4,@d=5}", "u@e", "+", false, "-" },
		{ "inline:{u=4}", "u", "+", false, "4" },
		{ "inline:{owner=4}", "owner-l", "-", true, "-" },
		{ "inline:{l=4}", "l-owner", "-", true, "4" },
		{ "inline:{a=4}", "a-b+c", "+-", true, "4" },
		{ "inline:{\"a@b\"@d=4}", "\"a@b\"@d", "+", true, "4" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct maps *m;
		struct buf out;
		struct err e;

		buf_init(&out, 100);
		assert_int_equal(maps_open(rows[i].table, &m, &e), 0);
		const enum map_result r =
		    maps_get_address(m, span_str(rows[i].address),
			rows[i].delimiter, rows[i].local, &out, &e);
		assert_string_equal(
		    r == MAP_FOUND ? buf_cstr(&out) : "-", rows[i].value);
		maps_free(&m);
		buf_release(&out);
	}
}

struct counted {
	unsigned rows, lines;
};

static void
count_row(void *arg, struct span key, struct span value, unsigned line)
{
	struct counted *c = arg;

	assert_true(key.n > 0 && value.n > 0);
	c->rows++;
	c->lines += line;
}

static void
entries_are_listed(void **state)
{
	static const char *const rows[][2] = { { "a", "1" }, { "b", "2" },
		{ "c", "3" }, { NULL, NULL } };
	struct counted c = { 0 };
	struct err e;

	(void)state;
	build("t", rows);
	struct map *m = open_map("hash", "t");
	assert_int_equal(map_each(m, count_row, &c, &e), 0);
	assert_int_equal(c.rows, 3);
	assert_int_equal(c.lines, 6);
	map_free(&m);
	m = open_map("pcre", "t");
	assert_int_equal(map_each(m, count_row, &c, &e), -1);
	map_free(&m);
}

static void
a_large_index(void **state)
{
	enum { ROWS = 20000 };
	char *spec = spec_of("hash", "t"), key[32];
	struct map_builder *b;
	struct err e;
	bool duplicate;

	(void)state;
	assert_int_equal(map_builder_begin(spec, 0644, &b, &e), 0);
	for (unsigned i = 0; i < ROWS; i++) {
		snprintf(key, sizeof(key), "user%u@example.com", i);
		assert_int_equal(map_builder_add(b, span_str(key),
				     span_str(key), i, false, &duplicate, &e),
		    0);
	}
	assert_int_equal(map_builder_commit(&b, &e), 0);
	struct map *m = open_map("hash", "t");
	for (unsigned i = 0; i < ROWS; i += 7) {
		snprintf(key, sizeof(key), "user%u@example.com", i);
		assert_string_equal(ask(m, key), key);
	}
	map_free(&m);
	mem_free(spec);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_index_is_built_and_read),
		TEST(duplicates_are_told),
		TEST(an_aborted_build_leaves_the_old_index),
		TEST(a_new_index_is_noticed_by_a_reader),
		TEST(newer_text_is_said_once),
		TEST(a_damaged_index_fails),
		TEST(texthash_reads_the_text),
		TEST(small_types),
		TEST(bad_specs_are_refused),
		TEST(cidr_tables),
		TEST(pattern_tables),
		TEST(a_pattern_that_explodes_fails_in_bounded_time),
		TEST(lists_are_asked_in_order),
		TEST(a_value_too_long_is_a_failure),
		TEST(addresses_are_looked_up_in_steps),
		TEST(entries_are_listed),
		TEST(a_large_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
