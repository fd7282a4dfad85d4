/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* Keys and tokens made by openssl(1) and Python. The claims are
 * {"iss":"https://i","aud":"mail","exp":2000,"nbf":1000,"email":"u@x",
 * "scope":"mail other"}. */
static const char key_set[] =
	    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\""
	    "n\":\"jsvUSkgMSDOe6AEkIansDuEd3X9ypgZk3WxRbp1qf-jOZ2Ni1oWte7"
	    "3zntJWAy2_zZlacfXtf9nNC8MPQEExRbCtvtESeuD2DwNzoR-UqifDa91yJc"
	    "NaaLRpskJuaJuREiy2CqiaZ80Kwvn2snfcYKAC30v_LMyeYEfBAz99XjJfk1"
	    "ll9FuPlNyZaHc33I41r4svjXlL9gUm4ZxuHFmswlqCrgZzyH9TVau0KstYBL"
	    "cJhdDr1Qjdksy3b0oPEYa3nouWOWFc9GBxbSdoZa6sttWo77DIHwJBtTcIvT"
	    "g0wXcoT0iRHAajENtyqeeA7gxcJvYrzBL_BaAFd6CrP0q7Zw\",\"e\":\"A"
	    "QAB\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\""
	    ":\"bQlL2EIhOFbC1ksLfTnLehxsK0lc3igiETYjevUZ-pw\",\"y\":\"Klh"
	    "OhlG3-9VlsJZojMLD0XnuVcnhxEL-HLfTMCVdhpk\"},{\"kty\":\"oct\""
	    ",\"kid\":\"h\",\"alg\":\"HS256\",\"k\":\"MDEyMzQ1Njc4OWFiY2R"
	    "lZjAxMjM0NTY3ODlhYmNkZWY\"},{\"kty\":\"OKP\",\"crv\":\"Ed255"
	    "19\",\"x\":\"AAAA\"},{\"kty\":\"RSA\",\"kid\":\"enc\",\"use"
	    "\":\"enc\",\"n\":\"jsvUSkgMSDOe6AEkIansDuEd3X9ypgZk3WxRbp1qf"
	    "-jOZ2Ni1oWte73zntJWAy2_zZlacfXtf9nNC8MPQEExRbCtvtESeuD2DwNzo"
	    "R-UqifDa91yJcNaaLRpskJuaJuREiy2CqiaZ80Kwvn2snfcYKAC30v_LMyeY"
	    "EfBAz99XjJfk1ll9FuPlNyZaHc33I41r4svjXlL9gUm4ZxuHFmswlqCrgZzy"
	    "H9TVau0KstYBLcJhdDr1Qjdksy3b0oPEYa3nouWOWFc9GBxbSdoZa6sttWo7"
	    "7DIHwJBtTcIvTg0wXcoT0iRHAajENtyqeeA7gxcJvYrzBL_BaAFd6CrP0q7Z"
	    "w\",\"e\":\"AQAB\"}]}";

static const char rs256[] =
	    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InIifQ.eyJpc3MiO"
	    "iJodHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjEwM"
	    "DAsImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.Y2-VFWvEA"
	    "3qOF2rC-YvUIDVB56mqMuMiqFEw719a3EeNzg1t3fnIq2oA3m0M8nApIPpVX"
	    "s1eD-NCyhtTNSGKyfkWEAY334dih0shY7hAoxPKsObr4FyR1kac8bAx76rjO"
	    "tuB_1dohb5xbuLexL2y1HNtVlQR9Sb1y6CAXGNrRiVDkeJMNsF4zZdgfBfKD"
	    "gvaysP691dNORkloACmijcaBxEHSUB_GdidoE-lh0Q8EDFoh-xS-YW99hqwu"
	    "hSAZUrxcKRVRcD72Rmu51i0TGmG12ckjgu3MabTV-v8UiDSEEvyrxCyOOFID"
	    "9aqUCFFdPRYs-lQpjuf83GX8JM9KUrg4A";
static const char es256[] =
	    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImUifQ.eyJpc3MiO"
	    "iJodHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjEwM"
	    "DAsImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.11Ft4svZ-"
	    "lJbavlwAkXloCyMzZgDsievJC5v6g4YR-oizJwyPORCVy7BGl14zAZ-YCjwW"
	    "muXPd55cOvHyhsVbA";
static const char hs256[] =
	    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImgifQ.eyJpc3MiO"
	    "iJodHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjEwM"
	    "DAsImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.odcFDwsyd"
	    "cbOzRS9_FRDaQWD1ZxFQrXnPTlBzLH4yi0";
