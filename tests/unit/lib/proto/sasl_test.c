/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/proto/base64.h"

#define BYTES(lit) span_of(lit, sizeof(lit) - 1)

static void
plain(void **state)
{
	struct sasl *s = sasl_new(SPAN("plain"));

	(void)state;
	assert_string_equal(sasl_mechanism(s), "PLAIN");
	assert_int_equal(sasl_start(s, true, BYTES("z\0u@x\0p w")), SASL_PASSWORD);
	assert_true(span_eq(sasl_authzid(s), SPAN("z")));
	assert_true(span_eq(sasl_user(s), SPAN("u@x")));
	assert_true(span_eq(sasl_password(s), SPAN("p w")));
	sasl_free(&s);
	assert_null(s);

	s = sasl_new(SPAN("PLAIN"));
	assert_int_equal(sasl_start(s, false, SPAN_EMPTY), SASL_CHALLENGE);
	assert_int_equal(sasl_challenge(s).n, 0);
	assert_int_equal(sasl_step(s, BYTES("u\0u\0p")), SASL_PASSWORD);
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
	assert_int_equal(sasl_step(s, SPAN("secret")), SASL_PASSWORD);
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
	assert_null(sasl_new(SPAN("SCRAM-SHA-512")));
	assert_null(sasl_new(SPAN("")));
	sasl_free(&s);
}

/* ---- SCRAM ---- */

struct vector {
	const char *mechanism, *first, *salt, *nonce, *server_first, *final;
	const char *signature, *server_final, *message;
};

