/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/reply_template.h"

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

static bool
value_of(void *arg, struct span name, struct span *out)
{
	(void)arg;
	if (span_eq(name, SPAN("code")))
		*out = SPAN("554");
	else if (span_eq(name, SPAN("empty")))
		*out = SPAN_EMPTY;
	else if (span_eq(name, SPAN("bytes")))
		*out = SPAN("a\nb\xc3\xa4$code");
	else
		return false;
	return true;
}

static void
expands(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: malformed */
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "$code", "554" },
		{ "${code}x$(code)", "554x554" },
		{ "$code-$code.", "554-554." },
		{ "$$code", "$code" },
		{ "${code?yes $code}", "yes 554" },
		{ "${empty?yes}", "" },
		{ "${empty:no}", "no" },
		{ "${code:no}", "" },
		{ "${code?{yes}:{no}}", "yes" },
		{ "${empty?{yes}:{no $code}}", "no 554" },
		{ "${code ? {a} : {b}}", "a" },
		{ "${code?${empty:deep}}", "deep" },
		{ "$bytes", "a_b__$code" },
		{ "$unknown", NULL },
		{ "${unknown?x}", NULL },
		{ "${code", NULL },
		{ "$", NULL },
		{ "${}", NULL },
		{ "${code!x}", NULL },
		{ "${code?{a}b}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out;
		struct err e;
		int rc;

		buf_init(&out, 1000);
		rc = reply_template_expand(span_str(rows[i].in), value_of,
		    NULL, &out, &e);
		assert_int_equal(rc, rows[i].out != NULL ? 0 : -1);
		if (rc == 0)
			assert_string_equal(buf_cstr(&out), rows[i].out);
		else
			assert_int_equal(e.kind, ERR_PERM);
		buf_release(&out);
	}
}

static void
too_deep(void **state)
{
	char text[1000] = "";
	size_t n = 0;
	struct buf out;

	(void)state;
	for (int i = 0; i < 30; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "${code?");
	for (int i = 0; i < 30; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "}");
	buf_init(&out, 1000);
	assert_int_equal(reply_template_expand(span_str(text), value_of, NULL,
	    &out, NULL), -1);
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expands),
		cmocka_unit_test(too_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
