/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The hash function as such is what is wanted here, without the look-ups. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/bench/lean_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

enum {
	HASH = SHA384_DIGEST_LENGTH,
	BLOCK = SHA512_CBLOCK,
	KEY = 32,
	IV = 12,
	TAG = 16,
	SHARE = 32,
	HEAD = 5, /* of a record */
	RECORD_MAX = 16384 + 256 + HEAD,
	FLIGHT_MAX = 32768,
	SAY_MAX = 8192,
	TYPE_ALERT = 21,
	TYPE_HANDSHAKE = 22,
	TYPE_DATA = 23,
	TYPE_CCS = 20,
	SERVER_HELLO = 2,
	FINISHED = 20,
};

struct half {
	EVP_CIPHER_CTX *ctx;
	uint8_t iv[IV];
	uint64_t records;
};

struct lean_tls {
	bool keyed;
	SHA512_CTX transcript;
	uint8_t client_secret[HASH], server_secret[HASH], master[HASH];
	struct half in, out;
	uint8_t raw[2 * RECORD_MAX]; /* as received */
	size_t raw_n;
	uint8_t flight[FLIGHT_MAX]; /* handshake messages, in clear */
	size_t flight_n;
	uint8_t say[SAY_MAX + 2 * (HEAD + TAG + 1) + HASH + 4];
};

static EVP_CIPHER *cipher;
static EVP_PKEY_CTX *derivation;
static uint8_t hello[512];
static size_t hello_n;
static uint8_t empty_hash[HASH], early_derived[HASH];

static void
must(bool ok)
{
	if (ok)
		return;
	fputs("load: TLS\n", stderr);
	exit(2);
}

/* ---- hashes (RFC 5869, RFC 8446 7.1) ---- */

static void
hmac(const uint8_t key[HASH], const void *p, size_t n, uint8_t out[HASH])
{
	uint8_t pad[BLOCK], inner[HASH];
	SHA512_CTX c;

	memset(pad, 0x36, sizeof(pad));
	for (int i = 0; i < HASH; i++)
		pad[i] ^= key[i];
	SHA384_Init(&c);
	SHA384_Update(&c, pad, sizeof(pad));
	SHA384_Update(&c, p, n);
	SHA384_Final(inner, &c);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA384_Init(&c);
	SHA384_Update(&c, pad, sizeof(pad));
	SHA384_Update(&c, inner, HASH);
	SHA384_Final(out, &c);
}

/* HKDF-Expand-Label, for at most one block. */
static void
expand(const uint8_t secret[HASH], const char *label, const uint8_t *context,
    size_t context_n, uint8_t *out, size_t n)
{
	const size_t label_n = strlen(label);
	uint8_t info[128], block[HASH];
	size_t at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)n;
	info[at++] = (uint8_t)(6 + label_n);
	memcpy(info + at, "tls13 ", 6);
	at += 6;
	memcpy(info + at, label, label_n);
	at += label_n;
	info[at++] = (uint8_t)context_n;
	if (context_n > 0)
		memcpy(info + at, context, context_n);
	at += context_n;
	info[at++] = 1;
	hmac(secret, info, at, block);
	memcpy(out, block, n);
}

static void
said_so_far(const struct lean_tls *t, uint8_t out[HASH])
{
	SHA512_CTX c = t->transcript;

	SHA384_Final(out, &c);
}

static void
set_keys(struct half *h, const uint8_t secret[HASH], bool writing)
{
	uint8_t key[KEY];

	expand(secret, "key", NULL, 0, key, KEY);
	expand(secret, "iv", NULL, 0, h->iv, IV);
	h->records = 0;
	must(EVP_CipherInit_ex2(
		 h->ctx, cipher, key, h->iv, writing, NULL) == 1);
}

/* ---- records (RFC 8446 5.2) ---- */

static void
begin_record(struct half *h, const uint8_t head[HEAD])
{
	uint8_t nonce[IV];
	int n;

	memcpy(nonce, h->iv, IV);
	for (int i = 0; i < 8; i++)
		nonce[IV - 1 - i] ^= (uint8_t)(h->records >> (8 * i));
	h->records++;
	must(EVP_CipherInit_ex2(h->ctx, NULL, NULL, nonce, -1, NULL) == 1 &&
	    EVP_CipherUpdate(h->ctx, NULL, &n, head, HEAD) == 1);
}

