/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/map/cidr.h"

static struct match_list *
open_list(const char *text)
{
	struct match_list *l = NULL;
	struct err e;

	if (match_list_open(text, &l, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return l;
}

static void
matches_domains(void **state)
{
	static const struct {
		const char *list, *domain;
		int exact, tree;
	} rows[] = {
		{ "a.example, b.example", "b.example", 1, 1 },
		{ "A.Example", "a.eXAMPLE", 1, 1 },
		{ "a.example", "x.a.example", 0, 1 },
		{ "a.example", "xa.example", 0, 0 },
		{ ".a.example", "x.a.example", 1, 1 },
		{ ".a.example", "a.example", 0, 0 },
		{ "!x.a.example .a.example", "x.a.example", 0, 0 },
		{ "!x.a.example .a.example", "y.a.example", 1, 1 },
		{ "inline:{t.example=x}", "t.example", 1, 1 },
		{ "inline:{t.example=x}", "s.t.example", 0, 1 },
		{ "!inline:{t.example=x} static:all", "t.example", 0, 0 },
		{ "!inline:{t.example=x} static:all", "u.example", 1, 1 },
		{ "fail:x", "t.example", -1, -1 },
		{ "a fail:x", "a", 1, 1 },
		{ "", "a", 0, 0 },
		{ "10.0.0.0/8", "a.example", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct match_list *l = open_list(rows[i].list);
		const struct span domain = span_str(rows[i].domain);
		struct err e;

		if (match_list_domain(l, domain, &e) != rows[i].exact ||
		    match_list_domain_tree(l, domain, &e) != rows[i].tree)
			fail_msg("%s against %s", rows[i].domain, rows[i].list);
		match_list_free(&l);
		assert_null(l);
	}
}

static void
matches_addresses(void **state)
{
	static const struct {
		const char *list, *ip;
		int result;
	} rows[] = {
		{ "127.0.0.0/8 [::1]/128", "127.1.2.3", 1 },
		{ "127.0.0.0/8 [::1]/128", "::1", 1 },
		{ "127.0.0.0/8 [::1/128]", "::1", 1 },
		{ "127.0.0.0/8 ::1", "::2", 0 },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", 1 },
		{ "!10.1.0.0/16, 10.0.0.0/8", "10.1.1.1", 0 },
		{ "!10.1.0.0/16, 10.0.0.0/8", "10.2.1.1", 1 },
		{ "10.0.0.5", "10.0.0.5", 1 },
		{ "0.0.0.0/0", "::1", 0 },
		{ "inline:{10.0.0.7=x}", "10.0.0.7", 1 },
		{ "localhost 10.0.0.0/8", "10.0.0.7", 1 },
		{ "fail:x", "10.0.0.7", -1 },
		{ "static:all", "unknown", 0 },
		{ "2001:db8::/33", "2001:db8:7fff::1", 1 },
		{ "2001:db8::/33", "2001:db8:8000::1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct match_list *l = open_list(rows[i].list);
		struct err e;

		if (match_list_address(l, rows[i].ip, &e) != rows[i].result)
			fail_msg("%s against %s", rows[i].ip, rows[i].list);
		match_list_free(&l);
	}
}

static void
reads_files(void **state)
{
	char path[] = "/tmp/match_test.XXXXXX", list[64];
	struct err e;

	(void)state;
	const int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	fputs(
	    "# our domains\na.example b.example\n\n  # more\n!c.example\n", f);
	fclose(f);
	snprintf(list, sizeof(list), "x.example, %s, c.example", path);
	struct match_list *l = open_list(list);
	assert_int_equal(match_list_domain(l, SPAN("b.example"), &e), 1);
	assert_int_equal(match_list_domain(l, SPAN("x.example"), &e), 1);
	assert_int_equal(match_list_domain(l, SPAN("c.example"), &e), 0);
	match_list_free(&l);
	unlink(path);
	assert_int_equal(match_list_open(list, &l, &e), -1);
}

static void
refuses_bad_networks(void **state)
{
	static const struct {
		const char *list, *error;
	} rows[] = {
		{ "10.0.0.1/8", "\"10.0.0.1/8\": the address has bits beyond "
				"its network mask" },
		{ "10.0.0.0/33", "\"10.0.0.0/33\": bad length of the network "
				 "mask" },
		{ "a !", "\"!\" before nothing" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct match_list *l;
		struct err e;

		assert_int_equal(match_list_open(rows[i].list, &l, &e), -1);
		assert_string_equal(e.text, rows[i].error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_domains),
		cmocka_unit_test(matches_addresses),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(refuses_bad_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
