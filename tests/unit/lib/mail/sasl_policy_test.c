/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/sasl_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

#define ALL "scram-sha-256-plus, SCRAM-SHA-256 PLAIN login EXTERNAL xoauth2"

static void
offers(void **state)
{
	static const struct {
		const char *mechanisms, *options, *filter;
		bool binding, cert;
		const char *offer;
		bool plus;
	} rows[] = {
		{ ALL, "noanonymous", NULL, true, true,
		    "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN EXTERNAL "
		    "XOAUTH2", true },
		{ ALL, "", NULL, false, false,
		    "SCRAM-SHA-256 PLAIN LOGIN XOAUTH2", false },
		{ ALL, "noplaintext", NULL, false, true,
		    "SCRAM-SHA-256 EXTERNAL", false },
		{ ALL, "noactive", NULL, true, true,
		    "SCRAM-SHA-256-PLUS SCRAM-SHA-256", true },
		{ ALL, "nodictionary,noplaintext", NULL, true, true,
		    "EXTERNAL", false },
		{ ALL, "mutual_auth", NULL, true, false,
		    "SCRAM-SHA-256-PLUS SCRAM-SHA-256", true },
		{ ALL, "forward_secrecy", NULL, true, true, "", false },
		{ ALL, "", "!login, !xoauth2, static:rest", false, false,
		    "SCRAM-SHA-256 PLAIN", false },
		{ ALL, "", "plain", false, false, "PLAIN", false },
		{ ALL, "", "fail:x", false, false, "", false },
		{ "", "", NULL, true, true, "", false },
		{ "GSSAPI ANONYMOUS", "", NULL, true, true, "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sasl_offer o = { .mechanisms = rows[i].mechanisms,
			.binding = rows[i].binding,
			.cert = rows[i].cert };
		struct err e;
		struct buf out;
		bool plus;

		assert_int_equal(
		    sasl_options_parse(rows[i].options, &o.options, &e), 0);
		if (rows[i].filter != NULL)
			assert_int_equal(match_list_open(rows[i].filter,
					     &o.filter, &e), 0);
		buf_init(&out, 200);
		sasl_offer_print(&o, &out, &plus);
		assert_string_equal(buf_cstr(&out), rows[i].offer);
		assert_int_equal(plus, rows[i].plus);
		buf_release(&out);
		match_list_free(&o.filter);
	}
}

static void
finds(void **state)
{
	char *found = sasl_offer_find("PLAIN SCRAM-SHA-256", SPAN("plain"));

	(void)state;
	assert_string_equal(found, "PLAIN");
	mem_free(found);
	assert_null(sasl_offer_find("PLAIN", SPAN("PLAI")));
	assert_null(sasl_offer_find("PLAIN", SPAN("")));
	assert_null(sasl_offer_find("", SPAN("PLAIN")));
}

static void
unknown_options(void **state)
{
	unsigned set = 7;
	struct err e;

	(void)state;
	assert_int_equal(sasl_options_parse("noplain", &set, &e), -1);
	assert_string_equal(
	    e.text, "unknown SASL security option \"noplain\"");
	assert_int_equal(set, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers),
		cmocka_unit_test(finds),
		cmocka_unit_test(unknown_options),
	};

	return cmocka_run_group_tests_name("sasl_policy", tests, NULL, NULL);
}