static size_t
seal(struct half *h, uint8_t type, const void *p, size_t n, uint8_t *out)
{
	const size_t body = n + 1 + TAG;
	const uint8_t head[HEAD] = { TYPE_DATA, 3, 3, (uint8_t)(body >> 8),
		(uint8_t)body };
	int done, last;

	memcpy(out, head, HEAD);
	begin_record(h, head);
	must(EVP_CipherUpdate(h->ctx, out + HEAD, &done, p, (int)n) == 1 &&
	    EVP_CipherUpdate(h->ctx, out + HEAD + n, &last, &type, 1) == 1 &&
	    EVP_CipherFinal_ex(h->ctx, out + HEAD + n + 1, &last) == 1 &&
	    EVP_CIPHER_CTX_ctrl(h->ctx, EVP_CTRL_AEAD_GET_TAG, TAG,
		out + HEAD + n + 1) == 1);
	return HEAD + body;
}

/* In place; the type within, or 0. */
static uint8_t
unseal(struct half *h, const uint8_t *head, uint8_t *body, size_t n,
    size_t *out_n)
{
	int done, last;

	if (n < TAG + 1)
		return 0;
	n -= TAG;
	begin_record(h, head);
	if (EVP_CipherUpdate(h->ctx, body, &done, body, (int)n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(
		h->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, body + n) != 1 ||
	    EVP_CipherFinal_ex(h->ctx, body + n, &last) != 1)
		return 0;
	while (n > 0 && body[n - 1] == 0)
		n--;
	*out_n = n > 0 ? n - 1 : 0;
	return n > 0 ? body[n - 1] : 0;
}

/* The next whole record: its type (as it is within); body lies in t->raw. */
static enum lean
next_record(struct lean_tls *t, uint8_t *out_type, uint8_t **out_body,
    size_t *out_n, size_t *out_used)
{
	uint8_t *r = t->raw;
	size_t n;

	if (t->raw_n < HEAD)
		return LEAN_MORE;
	n = (size_t)r[3] << 8 | r[4];
	if (n > RECORD_MAX - HEAD)
		return LEAN_BAD;
	if (t->raw_n < HEAD + n)
		return LEAN_MORE;
	*out_type = r[0];
	*out_body = r + HEAD;
	*out_n = n;
	*out_used = HEAD + n;
	if (r[0] == TYPE_DATA && t->keyed)
		*out_type = unseal(&t->in, r, r + HEAD, n, out_n);
	return LEAN_OK;
}

static void
drop_record(struct lean_tls *t, size_t used)
{
	t->raw_n -= used;
	memmove(t->raw, t->raw + used, t->raw_n);
}

/* ---- the handshake ---- */

/* Where X25519's share stands in a server's hello; NULL: it is no such. */
static const uint8_t *
share_of(const uint8_t *m, size_t n)
{
	static const uint8_t suite[] = { 0x13, 0x02, 0 };
	static const uint8_t entry[] = { 0, 0x33, 0, 36, 0, 0x1d, 0, SHARE };
	size_t at = 4 + 2 + 32;

	if (n < at + 1 || m[0] != SERVER_HELLO)
		return NULL;
	at += 1 + (size_t)m[at];
	if (n < at + 5 || memcmp(m + at, suite, 3) != 0)
		return NULL;
	at += 5;
	while (at + 4 <= n) {
		const size_t size = 4 + ((size_t)m[at + 2] << 8 | m[at + 3]);

		if (at + size > n)
			return NULL;
		if (size == 4 + 36 &&
		    memcmp(m + at, entry, sizeof(entry)) == 0)
			return m + at + sizeof(entry);
		at += size;
	}
	return NULL;
}

static bool
agree(struct lean_tls *t, const uint8_t *share)
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_X25519, NULL, share, SHARE);
	uint8_t shared[SHARE], secret[HASH], derived[HASH], said[HASH];
	static const uint8_t zeros[HASH];
	size_t n = sizeof(shared);
	const bool ok = peer != NULL &&
	    EVP_PKEY_derive_set_peer_ex(derivation, peer, 0) == 1 &&
	    EVP_PKEY_derive(derivation, shared, &n) == 1;

	EVP_PKEY_free(peer);
	if (!ok)
		return false;
	said_so_far(t, said);
	hmac(early_derived, shared, SHARE, secret);
	expand(secret, "c hs traffic", said, HASH, t->client_secret, HASH);
	expand(secret, "s hs traffic", said, HASH, t->server_secret, HASH);
	expand(secret, "derived", empty_hash, HASH, derived, HASH);
	hmac(derived, zeros, HASH, t->master);
	set_keys(&t->in, t->server_secret, false);
	set_keys(&t->out, t->client_secret, true);
	t->keyed = true;
	return true;
}

