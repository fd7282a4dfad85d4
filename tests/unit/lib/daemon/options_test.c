/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

enum { ARGS_MAX = 32 };

/* Splits at blanks: no test argument holds one. */
static int
parse(const char *line, struct daemon_options *out, struct err *e)
{
	static char text[512];
	static char *argv[ARGS_MAX + 1];
	int argc = 0;
	struct span rest = span_str(line), word;
	size_t at = 0;

	while (span_token(&rest, " ", &word)) {
		assert_true(argc < ARGS_MAX);
		assert_true(span_copy(word, text + at, sizeof(text) - at));
		argv[argc++] = text + at;
		at += word.n + 1;
	}
	argv[argc] = NULL;
	return daemon_options_parse(argc, argv, out, e);
}

static void
what_master_gives(void **state)
{
	static struct daemon_options o;
	struct err e;

	(void)state;
	assert_int_equal(parse("smtpd -c /etc/chappe -n submission -g 3 "
			       "-o a=b -o c=d -l inet,unix,imaps -m 8 -d ipc "
			       "-- one two", &o, &e), 0);
	assert_string_equal(o.conf_dir, "/etc/chappe");
	assert_string_equal(o.service, "submission");
	assert_string_equal(o.generation, "3");
	assert_string_equal(o.debug, "ipc");
	assert_int_equal(o.shared_fd, 8);
	assert_int_equal(o.override_count, 2);
	assert_string_equal(o.overrides[1], "c=d");
	assert_int_equal(o.listener_count, 3);
	assert_int_equal(o.listeners[0].fd, 4);
	assert_true(o.listeners[0].inet);
	assert_false(o.listeners[1].inet);
	assert_true(o.listeners[2].inet);
	assert_int_equal(o.listeners[2].fd, 6);
	assert_int_equal(o.listeners[2].index, 2);
	assert_string_equal(o.listeners[2].kind, "imaps");
	assert_string_equal(o.args[0], "one");
	assert_string_equal(o.args[1], "two");
	assert_null(o.args[2]);
}

static void
nobody_else_starts_a_daemon(void **state)
{
	static const char *const lines[] = { "smtpd", "smtpd -c /etc/chappe",
		"smtpd -n x", "smtpd -c x -n y -Z", "smtpd -c",
		"smtpd -c x -n y -l muchtoolong", "smtpd -c x -n y -m 2",
		"smtpd -c x -n y -m 8x" };
	static struct daemon_options o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		assert_int_equal(parse(lines[i], &o, &e), -1);
		assert_int_equal(e.kind, ERR_PERM);
	}
}

static void
programs_have_one_row_each(void **state)
{
	unsigned count = 0;

	(void)state;
	for (const struct program *p = programs; p->name != NULL; p++) {
		assert_ptr_equal(program_find(p->name), p);
		count++;
	}
	assert_true(count >= 11);
	assert_null(program_find("nosuch"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_master_gives),
		cmocka_unit_test(nobody_else_starts_a_daemon),
		cmocka_unit_test(programs_have_one_row_each),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
