/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/scram_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/proto/base64.h"

struct vector {
	enum sasl_hash hash;
	const char *salt, *message, *proof, *signature;
};

/* RFC 5802 5, RFC 7677 3; the password is "pencil". */
static const struct vector vectors[] = {
	{ SASL_HASH_SHA1, "QSXCR+Q6sek8bf92",
	    "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "s=QSXCR+Q6sek8bf92,i=4096,"
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
	    "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ SASL_HASH_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==",
	    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	    "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static struct buf
decoded(const char *text)
{
	struct buf out;

	buf_init(&out, 256);
	assert_true(base64_decode(span_str(text), &out));
	return out;
}

static void
proofs(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct buf salt = decoded(v->salt), proof = decoded(v->proof);
		struct buf want = decoded(v->signature);
		uint8_t got[SCRAM_HASH_MAX];
		struct scram_key k;

		scram_key_derive(
		    v->hash, SPAN("pencil"), buf_span(&salt), 4096, &k);
		assert_true(scram_key_check(
		    &k, span_str(v->message), buf_span(&proof), got));
		assert_memory_equal(got, want.p, want.n);
		assert_int_equal(scram_hash_size(v->hash), want.n);
		/* Another message, another proof, another length. */
		assert_false(scram_key_check(
		    &k, SPAN("n=user"), buf_span(&proof), got));
		proof.p[7] ^= 1;
		assert_false(scram_key_check(
		    &k, span_str(v->message), buf_span(&proof), got));
		assert_false(scram_key_check(&k, span_str(v->message),
		    span_slice(buf_span(&proof), 0, proof.n - 1), got));
		assert_false(scram_key_check(
		    &k, span_str(v->message), SPAN_EMPTY, got));
		buf_release(&salt);
		buf_release(&proof);
		buf_release(&want);
	}
}

static void
as_text(void **state)
{
	struct scram_key a, b;
	struct buf text;

	(void)state;
	buf_init(&text, 400);
	scram_key_derive(SASL_HASH_SHA1, SPAN("secret"),
	    SPAN("saltSALTsalt"), 4096, &a);
	scram_key_print(&a, &text);
	assert_true(span_starts(buf_span(&text),
	    SPAN("{SCRAM-SHA-1}4096,c2FsdFNBTFRzYWx0,")));
	assert_true(scram_key_parse(buf_span(&text), &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(scram_key_same_salt(&a, &b));
	assert_true(scram_key_same(&a, &b));
	scram_key_derive(SASL_HASH_SHA1, SPAN("Secret"),
	    SPAN("saltSALTsalt"), 4096, &b);
	assert_true(scram_key_same_salt(&a, &b));
	assert_false(scram_key_same(&a, &b));
	scram_key_derive(SASL_HASH_SHA1, SPAN("secret"),
	    SPAN("saltSALTsal"), 4096, &b);
	assert_false(scram_key_same_salt(&a, &b));
	/* The salt of the key itself. */
	b = a;
	scram_key_derive(SASL_HASH_SHA1, SPAN("secret"),
	    span_of(b.salt, b.salt_n), b.iterations, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	/* Prepared: the no-break space is a space. */
	scram_key_derive(
	    SASL_HASH_SHA256, SPAN("a\xc2\xa0" "b"), SPAN("x"), 4096, &a);
	scram_key_derive(SASL_HASH_SHA256, SPAN("a b"), SPAN("x"), 4096, &b);
	assert_true(scram_key_same(&a, &b));
	/* What can't be prepared is taken as it is. */
	scram_key_derive(SASL_HASH_SHA256, SPAN("\xff"), SPAN("x"), 4096, &a);
	scram_key_derive(SASL_HASH_SHA256, SPAN(""), SPAN("x"), 4096, &b);
	assert_false(scram_key_same(&a, &b));
	buf_release(&text);
}

/* Every cut of a good text is a bad one. */
static void
malformed(void **state)
{
	static const char *const rows[] = {
		"", "{SCRAM-SHA-256}", "{PLAIN}secret",
		"{SCRAM-SHA-256}4096,c2FsdA==,QUJD,QUJD",
		"{SCRAM-SHA-512}4096,c2FsdA==,QUJD,QUJD",
	};
	struct scram_key k;
	struct buf text;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_false(scram_key_parse(span_str(rows[i]), &k));
	buf_init(&text, 400);
	scram_key_derive(SASL_HASH_SHA256, SPAN("p"), SPAN("salt"), 4096, &k);
	scram_key_print(&k, &text);
	for (size_t n = 0; n < text.n; n++)
		assert_false(
		    scram_key_parse(span_slice(buf_span(&text), 0, n), &k));
	buf_str(&text, ",x");
	assert_false(scram_key_parse(buf_span(&text), &k));
	/* Counts out of range. */
	k.iterations = 4095;
	buf_reset(&text);
	scram_key_print(&k, &text);
	assert_false(scram_key_parse(buf_span(&text), &k));
	k.iterations = SCRAM_ITERATIONS_MAX + 1;
	buf_reset(&text);
	scram_key_print(&k, &text);
	assert_false(scram_key_parse(buf_span(&text), &k));
	buf_release(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proofs),
		cmocka_unit_test(as_text),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests_name("scram_key", tests, NULL, NULL);
}