static void
finished(const uint8_t secret[HASH], const uint8_t said[HASH],
    uint8_t out[HASH])
{
	uint8_t key[HASH];

	expand(secret, "finished", NULL, 0, key, HASH);
	hmac(key, said, HASH, out);
}

/* Ours, and from then on the keys are those of the connection. */
static size_t
answer(struct lean_tls *t)
{
	uint8_t said[HASH], secret[HASH], m[4 + HASH] = { FINISHED, 0, 0,
		HASH };
	size_t n;

	said_so_far(t, said);
	finished(t->client_secret, said, m + 4);
	n = seal(&t->out, TYPE_HANDSHAKE, m, sizeof(m), t->say);
	expand(t->master, "s ap traffic", said, HASH, secret, HASH);
	set_keys(&t->in, secret, false);
	expand(t->master, "c ap traffic", said, HASH, secret, HASH);
	set_keys(&t->out, secret, true);
	return n;
}

/* One message of the server's flight; LEAN_OK: it was the last. */
static enum lean
take_message(struct lean_tls *t, const uint8_t *m, size_t n)
{
	uint8_t said[HASH], wanted[HASH];
	const uint8_t *share;
	const bool last = m[0] == FINISHED;

	if (last)
		said_so_far(t, said);
	SHA384_Update(&t->transcript, m, n);
	if (!t->keyed) {
		share = share_of(m, n);
		return share != NULL && agree(t, share) ? LEAN_MORE
							: LEAN_BAD;
	}
	if (!last)
		return LEAN_MORE;
	finished(t->server_secret, said, wanted);
	return n == 4 + HASH && CRYPTO_memcmp(wanted, m + 4, HASH) == 0
	    ? LEAN_OK
	    : LEAN_BAD;
}

static enum lean
take_flight(struct lean_tls *t)
{
	size_t at = 0;
	enum lean r = LEAN_MORE;

	while (r == LEAN_MORE && t->flight_n - at >= 4) {
		const uint8_t *m = t->flight + at;
		const size_t n =
		    4 + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);

		if (n > FLIGHT_MAX)
			return LEAN_BAD;
		if (t->flight_n - at < n)
			break;
		r = take_message(t, m, n);
		at += n;
	}
	t->flight_n -= at;
	memmove(t->flight, t->flight + at, t->flight_n);
	return r;
}

enum lean
lean_tls_handshake(struct lean_tls *t, const uint8_t **out, size_t *out_n)
{
	size_t n, used;
	uint8_t type, *body;
	enum lean r;

	while ((r = next_record(t, &type, &body, &n, &used)) == LEAN_OK) {
		if (type == TYPE_HANDSHAKE && t->flight_n + n <= FLIGHT_MAX) {
			memcpy(t->flight + t->flight_n, body, n);
			t->flight_n += n;
		} else if (type != TYPE_CCS) {
			return LEAN_BAD;
		}
		drop_record(t, used);
		r = take_flight(t);
		if (r == LEAN_OK) {
			*out_n = answer(t);
			*out = t->say;
		}
		if (r != LEAN_MORE)
			return r;
	}
	return r;
}

/* ---- what is said under it ---- */

bool
lean_tls_feed(struct lean_tls *t, const void *p, size_t n)
{
	if (n > sizeof(t->raw) - t->raw_n)
		return false;
	memcpy(t->raw + t->raw_n, p, n);
	t->raw_n += n;
	return true;
}

const uint8_t *
lean_tls_seal(struct lean_tls *t, const void *p, size_t n, size_t *out_n)
{
	must(n <= SAY_MAX);
	*out_n = seal(&t->out, TYPE_DATA, p, n, t->say);
	return t->say;
}

