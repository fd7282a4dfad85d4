/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/introspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
places(void **state)
{
	static const struct {
		const char *text, *path; /* NULL: none */
		int family;
	} rows[] = {
		{ "http://127.0.0.1:8080/introspect", "/introspect", AF_INET },
		{ "http://127.0.0.1", "/", AF_INET },
		{ "http://localhost:1/x?y=1", "/x?y=1", AF_INET },
		{ "http://[::1]:8080/a/b", "/a/b", AF_INET6 },
		{ "http://[::1]/a", "/a", AF_INET6 },
		{ "unix:/run/x:/introspect", "/introspect", AF_UNIX },
		{ "unix:/run/x", "/", AF_UNIX },
		{ "https://127.0.0.1/", NULL, 0 },
		{ "http://192.0.2.1/", NULL, 0 },
		{ "http://example.com/", NULL, 0 },
		{ "http://127.0.0.1:x/", NULL, 0 },
		{ "http://127.0.0.1:99999/", NULL, 0 },
		{ "http:///x", NULL, 0 },
		{ "http://127.0.0.1/a b", NULL, 0 },
		{ "http://127.0.0.1/a\r\nX: y", NULL, 0 },
		{ "unix:run/x", NULL, 0 },
		{ "unix:", NULL, 0 },
		{ "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct introspect_place p;
		const bool ok =
		    introspect_place_parse(span_str(rows[i].text), &p);

		if (ok != (rows[i].path != NULL))
			fail_msg("%s", rows[i].text);
		if (ok) {
			assert_string_equal(p.path, rows[i].path);
			assert_int_equal(p.addr.ss_family, rows[i].family);
		}
	}
}

static void
requests(void **state)
{
	struct introspect_place p;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_true(introspect_place_parse(
	    SPAN("http://127.0.0.1:8080/in"), &p));
	introspect_request(&p, SPAN("a&b=\r\n-._z"), "Bearer s", &out);
	assert_string_equal(buf_cstr(&out),
	    "POST /in HTTP/1.0\r\nHost: 127.0.0.1:8080\r\n"
	    "Authorization: Bearer s\r\n"
	    "Content-Type: application/x-www-form-urlencoded\r\n"
	    "Accept: application/json\r\nContent-Length: 53\r\n\r\n"
	    "token=a%26b%3D%0D%0A-._z&token_type_hint=access_token");
	buf_release(&out);
}

static void
answers(void **state)
{
	static const struct {
		const char *text;
		bool ended;
		enum parse result;
		const char *body;
	} rows[] = {
		{ "HTTP/1.0 200 OK\r\n\r\n{}", true, PARSE_OK, "{}" },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", false,
		    PARSE_OK, "{}" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x", false,
		    PARSE_OK, "{}" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", false,
		    PARSE_MORE, NULL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", true,
		    PARSE_BAD, NULL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", false,
		    PARSE_BAD, NULL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false,
		    PARSE_BAD, NULL },
		{ "HTTP/1.1 200 OK\r\nX: y\r\n", true, PARSE_BAD, NULL },
		{ "HTTP/1.1 200 OK\r\nX: y\r\n", false, PARSE_MORE, NULL },
		{ "HTTP/1.0 200 OK\r\n\r\n{", false, PARSE_MORE, NULL },
		{ "HTTP/1.1 401 No\r\n\r\n{}", true, PARSE_BAD, NULL },
		{ "HTTP/1.1 20", false, PARSE_MORE, NULL },
		{ "HTTP/1.1 20", true, PARSE_BAD, NULL },
		{ "220 smtp\r\n", false, PARSE_BAD, NULL },
		{ "", true, PARSE_BAD, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span body;
		const char *why;
		const enum parse r = introspect_answer(
		    span_str(rows[i].text), rows[i].ended, &body, &why);

		if (r != rows[i].result)
			fail_msg("%s: %d", rows[i].text, (int)r);
		if (r == PARSE_OK)
			assert_true(span_eq(body, span_str(rows[i].body)));
	}
}

/* Byte by byte it wants more until it is there. */
static void
byte_by_byte(void **state)
{
	const struct span all =
	    SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	struct span body;
	const char *why;

	(void)state;
	for (size_t n = 0; n < all.n; n++)
		assert_int_equal(introspect_answer(span_slice(all, 0, n),
				     false, &body, &why),
		    PARSE_MORE);
	assert_int_equal(
	    introspect_answer(all, false, &body, &why), PARSE_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(requests),
		cmocka_unit_test(answers),
		cmocka_unit_test(byte_by_byte),
	};

	return cmocka_run_group_tests_name("introspect", tests, NULL, NULL);
}
