/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/jwt.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <string.h>

#include "auth/password.h"
#include "lib/base/mem.h"
#include "lib/proto/base64.h"

enum {
	KEYS_MAX = 64,
	KEY_MAX = 2048,	   /* bytes of one number in a key */
	TOKEN_MAX = 16384,
	SKEW_S = 60,
	SECRET_MIN = 32,   /* RFC 7518 3.2 */
	ES256_SIZE = 64,
};

enum algorithm { ALG_RS256, ALG_ES256, ALG_HS256 };
static const char *const algorithms[] = { "RS256", "ES256", "HS256" };

struct jwt_key {
	enum algorithm alg;
	char *id;	/* NULL: it has none */
	EVP_PKEY *pkey; /* RS256, ES256 */
	struct buf secret;
};

struct jwt_keys {
	struct jwt_key list[KEYS_MAX];
	size_t count;
};

/* Base 64 with the URL's alphabet, without padding (RFC 7515 2). */
static bool
decode(struct span text, struct buf *out)
{
	struct buf plain;
	bool ok;

	buf_init(&plain, TOKEN_MAX + 4);
	for (size_t i = 0; i < text.n; i++) {
		const uint8_t c = text.p[i];

		/* The other alphabet's two letters are none of this one's. */
		buf_byte(&plain, c == '-' ? '+' : c == '_' ? '/' :
			c == '+' || c == '/' || c == '=' ? '!' : c);
	}
	while (plain.n % 4 != 0 && buf_ok(&plain))
		buf_byte(&plain, '=');
	ok = buf_ok(&plain) && base64_decode(buf_span(&plain), out);
	buf_wipe(&plain);
	return ok;
}

/* ---- keys ---- */

static bool
member_bytes(const json_t *key, const char *name, struct buf *out)
{
	const char *text = json_string_value(json_object_get(key, name));

	buf_init(out, KEY_MAX);
	return text != NULL && decode(span_str(text), out) && out->n > 0;
}

