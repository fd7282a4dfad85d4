/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "tests/unit/lib/mail/conf_dir.h"

struct fixture {
	struct conf_dir dir;
	struct conf *conf;
	struct common_conf common;
	struct checks_tables *t;
	struct buf said, out;
};

static void
hit(void *arg, const struct check_hit *h)
{
	struct fixture *f = arg;

	buf_fmt(&f->said, "%s %s [%.*s] %s %.*s;", check_action_name(h->action),
	    h->kind, SPAN_FMT(h->line), h->dsn, SPAN_FMT(h->text));
}

static void
out(void *arg, struct span bytes)
{
	struct fixture *f = arg;

	buf_add(&f->out, bytes);
}

/* The parameters come from lines, the tables "pcre:A" and on from tables. */
static void
set_up(struct fixture *f, const char *const *lines, size_t n,
    const char *const *tables)
{
	static const char *const names[] = { "A", "B", "C", "D" };
	struct err e;

	conf_dir_open(&f->dir, "");
	for (size_t i = 0; tables[i] != NULL; i++)
		conf_dir_file(&f->dir, names[i], tables[i]);
	f->conf = conf_dir_load(&f->dir, lines, n, &f->common);
	assert_int_equal(checks_open(&f->common, &f->t, &e), 0);
	buf_init(&f->said, 10000);
	buf_init(&f->out, 10000);
}

static void
tear_down(struct fixture *f)
{
	conf_dir_close(&f->dir);
	checks_free(&f->t);
	conf_free(&f->conf);
	buf_release(&f->said);
	buf_release(&f->out);
}

/* Sends a header and a body through. */
static void
feed(struct fixture *f, const char *header, const char *body)
{
	struct checks *c = checks_new(f->t, hit, out, f);
	struct span rest = span_str(header);
	struct header_field field;
	struct buf instead;

	buf_init(&instead, 10000);
	while (header_next(&rest, &field)) {
		buf_reset(&instead);
		if (checks_header(c, &field, &instead))
			buf_add(&f->out, buf_span(&instead));
		else
			buf_add(&f->out, field.raw);
	}
	checks_body(c, span_str(body));
	checks_end(c);
	checks_close(&c);
	buf_release(&instead);
}

static void
actions_are_parsed(void **state)
{
	struct check_hit h;

	(void)state;
	assert_true(check_parse(SPAN("reject"), &h));
	assert_int_equal(h.action, CHECK_REJECT);
	assert_string_equal(h.dsn, "5.7.1");
	assert_int_equal(h.text.n, 0);
	assert_true(check_parse(SPAN("REJECT 5.6.0 no such  thing "), &h));
	assert_string_equal(h.dsn, "5.6.0");
	assert_true(span_eq(h.text, SPAN("no such  thing")));
	assert_true(check_parse(SPAN("REJECT 5 apples"), &h));
	assert_string_equal(h.dsn, "5.7.1");
	assert_true(span_eq(h.text, SPAN("5 apples")));
	assert_true(check_parse(SPAN("FILTER smtp:[127.0.0.1]:10025"), &h));
	assert_true(span_eq(h.text, SPAN("smtp:[127.0.0.1]:10025")));
	assert_true(check_parse(SPAN("DUNNO"), &h));
	assert_int_equal(h.action, CHECK_NOTHING);
	assert_false(check_parse(SPAN("FILTER"), &h));
	assert_false(check_parse(SPAN("REPLACE "), &h));
	assert_false(check_parse(SPAN("EXPLODE now"), &h));
	assert_false(check_parse(SPAN_EMPTY, &h));
}

static void
fields_are_changed(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test",
		"header_checks=pcre:A" };
	static const char *const tables[] = {
		"/^X-A: 1$/ REPLACE X-B: 2\n/^X-C:/ PREPEND X-D: 4\n"
		"/^X-E:/ IGNORE\n/^X-F:/ STRIP gone\n/^X-G:/ WARN look\n"
		"/^X-H:/ OK\n", NULL };
	struct fixture f = { 0 };

	(void)state;
	set_up(&f, lines, COUNT_OF(lines), tables);
	assert_true(checks_wanted(f.t));
	feed(&f,
	    "X-A: 1\r\nX-C: 3\r\nX-E: 5\r\nX-F: 6\r\nX-G: 7\r\nX-H: 8\r\n"
	    "X-I: 9\r\n",
	    "X-A: 1\r\n");
	assert_string_equal(buf_cstr(&f.out),
	    "X-B: 2\r\nX-D: 4\r\nX-C: 3\r\nX-G: 7\r\nX-H: 8\r\nX-I: 9\r\n"
	    "X-A: 1\r\n");
	assert_string_equal(buf_cstr(&f.said),
	    "replace header [X-A: 1]  X-B: 2;"
	    "prepend header [X-C: 3]  X-D: 4;strip header [X-F: 6]  gone;"
	    "warning header [X-G: 7]  look;");
	tear_down(&f);
}

static void
each_table_has_its_place(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test", "header_checks=pcre:A",
		"mime_header_checks=pcre:B", "nested_header_checks=pcre:C",
		"body_checks=pcre:D" };
	static const char *const tables[] = { "/^A: 1$/ INFO top\n",
		"/^A: 1$/ INFO part\n", "/^A: 1$/ INFO nested\n",
		"/^A: 1$/ INFO text\n", NULL };
	struct fixture f = { 0 };

	(void)state;
	set_up(&f, lines, COUNT_OF(lines), tables);
	feed(&f,
	    "A: 1\r\nContent-Type: multipart/mixed;\r\n\tboundary=b\r\n",
	    "--b\r\nA: 1\r\nContent-Type: message/rfc822\r\n\r\nA: 1\r\n\r\n"
	    "A: 1\r\n--b--\r\n");
	assert_string_equal(buf_cstr(&f.said),
	    "info header [A: 1]  top;info header [A: 1]  part;"
	    "info header [A: 1]  nested;info body [A: 1]  text;");
	tear_down(&f);
}