static const char rs256_no_id[] =
	    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2k"
	    "iLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjEwMDAsImVtYWlsIjo"
	    "idUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.XAY0HLSX2sNmOK1e_cooN1f"
	    "TIO4PLM4dcsOtpmEERuUNIRzCdUQoYgfGdLOEvWrYroDaA5HRRkz3-GakClT"
	    "gXBt1QzFQDUOpzNaY2ZBmRwz5Tt4S6hA-mqyVb5kh8vK4CgfMxsrowTacJSu"
	    "HVQ0nY_FIeODF8LPaWke-94a4R1JF-kM0vWARB_OIWQSKykJK9NIDlwCihMi"
	    "FOHOibCQlhKvrus1VZcgYjxWr-MvSdK-IkUDdU4DrRlywMb3Yo7zC4o_Dekl"
	    "xxuL3hiVgQeT0hxG5PzoOK-yPC965jNGE5pgQkqRUG-Hc_WF5f_mnvG1mHUt"
	    "hAUOySzWIsE4EKtaDgA";
static const char wrong_id[] =
	    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Inp6eiJ9.eyJpc3M"
	    "iOiJodHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjE"
	    "wMDAsImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.A7bDtVD"
	    "ojG37wxhGkB841SnYQIFlvU75J_OQ_c30-wbXsbGVVfzjNcUIcmkBhtnfhi8"
	    "t5Lq4wKsHCFWy6H_xSLM1XLyh4o5QosGTXd-IWBppdMICIAsApsoBgY2lkDp"
	    "qufTYUjacFiaMwHo8QkCbXCQGE46FYeFwoCCBpt-Xzr4g0TibVgrzZ2j7M0c"
	    "1gz7_sCUADbeBBCV36-O0L6lVPXtS6e8oClflVexVj5M8L0WH4brDGfWiA48"
	    "IMtiLYhkNytPnY_mHSqSMr4tq7qW7AqXdGLncawLC7aAYVClkK_QbBrzi0iL"
	    "5iOf0xmmbJGoO9kgIF8XAe1dB_8K_5oNMRA";
static const char none[] =
	    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoiciJ9.eyJpc3MiOiJ"
	    "odHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwIjoyMDAwLCJuYmYiOjEwMDA"
	    "sImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsIG90aGVyIn0.";
static const char crit[] =
	    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImgiLCJjcml0Ijpb"
	    "ImI2NCJdfQ.eyJpc3MiOiJodHRwczovL2kiLCJhdWQiOiJtYWlsIiwiZXhwI"
	    "joyMDAwLCJuYmYiOjEwMDAsImVtYWlsIjoidUB4Iiwic2NvcGUiOiJtYWlsI"
	    "G90aGVyIn0.uiwluxPhOQNL_HlW_H2oiaFBj45hAHLAZkp1dE1Rsws";
static const char confused[] =
	    "eyJhbGciOiJIUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiAiaHR0cHM6Ly9pI"
	    "iwgImF1ZCI6ICJtYWlsIiwgImV4cCI6IDIwMDAsICJuYmYiOiAxMDAwLCAiZ"
	    "W1haWwiOiAidUB4IiwgInNjb3BlIjogIm1haWwgb3RoZXIifQ.QdNoUodggC"
	    "Ngx9ZBLdiPRY_FpoQFuJXDOIOhWqm3bUU";

static const struct jwt_claims wanted = { "https://i", "mail x", "mail",
	"email" };

static struct jwt_keys *
keys(void)
{
	struct err e;
	struct jwt_keys *k = jwt_keys_parse(span_str(key_set), &e);

	assert_non_null(k);
	return k;
}

static enum jwt_result
check(const char *token, const struct jwt_claims *c, int64_t now_s,
    const char **out_why)
{
	struct jwt_keys *k = keys();
	struct buf user;
	enum jwt_result r;

	buf_init(&user, 100);
	r = jwt_check(k, span_str(token), c, now_s, &user, out_why);
	if (r == JWT_OK)
		assert_string_equal(buf_cstr(&user), "u@x");
	else
		assert_int_equal(user.n, 0);
	buf_release(&user);
	jwt_keys_free(&k);
	return r;
}

static void
signatures(void **state)
{
	static const struct {
		const char *token;
		enum jwt_result result;
		const char *why;
	} rows[] = {
		{ rs256, JWT_OK, "" },
		{ es256, JWT_OK, "" },
		{ hs256, JWT_OK, "" },
		{ rs256_no_id, JWT_OK, "" },
		{ wrong_id, JWT_NONE, "the token is of none of our keys" },
		{ none, JWT_NONE, "the token is of none of our keys" },
		{ crit, JWT_REFUSED,
		    "the token has unknown critical fields" },
		/* The public key as a secret. */
		{ confused, JWT_NONE, "the token is of none of our keys" },
		{ "", JWT_NONE, "not a JSON web token" },
		{ "a.b", JWT_NONE, "not a JSON web token" },
		{ "..", JWT_NONE, "not a JSON web token" },
		{ "ya29.opaque", JWT_NONE, "not a JSON web token" },
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(check(rows[i].token, &wanted, 1500, &why),
		    rows[i].result);
		if (rows[i].result != JWT_OK)
			assert_string_equal(why, rows[i].why);
	}
}

