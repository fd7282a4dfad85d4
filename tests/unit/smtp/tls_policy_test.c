/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/tls_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "smtp/smtp.h"

#define POLICIES                                                               \
	"inline:{ {example.com = secure match=mx.other.test:.example.net},"    \
	" {.example.com = encrypt}, {[relay.test]:587 = verify},"             \
	" {none.test = none}, {bad.test = dane}, {worse.test = may match=x},"  \
	" {empty.test = verify match=}, {prints.test = fingerprint"           \
	" match=AA:BB|CC match=DD}, {noprint.test = fingerprint} }"

static struct smtp_conf conf = {
	.smtp_tls_security_level = TLS_LEVEL_MAY,
	.smtp_tls_verify_cert_match = "hostname",
	.smtp_tls_secure_cert_match = "nexthop, dot-nexthop",
	.smtp_tls_fingerprint_cert_match = "",
};
static struct smtp smtp = { .conf = &conf };

static void
finds_policies(void **state)
{
	static const struct {
		const char *nexthop;
		int level; /* -1: an error */
		const char *match;
	} rows[] = {
		{ "example.com", TLS_LEVEL_SECURE, "mx.other.test:.example.net" },
		{ "EXAMPLE.com", TLS_LEVEL_SECURE, "mx.other.test:.example.net" },
		{ "a.b.example.com", TLS_LEVEL_ENCRYPT, "" },
		{ "badexample.com", TLS_LEVEL_MAY, "" },
		{ "[relay.test]:587", TLS_LEVEL_VERIFY, "hostname" },
		{ "[relay.test]", TLS_LEVEL_MAY, "" },
		{ "relay.test", TLS_LEVEL_MAY, "" },
		{ "[a.example.com]", TLS_LEVEL_MAY, "" },
		{ "none.test", TLS_LEVEL_NONE, "" },
		{ "prints.test", TLS_LEVEL_FINGERPRINT, "AA:BB|CC|DD" },
		{ "bad.test", -1, NULL },
		{ "worse.test", -1, NULL },
		{ "empty.test", -1, NULL },
		{ "noprint.test", -1, NULL },
		{ "", TLS_LEVEL_MAY, "" },
	};
	struct err e;

	(void)state;
	assert_int_equal(maps_open(POLICIES, &smtp.tls_policies, &e), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_policy p;
		const int rc = tls_policy_find(&smtp,
		    span_str(rows[i].nexthop), &p, &e);

		assert_int_equal(rc, rows[i].level < 0 ? -1 : 0);
		if (rc != 0)
			continue;
		assert_int_equal(p.level, rows[i].level);
		assert_string_equal(buf_cstr(&p.match), rows[i].match);
		tls_policy_release(&p);
	}
	maps_free(&smtp.tls_policies);
}

static void
a_failed_table_is_no_policy(void **state)
{
	struct tls_policy p;
	struct err e;

	(void)state;
	assert_int_equal(maps_open("fail:x", &smtp.tls_policies, &e), 0);
	assert_int_equal(tls_policy_find(&smtp, SPAN("a.test"), &p, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	maps_free(&smtp.tls_policies);
}

static void
messages_ask_for_more_or_less(void **state)
{
	static const struct {
		const char *policy;
		enum tls_level required, relaxed;
		const char *match; /* when required */
		bool trust_mx;
	} rows[] = {
		{ "none", TLS_LEVEL_SECURE, TLS_LEVEL_NONE, "nexthop", true },
		{ "may", TLS_LEVEL_SECURE, TLS_LEVEL_MAY, "nexthop", true },
		{ "encrypt", TLS_LEVEL_SECURE, TLS_LEVEL_MAY, "nexthop", true },
		{ "verify match=a", TLS_LEVEL_VERIFY, TLS_LEVEL_MAY, "a",
		    false },
		{ "secure match=a", TLS_LEVEL_SECURE, TLS_LEVEL_MAY, "a",
		    false },
		{ "fingerprint match=a", TLS_LEVEL_FINGERPRINT, TLS_LEVEL_MAY,
		    "a", false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_policy p;

		assert_int_equal(tls_policy_parse(span_str(rows[i].policy), &p,
		    &e), 0);
		tls_policy_relax(&p);
		assert_int_equal(p.level, rows[i].relaxed);
		tls_policy_release(&p);
		assert_int_equal(tls_policy_parse(span_str(rows[i].policy), &p,
		    &e), 0);
		tls_policy_require(&p, "nexthop");
		assert_int_equal(p.level, rows[i].required);
		assert_string_equal(buf_cstr(&p.match), rows[i].match);
		assert_int_equal(p.trust_mx, rows[i].trust_mx);
		tls_policy_release(&p);
	}
}

static void
each_level_has_its_least_trust(void **state)
{
	static const enum tls_trust least[] = {
		[TLS_LEVEL_NONE] = TLS_TRUST_NONE,
		[TLS_LEVEL_MAY] = TLS_TRUST_NONE,
		[TLS_LEVEL_ENCRYPT] = TLS_TRUST_ANONYMOUS,
		[TLS_LEVEL_FINGERPRINT] = TLS_TRUST_VERIFIED,
		[TLS_LEVEL_VERIFY] = TLS_TRUST_VERIFIED,
		[TLS_LEVEL_SECURE] = TLS_TRUST_VERIFIED,
	};

	(void)state;
	for (size_t l = 0; l < COUNT_OF(least); l++)
		for (int t = TLS_TRUST_NONE; t <= TLS_TRUST_VERIFIED; t++) {
			const struct tls_policy p = {
				.level = (enum tls_level)l,
			};

			assert_int_equal(
			    tls_policy_content(&p, (enum tls_trust)t),
			    t >= (int)least[l]);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_policies),
		cmocka_unit_test(a_failed_table_is_no_policy),
		cmocka_unit_test(messages_ask_for_more_or_less),
		cmocka_unit_test(each_level_has_its_least_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
