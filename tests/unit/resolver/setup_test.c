/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resolver/resolver_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char servers[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT];

static void
resolv_conf_is_read(void **state)
{
	(void)state;
	assert_int_equal(setup_nameservers(
	    SPAN("# nameserver 192.0.2.9\nsearch x\n"
		 "nameserver 192.0.2.1\r\n nameserver\t2001:db8::1 # x\n"
		 "nameserver rubbish\nnameserver\nnameservers 192.0.2.8\n"
		 "nameserver fe80::1%eth0"), servers), 3);
	assert_string_equal(servers[0], "192.0.2.1");
	assert_string_equal(servers[1], "2001:db8::1");
	assert_string_equal(servers[2], "fe80::1%eth0");
	assert_int_equal(setup_nameservers(
	    SPAN("nameserver 1.1.1.1\nnameserver 1.1.1.1\n"
		 "nameserver 1.1.1.1\nnameserver 1.1.1.1\n"
		 "nameserver 1.1.1.1\nnameserver 1.1.1.1\n"
		 "nameserver 1.1.1.1\nnameserver 1.1.1.1\n"
		 "nameserver 1.1.1.1\n"), servers), SETUP_SERVERS_MAX);
	assert_int_equal(setup_nameservers(SPAN_EMPTY, servers), 0);
}

static void
forwarders_are_checked(void **state)
{
	static const char *const bad[] = { "example.com", "192.0.2.1@",
		"192.0.2.1@x", "192.0.2.1@65536", "192.0.2.1 @53",
		"192.0.2.1\n",
		("1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
		 "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1") };
	size_t count = 77;
	struct err e;

	(void)state;
	assert_int_equal(setup_forwarders("127.0.0.1@5300, ::1 192.0.2.1",
	    servers, &count, &e), 0);
	assert_int_equal(count, 3);
	assert_string_equal(servers[0], "127.0.0.1@5300");
	assert_string_equal(servers[1], "::1");
	assert_int_equal(setup_forwarders("", servers, &count, &e), 0);
	assert_int_equal(count, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    setup_forwarders(bad[i], servers, &count, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
}

static void
text_follows_the_setup(void **state)
{
	struct setup s = { .servers = servers, .server_count = 1 };
	struct buf text;

	(void)state;
	memcpy(servers[0], "127.0.0.1@5300", 15);
	buf_init(&text, 100000);
	setup_text(&text, &s);
	assert_non_null(strstr(buf_cstr(&text), "forward-zone:\n"
	    "  name: \".\"\n  forward-addr: 127.0.0.1@5300\n"));
	assert_non_null(strstr(buf_cstr(&text), "\"iterator\""));
	assert_null(strstr(buf_cstr(&text), "nodefault"));
	s.chosen = true;
	s.trust_anchor = "/a";
	buf_reset(&text);
	setup_text(&text, &s);
	assert_non_null(strstr(buf_cstr(&text), "trust-anchor-file: \"/a\""));
	assert_non_null(strstr(buf_cstr(&text), "permissive"));
	assert_non_null(strstr(buf_cstr(&text), "\"test.\" nodefault"));
	s.server_count = 0;
	buf_reset(&text);
	setup_text(&text, &s);
	assert_null(strstr(buf_cstr(&text), "permissive"));
	assert_null(strstr(buf_cstr(&text), "forward-zone"));
	buf_release(&text);
}

static void
count_one(void *arg, struct span value)
{
	unsigned *sum = arg;

	*sum += 1000 + value.p[value.n - 1];
}

static void
hosts_file(void **state)
{
	struct hosts *h = hosts_parse(
	    SPAN("127.0.0.1\tlocalhost a # b\n\n# c\nrubbish name\n"
		 "192.0.2.5\n::1 localhost\n2001:db8::12 six.test\n"
		 "192.0.2.7 Two.test\n192.0.2.8 two.test"));
	unsigned sum = 0;

	(void)state;
	assert_true(hosts_addresses(h, SPAN("LOCALHOST."), 1, count_one,
	    &sum));
	assert_int_equal(sum, 1001);
	sum = 0;
	assert_true(hosts_addresses(h, SPAN("localhost"), 28, count_one,
	    &sum));
	assert_int_equal(sum, 1001);
	sum = 0;
	assert_true(hosts_addresses(h, SPAN("two.test"), 1, count_one, &sum));
	assert_int_equal(sum, 2015);
	sum = 0;
	assert_true(hosts_addresses(h, SPAN("a"), 28, count_one, &sum));
	assert_int_equal(sum, 0);
	assert_false(hosts_addresses(h, SPAN("b"), 1, count_one, &sum));
	assert_false(hosts_addresses(h, SPAN("a"), 15, count_one, &sum));
	assert_string_equal(hosts_name(h, SPAN("7.2.0.192.in-addr.arpa.")),
	    "Two.test");
	assert_string_equal(hosts_name(h,
	    SPAN("2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0."
		 "1.0.0.2.IP6.ARPA")), "six.test");
	assert_null(hosts_name(h, SPAN("5.2.0.192.in-addr.arpa")));
	hosts_free(&h);
	h = hosts_parse(SPAN_EMPTY);
	assert_null(hosts_name(h, SPAN("x")));
	hosts_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolv_conf_is_read),
		cmocka_unit_test(forwarders_are_checked),
		cmocka_unit_test(text_follows_the_setup),
		cmocka_unit_test(hosts_file),
	};

	return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
