/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/saslprep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* RFC 4013 3, and more. */
static void
examples(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: prohibited */
	} rows[] = {
		{ "", "" },
		{ "user", "user" },
		{ "USER", "USER" },
		{ "I\xc2\xadX", "IX" },			/* soft hyphen */
		{ "\xc2\xaa", "a" },			/* feminine ordinal */
		{ "\xe2\x85\xa8", "IX" },		/* Roman nine */
		{ "\x07", NULL },
		{ "a\x7f", NULL },
		{ "\xd8\xa7" "1", NULL },		/* bidi */
		{ "\xd8\xa7" "1\xd8\xa8", "\xd8\xa7" "1\xd8\xa8" },
		{ "\xd8\xa7" "a\xd8\xa8", NULL },
		{ "a\xc2\xa0" "b", "a b" },		/* no-break space */
		{ "a\xe3\x80\x80", "a " },
		{ "e\xcc\x81", "\xc3\xa9" },		/* composed */
		{ "\xc3\xa9", "\xc3\xa9" },
		{ "q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87" }, /* reordered */
		{ "\xef\xac\x81", "fi" },		/* ligature */
		{ "\xea\xb0\x81", "\xea\xb0\x81" },	/* Hangul */
		{ "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81" },
		{ "\xef\xbf\xbd", NULL },		/* U+FFFD */
		{ "\xee\x80\x80", NULL },		/* private use */
		{ "\xe2\x80\x8e", NULL },		/* left-to-right mark */
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xff", NULL },
		{ "\xc3", NULL },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&out);
		buf_str(&out, "+");
		assert_int_equal(saslprep(span_str(rows[i].in), &out),
		    rows[i].out != NULL);
		if (rows[i].out == NULL)
			assert_true(span_eq(buf_span(&out), SPAN("+")));
		else
			assert_string_equal(
			    buf_cstr(&out) + 1, rows[i].out);
	}
	buf_release(&out);
}

static void
limits(void **state)
{
	char text[SASLPREP_MAX + 1];
	struct buf out;

	(void)state;
	memset(text, 'a', sizeof(text));
	buf_init(&out, SASLPREP_MAX * 2);
	assert_false(saslprep(span_of(text, sizeof(text)), &out));
	assert_true(saslprep(span_of(text, SASLPREP_MAX), &out));
	buf_release(&out);
	/* The longest decomposition of all, as often as it fits. */
	for (size_t i = 0; i + 3 <= SASLPREP_MAX; i += 3)
		memcpy(text + i, "\xef\xb7\xba", 3);
	buf_init(&out, 40000);
	assert_true(saslprep(span_of(text, SASLPREP_MAX / 3 * 3), &out));
	buf_release(&out);
	buf_init(&out, 3);
	assert_false(saslprep(SPAN("abcd"), &out));
	assert_int_equal(out.n, 0);
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests_name("saslprep", tests, NULL, NULL);
}
