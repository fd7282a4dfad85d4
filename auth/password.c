/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/proto/base64.h"

const char password_dummy[] =
    "$6$chappechappechap$"
    "................................................................."
    ".....................";

enum { SCHEME_CRYPT = 0 };
static const struct {
	const char *name;
	enum password_kind kind;
	const char *digest;
	bool salted;
} schemes[] = {
	[SCHEME_CRYPT] = { "CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "PLAIN", PASSWORD_PLAIN, NULL, false },
	{ "CLEARTEXT", PASSWORD_PLAIN, NULL, false },
	{ "SSHA256", PASSWORD_DIGEST, "SHA256", true },
	{ "SSHA512", PASSWORD_DIGEST, "SHA512", true },
	{ "SHA256", PASSWORD_DIGEST, "SHA256", false },
	{ "SHA512", PASSWORD_DIGEST, "SHA512", false },
	{ "SHA512-CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "SHA256-CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "BLF-CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "YESCRYPT", PASSWORD_CRYPT, NULL, false },
	{ "MD5-CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "DES-CRYPT", PASSWORD_CRYPT, NULL, false },
	{ "SCRAM-SHA-1", PASSWORD_SCRAM, NULL, false },
	{ "SCRAM-SHA-256", PASSWORD_SCRAM, NULL, false },
};

/* Index of the scheme; -1 unknown. */
static int
find_scheme(const char *stored, const char **out_text)
{
	const char *end = stored[0] == '{' ? strchr(stored, '}') : NULL;

	if (end == NULL) {
		*out_text = stored;
		return SCHEME_CRYPT;
	}
	*out_text = end + 1;
	const struct span name =
	    span_of(stored + 1, (size_t)(end - stored - 1));
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (span_ieq(name, span_str(schemes[i].name)))
			return (int)i;
	return -1;
}

enum password_kind
password_kind(const char *stored, const char **out_text)
{
	const int i = find_scheme(stored, out_text);

	return i < 0 ? PASSWORD_UNKNOWN : schemes[i].kind;
}

bool
password_same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

/* base64(digest(password salt) salt) */
static bool
digest_matches(
    const char *name, bool salted, struct span text, struct span password)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	struct buf bytes;
	bool match = false;

	buf_init(&bytes, 1024);
	const EVP_MD *md = EVP_get_digestbyname(name);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	BUG_ON(md == NULL || ctx == NULL);
	const size_t n = (size_t)EVP_MD_get_size(md);
	if (base64_decode(text, &bytes) && bytes.n >= n &&
	    salted == (bytes.n > n)) {
		const struct span all = buf_span(&bytes);
		const struct span salt = span_skip(all, n);
		BUG_ON(EVP_DigestInit_ex(ctx, md, NULL) != 1 ||
		       EVP_DigestUpdate(ctx, password.p, password.n) != 1 ||
		       EVP_DigestUpdate(ctx, salt.p, salt.n) != 1 ||
		       EVP_DigestFinal_ex(ctx, got, &size) != 1);
		match =
		    password_same(span_slice(all, 0, n), span_of(got, size));
	}
	EVP_MD_CTX_free(ctx);
	buf_release(&bytes);
	return match;
}

bool
password_matches(const char *stored, struct span password)
{
	const char *text;
	const int i = find_scheme(stored, &text);

	BUG_ON(i < 0);
	if (schemes[i].kind == PASSWORD_PLAIN)
		return password_same(span_str(text), password);
	BUG_ON(schemes[i].kind != PASSWORD_DIGEST);
	return digest_matches(
	    schemes[i].digest, schemes[i].salted, span_str(text), password);
}

bool
password_crypt_matches(const char *hash, const char *password)
{
	struct crypt_data *data = MEM_NEW(data);

	/* NULL is its failure; an empty hash lets nobody in. */
	const char *got = crypt_rn(password, hash, data, (int)sizeof(*data));
	const bool match = got != NULL && hash[0] != '\0' &&
			   password_same(span_str(got), span_str(hash));
	explicit_bzero(data, sizeof(*data));
	mem_free(data);
	return match;
}

static bool
scram_matches(const char *stored, const char *password, struct scram_key *last)
{
	struct scram_key k;

	if (!scram_key_parse(span_str(stored), &k))
		return false;
	if (last->hash == SASL_HASH_NONE || !scram_key_same_salt(last, &k))
		scram_key_derive(k.hash, span_str(password),
		    span_of(k.salt, k.salt_n), k.iterations, last);
	return scram_key_same(last, &k);
}

bool
password_slow_matches(
    const char *stored, const char *password, struct scram_key *last)
{
	const char *text;

	switch (password_kind(stored, &text)) {
	case PASSWORD_CRYPT:
		return password_crypt_matches(text, password);
	case PASSWORD_SCRAM:
		return scram_matches(stored, password, last);
	case PASSWORD_PLAIN:
	case PASSWORD_DIGEST:
	case PASSWORD_UNKNOWN:
		break;
	}
	return false;
}
