/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/access.h"

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
#include "lib/base/limits.h"

static struct map *
open_map(const char *spec)
{
	struct map *m;
	struct err e;

	if (map_open(spec, &m, &e) != 0)
		fail_msg("%s", e.text);
	return m;
}

enum kind { PLAIN, DOMAIN, PARENTS, IP, MAIL, MAIL_PARENTS };

static const char *
look_up(struct map *m, enum kind kind, const char *key)
{
	static char text[200];
	const struct span k = span_str(key);
	enum map_result r = MAP_FAILED;
	struct buf out;
	struct err e;

	buf_init(&out, LIMIT_TABLE_VALUE);
	switch (kind) {
	case PLAIN:
		r = access_get(m, k, &out, &e);
		break;
	case DOMAIN:
	case PARENTS:
		r = access_get_domain(m, k, kind == PARENTS, &out, &e);
		break;
	case IP:
		r = access_get_ip(m, k, &out, &e);
		break;
	case MAIL:
	case MAIL_PARENTS:
		r = access_get_mail(m, k, "+", kind == MAIL_PARENTS, &out,
		    &e);
		break;
	}
	snprintf(text, sizeof(text), "%s", r == MAP_FOUND ? buf_cstr(&out) :
	    r == MAP_ABSENT ? "-" : "!");
	buf_release(&out);
	return text;
}

static void
orders(void **state)
{
	static const struct {
		const char *keys;
		enum kind kind;
		const char *key, *value;
	} rows[] = {
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", PARENTS, "A.B.C", "1" },
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", PARENTS, "x.b.c", "2" },
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", DOMAIN, "x.b.c", "3" },
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", DOMAIN, "b.c", "2" },
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", PARENTS, "d.c", "4" },
		{ "{a.b.c=1, b.c=2, .b.c=3, c=4}", DOMAIN, "d.c", "-" },
		{ "{c=4}", PARENTS, "", "-" },
		/* numbers have no parents */
		{ "{0.2.1=1, 1=2}", PARENTS, "192.0.2.1", "-" },
		{ "{192.0.2.1=1, 192.0.2=2, 192=3}", IP, "192.0.2.1", "1" },
		{ "{192.0.2.1=1, 192.0.2=2, 192=3}", IP, "192.0.2.9", "2" },
		{ "{192.0.2.1=1, 192.0.2=2, 192=3}", IP, "192.1.2.9", "3" },
		{ "{192.0.2.1=1, 192.0.2=2, 192=3}", IP, "19.1.2.9", "-" },
		{ "{{2001:db8=1}, {2001:db8::5=2}}", IP, "2001:db8::5", "2" },
		{ "{{2001:db8=1}, {2001:db8::5=2}}", IP, "2001:db8::6", "1" },
		{ "{{u+e@d.e=1}, {u@d.e=2}, {d.e=3}, {.d.e=4}, {u+e@=5}, "
		  "{u@=6}}", MAIL, "U+E@D.E", "1" },
		{ "{{u@d.e=2}, {d.e=3}, {u+e@=5}}", MAIL, "u+e@d.e", "2" },
		{ "{{d.e=3}, {u+e@=5}, {u@=6}}", MAIL, "u+e@d.e", "3" },
		{ "{{e=3}, {u+e@=5}, {u@=6}}", MAIL, "u+e@d.e", "5" },
		{ "{{e=3}, {u+e@=5}, {u@=6}}", MAIL_PARENTS, "u+e@d.e", "3" },
		{ "{{.e=3}, {u@=6}}", MAIL, "u+e@d.e", "3" },
		{ "{{u@=6}}", MAIL, "u+e@d.e", "6" },
		{ "{{u@=6}}", MAIL, "x+u@d.e", "-" },
		{ "{{<>=1}}", PLAIN, "<>", "1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char spec[300];
		struct map *m;

		snprintf(spec, sizeof(spec), "inline:%s", rows[i].keys);
		m = open_map(spec);
		assert_string_equal(
		    look_up(m, rows[i].kind, rows[i].key), rows[i].value);
		map_free(&m);
	}
}

/* Patterns see the whole string, once, as it was said. */
static void
patterns(void **state)
{
	char path[] = "/tmp/access_test.XXXXXX", spec[60];
	const int fd = mkstemp(path);
	static const char text[] = "/^b\\.c$/ parent\n/^(.*)@X$/ $1\n";
	struct map *m;

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1),
	    (ssize_t)sizeof(text) - 1);
	close(fd);
	snprintf(spec, sizeof(spec), "regexp:%s", path);
	m = open_map(spec);
	assert_string_equal(look_up(m, PARENTS, "a.b.c"), "-");
	assert_string_equal(look_up(m, PARENTS, "b.c"), "parent");
	assert_string_equal(look_up(m, MAIL, "U+ext@X"), "U+ext");
	map_free(&m);
	unlink(path);
}

static void
values(void **state)
{
	static const struct {
		const char *value;
		enum access_action action;
		const char *text;
		unsigned code;
	} rows[] = {
		{ "OK", ACCESS_OK, "", 0 },
		{ "ok  whatever", ACCESS_OK, "whatever", 0 },
		{ "RELAY", ACCESS_OK, "", 0 },
		{ "0", ACCESS_OK, "", 0 },
		{ "123456", ACCESS_OK, "", 0 },
		{ "dunno", ACCESS_DUNNO, "", 0 },
		{ "REJECT  go\taway ", ACCESS_REJECT, "go\taway", 0 },
		{ "Defer_If_Permit", ACCESS_DEFER_IF_PERMIT, "", 0 },
		{ "554 5.7.1 no", ACCESS_CODE, "5.7.1 no", 554 },
		{ "421\tbye", ACCESS_CODE, "bye", 421 },
		{ "454", ACCESS_OK, "", 0 },
		{ "354 x", ACCESS_LIST, "x", 0 },
		{ "5541 x", ACCESS_LIST, "x", 0 },
		{ "reject_unauth_destination, permit", ACCESS_LIST, "permit",
		    0 },
		{ "REJECTED", ACCESS_LIST, "", 0 },
		{ "PREPEND X-A: b", ACCESS_PREPEND, "X-A: b", 0 },
		{ "", ACCESS_LIST, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct access_value v;

		access_value_parse(span_str(rows[i].value), &v);
		assert_int_equal(v.action, rows[i].action);
		assert_int_equal(v.code, rows[i].code);
		assert_true(span_eq(v.text, span_str(rows[i].text)));
	}
}

static void
enhanced_codes(void **state)
{
	static const struct {
		const char *in, *dsn, *text;
	} rows[] = {
		{ "5.7.1 no", "5.7.1", "no" },
		{ "4.123.1   no", "4.123.1", "no" },
		{ "5.7.1", "5.7.1", "" },
		{ "5.7.1x no", "4.0.0", "5.7.1x no" },
		{ "3.7.1 no", "4.0.0", "3.7.1 no" },
		{ "5.7 no", "4.0.0", "5.7 no" },
		{ "5.1234.1 no", "4.0.0", "5.1234.1 no" },
		{ "no", "4.0.0", "no" },
		{ "", "4.0.0", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span text;
		char dsn[12];

		access_split_dsn(span_str(rows[i].in), "4.0.0", dsn, &text);
		assert_string_equal(dsn, rows[i].dsn);
		assert_true(span_eq(text, span_str(rows[i].text)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders),
		cmocka_unit_test(patterns),
		cmocka_unit_test(values),
		cmocka_unit_test(enhanced_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
