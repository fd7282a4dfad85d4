/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* The conversation itself is shown by system/milter_local. */

static const struct milter_settings settings = {
	.milter_macro_v = "Chappe 0.1",
	.milter_macro_daemon_name = "mx.example",
};

static const char *
macro(const char *name, const char *rcpt, struct buf *out)
{
	buf_reset(out);
	return milter_run_macro(&settings, "host.example", "ABC",
		   SPAN("s@a.example"), span_str(rcpt), span_str(name), out) ?
	    buf_cstr(out) : NULL;
}

static void
macros_are_those_of_a_local_client(void **state)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{ "i", "ABC" },
		{ "j", "host.example" },
		{ "v", "Chappe 0.1" },
		{ "daemon_name", "mx.example" },
		{ "_", "localhost [127.0.0.1]" },
		{ "client_addr", "127.0.0.1" },
		{ "client_name", "localhost" },
		{ "client_resolve", "OK" },
		{ "mail_addr", "s@a.example" },
		{ "rcpt_addr", "r@b.example" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(macro(rows[i].name, "r@b.example", &out),
		    rows[i].value);
	buf_release(&out);
}

static void
others_are_not_defined(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_null(macro("rcpt_addr", "", &out));
	assert_null(macro("auth_authen", "r@b.example", &out));
	assert_null(macro("", "r@b.example", &out));
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(macros_are_those_of_a_local_client),
		cmocka_unit_test(others_are_not_defined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
