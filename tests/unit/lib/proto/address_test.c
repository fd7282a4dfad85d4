/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void
mailboxes_that_are_right(void **state)
{
	static const struct {
		const char *text, *local, *domain, *canonical;
	} rows[] = {
		{ "a@b.test", "a", "b.test", "a@b.test" },
		{ "postmaster", "postmaster", "", "postmaster" },
		{ "\"a b\"@c.test", "a b", "c.test", "\"a b\"@c.test" },
		{ "\"ab\"@c.test", "ab", "c.test", "ab@c.test" },
		{ "\"a\\\"\\\\b\"@c", "a\"\\b", "c", "\"a\\\"\\\\b\"@c" },
		{ "\"a@b\"@c.test", "a@b", "c.test", "\"a@b\"@c.test" },
		{ "\"\"@c.test", "", "c.test", "\"\"@c.test" },
		{ "a..b@c.test", "a..b", "c.test", "\"a..b\"@c.test" },
		{ "a@b.test.", "a", "b.test", "a@b.test" },
		{ "a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]" },
		{ "a@[IPv6:::1]", "a", "[IPv6:::1]", "a@[IPv6:::1]" },
		{ "u%x!y+z=@b", "u%x!y+z=", "b", "u%x!y+z=@b" },
		{ "j\xc3\xb6@b.test", "j\xc3\xb6", "b.test",
		    "j\xc3\xb6@b.test" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address addr;
		struct arena a;
		struct buf b;

		arena_init(&a, 4096);
		buf_init(&b, 2048);
		assert_true(address_parse(span_str(rows[i].text), &a, &addr));
		assert_true(span_eq(addr.local, span_str(rows[i].local)));
		assert_true(span_eq(addr.domain, span_str(rows[i].domain)));
		address_print(&addr, &b);
		assert_string_equal(buf_cstr(&b), rows[i].canonical);
		assert_true(span_eq(
		    address_domain_of(buf_span(&b)), span_str(rows[i].domain)));
		buf_release(&b);
		arena_reset(&a);
	}
}

static void
mailboxes_that_are_wrong(void **state)
{
	static const char *const rows[] = { "", "@", "@b.test", "a@", "a b@c",
		"a@b@c.test", "\"a\"b@c", "\"a@c", "a@b..c", "a@.b", "a@-b.c",
		"a@b-.c", "a@127.0.0.1", "a@[192.0.2.256]", "a@[x]", "a@b c",
		"a,b@c", "a<b@c", "(c)a@b", "a\x01@b", "\"\r\"@b", "\xff@b",
		"a@\xc0\x80", "\\a@b", "a@b/c", "a@b..", "<a@b>" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address addr;
		struct arena a;

		arena_init(&a, 4096);
		assert_false(address_parse(span_str(rows[i]), &a, &addr));
		arena_reset(&a);
	}
}

static void
long_mailboxes_are_refused(void **state)
{
	static uint8_t text[LIMIT_ADDRESS + 10];
	struct address addr;
	struct arena a;

	(void)state;
	memset(text, 'a', sizeof(text));
	arena_init(&a, 4096);
	assert_false(address_parse(span_of(text, sizeof(text)), &a, &addr));
	assert_false(
	    address_parse(span_of(text, LIMIT_LOCAL_PART + 1), &a, &addr));
	assert_true(address_parse(span_of(text, LIMIT_LOCAL_PART), &a, &addr));
	text[10] = '@';
	assert_false(address_parse(span_of(text, 11 + 64), &a, &addr));
	assert_true(address_parse(span_of(text, 11 + 63), &a, &addr));
	arena_reset(&a);
}

/* Writes an item as one line, so that tables can hold the expectation. */
static void
show(const struct address_item *it, struct buf *out)
{
	static const char kinds[] = { [ADDRESS_MAILBOX] = 'M',
		[ADDRESS_NULL] = '0',
		[ADDRESS_GROUP_START] = 'G',
		[ADDRESS_GROUP_END] = 'E',
		[ADDRESS_INCLUDE] = 'I',
		[ADDRESS_BAD] = 'X' };

	buf_byte(out, (uint8_t)kinds[it->kind]);
	if (it->kind == ADDRESS_BAD || it->kind == ADDRESS_INCLUDE) {
		buf_byte(out, '{');
		buf_add(out, it->raw);
		buf_byte(out, '}');
	} else {
		if (it->name.n > 0) {
			buf_byte(out, '(');
			buf_add(out, it->name);
			buf_byte(out, ')');
		}
		buf_add(out, it->route);
		address_print(&it->addr, out);
	}
	buf_byte(out, ' ');
}

static void
check_list(enum address_list_kind kind, const char *text, const char *want)
{
	struct address_item it;
	struct address_list l;
	struct buf b;

	buf_init(&b, 10000);
	address_list_init(&l, kind, span_str(text));
	while (address_list_next(&l, &it))
		show(&it, &b);
	assert_false(address_list_next(&l, &it));
	assert_string_equal(buf_cstr(&b), want);
	address_list_release(&l);
	buf_release(&b);
}

static void
header_lists(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ " , ,", "" },
		{ "a@b", "Ma@b " },
		{ "a@b,c@d", "Ma@b Mc@d " },
		{ "a@b (Al B),\r\n c@d", "M(Al B)a@b Mc@d " },
		{ "J. R. Smith <j@b>", "M(J. R. Smith)j@b " },
		{ "\"Smith, J\" <j@b>", "M(Smith, J)j@b " },
		{ "<a@b>, <>", "Ma@b 0 " },
		{ "<@x,@y:a@b>", "M@x,@ya@b " },
		{ "a . b (c) @ d . e", "M(c)a.b@d.e " },
		{ "\"a b\"@c", "M\"a b\"@c " },
		{ "bob", "Mbob " },
		{ "two words", "X{two words} " },
		{ "a@b@c, d@e", "X{a@b@c} Md@e " },
		{ "a@, d@e", "X{a@} Md@e " },
		{ "Foo <a@b, c@d", "X{Foo <a@b} Mc@d " },
		{ "<a@b> junk, c@d", "X{<a@b> junk} Mc@d " },
		{ "list: a@b, c@d;, e@f", "G(list) Ma@b Mc@d E Me@f " },
		{ "undisclosed recipients:;", "G(undisclosed recipients) E " },
		{ "list: a@b", "G(list) Ma@b E " },
		{ "a@b; c@d", "Ma@b Mc@d " },
		{ "g: x: y@z;", "G(g) X{x: y@z} E " },
		{ "a@[1.2.3.4]", "Ma@[1.2.3.4] " },
		{ "\"unclosed <a@b>, c@d", "X{\"unclosed <a@b>, c@d} " },
		{ "(unclosed a@b", "" },
		{ "(((a)b)c)x@y", "M(((a)b)c)x@y " },
		{ "a@b <c@d>", "M(a@b)c@d " },
		{ "\\root, |x", "Mroot M|x " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_list(ADDRESS_LIST_HEADER, rows[i][0], rows[i][1]);
}

static void
alias_lists(void **state)
{
	static const char *const rows[][2] = {
		{ "aaron,john, jane", "Maaron Mjohn Mjane " },
		{ ":include:/etc/list, x@y", "I{:include:/etc/list} Mx@y " },
		{ "\"|/bin/prog -a \\\"b\\\"\", /var/mail/x.mbox",
		    "M\"|/bin/prog -a \\\"b\\\"\" M/var/mail/x.mbox " },
		{ "|/bin/prog arg", "X{|/bin/prog arg} " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check_list(ADDRESS_LIST_ALIASES, rows[i][0], rows[i][1]);
}

static void
long_parts_are_bad_not_lost(void **state)
{
	struct address_item it;
	struct address_list l;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 50000; i++)
		buf_str(&b, "long");
	buf_str(&b, "@x, a@b, ");
	for (int i = 0; i < 50000; i++)
		buf_str(&b, "w. ");
	buf_str(&b, "<c@d>, e@f");
	address_list_init(&l, ADDRESS_LIST_HEADER, buf_span(&b));
	assert_true(address_list_next(&l, &it));
	assert_int_equal(it.kind, ADDRESS_BAD);
	assert_int_equal(it.raw.n, 200002);
	assert_true(address_list_next(&l, &it));
	assert_true(span_eq(it.addr.local, SPAN("a")));
	assert_true(address_list_next(&l, &it));
	assert_int_equal(it.kind, ADDRESS_BAD);
	assert_true(address_list_next(&l, &it));
	assert_true(span_eq(it.addr.local, SPAN("e")));
	assert_false(address_list_next(&l, &it));
	address_list_release(&l);
	buf_release(&b);
}

/* A copy of the first n bytes that ends where its memory ends. */
static uint8_t *
first_bytes(const char *text, size_t n)
{
	uint8_t *p = mem_alloc(n > 0 ? n : 1);

	memcpy(p, text, n);
	return p;
}

/* Byte by byte more of a mailbox: no read beyond the end, and what is one
 * comes back from its canonical form. */
static void
cut_anywhere(void **state)
{
	static const char *const rows[] = { "a.b@c.test", "\"a \\\"b\"@c.test",
		"a@[192.0.2.1]", "a@[IPv6:2001:db8::1]",
		"j\xc3\xb6@m\xe2\x82\xac.test", "a..b@c.test." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t n = 0; n <= strlen(rows[i]); n++) {
			uint8_t *cut = first_bytes(rows[i], n);
			struct address one, two;
			struct arena a;
			struct buf b;
			bool ok;

			arena_init(&a, 4096);
			buf_init(&b, 2048);
			ok = address_parse(span_of(cut, n), &a, &one);
			if (n == strlen(rows[i]))
				assert_true(ok);
			if (ok) {
				address_print(&one, &b);
				assert_true(
				    address_parse(buf_span(&b), &a, &two));
				assert_true(span_eq(one.local, two.local));
				assert_true(span_eq(one.domain, two.domain));
			}
			buf_release(&b);
			arena_reset(&a);
			mem_free(cut);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailboxes_that_are_right),
		cmocka_unit_test(mailboxes_that_are_wrong),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(long_mailboxes_are_refused),
		cmocka_unit_test(header_lists),
		cmocka_unit_test(alias_lists),
		cmocka_unit_test(long_parts_are_bad_not_lost),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
