/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_tickets.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/base/mem.h"
#include "lib/os/tls_ssl.h"

enum { NAME = 16, SECRET = 32, IV = 16 };

struct ticket_key {
	uint8_t name[NAME], cipher[SECRET], mac[SECRET];
};

_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY_SIZE,
    "keys travel as they are");

/* One a process: see the header. */
static struct ticket_key keys[TLS_TICKET_KEYS_MAX];
static size_t key_count;
static EVP_CIPHER *cipher; /* fetched once: that costs more than its use */

bool
tls_tickets_set(struct span bytes)
{
	if (bytes.n % sizeof(keys[0]) != 0 || bytes.n > sizeof(keys))
		return false;
	OPENSSL_cleanse(keys, sizeof(keys));
	if (bytes.n > 0)
		memcpy(keys, bytes.p, bytes.n);
	key_count = bytes.n / sizeof(keys[0]);
	return true;
}

int
tls_tickets_cipher(const char *name, struct err *e)
{
	EVP_CIPHER *found = EVP_CIPHER_fetch(NULL, name, NULL);

	ERR_clear_error();
	if (found == NULL || EVP_CIPHER_get_mode(found) != EVP_CIPH_CBC_MODE ||
	    EVP_CIPHER_get_iv_length(found) != IV ||
	    EVP_CIPHER_get_key_length(found) < 16 ||
	    EVP_CIPHER_get_key_length(found) > SECRET) {
		EVP_CIPHER_free(found);
		return err_set(e, ERR_PERM, "5.3.5",
		    "no cipher for session tickets: %s", name);
	}
	EVP_CIPHER_free(cipher);
	cipher = found;
	return 0;
}

static bool
set_mac(EVP_MAC_CTX *ctx, const struct ticket_key *key)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
		    OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_init(ctx, key->mac, SECRET, params) == 1;
}

static const struct ticket_key *
key_by_name(const uint8_t name[NAME])
{
	for (size_t i = 0; i < key_count; i++)
		if (memcmp(keys[i].name, name, NAME) == 0)
			return &keys[i];
	return NULL;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb wants it: 1 made or read, 2 read
 * and to be renewed, 0 no ticket, -1 failed. */
int
tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *ctx, EVP_MAC_CTX *mac, int making)
{
	const struct ticket_key *key;

	if (cipher == NULL && tls_tickets_cipher("AES-256-CBC", NULL) != 0)
		return -1;
	key = making ? (key_count > 0 ? &keys[0] : NULL) : key_by_name(name);
	if (key == NULL)
		return 0;
	if (making) {
		memcpy(name, key->name, NAME);
		if (RAND_bytes(iv, IV) != 1)
			return -1;
	}
	if (EVP_CipherInit_ex2(ctx, cipher, key->cipher, iv, making, NULL) !=
		1 ||
	    !set_mac(mac, key))
		return -1;
	/* Clients of TLS 1.3 use a ticket once (RFC 8446 C.4). */
	return SSL_version(ssl) >= TLS1_3_VERSION ||
		       key == &keys[TLS_TICKET_KEYS_MAX - 1]
		   ? 2
		   : 1;
}
