/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static int
print(void *arg, const struct target *t, struct err *e)
{
	static const char *const names[] = { "A", "U", "F", "C", "I", "B" };
	struct buf *b = arg;

	(void)e;
	buf_fmt(b, "%s<%.*s> ", names[t->kind], SPAN_FMT(t->text));
	return 0;
}

static void
texts_become_targets(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ "bob", "A<bob> " },
		{ "bob, Carol <carol@Example.COM>\n",
		    "A<bob> A<carol@Example.COM> " },
		{ "a,,b,\n c@d", "A<a> A<b> A<c@d> " },
		{ "# all of us\na\n# no more\nb\n", "A<a> A<b> " },
		{ "\\bob, \"\\carol\"", "U<bob> U<carol> " },
		{ "\"|/usr/bin/procmail -t, x\"",
		    "C</usr/bin/procmail -t, x> " },
		{ "|/bin/cat", "C</bin/cat> " },
		{ "|exec /bin/cat -n", "C<exec /bin/cat -n> " },
		{ "/var/mail/log", "F</var/mail/log> " },
		{ "\"/with space\"", "F</with space> " },
		{ "/a@example.com", "A</a@example.com> " },
		{ ":include:/etc/list, x", "I</etc/list> A<x> " },
		{ "\":include:/etc/a list\"", "I</etc/a list> " },
		{ ":include:relative", "B<:include:relative> " },
		{ "\"a b\"@c", "A<\"a b\"@c> " },
		{ "bob carol", "B<bob carol> " },
		{ "team: a, b;", "A<a> A<b> " },
		{ "<>", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena a;
		struct buf b;
		struct err e;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1000);
		assert_int_equal(targets_parse(span_str(rows[i].in), &a,
				     print, &b, &e),
		    0);
		assert_string_equal(buf_cstr(&b), rows[i].want);
		buf_release(&b);
		arena_reset(&a);
	}
}

static int
refuse(void *arg, const struct target *t, struct err *e)
{
	(void)t;
	++*(int *)arg;
	return err_set(e, ERR_TEMP, "4.3.5", "enough");
}

static void
the_owner_may_end_it(void **state)
{
	struct arena a;
	struct err e;
	int calls = 0;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(
	    targets_parse(SPAN("a, b\nc\n"), &a, refuse, &calls, &e), -1);
	assert_int_equal(calls, 1);
	assert_string_equal(e.text, "enough");
	arena_reset(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_targets),
		cmocka_unit_test(the_owner_may_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
