/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static const struct milter_settings settings = {
	.milter_default_action = "tempfail",
	.milter_protocol = "6",
	.milter_connect_timeout = 30000,
	.milter_command_timeout = 31000,
	.milter_content_timeout = 300000,
	.milter_connect_macros = "j _",
	.milter_helo_macros = "h",
	.milter_mail_macros = "m",
	.milter_rcpt_macros = "r",
	.milter_data_macros = "d",
	.milter_unknown_command_macros = "u",
	.milter_end_of_header_macros = "eh",
	.milter_end_of_data_macros = "ed",
	.milter_macro_defaults = "a=1, {b_c}=x, { d = e f }, broken",
};

static struct milter_list *
parse(const char *text)
{
	struct milter_list *l;
	struct err e;

	if (milter_list_open(&settings, text, "/q", &l, &e) != 0)
		fail_msg("%s: %s", text, e.text);
	return l;
}

static void
addresses(void **state)
{
	struct milter_list *l = parse("inet:localhost:8891, inet:25@h "
				      "inet:[::1]:3\nunix:/a/b local:c,");

	(void)state;
	assert_int_equal(l->count, 5);
	assert_string_equal(l->specs[0].name, "inet:localhost:8891");
	assert_string_equal(l->specs[0].host, "localhost");
	assert_int_equal(l->specs[0].port, 8891);
	assert_string_equal(l->specs[1].host, "h");
	assert_int_equal(l->specs[1].port, 25);
	assert_string_equal(l->specs[2].host, "::1");
	assert_string_equal(l->specs[3].path, "/a/b");
	assert_string_equal(l->specs[4].path, "/q/c");
	assert_int_equal(l->specs[4].default_action, MILTER_DEFAULT_TEMPFAIL);
	assert_int_equal(l->specs[4].connect_ms, 30000);
	assert_int_equal(l->specs[4].command_ms, 31000);
	assert_int_equal(l->specs[4].content_ms, 300000);
	assert_int_equal(l->specs[4].protocol.version, 6);
	milter_list_free(&l);
	assert_null(l);
	l = parse("");
	assert_int_equal(l->count, 0);
	milter_list_free(&l);
}

static void
settings_of_one(void **state)
{
	struct milter_list *l = parse(
	    "{ inet:a:1, connect_timeout=10s, command_timeout = 2m "
	    "content_timeout={1h}, default_action=ACCEPT, "
	    "protocol=4, no_header_reply }, unix:/x "
	    "{unix:/y, protocol={no_header_reply 2} default_action=shutdown}");

	(void)state;
	assert_int_equal(l->count, 3);
	assert_int_equal(l->specs[0].connect_ms, 10000);
	assert_int_equal(l->specs[0].command_ms, 120000);
	assert_int_equal(l->specs[0].content_ms, 3600000);
	assert_int_equal(l->specs[0].default_action, MILTER_DEFAULT_ACCEPT);
	assert_int_equal(l->specs[0].protocol.version, 4);
	assert_true(l->specs[0].protocol.no_header_reply);
	assert_int_equal(l->specs[1].protocol.version, 6);
	assert_int_equal(l->specs[2].protocol.version, 2);
	assert_true(l->specs[2].protocol.no_header_reply);
	assert_int_equal(l->specs[2].default_action, MILTER_DEFAULT_SHUTDOWN);
	milter_list_free(&l);
}

static void
errors_say_what(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "localhost:25", "is no address of a filter" },
		{ "inet:localhost", "needs a host and the number of a port" },
		{ "inet:localhost:http", "number of a port" },
		{ "inet:localhost:70000", "number of a port" },
		{ "unix:", "is no address" },
		{ "{ inet:a:1", "without" },
		{ "{ }", "empty" },
		{ "{ inet:a:1, x=y }", "unknown setting \"x\"" },
		{ "{ inet:a:1, protocol=5 }", "wanted is 2, 3, 4 or 6" },
		{ "{ inet:a:1, protocol=2 3 }", "wanted is 2, 3, 4 or 6" },
		{ "{ inet:a:1, default_action=no }", "is none of accept" },
		{ "{ inet:a:1, command_timeout=5x }", "bad time \"5x\"" },
		{ "{ inet:a:1, command_timeout }", "wanted is NAME=VALUE" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct milter_list *l = NULL;
		struct err e = { 0 };

		assert_int_equal(
		    milter_list_open(&settings, rows[i].text, "/q", &l, &e),
		    -1);
		if (strstr(e.text, rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].text, e.text);
		assert_null(l);
	}
}

static void
macros(void **state)
{
	static const char *const want[MILTER_STEPS] = { "j _", "h", "m", "r",
		"d", "u", "", "eh", "", "ed" };
	struct milter_list *l = parse("");
	struct span value;

	(void)state;
	for (int i = 0; i < MILTER_STEPS; i++)
		assert_string_equal(
		    milter_list_macros(l, (enum milter_step)i), want[i]);
	assert_true(milter_list_macro_default(l, SPAN("a"), &value));
	assert_true(span_eq(value, SPAN("1")));
	assert_true(milter_list_macro_default(l, SPAN("b_c"), &value));
	assert_true(span_eq(value, SPAN("x")));
	assert_true(milter_list_macro_default(l, SPAN("{d}"), &value));
	assert_true(span_eq(value, SPAN("e f")));
	assert_false(milter_list_macro_default(l, SPAN("broken"), &value));
	assert_false(milter_list_macro_default(l, SPAN("z"), &value));
	milter_list_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(settings_of_one),
		cmocka_unit_test(errors_say_what),
		cmocka_unit_test(macros),
	};

	return cmocka_run_group_tests_name("milter_list", tests, NULL, NULL);
}
