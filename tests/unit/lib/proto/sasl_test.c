/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

#define BYTES(lit) span_of(lit, sizeof(lit) - 1)

static void
plain(void **state)
{
	struct sasl *s = sasl_new(SPAN("plain"));

	(void)state;
	assert_string_equal(sasl_mechanism(s), "PLAIN");
	assert_int_equal(sasl_start(s, true, BYTES("z\0u@x\0p w")), SASL_DONE);
	assert_true(span_eq(sasl_authzid(s), SPAN("z")));
	assert_true(span_eq(sasl_user(s), SPAN("u@x")));
	assert_true(span_eq(sasl_password(s), SPAN("p w")));
	sasl_free(&s);
	assert_null(s);

	s = sasl_new(SPAN("PLAIN"));
	assert_int_equal(sasl_start(s, false, SPAN_EMPTY), SASL_CHALLENGE);
	assert_int_equal(sasl_challenge(s).n, 0);
	assert_int_equal(sasl_step(s, BYTES("u\0u\0p")), SASL_DONE);
	assert_int_equal(sasl_authzid(s).n, 0);
	sasl_free(&s);
}

static void
malformed_plain(void **state)
{
	static const struct span rows[] = {
		{ (const uint8_t *)"", 0 },
		{ (const uint8_t *)"abc", 3 },
		{ (const uint8_t *)"\0abc", 4 },
		{ (const uint8_t *)"\0\0p", 3 },
		{ (const uint8_t *)"\0u\0", 3 },
		{ (const uint8_t *)"\0u\0p\0q", 6 },
		{ (const uint8_t *)"\0u\0p\0", 5 },
		{ (const uint8_t *)"\0\xff\0p", 4 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sasl *s = sasl_new(SPAN("PLAIN"));

		assert_int_equal(sasl_start(s, true, rows[i]), SASL_BAD);
		sasl_free(&s);
	}
}

static void
login(void **state)
{
	struct sasl *s = sasl_new(SPAN("LOGIN"));

	(void)state;
	assert_int_equal(sasl_start(s, false, SPAN_EMPTY), SASL_CHALLENGE);
	assert_true(span_eq(sasl_challenge(s), SPAN("Username:")));
	assert_int_equal(sasl_step(s, SPAN("joe")), SASL_CHALLENGE);
	assert_true(span_eq(sasl_challenge(s), SPAN("Password:")));
	assert_int_equal(sasl_step(s, SPAN("secret")), SASL_DONE);
	assert_true(span_eq(sasl_user(s), SPAN("joe")));
	assert_true(span_eq(sasl_password(s), SPAN("secret")));
	assert_int_equal(sasl_authzid(s).n, 0);
	sasl_free(&s);

	s = sasl_new(SPAN("LOGIN"));
	assert_int_equal(sasl_start(s, true, SPAN("joe")), SASL_CHALLENGE);
	assert_int_equal(sasl_step(s, SPAN_EMPTY), SASL_BAD);
	sasl_free(&s);
	/* A name that goes on behind a NUL is no shorter name. */
	s = sasl_new(SPAN("LOGIN"));
	assert_int_equal(sasl_start(s, true, BYTES("joe\0x")), SASL_BAD);
	sasl_free(&s);
}

static void
limits(void **state)
{
	uint8_t text[SASL_PASSWORD_MAX + 1];
	struct sasl *s;

	(void)state;
	memset(text, 'a', sizeof(text));
	s = sasl_new(SPAN("LOGIN"));
	assert_int_equal(
	    sasl_start(s, true, span_of(text, SASL_NAME_MAX + 1)), SASL_BAD);
	sasl_free(&s);
	s = sasl_new(SPAN("LOGIN"));
	assert_int_equal(
	    sasl_start(s, true, span_of(text, SASL_NAME_MAX)), SASL_CHALLENGE);
	assert_int_equal(sasl_step(s, span_of(text, sizeof(text))), SASL_BAD);
	sasl_free(&s);
	assert_null(sasl_new(SPAN("GSSAPI")));
	assert_null(sasl_new(SPAN("")));
	sasl_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(malformed_plain),
		cmocka_unit_test(login),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
