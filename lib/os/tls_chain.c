/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_ssl.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/base/mem.h"

enum { KEYS_MAX = 8 };

struct chain {
	EVP_PKEY *key;
	X509 *cert;
	STACK_OF(X509) * more; /* towards the root */
};

struct tls_chains {
	struct chain one[KEYS_MAX];
	size_t count;
};

static BIO *
memory_bio(struct span s)
{
	BIO *bio = BIO_new_mem_buf(s.n > 0 ? (const void *)s.p : "", (int)s.n);

	BUG_ON(bio == NULL);
	return bio;
}

/* ---- PEM ---- */
struct block {
	char *name, *header;
	unsigned char *bytes;
	long n;
};

static void
block_free(struct block *b)
{
	OPENSSL_free(b->name);
	OPENSSL_free(b->header);
	OPENSSL_clear_free(b->bytes, (size_t)b->n);
	*b = (struct block){ 0 };
}

static bool
block_next(BIO *bio, struct block *out)
{
	block_free(out);
	return PEM_read_bio(
		   bio, &out->name, &out->header, &out->bytes, &out->n) == 1;
}

static bool
ends_with(const char *s, const char *end)
{
	const size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static bool
is_certificate(const struct block *b)
{
	/* "X509 CERTIFICATE", "TRUSTED CERTIFICATE" too */
	return ends_with(b->name, "CERTIFICATE");
}

static bool
is_key(const struct block *b)
{
	return ends_with(b->name, "PRIVATE KEY");
}

static X509 *
certificate_of(const struct block *b)
{
	const unsigned char *p = b->bytes;

	return strncmp(b->name, "TRUSTED", 7) == 0
		   ? d2i_X509_AUX(NULL, &p, b->n)
		   : d2i_X509(NULL, &p, b->n);
}

/* ---- chains ---- */
static int
add_key(struct tls_chains *c, const struct block *b, struct err *e)
{
	const unsigned char *p = b->bytes;
	EVP_PKEY *key;

	/* One with a pass phrase we can't use: nobody is there to ask. */
	if (strncmp(b->name, "ENCRYPTED", 9) == 0 ||
	    strstr(b->header, "ENCRYPTED") != NULL)
		return err_set(
		    e, ERR_TEMP, "4.7.5", "the private key is encrypted");
	if (c->count == KEYS_MAX)
		return err_set(e, ERR_TEMP, "4.7.5",
		    "more than %d private keys", KEYS_MAX);
	key = d2i_AutoPrivateKey(NULL, &p, b->n);
	if (key == NULL)
		return tls_ssl_err(e, "private key");
	c->one[c->count++].key = key;
	return 0;
}

static int
read_keys(struct tls_chains *c, struct span pem, struct err *e)
{
	BIO *bio = memory_bio(pem);
	struct block b = { 0 };
	int ret = 0;

	while (ret == 0 && block_next(bio, &b))
		if (is_key(&b))
			ret = add_key(c, &b, e);
	block_free(&b);
	BIO_free(bio);
	ERR_clear_error();
	if (ret == 0 && c->count == 0)
		return err_set(
		    e, ERR_TEMP, "4.7.5", "no usable private key found");
	return ret;
}

/* The chain that the certificate begins, or NULL. */
static struct chain *
owner_of(struct tls_chains *c, X509 *cert)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->one[i].cert == NULL &&
		    X509_check_private_key(cert, c->one[i].key) == 1)
			return &c->one[i];
	return NULL;
}

/* Takes over cert. at: the chain that is being read. */
static void
add_certificate(struct tls_chains *c, X509 *cert, struct chain **at)
{
	struct chain *owner = owner_of(c, cert);

	if (owner != NULL) {
		owner->cert = cert;
		owner->more = sk_X509_new_null();
		BUG_ON(owner->more == NULL);
		*at = owner;
	} else if (*at != NULL) {
		BUG_ON(sk_X509_push((*at)->more, cert) == 0);
	} else {
		X509_free(cert);
	}
}

static int
read_certificates(struct tls_chains *c, struct span pem, struct err *e)
{
	BIO *bio = memory_bio(pem);
	struct chain *at = NULL;
	struct block b = { 0 };
	size_t count = 0;
	bool bad = false;

	while (!bad && block_next(bio, &b)) {
		X509 *cert;

		if (!is_certificate(&b))
			continue;
		cert = certificate_of(&b);
		bad = cert == NULL;
		if (bad)
			break;
		add_certificate(c, cert, &at);
		count++;
	}
	block_free(&b);
	BIO_free(bio);
	if (bad)
		return tls_ssl_err(e, "certificate");
	ERR_clear_error();
	if (count == 0)
		return err_set(
		    e, ERR_TEMP, "4.7.5", "no usable certificate found");
	return 0;
}

static int
all_have_certificates(const struct tls_chains *c, struct err *e)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->one[i].cert == NULL)
			return err_set(e, ERR_TEMP, "4.7.5",
			    "certificate and private key do not fit "
			    "together");
	return 0;
}

struct tls_chains *
tls_chains_read(struct span pem, struct err *e)
{
	struct tls_chains *c = MEM_NEW(c);

	if (read_keys(c, pem, e) != 0 || read_certificates(c, pem, e) != 0 ||
	    all_have_certificates(c, e) != 0)
		tls_chains_free(&c);
	return c;
}

void
tls_chains_free(struct tls_chains **ref)
{
	struct tls_chains *c = *ref;

	if (c == NULL)
		return;
	*ref = NULL;
	for (size_t i = 0; i < c->count; i++) {
		EVP_PKEY_free(c->one[i].key);
		X509_free(c->one[i].cert);
		sk_X509_pop_free(c->one[i].more, X509_free);
	}
	mem_free(c);
}

int
tls_chains_use(const struct tls_chains *c, SSL_CTX *ctx, struct err *e)
{
	for (size_t i = 0; i < c->count; i++)
		if (SSL_CTX_use_cert_and_key(ctx, c->one[i].cert, c->one[i].key,
			c->one[i].more, 1) != 1)
			return tls_ssl_err(e, "certificate and private key");
	return 0;
}

bool
tls_chains_use_here(const struct tls_chains *c, SSL *ssl)
{
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < c->count; i++)
		if (SSL_use_cert_and_key(ssl, c->one[i].cert, c->one[i].key,
			c->one[i].more, 1) != 1) {
			ERR_clear_error();
			return false;
		}
	return true;
}

/* ---- authorities ---- */
int
tls_anchors_read(struct span pem, X509_STORE *store,
    STACK_OF(X509_NAME) * names, struct err *e)
{
	BIO *bio = memory_bio(pem);
	struct block b = { 0 };
	int count = 0;

	while (block_next(bio, &b)) {
		X509 *cert = is_certificate(&b) ? certificate_of(&b) : NULL;

		if (cert == NULL)
			continue;
		if (store != NULL)
			X509_STORE_add_cert(store, cert);
		if (names != NULL)
			sk_X509_NAME_push(
			    names, X509_NAME_dup(X509_get_subject_name(cert)));
		X509_free(cert);
		count++;
	}
	block_free(&b);
	BIO_free(bio);
	ERR_clear_error();
	if (count == 0)
		return err_set(
		    e, ERR_TEMP, "4.7.5", "no usable certificate found");
	return 0;
}