/* RFC 5802 5, RFC 7677 3. */
static const struct vector vectors[] = {
	{ "SCRAM-SHA-1", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	    "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j",
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "rmF9pqV8S7suAoZWja4dJRkFsKQ=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
	    "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "s=QSXCR+Q6sek8bf92,i=4096,"
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j" },
	{ "SCRAM-SHA-256", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	    "W22ZaJ0SNY7soEsUEjb6gQ==", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" },
};

static enum sasl_result
give_salt(struct sasl *s, const char *salt64, const char *nonce)
{
	struct buf salt;

	buf_init(&salt, 256);
	assert_true(base64_decode(span_str(salt64), &salt));
	const enum sasl_result r =
	    sasl_salt(s, buf_span(&salt), 4096, span_str(nonce));
	buf_release(&salt);
	return r;
}

static void
scram_vectors(void **state)
{
	struct buf raw;

	(void)state;
	buf_init(&raw, 256);
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct sasl *s = sasl_new(span_str(v->mechanism));

		assert_int_equal(
		    sasl_start(s, true, span_str(v->first)), SASL_SALT);
		assert_true(span_eq(sasl_user(s), SPAN("user")));
		assert_int_equal(
		    give_salt(s, v->salt, v->nonce), SASL_CHALLENGE);
		assert_true(
		    span_eq(sasl_challenge(s), span_str(v->server_first)));
		assert_int_equal(
		    sasl_step(s, span_str(v->final)), SASL_PROOF);
		assert_true(
		    span_eq(sasl_scram_message(s), span_str(v->message)));
		assert_int_equal(sasl_scram_proof(s).n, i == 0 ? 20 : 32);
		buf_reset(&raw);
		assert_true(base64_decode(span_str(v->signature), &raw));
		assert_int_equal(
		    sasl_accept(s, buf_span(&raw)), SASL_CHALLENGE);
		assert_true(
		    span_eq(sasl_challenge(s), span_str(v->server_final)));
		assert_int_equal(sasl_step(s, SPAN_EMPTY), SASL_OK);
		sasl_free(&s);
	}
	buf_release(&raw);
}

static void
scram_first_messages(void **state)
{
	static const struct {
		const char *mechanism, *text;
		enum sasl_result result;
		const char *user, *authzid, *fault;
	} rows[] = {
		{ "SCRAM-SHA-256", "y,,n=u,r=x", SASL_SALT, "u", "", "" },
		{ "SCRAM-SHA-256", "n,a=z,n=u,r=x", SASL_SALT, "u", "z", "" },
		{ "SCRAM-SHA-256", "n,a=u,n=u,r=x", SASL_SALT, "u", "", "" },
		{ "SCRAM-SHA-256", "n,,n=a=2Cb=3Dc,r=x", SASL_SALT, "a,b=c", "",
		    "" },
		{ "SCRAM-SHA-256", "n,,n=u,r=x,ext=1", SASL_SALT, "u", "", "" },
		{ "SCRAM-SHA-256", "n,,n=I\xc2\xadX,r=x", SASL_SALT, "IX", "",
		    "" },
		{ "SCRAM-SHA-256", "", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n,", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n,,", SASL_BAD, "", "",
		    "malformed first message" },
		{ "SCRAM-SHA-256", "x,,n=u,r=x", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "p=,,n=u,r=x", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n,b=z,n=u,r=x", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n,a=,n=u,r=x", SASL_BAD, "", "",
		    "malformed GS2 header" },
		{ "SCRAM-SHA-256", "n,,m=1,n=u,r=x", SASL_BAD, "", "",
		    "unknown mandatory extension" },
		{ "SCRAM-SHA-256", "n,,n=,r=x", SASL_BAD, "", "",
		    "bad user name" },
		{ "SCRAM-SHA-256", "n,,n=a=b,r=x", SASL_BAD, "", "",
		    "bad user name" },
		{ "SCRAM-SHA-256", "n,,n=a=2c,r=x", SASL_BAD, "", "",
		    "bad user name" },
		{ "SCRAM-SHA-256", "n,,n=\x07,r=x", SASL_BAD, "", "",
		    "bad user name" },
		{ "SCRAM-SHA-256", "n,,n=\xff,r=x", SASL_BAD, "", "",
		    "bad user name" },
		{ "SCRAM-SHA-256", "n,,n=u,r=", SASL_BAD, "", "",
		    "malformed first message" },
		{ "SCRAM-SHA-256", "n,,n=u,r=a b", SASL_BAD, "", "",
		    "malformed first message" },
		{ "SCRAM-SHA-256", "n,,n=u", SASL_BAD, "", "",
		    "malformed first message" },
		{ "SCRAM-SHA-256", "n,,r=x,n=u", SASL_BAD, "", "",
		    "malformed first message" },
		{ "SCRAM-SHA-256", "p=tls-exporter,,n=u,r=x", SASL_BAD, "", "",
		    "channel binding without -PLUS" },
		{ "SCRAM-SHA-256-PLUS", "n,,n=u,r=x", SASL_BAD, "", "",
		    "-PLUS without channel binding" },
		{ "SCRAM-SHA-256-PLUS", "y,,n=u,r=x", SASL_BAD, "", "",
		    "-PLUS without channel binding" },
		{ "SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=u,r=x", SASL_BAD, "",
		    "", "unsupported channel binding" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sasl *s = sasl_new(span_str(rows[i].mechanism));

		assert_int_equal(sasl_start(s, true, span_str(rows[i].text)),
		    rows[i].result);
		if (rows[i].result == SASL_BAD) {
			assert_string_equal(sasl_fault(s), rows[i].fault);
		} else {
			assert_true(
			    span_eq(sasl_user(s), span_str(rows[i].user)));
			assert_true(span_eq(
			    sasl_authzid(s), span_str(rows[i].authzid)));
		}
		sasl_free(&s);
	}
}

/* A proof of the right length: whether it is right is not asked here. */
#define PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void
scram_final_messages(void **state)
{
	static const struct {
		const char *text, *fault;
	} rows[] = {
		{ "c=biws,r=xNONCE" PROOF, NULL },
		{ "c=biws,r=xNONCE,e=1" PROOF, NULL },
		{ "", "malformed final message" },
		{ "c=biws,r=xNONCE", "malformed final message" },
		{ "c=biws,r=xNONCE,p=", "malformed final message" },
		{ "c=biws,r=xNONCE,p=QUJD", "malformed final message" },
		{ "c=biws,r=xNONCE,p=!", "malformed final message" },
		{ "r=xNONCE" PROOF, "malformed final message" },
		{ "c=biws,r=x" PROOF, "wrong nonce" },
		{ "c=biws,r=NONCE" PROOF, "wrong nonce" },
		{ "c=biws,r=xNONCEy" PROOF, "wrong nonce" },
		/* "y,," where "n,," was said */
		{ "c=eSws,r=xNONCE" PROOF, "channel binding does not fit" },
		{ "c=,r=xNONCE" PROOF, "channel binding does not fit" },
		{ "c=biwsAA==,r=xNONCE" PROOF, "channel binding does not fit" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sasl *s = sasl_new(SPAN("SCRAM-SHA-256"));

		assert_int_equal(
		    sasl_start(s, true, SPAN("n,,n=u,r=x")), SASL_SALT);
		assert_int_equal(give_salt(s, "QUJD", "NONCE"), SASL_CHALLENGE);
		if (rows[i].fault == NULL) {
			assert_int_equal(
			    sasl_step(s, span_str(rows[i].text)), SASL_PROOF);
			assert_int_equal(
			    sasl_refuse(s, SPAN_EMPTY), SASL_REFUSED);
		} else {
			assert_int_equal(
			    sasl_step(s, span_str(rows[i].text)), SASL_BAD);
			assert_string_equal(sasl_fault(s), rows[i].fault);
		}
		sasl_free(&s);
	}
}

static enum sasl_result
bound(const char *mechanism, const char *header, const char *cbind,
    bool plus_offered, const char **out_fault)
{
	const struct sasl_binding b = { SPAN("exporter"), SPAN("endpoint"),
		plus_offered };
	struct sasl *s = sasl_new(span_str(mechanism));
	enum sasl_result r;
	struct buf text;

	sasl_bind(s, &b);
	buf_init(&text, 1000);
	buf_fmt(&text, "%sn=u,r=x", header);
	r = sasl_start(s, true, buf_span(&text));
	if (r == SASL_SALT) {
		give_salt(s, "QUJD", "NONCE");
		buf_reset(&text);
		buf_str(&text, "c=");
		base64_encode(span_str(cbind), &text);
		buf_str(&text, ",r=xNONCE" PROOF);
		r = sasl_step(s, buf_span(&text));
	}
	*out_fault = r == SASL_BAD ? sasl_fault(s) : "";
	buf_release(&text);
	sasl_free(&s);
	return r;
}

static void
channel_binding(void **state)
{
	const char *fault;

	(void)state;
	assert_int_equal(bound("SCRAM-SHA-256-PLUS", "p=tls-exporter,,",
	    "p=tls-exporter,,exporter", true, &fault), SASL_PROOF);
	assert_int_equal(bound("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,",
	    "p=tls-server-end-point,,endpoint", true, &fault), SASL_PROOF);
	assert_int_equal(bound("SCRAM-SHA-1-PLUS", "p=tls-exporter,,",
	    "p=tls-exporter,,other", true, &fault), SASL_BAD);
	assert_int_equal(bound("SCRAM-SHA-256-PLUS", "p=tls-exporter,,",
	    "p=tls-exporter,,endpoint", true, &fault), SASL_BAD);
	assert_string_equal(fault, "channel binding does not fit");
	assert_int_equal(bound("SCRAM-SHA-256-PLUS", "p=tls-exporter,,",
	    "p=tls-exporter,,", true, &fault), SASL_BAD);
	assert_int_equal(bound("SCRAM-SHA-256-PLUS", "p=tls-unique,,",
	    "p=tls-unique,,x", true, &fault), SASL_BAD);
	assert_string_equal(fault, "unsupported channel binding");
	/* The client could, and was told that we could not. */
	assert_int_equal(
	    bound("SCRAM-SHA-256", "y,,", "y,,", true, &fault), SASL_BAD);
	assert_string_equal(fault, "channel binding downgrade detected");
	assert_int_equal(
	    bound("SCRAM-SHA-256", "y,,", "y,,", false, &fault), SASL_PROOF);
	assert_int_equal(
	    bound("SCRAM-SHA-256", "n,,", "n,,", true, &fault), SASL_PROOF);
}

/* Nothing that is cut off somewhere is taken for the whole. */
static void
scram_cut(void **state)
{
	const struct vector *v = &vectors[1];
	const size_t first = strlen(v->first), final = strlen(v->final);

	(void)state;
	for (size_t n = 0; n < first; n++) {
		struct sasl *s = sasl_new(SPAN("SCRAM-SHA-256"));
		const enum sasl_result r =
		    sasl_start(s, true, span_of(v->first, n));

		/* A nonce may be shorter. */
		assert_int_equal(r, n <= 12 ? SASL_BAD : SASL_SALT);
		sasl_free(&s);
	}
	for (size_t n = 0; n < final; n++) {
		struct sasl *s = sasl_new(SPAN("SCRAM-SHA-256"));

		sasl_start(s, true, span_str(v->first));
		give_salt(s, v->salt, v->nonce);
		assert_int_equal(
		    sasl_step(s, span_of(v->final, n)), SASL_BAD);
		sasl_free(&s);
	}
}

/* ---- tokens and certificates ---- */

static void
tokens(void **state)
{
	static const struct {
		const char *mechanism, *text;
		const char *user, *token; /* NULL: malformed */
	} rows[] = {
		/* RFC 7628 4.1 */
		{ "OAUTHBEARER",
		    "n,a=user@example.com,\1host=server.example.com\1port=143"
		    "\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
		    "\1\1",
		    "user@example.com",
		    "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" },
		{ "OAUTHBEARER", "n,,\1auth=bearer t\1\1", "", "t" },
		{ "OAUTHBEARER", "y,,\1auth=Bearer t\1x=y\1\1", "", "t" },
		{ "OAUTHBEARER", "n,,\1auth=Bearer t\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Bearer t", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Bearer \1\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Bearer a b\1\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Basic t\1\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,", NULL, NULL },
		{ "OAUTHBEARER", "p=x,,\1auth=Bearer t\1\1", NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Bearer t\1auth=Bearer t\1\1",
		    NULL, NULL },
		{ "OAUTHBEARER", "n,,\1auth=Bearer t\1\1x", NULL, NULL },
		{ "XOAUTH2", "user=u@x\1auth=Bearer ya29.t\1\1", "u@x",
		    "ya29.t" },
		{ "XOAUTH2", "user=\1auth=Bearer t\1\1", NULL, NULL },
		{ "XOAUTH2", "user=u", NULL, NULL },
		{ "XOAUTH2", "auth=Bearer t\1\1", NULL, NULL },
		{ "XOAUTH2", "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sasl *s = sasl_new(span_str(rows[i].mechanism));
		const enum sasl_result r =
		    sasl_start(s, true, span_str(rows[i].text));

		if (rows[i].token == NULL) {
			assert_int_equal(r, SASL_BAD);
		} else {
			assert_int_equal(r, SASL_TOKEN);
			assert_true(
			    span_eq(sasl_user(s), span_str(rows[i].user)));
			assert_true(
			    span_eq(sasl_token(s), span_str(rows[i].token)));
			assert_int_equal(sasl_accept(s, SPAN_EMPTY), SASL_OK);
		}
		sasl_free(&s);
	}
}

/* The client hears why, answers, and only then it is over. */
static void
refused_tokens(void **state)
{
	static const char *const texts[][2] = {
		{ "OAUTHBEARER", "n,,\1auth=Bearer t\1\1" },
		{ "XOAUTH2", "user=u\1auth=Bearer t\1\1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct sasl *s = sasl_new(span_str(texts[i][0]));

		sasl_start(s, true, span_str(texts[i][1]));
		assert_int_equal(
		    sasl_refuse(s, SPAN("{\"status\":\"invalid_token\"}")),
		    SASL_CHALLENGE);
		assert_true(span_eq(sasl_challenge(s),
		    SPAN("{\"status\":\"invalid_token\"}")));
		assert_int_equal(sasl_step(s, SPAN("\1")), SASL_REFUSED);
		sasl_free(&s);
	}
}

static void
external(void **state)
{
	struct sasl *s = sasl_new(SPAN("EXTERNAL"));

	(void)state;
	assert_int_equal(sasl_start(s, false, SPAN_EMPTY), SASL_CHALLENGE);
	assert_int_equal(sasl_challenge(s).n, 0);
	assert_int_equal(sasl_step(s, SPAN("fred")), SASL_CERT);
	assert_true(span_eq(sasl_authzid(s), SPAN("fred")));
	assert_int_equal(sasl_accept(s, SPAN_EMPTY), SASL_OK);
	sasl_free(&s);
	s = sasl_new(SPAN("EXTERNAL"));
	assert_int_equal(sasl_start(s, true, SPAN_EMPTY), SASL_CERT);
	assert_int_equal(sasl_refuse(s, SPAN_EMPTY), SASL_REFUSED);
	sasl_free(&s);
	s = sasl_new(SPAN("EXTERNAL"));
	assert_int_equal(sasl_start(s, true, BYTES("a\0b")), SASL_BAD);
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
		cmocka_unit_test(scram_vectors),
		cmocka_unit_test(scram_first_messages),
		cmocka_unit_test(scram_final_messages),
		cmocka_unit_test(scram_cut),
		cmocka_unit_test(channel_binding),
		cmocka_unit_test(tokens),
		cmocka_unit_test(refused_tokens),
		cmocka_unit_test(external),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
