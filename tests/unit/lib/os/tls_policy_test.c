/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <openssl/ssl.h>

#include "lib/base/mem.h"

#define NO10 SSL_OP_NO_TLSv1
#define NO11 SSL_OP_NO_TLSv1_1
#define NO12 SSL_OP_NO_TLSv1_2
#define NO13 SSL_OP_NO_TLSv1_3
#define NO3 SSL_OP_NO_SSLv3

static void
reads_protocols(void **state)
{
	static const struct {
		const char *list;
		int min, max;
		uint64_t excluded;
	} rows[] = {
		{ "", TLS1_VERSION, 0, 0 },
		{ ">=TLSv1.2", TLS1_2_VERSION, 0, 0 },
		{ ">=tlsv1.2, <=TLSv1.2", TLS1_2_VERSION, TLS1_2_VERSION, 0 },
		{ ">=0x303", TLS1_2_VERSION, 0, 0 },
		{ "!SSLv2, !SSLv3", TLS1_VERSION, 0, NO3 },
		{ "!SSLv2:!SSLv3:!TLSv1 !TLSv1.1", TLS1_VERSION, 0,
		    NO3 | NO10 | NO11 },
		{ ">=TLSv1.2, !TLSv1.3", TLS1_2_VERSION, 0, NO13 },
		{ "TLSv1.3", TLS1_VERSION, 0, NO3 | NO10 | NO11 | NO12 },
		{ "TLSv1.2 TLSv1.3", TLS1_VERSION, 0, NO3 | NO10 | NO11 },
		{ ">=SSLv3", TLS1_VERSION, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_versions v;
		struct err e;

		if (tls_protocols_parse(rows[i].list, &v, &e) != 0)
			fail_msg("%s: %s", rows[i].list, e.text);
		if (v.min != rows[i].min || v.max != rows[i].max ||
		    v.excluded != rows[i].excluded)
			fail_msg("%s: %x %x %llx", rows[i].list,
			    (unsigned)v.min, (unsigned)v.max,
			    (unsigned long long)v.excluded);
	}
}

static void
refuses_protocols(void **state)
{
	static const struct {
		const char *list, *error;
	} rows[] = {
		{ "TLSv1.4", "unknown protocol: TLSv1.4" },
		{ ">=", "unknown protocol: " },
		{ ">=0xzz", "unknown protocol: 0xzz" },
		{ ">=0x1", "unknown protocol: 0x1" },
		{ "!", "unknown protocol: !" },
		{ "SSLv3", "no protocol is left of: SSLv3" },
		{ ">=TLSv1.3 !TLSv1.3", "no protocol is left" },
		{ ">=TLSv1.3 <=TLSv1.2", "no protocol is left" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaa",
		    "unknown protocol: aaaa" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_versions v = { .min = 7 };
		struct err e = { 0 };

		assert_int_equal(tls_protocols_parse(rows[i].list, &v, &e), -1);
		if (strstr(e.text, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].list, e.text);
		assert_int_equal(v.min, 7);
	}
}

static void
makes_cipher_lists(void **state)
{
	static const char *const out[] = { "MD5, DES", "", "kRSA:aNULL" };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	tls_cipher_list("HIGH:@STRENGTH", out, COUNT_OF(out), &b);
	assert_string_equal(
	    buf_cstr(&b), "HIGH:@STRENGTH:!MD5:!DES:!kRSA:!aNULL");
	buf_reset(&b);
	tls_cipher_list("HIGH", NULL, 0, &b);
	assert_string_equal(buf_cstr(&b), "HIGH");
	buf_release(&b);
}

static void
reads_options(void **state)
{
	uint64_t bits = 0;
	struct err e;

	(void)state;
	assert_int_equal(tls_options_parse("", &bits, &e), 0);
	assert_int_equal(bits, 0);
	assert_int_equal(
	    tls_options_parse("no_ticket, PRIORITIZE_CHACHA 0x4 "
			      "MICROSOFT_SESS_ID_BUG",
		&bits, &e),
	    0);
	assert_true(
	    bits == (SSL_OP_NO_TICKET | SSL_OP_PRIORITIZE_CHACHA | 4));
	assert_int_equal(tls_options_parse("NO_TICKETS", &bits, &e), -1);
	assert_non_null(strstr(e.text, "unknown TLS option: NO_TICKETS"));
	assert_int_equal(tls_options_parse("0x", &bits, &e), -1);
	assert_int_equal(
	    tls_options_parse("0x11111111111111111", &bits, &e), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_protocols),
		cmocka_unit_test(refuses_protocols),
		cmocka_unit_test(makes_cipher_lists),
		cmocka_unit_test(reads_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