/* Any byte that is changed makes it another token. */
static void
damaged(void **state)
{
	static const char *const tokens[] = { rs256, es256, hs256 };
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(tokens); i++) {
		char *text = mem_strdup(tokens[i]);
		const size_t n = strlen(text);

		for (size_t at = 0; at < n; at += 7) {
			const char old = text[at];

			text[at] = old == 'A' ? 'B' : 'A';
			assert_int_not_equal(
			    check(text, &wanted, 1500, &why), JWT_OK);
			text[at] = old;
		}
		text[n - 1] = '\0';
		assert_int_not_equal(
		    check(text, &wanted, 1500, &why), JWT_OK);
		mem_free(text);
	}
}

static void
times_and_claims(void **state)
{
	struct jwt_claims c = wanted;
	const char *why;

	(void)state;
	assert_int_equal(check(es256, &c, 2059, &why), JWT_OK);
	assert_int_equal(check(es256, &c, 2060, &why), JWT_REFUSED);
	assert_string_equal(why, "the token has expired");
	assert_int_equal(check(es256, &c, 940, &why), JWT_OK);
	assert_int_equal(check(es256, &c, 939, &why), JWT_REFUSED);
	assert_string_equal(why, "the token is not valid yet");
	c.issuers = "https://j, https://i";
	assert_int_equal(check(es256, &c, 1500, &why), JWT_OK);
	c.issuers = "https://j";
	assert_int_equal(check(es256, &c, 1500, &why), JWT_REFUSED);
	assert_string_equal(why, "the token has another issuer");
	c = wanted;
	c.audience = "web";
	assert_int_equal(check(es256, &c, 1500, &why), JWT_REFUSED);
	assert_string_equal(why, "the token is for another audience");
	c = wanted;
	c.scope = "mail admin";
	assert_int_equal(check(es256, &c, 1500, &why), JWT_SCOPE);
	c = wanted;
	c.username = "sub";
	assert_int_equal(check(es256, &c, 1500, &why), JWT_REFUSED);
	assert_string_equal(why, "the token names no user");
	c = (struct jwt_claims){ "", "", "", "email" };
	assert_int_equal(check(es256, &c, 1500, &why), JWT_OK);
}

static void
answers(void **state)
{
	static const struct jwt_claims any = { "", "", "", "username" };
	static const struct {
		const char *json;
		enum jwt_result result;
	} rows[] = {
		{ "{\"active\":true,\"username\":\"u@x\"}", JWT_OK },
		{ "{\"active\":true,\"username\":\"u@x\",\"exp\":9}",
		    JWT_REFUSED },
		{ "{\"active\":true,\"username\":\"u@x\",\"exp\":\"9\"}",
		    JWT_REFUSED },
		{ "{\"active\":false}", JWT_REFUSED },
		{ "{\"active\":true}", JWT_REFUSED },
		{ "{\"active\":true,\"username\":\"\"}", JWT_REFUSED },
		{ "{\"active\":true,\"username\":7}", JWT_REFUSED },
		{ "{\"active\":\"true\",\"username\":\"u@x\"}", JWT_NONE },
		{ "{\"username\":\"u@x\"}", JWT_NONE },
		{ "{\"active\":true,\"active\":true,\"username\":\"u\"}",
		    JWT_NONE },
		{ "[]", JWT_NONE },
		{ "{", JWT_NONE },
		{ "", JWT_NONE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *why;
		struct buf user;

		buf_init(&user, 100);
		if (jwt_check_answer(span_str(rows[i].json), &any, 1500,
			&user, &why) != rows[i].result)
			fail_msg("%s", rows[i].json);
		assert_int_equal(user.n, rows[i].result == JWT_OK ? 3 : 0);
		buf_release(&user);
	}
}

static void
bad_sets(void **state)
{
	static const char *const rows[] = { "", "{}", "[]", "{\"keys\":[]}",
		"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
		("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\","
		 "\"y\":\"AA\"}]}"),
		"{\"keys\":[{}]}" };
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_null(jwt_keys_parse(span_str(rows[i]), &e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures),
		cmocka_unit_test(damaged),
		cmocka_unit_test(times_and_claims),
		cmocka_unit_test(answers),
		cmocka_unit_test(bad_sets),
	};

	return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
