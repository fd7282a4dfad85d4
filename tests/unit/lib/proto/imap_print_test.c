/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/proto/imap_cmd.h"

static void
prints(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	imap_print_string(&b, SPAN("a\"b\\c"));
	imap_print_string(&b, SPAN("x\ny"));
	imap_print_string(&b, SPAN("\0"));
	imap_print_nstring(&b, SPAN_EMPTY);
	imap_print_nstring(&b, SPAN(""));
	imap_print_mailbox(&b, SPAN("R&D/\xc3\xbc"));
	assert_string_equal(buf_cstr(&b),
	    "\"a\\\"b\\\\c\"{3}\r\nx\ny\"?\"NIL\"\"\"R&-D/&APw-\"");
	buf_reset(&b);
	imap_print_text(&b, SPAN("a\r\n\xff"));
	imap_print_text(&b, SPAN(""));
	assert_string_equal(buf_cstr(&b), "a??"
					  "?-");
	buf_reset(&b);
	assert_false(imap_print_flags(&b, 0, false));
	assert_true(imap_print_flags(&b, IMAP_SEEN | IMAP_DELETED, false));
	imap_print_flags(&b, IMAP_RECENT, true);
	assert_string_equal(buf_cstr(&b), "\\Deleted \\Seen \\Recent");
	buf_release(&b);
}

static void
matches(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool icase, want;
	} rows[] = {
		{ "*", "", false, true },
		{ "*", "a/b", false, true },
		{ "%", "a", false, true },
		{ "%", "a/b", false, false },
		{ "%/%", "a/b", false, true },
		{ "a/%", "a/", false, true },
		{ "a*c", "a/b/c", false, true },
		{ "a%c", "a/c", false, false },
		{ "%*", "a/b", false, true },
		{ "*%", "a/b", false, true },
		{ "inbox", "INBOX", false, false },
		{ "inbox", "INBOX", true, true },
		{ "", "", false, true },
		{ "", "a", false, false },
		{ "a", "ab", false, false },
		{ "*a*b", "xaab", false, true },
		{ "%a%/b", "xay/b", false, true },
		{ "%a%/b", "x/ay/b", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (imap_match(span_str(rows[i].pattern),
			span_str(rows[i].name), '/',
			rows[i].icase) != rows[i].want)
			fail_msg("%s on %s", rows[i].pattern, rows[i].name);
	}
}

/* Exponential matching was a CVE elsewhere. */
static void
matches_in_bounded_time(void **state)
{
	struct buf pattern, name;

	(void)state;
	buf_init(&pattern, 2000);
	buf_init(&name, 1000);
	while (buf_ok(&pattern))
		buf_str(&pattern, pattern.n % 3 == 0 ? "*a" : "%");
	while (buf_ok(&name))
		buf_byte(&name, 'a');
	for (int i = 0; i < 100; i++)
		assert_false(imap_match(buf_span(&pattern),
		    span_slice(buf_span(&name), 0, 100), '/', false));
	buf_release(&pattern);
	buf_release(&name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints),
		cmocka_unit_test(matches),
		cmocka_unit_test(matches_in_bounded_time),
	};

	return cmocka_run_group_tests_name("imap_print", tests, NULL, NULL);
}
