/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_lex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

typedef bool (*read_fn)(struct imap_lex *x, struct span *out);

/* As SPAN, for rows of a table that is static. */
#define S(lit) { (const uint8_t *)("" lit), sizeof(lit) - 1 }

static const struct {
	read_fn read;
	struct span in;
	struct span want; /* p NULL: refused */
	size_t rest;
} rows[] = {
	{ imap_lex_atom, S("INBOX x"), S("INBOX"), 2 },
	{ imap_lex_atom, S("a]b"), S("a"), 2 },
	{ imap_lex_atom, S("a+.!&b(c"), S("a+.!&b"), 2 },
	{ imap_lex_atom, S(""), { NULL, 0 }, 0 },
	{ imap_lex_atom, S(" a"), { NULL, 0 }, 0 },
	{ imap_lex_atom, S("\x80"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"\" x"), S(""), 2 },
	{ imap_lex_string, S("\"a b\""), S("a b"), 0 },
	{ imap_lex_string, S("\"a\\\"b\\\\c\")"), S("a\"b\\c"), 1 },
	{ imap_lex_string, S("\"a"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"a\\"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"a\\\""), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"a\\n\""), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"a\rb\""), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"a\0b\""), { NULL, 0 }, 0 },
	{ imap_lex_string, S("\"\xc3\xa4\""), S("\xc3\xa4"), 0 },
	{ imap_lex_string, S("{3}\r\na\r\n x"), S("a\r\n"), 2 },
	{ imap_lex_string, S("{3+}\nabcd"), S("abc"), 1 },
	{ imap_lex_string, S("{0}\r\n"), S(""), 0 },
	{ imap_lex_string, S("{3}\r\nab"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{3}"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{3}\r"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{3}abc"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{-1}\r\n"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{+}\r\n"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{4294967296}\r\n"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{4294967295}\r\nabc"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("{3}\r\na\0b"), { NULL, 0 }, 0 },
	{ imap_lex_string, S("abc"), { NULL, 0 }, 0 },
	{ imap_lex_astring, S("a]b c"), S("a]b"), 2 },
	{ imap_lex_astring, S("\"a c\""), S("a c"), 0 },
	{ imap_lex_astring, S("a%"), S("a"), 1 },
	{ imap_lex_pattern, S("a%/*]"), S("a%/*]"), 0 },
	{ imap_lex_pattern, S("(a"), { NULL, 0 }, 0 },
	{ imap_lex_word, S("RFC822.SIZE)"), S("RFC822.SIZE"), 1 },
	{ imap_lex_word, S("[a"), { NULL, 0 }, 0 },
	{ imap_lex_tag, S("a1] x"), S("a1]"), 2 },
	{ imap_lex_tag, S("+ x"), { NULL, 0 }, 0 },
	{ imap_lex_set, S("1:*,3 x"), S("1:*,3"), 2 },
	{ imap_lex_set, S("x"), { NULL, 0 }, 0 },
};

static void
reads_tokens(void **state)
{
	struct imap_lex x;
	struct arena a;
	struct span out;

	(void)state;
	arena_init(&a, 4096);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		imap_lex_init(&x, rows[i].in, &a);
		if (rows[i].want.p == NULL) {
			assert_false(rows[i].read(&x, &out));
			assert_non_null(x.why);
			continue;
		}
		if (!rows[i].read(&x, &out))
			fail_msg("row %zu: %s", i, x.why);
		assert_true(span_eq(out, rows[i].want));
		assert_int_equal(x.in.n, rows[i].rest);
		assert_null(x.why);
	}
	arena_reset(&a);
}

/* A command that comes in pieces is read again from its start with each
 * byte more, from memory that ends with it: every reader must stop at the
 * end, and only the whole token may give the whole value. */
static void
reads_byte_by_byte(void **state)
{
	struct imap_lex x;
	struct arena a;
	struct span out;

	(void)state;
	arena_init(&a, 65536);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct span in = rows[i].in;
		const size_t whole = in.n - rows[i].rest;

		for (size_t n = 0; n <= in.n; n++) {
			char *cut = span_dup(span_slice(in, 0, n));
			bool ok, same;

			cut = mem_resize(cut, n > 0 ? n : 1, 1);
			imap_lex_init(&x, span_of(cut, n), &a);
			ok = rows[i].read(&x, &out);
			same = ok && rows[i].want.p != NULL &&
			    span_eq(out, rows[i].want);
			if (rows[i].want.p != NULL)
				assert_int_equal(same, n >= whole);
			assert_int_equal(ok, x.why == NULL);
			mem_free(cut);
		}
	}
	arena_reset(&a);
}

