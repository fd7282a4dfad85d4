/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/scram_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/mem.h"
#include "lib/proto/base64.h"
#include "lib/proto/saslprep.h"

static const struct {
	enum sasl_hash hash;
	const char *scheme;
} schemes[] = {
	{ SASL_HASH_SHA256, "{SCRAM-SHA-256}" },
	{ SASL_HASH_SHA1, "{SCRAM-SHA-1}" },
};

size_t
scram_hash_size(enum sasl_hash hash)
{
	return hash == SASL_HASH_SHA1 ? 20 : 32;
}

static const EVP_MD *
digest(enum sasl_hash hash)
{
	BUG_ON(hash == SASL_HASH_NONE);
	return hash == SASL_HASH_SHA1 ? EVP_sha1() : EVP_sha256();
}

static void
make_mac(enum sasl_hash hash, const uint8_t *key, struct span text,
    uint8_t *out)
{
	uint8_t store[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	BUG_ON(HMAC(digest(hash), key, (int)scram_hash_size(hash), text.p,
		   text.n, store, &n) == NULL ||
	    n != scram_hash_size(hash));
	memcpy(out, store, n);
	explicit_bzero(store, sizeof(store));
}

static void
make_hash(enum sasl_hash hash, const uint8_t *in, uint8_t *out)
{
	unsigned n = 0;

	BUG_ON(EVP_Digest(in, scram_hash_size(hash), out, &n, digest(hash),
		   NULL) != 1);
}

void
scram_key_derive(enum sasl_hash hash, struct span password, struct span salt,
    unsigned iterations, struct scram_key *out)
{
	const size_t size = scram_hash_size(hash);
	uint8_t salted[SCRAM_HASH_MAX], client[SCRAM_HASH_MAX];
	struct scram_key k = { .hash = hash,
		.iterations = iterations,
		.salt_n = salt.n };
	struct buf prepared;

	BUG_ON(salt.n == 0 || salt.n > SCRAM_SALT_MAX);
	buf_init(&prepared, SASL_PASSWORD_MAX);
	if (!saslprep(password, &prepared)) {
		buf_reset(&prepared);
		buf_add(&prepared, password);
	}
	memcpy(k.salt, salt.p, salt.n);
	BUG_ON(PKCS5_PBKDF2_HMAC(
		   buf_cstr(&prepared), (int)prepared.n, salt.p, (int)salt.n,
		   (int)iterations, digest(hash), (int)size, salted) != 1);
	make_mac(hash, salted, SPAN("Client Key"), client);
	make_hash(hash, client, k.stored);
	make_mac(hash, salted, SPAN("Server Key"), k.server);
	*out = k;
	explicit_bzero(&k, sizeof(k));
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	buf_wipe(&prepared);
}

/* ---- as text ---- */

static bool
take(struct span *rest, struct span *out)
{
	const size_t comma = span_chr(*rest, ',');

	*out = span_slice(*rest, 0, comma);
	*rest = comma == SIZE_MAX ? SPAN_EMPTY : span_skip(*rest, comma + 1);
	return out->n > 0;
}

/* base 64 of min to max bytes. */
static bool
take_bytes(struct span *rest, size_t min, size_t max, uint8_t *out,
    size_t *out_n)
{
	struct span text;
	struct buf raw;
	bool ok;

	buf_init(&raw, max);
	ok = take(rest, &text) && base64_decode(text, &raw) && raw.n >= min;
	if (ok) {
		memcpy(out, raw.p, raw.n);
		*out_n = raw.n;
	}
	buf_release(&raw);
	return ok;
}

bool
scram_key_parse(struct span text, struct scram_key *out)
{
	struct scram_key k = { .hash = SASL_HASH_NONE };
	struct span number;
	uint64_t count;
	size_t n;

	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (span_istarts(text, span_str(schemes[i].scheme))) {
			k.hash = schemes[i].hash;
			text = span_skip(text, strlen(schemes[i].scheme));
			break;
		}
	if (k.hash == SASL_HASH_NONE)
		return false;
	const size_t size = scram_hash_size(k.hash);
	if (!take(&text, &number) ||
	    !span_u64(number, SCRAM_ITERATIONS_MAX, &count) ||
	    count < SCRAM_ITERATIONS_MIN ||
	    !take_bytes(&text, 1, SCRAM_SALT_MAX, k.salt, &k.salt_n) ||
	    !take_bytes(&text, size, size, k.stored, &n) ||
	    !take_bytes(&text, size, size, k.server, &n) || text.n > 0)
		return false;
	k.iterations = (unsigned)count;
	*out = k;
	return true;
}

void
scram_key_print(const struct scram_key *k, struct buf *out)
{
	const size_t size = scram_hash_size(k->hash);

	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (schemes[i].hash == k->hash)
			buf_str(out, schemes[i].scheme);
	buf_fmt(out, "%u,", k->iterations);
	base64_encode(span_of(k->salt, k->salt_n), out);
	buf_byte(out, ',');
	base64_encode(span_of(k->stored, size), out);
	buf_byte(out, ',');
	base64_encode(span_of(k->server, size), out);
}

/* ---- proofs ---- */

bool
scram_key_check(const struct scram_key *k, struct span message,
    struct span proof, uint8_t out_signature[SCRAM_HASH_MAX])
{
	const size_t size = scram_hash_size(k->hash);
	uint8_t client[SCRAM_HASH_MAX], hashed[EVP_MAX_MD_SIZE];
	bool match;

	if (proof.n != size)
		return false;
	make_mac(k->hash, k->stored, message, client);
	for (size_t i = 0; i < size; i++)
		client[i] ^= proof.p[i];
	make_hash(k->hash, client, hashed);
	match = CRYPTO_memcmp(hashed, k->stored, size) == 0;
	if (match)
		make_mac(k->hash, k->server, message, out_signature);
	explicit_bzero(client, sizeof(client));
	return match;
}

bool
scram_key_same_salt(const struct scram_key *a, const struct scram_key *b)
{
	return a->hash == b->hash && a->iterations == b->iterations &&
	    span_eq(span_of(a->salt, a->salt_n), span_of(b->salt, b->salt_n));
}

bool
scram_key_same(const struct scram_key *a, const struct scram_key *b)
{
	return CRYPTO_memcmp(
		   a->stored, b->stored, scram_hash_size(a->hash)) == 0;
}