enum lean
lean_tls_open(struct lean_tls *t, char *to, size_t room, size_t *out_n)
{
	size_t n, used;
	uint8_t type, *body;
	enum lean r;

	while ((r = next_record(t, &type, &body, &n, &used)) == LEAN_OK) {
		if (type == TYPE_DATA && n <= room) {
			memcpy(to, body, n);
			*out_n = n;
			drop_record(t, used);
			return LEAN_OK;
		}
		if (type != TYPE_HANDSHAKE) /* a ticket */
			return LEAN_BAD;
		drop_record(t, used);
	}
	return r;
}

/* ---- beginning ---- */

static void
add(const void *p, size_t n)
{
	must(hello_n + n <= sizeof(hello));
	memcpy(hello + hello_n, p, n);
	hello_n += n;
}

static void
put16(size_t at, size_t value)
{
	hello[at] = (uint8_t)(value >> 8);
	hello[at + 1] = (uint8_t)value;
}

/* All but the random bytes stays the same. */
static void
make_hello(bool rsa, const uint8_t share[SHARE])
{
	static const uint8_t head[] = { TYPE_HANDSHAKE, 3, 1, 0, 0, /* record */
		1, 0, 0, 0, 3, 3 };
	static const uint8_t zeros[33]; /* random, no session id */
	static const uint8_t suites[] = { 0, 2, 0x13, 0x02, 1, 0 };
	static const uint8_t versions[] = { 0, 43, 0, 3, 2, 3, 4 };
	static const uint8_t groups[] = { 0, 10, 0, 4, 0, 2, 0, 0x1d };
	static const uint8_t tickets[] = { 0, 45, 0, 2, 1, 1 };
	const uint8_t signatures[] = { 0, 13, 0, 4, 0, 2, rsa ? 8 : 4,
		rsa ? 4 : 3 };
	static const uint8_t shares[] = { 0, 51, 0, 38, 0, 36, 0, 0x1d, 0,
		SHARE };
	size_t extensions;

	hello_n = 0;
	add(head, sizeof(head));
	add(zeros, sizeof(zeros));
	add(suites, sizeof(suites));
	extensions = hello_n;
	add(zeros, 2);
	add(versions, sizeof(versions));
	add(groups, sizeof(groups));
	add(signatures, sizeof(signatures));
	add(tickets, sizeof(tickets));
	add(shares, sizeof(shares));
	add(share, SHARE);
	put16(extensions, hello_n - extensions - 2);
	put16(3, hello_n - HEAD);
	put16(HEAD + 2, hello_n - HEAD - 4);
}

void
lean_tls_setup(bool rsa)
{
	EVP_PKEY *own = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	static const uint8_t zeros[HASH];
	uint8_t share[SHARE], early[HASH];
	size_t n = SHARE;

	cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	must(cipher != NULL && own != NULL &&
	    EVP_PKEY_get_raw_public_key(own, share, &n) == 1);
	derivation = EVP_PKEY_CTX_new(own, NULL);
	must(derivation != NULL && EVP_PKEY_derive_init(derivation) == 1);
	EVP_PKEY_free(own);
	make_hello(rsa, share);
	SHA384((const uint8_t *)"", 0, empty_hash);
	hmac(zeros, zeros, HASH, early);
	expand(early, "derived", empty_hash, HASH, early_derived, HASH);
}

struct lean_tls *
lean_tls_new(void)
{
	struct lean_tls *t = calloc(1, sizeof(*t));

	must(t != NULL);
	t->in.ctx = EVP_CIPHER_CTX_new();
	t->out.ctx = EVP_CIPHER_CTX_new();
	must(t->in.ctx != NULL && t->out.ctx != NULL);
	return t;
}

const uint8_t *
lean_tls_begin(struct lean_tls *t, size_t *out_n)
{
	t->keyed = false;
	t->raw_n = t->flight_n = 0;
	memcpy(t->say, hello, hello_n);
	must(RAND_bytes(t->say + HEAD + 6, 32) == 1);
	SHA384_Init(&t->transcript);
	SHA384_Update(&t->transcript, t->say + HEAD, hello_n - HEAD);
	*out_n = hello_n;
	return t->say;
}