static void
reads_numbers(void **state)
{
	static const struct {
		const char *in;
		bool ok, nz;
		uint32_t want;
	} numbers[] = {
		{ "0", true, false, 0 },
		{ "17 x", true, true, 17 },
		{ "0012", true, true, 12 },
		{ "4294967295", true, true, UINT32_MAX },
		{ "4294967296", false, false, 0 },
		{ "99999999999999999999999", false, false, 0 },
		{ "-1", false, false, 0 },
		{ "", false, false, 0 },
	};
	struct imap_lex x;
	uint32_t v;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		v = 7;
		imap_lex_init(&x, span_str(numbers[i].in), NULL);
		assert_int_equal(imap_lex_number(&x, &v), numbers[i].ok);
		assert_int_equal(v, numbers[i].ok ? numbers[i].want : 7);
		v = 7;
		imap_lex_init(&x, span_str(numbers[i].in), NULL);
		assert_int_equal(imap_lex_nz(&x, &v), numbers[i].nz);
		assert_int_equal(v, numbers[i].nz ? numbers[i].want : 7);
	}
}

static void
reads_nil(void **state)
{
	struct imap_lex x;
	struct span out;
	bool nil;

	(void)state;
	imap_lex_init(&x, SPAN("nil \"NIL\""), NULL);
	assert_true(imap_lex_nstring(&x, &out, &nil));
	assert_true(nil);
	assert_true(imap_lex_sp(&x));
	assert_true(imap_lex_nstring(&x, &out, &nil));
	assert_false(nil);
	assert_true(span_eq(out, SPAN("NIL")));
	assert_true(imap_lex_end(&x));
	assert_int_equal(imap_lex_peek(&x), 0);
	imap_lex_init(&x, SPAN("NILL"), NULL);
	assert_false(imap_lex_nstring(&x, &out, &nil));
}

static void
announces_literals(void **state)
{
	static const struct {
		const char *in;
		bool ok, plus;
		uint64_t size;
	} literals[] = {
		{ "{12}", true, false, 12 },
		{ "{12+}", true, true, 12 },
		{ "{0}", true, false, 0 },
		{ "{12} ", false, false, 0 },
		{ "{12", false, false, 0 },
		{ "{}", false, false, 0 },
		{ "{1++}", false, false, 0 },
		{ "12}", false, false, 0 },
		{ "", false, false, 0 },
	};
	struct imap_lex x;
	uint64_t size;
	bool plus;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(literals); i++) {
		imap_lex_init(&x, span_str(literals[i].in), NULL);
		assert_int_equal(imap_lex_literal_ahead(&x, &size, &plus),
		    literals[i].ok);
		if (!literals[i].ok)
			continue;
		assert_int_equal(size, literals[i].size);
		assert_int_equal(plus, literals[i].plus);
		assert_true(imap_lex_end(&x));
	}
}

static void
limits_nesting(void **state)
{
	char deep[LIMIT_IMAP_NESTING + 1];
	struct imap_lex x;

	(void)state;
	memset(deep, '(', sizeof(deep));
	imap_lex_init(&x, span_of(deep, sizeof(deep)), NULL);
	for (size_t i = 0; i < LIMIT_IMAP_NESTING; i++)
		assert_true(imap_lex_open(&x));
	assert_false(imap_lex_open(&x));
	assert_string_equal(x.why, "Too many nested parentheses");
	/* Side by side is not nested. */
	imap_lex_init(&x, SPAN("()()"), NULL);
	assert_true(imap_lex_open(&x) && imap_lex_close(&x));
	assert_true(imap_lex_open(&x) && imap_lex_close(&x));
	assert_int_equal(x.depth, 0);
	assert_false(imap_lex_close(&x));
}

static void
keeps_first_reason(void **state)
{
	struct imap_lex x;

	(void)state;
	imap_lex_init(&x, SPAN("x"), NULL);
	assert_false(imap_lex_opt(&x, 'y'));
	assert_null(x.why);
	assert_false(imap_lex_sp(&x));
	assert_string_equal(x.why, "Space expected");
	assert_false(imap_lex_fail(&x, "later"));
	assert_string_equal(x.why, "Space expected");
	imap_lex_init(&x, SPAN_EMPTY, NULL);
	assert_false(imap_lex_sp(&x));
	assert_string_equal(x.why, "Missing arguments");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_tokens),
		cmocka_unit_test(reads_byte_by_byte),
		cmocka_unit_test(reads_numbers),
		cmocka_unit_test(reads_nil),
		cmocka_unit_test(announces_literals),
		cmocka_unit_test(limits_nesting),
		cmocka_unit_test(keeps_first_reason),
	};

	return cmocka_run_group_tests_name("imap_lex", tests, NULL, NULL);
}
