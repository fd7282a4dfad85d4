/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/master_cf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static struct master_service *
parse(struct arena *a, const char *text)
{
	struct master_service *list = NULL;
	struct err e = { 0 };

	arena_init(a, 256 << 10);
	if (master_cf_parse("m.cf", span_str(text), a, &list, &e) < 0)
		fail_msg("%s", e.text);
	return list;
}

static void
reads_columns(void **state)
{
	struct arena a;

	(void)state;
	const struct master_service *s = parse(&a,
	    "# service type private unpriv chroot wakeup maxproc command\n"
	    "smtp      inet  n       -       y       -       -  smtpd\n"
	    "127.0.0.1:2525 inet n n n - 7 smtpd -v\n"
	    "\n"
	    "pickup    unix  n       -       n       60?     1  pickup\n"
	    "qmgr unix - - n 300 0 qmgr\n");
	assert_string_equal(s->name, "smtp");
	assert_int_equal(s->type, SERVICE_INET);
	assert_false(s->private_);
	assert_int_equal(s->wakeup_s, 0);
	assert_int_equal(s->process_limit, -1);
	assert_string_equal(s->program, "smtpd");
	assert_null(s->args[0]);
	assert_null(s->overrides[0]);
	assert_string_equal(s->file, "m.cf");
	assert_int_equal(s->line, 2);
	s = s->next;
	assert_string_equal(s->name, "127.0.0.1:2525");
	assert_int_equal(s->process_limit, 7);
	assert_string_equal(s->args[0], "-v");
	assert_null(s->args[1]);
	s = s->next;
	assert_int_equal(s->type, SERVICE_UNIX);
	assert_int_equal(s->wakeup_s, 60);
	assert_true(s->wakeup_if_used);
	assert_int_equal(s->line, 5);
	s = s->next;
	assert_true(s->private_);
	assert_int_equal(s->wakeup_s, 300);
	assert_false(s->wakeup_if_used);
	assert_int_equal(s->process_limit, 0);
	assert_null(s->next);
	arena_reset(&a);
}

static void
reads_overrides(void **state)
{
	struct arena a;

	(void)state;
	const struct master_service *s = parse(&a,
	    "submission inet n - y - - smtpd\n"
	    "  -o syslog_name=postfix/submission\n"
	    "# between\n"
	    "  -v -osmtpd_tls_security_level=encrypt\n"
	    "  -o { mynetworks = 10.0.0.0/8, [::1]/128 }\n"
	    "  -o empty=\n"
	    "pipe unix - n n - - local -o x=y flags=R {two words} -o z=1\n");
	assert_string_equal(s->overrides[0], "syslog_name=postfix/submission");
	assert_string_equal(
	    s->overrides[1], "smtpd_tls_security_level=encrypt");
	assert_string_equal(
	    s->overrides[2], "mynetworks=10.0.0.0/8, [::1]/128");
	assert_string_equal(s->overrides[3], "empty=");
	assert_null(s->overrides[4]);
	assert_string_equal(s->args[0], "-v");
	assert_null(s->args[1]);
	s = s->next;
	assert_string_equal(s->overrides[0], "x=y");
	assert_null(s->overrides[1]);
	assert_string_equal(s->args[0], "flags=R");
	assert_string_equal(s->args[1], "two words");
	assert_string_equal(s->args[2], "-o");
	assert_string_equal(s->args[3], "z=1");
	assert_null(s->args[4]);
	arena_reset(&a);
}

static void
says_what_is_wrong_and_where(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "\nsmtp inet n - y - smtpd\n",
		    "m.cf: line 2: only 7 of 8 columns (service type private "
		    "unpriv chroot wakeup maxproc command)" },
		{ "smtp tcp n - y - - smtpd\n",
		    "m.cf: line 1: bad type \"tcp\": must be inet or unix" },
		{ "smtp inet x - y - - smtpd\n",
		    "m.cf: line 1: bad private \"x\": must be y, n or -" },
		{ "smtp inet n - y 5x - smtpd\n",
		    "m.cf: line 1: bad wakeup \"5x\": must be seconds, "
		    "seconds? or -" },
		{ "smtp inet n - y - many smtpd\n",
		    "m.cf: line 1: bad maxproc \"many\": must be a number or "
		    "-" },
		{ "smtp inet n - y - - ../smtpd\n",
		    "m.cf: line 1: bad command \"../smtpd\": must be the name "
		    "of a program in $daemon_directory" },
		{ "a/b unix n - y - - smtpd\n",
		    "m.cf: line 1: bad service name \"a/b\": must be "
		    "host:port, port or a file name" },
		{ "smtp inet n - y - - smtpd -o\n",
		    "m.cf: line 1: \"-o\" without name=value" },
		{ "smtp inet n - y - - smtpd\n  -o name\n",
		    "m.cf: line 1: bad \"-o name\": must be name=value" },
		{ "smtp inet n - y - - smtpd -o {a = b\n",
		    "m.cf: line 1: \"{\" without \"}\"" },
		{ "  -o a=b\n",
		    "m.cf: line 1: the first line continues nothing" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct master_service *list;
		struct arena a;
		struct err e;

		arena_init(&a, 256 << 10);
		assert_int_equal(master_cf_parse("m.cf", span_str(rows[i].text),
				     &a, &list, &e),
		    -1);
		assert_string_equal(e.text, rows[i].error);
		assert_int_equal(e.kind, ERR_PERM);
		arena_reset(&a);
	}
}

static void
a_missing_file_is_an_error(void **state)
{
	struct master_service *list;
	struct arena a;
	struct err e;

	(void)state;
	arena_init(&a, 256 << 10);
	assert_int_equal(
	    master_cf_load("/nonexistent/master.cf", &a, &list, &e), -1);
	assert_string_equal(
	    e.text, "open /nonexistent/master.cf: No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_columns),
		cmocka_unit_test(reads_overrides),
		cmocka_unit_test(says_what_is_wrong_and_where),
		cmocka_unit_test(a_missing_file_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
