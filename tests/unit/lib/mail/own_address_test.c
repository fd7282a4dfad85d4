/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/own_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
reads_fib_trie(void **state)
{
	static const char text[] = "Main:\n"
				   "  +-- 0.0.0.0/0 3 0 5\n"
				   "     +-- 127.0.0.0/31 1 0 0\n"
				   "        |-- 127.0.0.0\n"
				   "           /8 host LOCAL\n"
				   "        |-- 127.0.0.1\n"
				   "           /32 host LOCAL\n"
				   "        |-- 127.255.255.255\n"
				   "           /32 link BROADCAST\n"
				   "     |-- 192.0.2.2\n"
				   "        /32 link UNICAST\n"
				   "        /32 host LOCAL\n"
				   "  /32 host LOCAL\n";
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	own_address_fib_trie(span_str(text), &out);
	assert_string_equal(buf_cstr(&out), " 127.0.0.1 192.0.2.2");
	buf_release(&out);
}

static void
reads_if_inet6(void **state)
{
	static const char text[] =
	    "20010db8000000000000000000000001 01 80 10 80       lo\n"
	    "fe80 short\n"
	    "zz010db8000000000000000000000001 01 80 10 80       lo\n"
	    "00000000000000000000000000000001 01 80 10 80       lo\n";
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	own_address_if_inet6(span_str(text), &out);
	assert_string_equal(buf_cstr(&out), " 2001:db8::1 ::1");
	buf_release(&out);
}

static void
knows_loopback(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	own_address_list(&out);
	assert_non_null(strstr(buf_cstr(&out), " 127.0.0.1"));
	assert_non_null(strstr(buf_cstr(&out), " ::1"));
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fib_trie),
		cmocka_unit_test(reads_if_inet6),
		cmocka_unit_test(knows_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
