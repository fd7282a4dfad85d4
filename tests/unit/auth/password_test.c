/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
knows_schemes(void **state)
{
	static const struct {
		const char *stored;
		enum password_kind kind;
		const char *text;
	} rows[] = {
		{ "{PLAIN}a}b", PASSWORD_PLAIN, "a}b" },
		{ "{cleartext}x", PASSWORD_PLAIN, "x" },
		{ "{SSHA256}x", PASSWORD_DIGEST, "x" },
		{ "{SHA512-CRYPT}$6$x", PASSWORD_CRYPT, "$6$x" },
		{ "{BLF-CRYPT}$2y$x", PASSWORD_CRYPT, "$2y$x" },
		{ "{CRYPT}$y$x", PASSWORD_CRYPT, "$y$x" },
		{ "$1$x", PASSWORD_CRYPT, "$1$x" },
		{ "{none", PASSWORD_CRYPT, "{none" },
		{ "{SCRAM-SHA-256}4096,x", PASSWORD_SCRAM, "4096,x" },
		{ "{scram-sha-1}x", PASSWORD_SCRAM, "x" },
		{ "{ROT13}x", PASSWORD_UNKNOWN, "x" },
		{ "{}x", PASSWORD_UNKNOWN, "x" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *text = NULL;
		assert_int_equal(
		    password_kind(rows[i].stored, &text), rows[i].kind);
		assert_string_equal(text, rows[i].text);
	}
}

/* Digests made by: printf 'secretsalt' | sha256sum, and base64. */
static void
compares_cheap_ones(void **state)
{
	static const struct {
		const char *stored, *password;
		bool match;
	} rows[] = {
		{ "{PLAIN}secret", "secret", true },
		{ "{PLAIN}secret", "Secret", false },
		{ "{PLAIN}secret", "secret2", false },
		{ "{PLAIN}secret", "", false },
		{ "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
		    "secret", true },
		{ "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
		    "secre", false },
		{ "{SHA256}K7gNU3sdo+OL", "secret", false },
		{ "{SHA256}not base64", "secret", false },
		/* A digest with salt is no digest without. */
		{ "{SSHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
		    "secret", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (password_matches(rows[i].stored,
			span_str(rows[i].password)) != rows[i].match)
			fail_msg("%s %s", rows[i].stored, rows[i].password);
}

static void
compares_crypt(void **state)
{
	static const struct {
		const char *hash, *password;
		bool match;
	} rows[] = {
		/* Made by openssl passwd -salt saltstring. */
		{ "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uB"
		    "nIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		    "Hello world!", true },
		{ "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uB"
		    "nIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		    "Hello world?", false },
		{ "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
		    "Hello world!", true },
		{ "", "", false },
		{ "*", "x", false },
		{ "!", "x", false },
		{ "*0", "x", false },
		{ "x", "x", false },
		{ "$y$", "x", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (password_crypt_matches(rows[i].hash, rows[i].password) !=
		    rows[i].match)
			fail_msg("%s %s", rows[i].hash, rows[i].password);
	/* The stand-in for unknown users is a real hash that takes its time,
	 * and that nothing matches. */
	assert_false(password_crypt_matches(password_dummy, ""));
	assert_false(password_crypt_matches(password_dummy, "x"));
}

/* Keys made by another program: Python's hashlib. */
static void
compares_scram(void **state)
{
	static const char sha256[] =
	    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
	    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
	static const char sha1[] = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,"
				   "6dlGYMOdZcOPutkcNY8U2g7vK9Y=,"
				   "D+CSWLOshSulAsxiupA+qs2/fTE=";
	struct scram_key last = { .hash = SASL_HASH_NONE };

	(void)state;
	assert_true(password_slow_matches(sha256, "pencil", &last));
	assert_true(password_slow_matches(sha256, "pencil", &last));
	assert_true(password_slow_matches(sha1, "pencil", &last));
	last.hash = SASL_HASH_NONE;
	assert_false(password_slow_matches(sha256, "Pencil", &last));
	assert_false(password_slow_matches(sha1, "Pencil", &last));
	assert_false(password_slow_matches("{SCRAM-SHA-256}x", "x", &last));
	assert_false(password_slow_matches("{PLAIN}x", "x", &last));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_schemes),
		cmocka_unit_test(compares_cheap_ones),
		cmocka_unit_test(compares_crypt),
		cmocka_unit_test(compares_scram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