static void
parts_inherit_header_checks(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test", "header_checks=pcre:/nonexistent/table" };
	struct fixture f = { 0 };

	(void)state;
	conf_dir_open(&f.dir, "");
	f.conf = conf_dir_load(&f.dir, lines, COUNT_OF(lines), &f.common);
	assert_string_equal(f.common.mime_header_checks,
	    "pcre:/nonexistent/table");
	assert_string_equal(f.common.nested_header_checks,
	    "pcre:/nonexistent/table");
	tear_down(&f);
}

static void
folds_are_line_feeds(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test",
		"header_checks=pcre:A" };
	static const char *const tables[] = { "/^A: 1\\n\\t2$/ REJECT\n",
		NULL };
	struct fixture f = { 0 };

	(void)state;
	set_up(&f, lines, COUNT_OF(lines), tables);
	feed(&f, "A: 1\r\n\t2\r\n", "");
	assert_string_equal(buf_cstr(&f.said),
	    "reject header [A: 1\n\t2] 5.7.1 ;");
	tear_down(&f);
}

static void
the_body_is_looked_at_so_far(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test", "body_checks=pcre:A",
		"body_checks_size_limit=6" };
	static const char *const tables[] = { "/^x$/ REPLACE y\n", NULL };
	struct fixture f = { 0 };

	(void)state;
	set_up(&f, lines, COUNT_OF(lines), tables);
	feed(&f, "", "x\r\nz\r\nx\r\n");
	assert_string_equal(buf_cstr(&f.out), "y\r\nz\r\nx\r\n");
	tear_down(&f);
}

static void
a_table_that_fails_is_told_once(void **state)
{
	static const char *const lines[] = { "myhostname=h.test",
		"mydomain=test", "header_checks=fail:oops" };
	static const char *const tables[] = { NULL };
	struct fixture f = { 0 };

	(void)state;
	set_up(&f, lines, COUNT_OF(lines), tables);
	feed(&f, "A: 1\r\nB: 2\r\n", "text\r\n");
	assert_true(span_starts(buf_span(&f.said), SPAN(" header [A: 1]")));
	assert_int_equal(span_find(span_skip(buf_span(&f.said), 5),
	    SPAN("header")), SIZE_MAX);
	assert_string_equal(buf_cstr(&f.out), "A: 1\r\nB: 2\r\ntext\r\n");
	tear_down(&f);
}

static void
fields_of_filters(void **state)
{
	static const struct {
		const char *name;
		bool kept;
		const char *instead, *before, *said;
	} rows[] = {
		{ "x-keep", true, "", "", "" },
		{ "x-drop", false, "", "", "" },
		{ "x-strip", false, "", "", "strip header [x-strip: v]  ;" },
		{ "x-replace", true, "X-New: v", "",
		    "replace header [x-replace: v]  X-New: v;" },
		{ "x-prepend", true, "", "X-Also: v",
		    "prepend header [x-prepend: v]  X-Also: v;" },
		{ "x-bad", true, "", "",
		    "reject header [x-bad: v] 5.7.9 no;" },
		{ "x-what", true, "", "", "" },
	};
	struct fixture f = { 0 };
	struct buf instead, before;
	struct maps *m, *failing;
	struct err e;

	(void)state;
	assert_int_equal(maps_open("inline:{ {x-drop: v = IGNORE},"
	    " {x-strip: v = STRIP}, {x-replace: v = REPLACE X-New: v},"
	    " {x-prepend: v = PREPEND X-Also: v},"
	    " {x-bad: v = REJECT 5.7.9 no}, {x-what: v = WHAT} }", &m, &e), 0);
	assert_int_equal(maps_open("fail:oops", &failing, &e), 0);
	buf_init(&f.said, 10000);
	buf_init(&instead, 1000);
	buf_init(&before, 1000);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&f.said);
		buf_reset(&instead);
		buf_reset(&before);
		assert_int_equal(checks_filter_field(m,
		    span_str(rows[i].name), SPAN("v"), hit, &f, &instead,
		    &before), rows[i].kept);
		assert_string_equal(buf_cstr(&instead), rows[i].instead);
		assert_string_equal(buf_cstr(&before), rows[i].before);
		assert_string_equal(buf_cstr(&f.said), rows[i].said);
	}
	assert_true(checks_filter_field(failing, SPAN("A"), SPAN("1"), hit,
	    &f, &instead, &before));
	assert_true(span_starts(buf_span(&f.said), SPAN(" header [A: 1]")));
	maps_free(&m);
	maps_free(&failing);
	buf_release(&f.said);
	buf_release(&instead);
	buf_release(&before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions_are_parsed),
		cmocka_unit_test(fields_are_changed),
		cmocka_unit_test(each_table_has_its_place),
		cmocka_unit_test(parts_inherit_header_checks),
		cmocka_unit_test(folds_are_line_feeds),
		cmocka_unit_test(the_body_is_looked_at_so_far),
		cmocka_unit_test(a_table_that_fails_is_told_once),
		cmocka_unit_test(fields_of_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