static EVP_PKEY *
make_pkey(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

static EVP_PKEY *
read_rsa(const json_t *key)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *modulus = NULL, *exponent = NULL;
	EVP_PKEY *pkey = NULL;
	struct buf n, e;

	const bool has_n = member_bytes(key, "n", &n);
	const bool has_e = member_bytes(key, "e", &e);
	/* RFC 7518 3.3: 2048 bits at least. */
	if (has_n && has_e && n.n >= 256) {
		modulus = BN_bin2bn(n.p, (int)n.n, NULL);
		exponent = BN_bin2bn(e.p, (int)e.n, NULL);
		if (OSSL_PARAM_BLD_push_BN(
			bld, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
		    OSSL_PARAM_BLD_push_BN(
			bld, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
			pkey = make_pkey("RSA", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	BN_free(modulus);
	BN_free(exponent);
	buf_release(&n);
	buf_release(&e);
	return pkey;
}

static EVP_PKEY *
read_ec(const json_t *key)
{
	const char *curve = json_string_value(json_object_get(key, "crv"));
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *pkey = NULL;
	uint8_t point[65] = { 4 };
	struct buf x, y;

	if (curve == NULL || strcmp(curve, "P-256") != 0)
		return NULL;
	const bool has_x = member_bytes(key, "x", &x);
	const bool has_y = member_bytes(key, "y", &y);
	bld = OSSL_PARAM_BLD_new();
	if (has_x && has_y && x.n == 32 && y.n == 32) {
		memcpy(point + 1, x.p, 32);
		memcpy(point + 33, y.p, 32);
		if (OSSL_PARAM_BLD_push_utf8_string(
			bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
		    OSSL_PARAM_BLD_push_octet_string(bld,
			OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
			pkey = make_pkey("EC", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	buf_release(&x);
	buf_release(&y);
	return pkey;
}

/* Does the key's own "alg" or "use" speak against it? */
static bool
for_signing(const json_t *key, enum algorithm alg)
{
	const char *use = json_string_value(json_object_get(key, "use"));
	const char *its = json_string_value(json_object_get(key, "alg"));

	return (use == NULL || strcmp(use, "sig") == 0) &&
	    (its == NULL || strcmp(its, algorithms[alg]) == 0);
}

static bool
read_key(const json_t *key, struct jwt_key *out)
{
	const char *type = json_string_value(json_object_get(key, "kty"));
	const char *id = json_string_value(json_object_get(key, "kid"));
	bool usable = false;

	*out = (struct jwt_key){ .alg = ALG_RS256 };
	buf_init(&out->secret, KEY_MAX);
	if (type == NULL)
		return false;
	if (strcmp(type, "RSA") == 0 && for_signing(key, ALG_RS256)) {
		out->pkey = read_rsa(key);
		usable = out->pkey != NULL;
	} else if (strcmp(type, "EC") == 0 && for_signing(key, ALG_ES256)) {
		out->alg = ALG_ES256;
		out->pkey = read_ec(key);
		usable = out->pkey != NULL;
	} else if (strcmp(type, "oct") == 0 && for_signing(key, ALG_HS256)) {
		out->alg = ALG_HS256;
		usable = member_bytes(key, "k", &out->secret) &&
		    out->secret.n >= SECRET_MIN;
	}
	if (usable)
		out->id = mem_strdup(id);
	else
		buf_wipe(&out->secret);
	return usable;
}

void
jwt_keys_free(struct jwt_keys **kp)
{
	struct jwt_keys *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->count; i++) {
		EVP_PKEY_free(k->list[i].pkey);
		buf_wipe(&k->list[i].secret);
		mem_free(k->list[i].id);
	}
	mem_free(k);
}

static json_t *
load(struct span json)
{
	return json_loadb((const char *)json.p, json.n,
	    JSON_REJECT_DUPLICATES, NULL);
}

struct jwt_keys *
jwt_keys_parse(struct span json, struct err *e)
{
	struct jwt_keys *k = MEM_NEW(k);
	json_t *root = load(json);
	const json_t *keys = json_object_get(root, "keys");

	for (size_t i = 0; i < json_array_size(keys) && k->count < KEYS_MAX;
	    i++)
		if (read_key(json_array_get(keys, i), &k->list[k->count]))
			k->count++;
	json_decref(root);
	if (k->count == 0) {
		jwt_keys_free(&k);
		err_set(e, ERR_TEMP, "4.3.5", "no usable key in the set");
	}
	return k;
}

/* ---- signatures ---- */

/* r and s one behind the other become ASN.1 (RFC 7518 3.4). */
static bool
ecdsa_to_der(struct span raw, struct buf *out)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	uint8_t *p;
	int n;

	if (raw.n != ES256_SIZE) {
		ECDSA_SIG_free(sig);
		return false;
	}
	BUG_ON(ECDSA_SIG_set0(sig, BN_bin2bn(raw.p, 32, NULL),
		   BN_bin2bn(raw.p + 32, 32, NULL)) != 1);
	n = i2d_ECDSA_SIG(sig, NULL);
	p = n > 0 ? buf_room(out, (size_t)n) : NULL;
	if (p != NULL) {
		i2d_ECDSA_SIG(sig, &p);
		buf_grown(out, (size_t)n);
	}
	ECDSA_SIG_free(sig);
	return p != NULL;
}

static bool
pkey_verifies(EVP_PKEY *pkey, struct span text, struct span signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const bool ok =
	    EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
	    EVP_DigestVerify(
		ctx, signature.p, signature.n, text.p, text.n) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool
verifies(const struct jwt_key *k, struct span text, struct span signature)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct buf der;
	bool ok = false;

	switch (k->alg) {
	case ALG_RS256:
		return pkey_verifies(k->pkey, text, signature);
	case ALG_ES256:
		buf_init(&der, 256);
		ok = ecdsa_to_der(signature, &der) &&
		    pkey_verifies(k->pkey, text, buf_span(&der));
		buf_release(&der);
		return ok;
	case ALG_HS256:
		BUG_ON(HMAC(EVP_sha256(), k->secret.p, (int)k->secret.n,
			   text.p, text.n, mac, &n) == NULL);
		return password_same(span_of(mac, n), signature);
	}
	return false;
}

/* ---- claims ---- */

static bool
has_word(const char *list, const char *word)
{
	struct span rest = span_str(list), one;

	while (word != NULL && span_token(&rest, ", \t", &one))
		if (span_eq(one, span_str(word)))
			return true;
	return false;
}

static bool
audience_fits(const json_t *aud, const char *wanted)
{
	if (json_is_string(aud))
		return has_word(wanted, json_string_value(aud));
	for (size_t i = 0; i < json_array_size(aud); i++)
		if (has_word(wanted,
			json_string_value(json_array_get(aud, i))))
			return true;
	return false;
}

/* Is the word in the scopes: a text of words, or a list of them? */
static bool
scope_has(const json_t *scopes, struct span word)
{
	struct span rest = span_str(json_string_value(scopes)), one;

	while (span_token(&rest, " ", &one))
		if (span_eq(one, word))
			return true;
	for (size_t i = 0; i < json_array_size(scopes); i++)
		if (span_eq(span_str(json_string_value(
				json_array_get(scopes, i))), word))
			return true;
	return false;
}

static bool
scopes_fit(const json_t *claims, const char *wanted)
{
	const json_t *scopes = json_object_get(claims, "scope");
	struct span rest = span_str(wanted), word;

	if (scopes == NULL)
		scopes = json_object_get(claims, "scp");
	while (span_token(&rest, ", \t", &word))
		if (!scope_has(scopes, word))
			return false;
	return true;
}

/* NULL: the times are right. must_end: a token without an end is none. */
static const char *
time_fault(const json_t *claims, int64_t now_s, bool must_end)
{
	const json_t *exp = json_object_get(claims, "exp");
	const json_t *nbf = json_object_get(claims, "nbf");

	if (exp == NULL ? must_end : !json_is_number(exp))
		return "the token has no time of expiry";
	if (exp != NULL &&
	    json_number_value(exp) + SKEW_S <= (double)now_s)
		return "the token has expired";
	if (nbf != NULL && !json_is_number(nbf))
		return "the token has a bad time";
	if (nbf != NULL && json_number_value(nbf) - SKEW_S > (double)now_s)
		return "the token is not valid yet";
	return NULL;
}

static enum jwt_result
check_claims(const json_t *claims, const struct jwt_claims *c, int64_t now_s,
    bool must_end, struct buf *out_user, const char **out_why)
{
	const json_t *user = json_object_get(claims, c->username);

	*out_why = time_fault(claims, now_s, must_end);
	if (*out_why != NULL)
		return JWT_REFUSED;
	*out_why = "the token has another issuer";
	if (c->issuers[0] != '\0' &&
	    !has_word(c->issuers,
		json_string_value(json_object_get(claims, "iss"))))
		return JWT_REFUSED;
	*out_why = "the token is for another audience";
	if (c->audience[0] != '\0' &&
	    !audience_fits(json_object_get(claims, "aud"), c->audience))
		return JWT_REFUSED;
	*out_why = "the token names no user";
	if (!json_is_string(user) || json_string_length(user) == 0)
		return JWT_REFUSED;
	*out_why = "the token's scope is too small";
	if (!scopes_fit(claims, c->scope))
		return JWT_SCOPE;
	buf_add(out_user, span_of(json_string_value(user),
			      json_string_length(user)));
	*out_why = "the token's user name is too long";
	return buf_ok(out_user) ? JWT_OK : JWT_REFUSED;
}

/* ---- tokens ---- */

struct parts {
	struct span signed_text;
	struct buf header, claims, signature;
};

/* header.claims.signature, each in base 64 */
static bool
take_apart(struct span token, struct parts *out)
{
	const size_t first = span_chr(token, '.');
	const size_t last = span_rchr(token, '.');

	if (first == SIZE_MAX || first == last || token.n > TOKEN_MAX)
		return false;
	out->signed_text = span_slice(token, 0, last);
	return decode(span_slice(token, 0, first), &out->header) &&
	    decode(span_slice(token, first + 1, last), &out->claims) &&
	    decode(span_skip(token, last + 1), &out->signature);
}

/* A key that the header may mean: of its algorithm, and of its id if both
 * have one. */
static bool
may_be(const struct jwt_key *k, const char *alg, const char *id)
{
	return alg != NULL && strcmp(alg, algorithms[k->alg]) == 0 &&
	    (id == NULL || k->id == NULL || strcmp(id, k->id) == 0);
}

/* OK: the signature is right. */
static enum jwt_result
check_signature(const struct jwt_keys *k, const json_t *header,
    const struct parts *p, const char **out_why)
{
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const char *id = json_string_value(json_object_get(header, "kid"));
	bool any = false;

	/* RFC 7515 4.1.11: what must be understood is not. */
	*out_why = "the token has unknown critical fields";
	if (json_object_get(header, "crit") != NULL)
		return JWT_REFUSED;
	for (size_t i = 0; i < k->count; i++) {
		if (!may_be(&k->list[i], alg, id))
			continue;
		any = true;
		if (verifies(&k->list[i], p->signed_text,
			buf_span(&p->signature)))
			return JWT_OK;
	}
	*out_why = any ? "the token's signature is wrong" :
			 "the token is of none of our keys";
	return any ? JWT_REFUSED : JWT_NONE;
}

enum jwt_result
jwt_check(const struct jwt_keys *k, struct span token,
    const struct jwt_claims *c, int64_t now_s, struct buf *out_user,
    const char **out_why)
{
	enum jwt_result r = JWT_NONE;
	json_t *header = NULL, *claims = NULL;
	struct parts p;

	buf_init(&p.header, TOKEN_MAX);
	buf_init(&p.claims, TOKEN_MAX);
	buf_init(&p.signature, TOKEN_MAX);
	*out_why = "not a JSON web token";
	if (take_apart(token, &p)) {
		header = load(buf_span(&p.header));
		claims = load(buf_span(&p.claims));
	}
	if (json_is_object(header) && json_is_object(claims)) {
		r = check_signature(k, header, &p, out_why);
		if (r == JWT_OK)
			r = check_claims(
			    claims, c, now_s, true, out_user, out_why);
	}
	json_decref(header);
	json_decref(claims);
	buf_wipe(&p.header);
	buf_wipe(&p.claims);
	buf_wipe(&p.signature);
	return r;
}

enum jwt_result
jwt_check_answer(struct span json, const struct jwt_claims *c, int64_t now_s,
    struct buf *out_user, const char **out_why)
{
	json_t *root = load(json);
	enum jwt_result r = JWT_NONE;

	*out_why = "the introspection's answer is not understood";
	if (json_is_boolean(json_object_get(root, "active"))) {
		*out_why = "the token is not active";
		r = !json_is_true(json_object_get(root, "active")) ?
		    JWT_REFUSED :
		    check_claims(root, c, now_s, false, out_user, out_why);
	}
	json_decref(root);
	return r;
}
