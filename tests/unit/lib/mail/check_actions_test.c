/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/check_actions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static struct buf logged;

static void
keep_line(const struct log_record *r, void *arg)
{
	(void)arg;
	buf_fmt(&logged, "%s\n", r->text);
}

static bool
note(struct check_actions *a, const char *value)
{
	struct check_hit hit = { .kind = "header", .line = SPAN("X: y") };

	assert_true(check_parse(span_str(value), &hit));
	return check_actions_note(a, &hit, NULL, "", "from local; from=<a@b>");
}

static void
notes_what_is_wanted(void **state)
{
	struct arena arena;
	struct check_actions a = { .arena = &arena };

	(void)state;
	arena_init(&arena, 10000);
	assert_false(note(&a, "HOLD"));
	assert_true(a.hold && !a.discard && !a.refused);
	assert_false(note(&a, "FILTER smtp:[h]:1"));
	assert_true(span_eq(a.filter, SPAN("smtp:[h]:1")));
	assert_false(note(&a, "REDIRECT c@d"));
	assert_true(span_eq(a.redirect, SPAN("c@d")));
	assert_false(note(&a, "BCC first@x"));
	check_actions_add(&a, SPAN("second@x"));
	assert_true(span_eq(a.added->address, SPAN("first@x")));
	assert_true(span_eq(a.added->next->address, SPAN("second@x")));
	assert_null(a.added->next->next);
	assert_false(note(&a, "WARN"));
	assert_true(note(&a, "REJECT 5.7.8 no"));
	assert_true(a.refused);
	arena_reset(&arena);
}

static void
the_first_fate_counts(void **state)
{
	struct arena arena;
	struct check_actions a = { .arena = &arena };

	(void)state;
	arena_init(&arena, 10000);
	assert_false(note(&a, "DISCARD"));
	assert_false(note(&a, "REJECT"));
	assert_false(note(&a, "HOLD"));
	assert_true(a.discard && !a.refused && !a.hold);
	a = (struct check_actions){ .arena = &arena };
	assert_true(note(&a, "REJECT"));
	assert_false(note(&a, "REJECT"));
	assert_false(note(&a, "DISCARD"));
	assert_true(a.refused && !a.discard);
	arena_reset(&arena);
}

static void
lines_are_postfixs(void **state)
{
	static const struct {
		const char *value, *line;
	} rows[] = {
		{ "REJECT", "reject: header X: y from local; from=<a@b>: 5.7.1 "
			    "message content rejected\n" },
		{ "REJECT 5.2.0 no", "reject: header X: y from local; "
				     "from=<a@b>: 5.2.0 no\n" },
		{ "WARN me", "warning: header X: y from local; from=<a@b>: "
			     "me\n" },
		{ "HOLD", "hold: header X: y from local; from=<a@b>\n" },
		{ "IGNORE", "" },
		{ "DUNNO", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena arena;
		struct check_actions a = { .arena = &arena };

		arena_init(&arena, 10000);
		buf_reset(&logged);
		(void)note(&a, rows[i].value);
		assert_string_equal(buf_cstr(&logged), rows[i].line);
		arena_reset(&arena);
	}
}

static void
a_full_arena_adds_nothing(void **state)
{
	struct arena arena;
	struct check_actions a = { .arena = &arena };

	(void)state;
	arena_init(&arena, 100);
	for (int i = 0; i < 100 && arena_ok(&arena); i++)
		check_actions_add(&a, SPAN("somebody@example.com"));
	assert_false(arena_ok(&arena));
	a.added = NULL;
	check_actions_add(&a, SPAN("x@y"));
	assert_null(a.added);
	arena_reset(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_what_is_wanted),
		cmocka_unit_test(the_first_fate_counts),
		cmocka_unit_test(lines_are_postfixs),
		cmocka_unit_test(a_full_arena_adds_nothing),
	};

	buf_init(&logged, 10000);
	log_set_sink(keep_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
