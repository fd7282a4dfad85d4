/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/memfd.h"

static struct tls_keys *
open_bytes(struct span bytes, struct err *e)
{
	struct tls_keys *k = NULL;
	int fd;

	assert_int_equal(memfd_seal("keys", bytes, &fd, e), 0);
	if (tls_keys_open(fd, &k, e) != 0)
		k = NULL;
	close(fd);
	return k;
}

static void
fill(struct buf *b)
{
	buf_init(b, 100000);
	tls_keys_begin(b);
	tls_keys_add(b, TLS_ITEM_CHAIN, SPAN("a.pem"), SPAN("one"));
	tls_keys_add(b, TLS_ITEM_NAME, SPAN("WWW.example.com"), SPAN("two"));
	tls_keys_add(b, TLS_ITEM_NAME, SPAN(".example.com"), SPAN("three"));
	tls_keys_add(b, TLS_ITEM_CA, SPAN("/etc/ca/"), SPAN_EMPTY);
}

static void
gives_back_what_was_put_in(void **state)
{
	static const struct {
		enum tls_item kind;
		const char *name, *pem;
	} rows[] = {
		{ TLS_ITEM_CHAIN, "a.pem", "one" },
		{ TLS_ITEM_NAME, "WWW.example.com", "two" },
		{ TLS_ITEM_NAME, ".example.com", "three" },
		{ TLS_ITEM_CA, "/etc/ca/", "" },
	};
	struct tls_keys *k, *other;
	size_t at = 0;
	enum tls_item kind;
	struct span name, pem;
	struct buf b;
	struct err e;

	(void)state;
	fill(&b);
	k = open_bytes(buf_span(&b), &e);
	assert_non_null(k);
	buf_wipe(&b);
	other = tls_keys_ref(k);
	tls_keys_free(&other);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(tls_keys_next(k, &at, &kind, &name, &pem));
		assert_int_equal(kind, rows[i].kind);
		assert_true(span_eq(name, span_str(rows[i].name)));
		assert_true(span_eq(pem, span_str(rows[i].pem)));
	}
	assert_false(tls_keys_next(k, &at, &kind, &name, &pem));
	tls_keys_free(&k);
	assert_null(k);
}

static void
finds_names(void **state)
{
	static const struct {
		const char *host, *pem;
	} rows[] = {
		{ "www.example.com", "two" },
		{ "www.EXAMPLE.com", "two" },
		{ "mail.example.com", "three" },
		{ "a.b.example.com", "three" },
		{ "example.com", NULL },
		{ "example.org", NULL },
		{ "wwwexample.com", NULL },
		{ "", NULL },
		{ ".", NULL },
	};
	char longest[400];
	struct tls_keys *k;
	struct span pem;
	struct buf b;
	struct err e;

	(void)state;
	fill(&b);
	k = open_bytes(buf_span(&b), &e);
	buf_wipe(&b);
	assert_true(tls_keys_has_names(k));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const bool found =
		    tls_keys_by_name(k, span_str(rows[i].host), &pem);

		if (found != (rows[i].pem != NULL))
			fail_msg("%s", rows[i].host);
		if (found)
			assert_true(span_eq(pem, span_str(rows[i].pem)));
	}
	memset(longest, 'a', sizeof(longest));
	assert_false(
	    tls_keys_by_name(k, span_of(longest, sizeof(longest)), &pem));
	tls_keys_free(&k);
	fill(&b);
	buf_truncate(&b, 8);
	k = open_bytes(buf_span(&b), &e);
	assert_false(tls_keys_has_names(k));
	tls_keys_free(&k);
	buf_release(&b);
}

/* Cut anywhere it is damaged, but where an item ends. */
static void
refuses_damage(void **state)
{
	struct buf b;
	struct err e;
	unsigned good = 0;
	int fd;

	(void)state;
	fill(&b);
	for (size_t n = 1; n < b.n; n++) {
		struct tls_keys *k = open_bytes(span_of(b.p, n), &e);

		good += k != NULL;
		if (k == NULL)
			assert_non_null(strstr(e.text, "damaged"));
		tls_keys_free(&k);
	}
	assert_int_equal(good, 4); /* 0 to 3 items */
	b.p[0] = 'X';
	assert_null(open_bytes(buf_span(&b), &e));
	buf_release(&b);
	fd = memfd_create("open", MFD_CLOEXEC);
	assert_int_equal(tls_keys_open(fd, NULL, &e), -1);
	assert_non_null(strstr(e.text, "not a sealed"));
	close(fd);
	assert_int_equal(tls_keys_open(-1, NULL, &e), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_was_put_in),
		cmocka_unit_test(finds_names),
		cmocka_unit_test(refuses_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
