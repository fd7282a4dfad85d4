/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/app_password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
fields(void **state)
{
	static const struct {
		const char *text, *name, *scopes, *stored, *why;
	} rows[] = {
		{ "phone:imap,smtp:{PLAIN}a:b", "phone", "imap,smtp",
		    "{PLAIN}a:b", NULL },
		{ "x.y_z-1:*:h", "x.y_z-1", "*", "h", NULL },
		{ "", NULL, NULL, NULL, "app_password: bad name" },
		{ ":imap:x", NULL, NULL, NULL, "app_password: bad name" },
		{ "a/b:imap:x", NULL, NULL, NULL, "app_password: bad name" },
		{ "a", NULL, NULL, NULL, "app_password: bad scopes" },
		{ "a::x", NULL, NULL, NULL, "app_password: bad scopes" },
		{ "a:imap,:x", NULL, NULL, NULL, "app_password: bad scopes" },
		{ "a:,imap:x", NULL, NULL, NULL, "app_password: bad scopes" },
		{ "a:im/ap:x", NULL, NULL, NULL, "app_password: bad scopes" },
		{ "a:imap", NULL, NULL, NULL, "app_password: no password" },
		{ "a:imap:", NULL, NULL, NULL, "app_password: no password" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct app_password p;
		const char *why;
		const bool ok =
		    app_password_parse(span_str(rows[i].text), &p, &why);

		assert_int_equal(ok, rows[i].why == NULL);
		if (!ok) {
			assert_string_equal(why, rows[i].why);
			continue;
		}
		assert_true(span_eq(p.name, span_str(rows[i].name)));
		assert_true(span_eq(p.scopes, span_str(rows[i].scopes)));
		assert_true(span_eq(p.stored, span_str(rows[i].stored)));
	}
}

static void
scopes(void **state)
{
	const struct app_password two = { .scopes = SPAN("imap,smtp") };
	const struct app_password all = { .scopes = SPAN("*") };

	(void)state;
	assert_true(app_password_allows(&two, SPAN("imap")));
	assert_true(app_password_allows(&two, SPAN("SMTP")));
	assert_false(app_password_allows(&two, SPAN("sieve")));
	assert_false(app_password_allows(&two, SPAN("ima")));
	assert_false(app_password_allows(&two, SPAN("")));
	assert_true(app_password_allows(&all, SPAN("sieve")));
}

static void
uses(void **state)
{
	const struct app_password_use use = { 1234567890, SPAN("u@x"),
		SPAN("phone"), SPAN("imap"), SPAN("") };
	struct app_password_use got, bad = use;
	struct buf text;

	(void)state;
	buf_init(&text, 300);
	app_password_use_print(&use, &text);
	assert_string_equal(
	    buf_cstr(&text), "1234567890 u@x phone imap -\n");
	assert_true(app_password_use_parse(
	    span_trim(buf_span(&text)), &got));
	assert_int_equal(got.time_s, use.time_s);
	assert_true(span_eq(got.user, use.user));
	assert_true(span_eq(got.addr, SPAN("-")));
	assert_false(app_password_use_parse(SPAN("1 u n imap"), &got));
	assert_false(app_password_use_parse(SPAN("1 u n imap - x"), &got));
	assert_false(app_password_use_parse(SPAN("x u n imap -"), &got));
	assert_false(app_password_use_parse(SPAN(""), &got));
	buf_reset(&text);
	bad.user = SPAN("a b");
	app_password_use_print(&bad, &text);
	bad = use;
	bad.addr = SPAN("a\nb");
	app_password_use_print(&bad, &text);
	assert_int_equal(text.n, 0);
	buf_release(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(scopes),
		cmocka_unit_test(uses),
	};

	return cmocka_run_group_tests_name("app_password", tests, NULL, NULL);
}
