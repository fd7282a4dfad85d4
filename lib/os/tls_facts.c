/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_ssl.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"

/* ---- methods ---- */
/* "P-256"; OpenSSL's own word where there is no such name. */
static const char *
curve_name(const EVP_PKEY *key)
{
	char group[80];
	size_t n;
	const char *nist;
	int nid;

	if (EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1)
		return NULL;
	nid = OBJ_txt2nid(group);
	nist = EC_curve_nid2nist(nid);
	return nist != NULL ? nist : OBJ_nid2sn(nid);
}

static struct tls_method
exchange_of(SSL *ssl)
{
	struct tls_method m = { 0 };
	EVP_PKEY *key = NULL;

	if (SSL_get_peer_tmp_key(ssl, &key) != 1)
		return m;
	switch (EVP_PKEY_get_id(key)) {
	case EVP_PKEY_DH:
		m.name = "DHE";
		m.bits = EVP_PKEY_get_bits(key);
		break;
	case EVP_PKEY_EC:
		m.name = "ECDHE";
		m.curve = curve_name(key);
		break;
	default:
		m.name = OBJ_nid2sn(EVP_PKEY_get_base_id(key));
		break;
	}
	EVP_PKEY_free(key);
	return m;
}

static struct tls_method
signature_of(const EVP_PKEY *key, int digest)
{
	struct tls_method m = { 0 };

	switch (EVP_PKEY_get_id(key)) {
	case EVP_PKEY_RSA:
		m.name = "RSA-PSS"; /* RFC 8446 4.2.3: nothing else */
		m.bits = EVP_PKEY_get_bits(key);
		break;
	case EVP_PKEY_EC:
		m.name = "ECDSA";
		m.curve = curve_name(key);
		break;
	default:
		m.name = OBJ_nid2sn(EVP_PKEY_get_base_id(key));
		break;
	}
	if (digest != NID_undef)
		m.digest = OBJ_nid2sn(digest);
	return m;
}

/* Before TLS 1.3 the cipher's name says all this; a session that is resumed
 * is not signed anew. */
static void
methods_of(SSL *ssl, struct tls_facts *f)
{
	const bool server = SSL_is_server(ssl);
	const X509 *peer = SSL_get0_peer_certificate(ssl);
	const EVP_PKEY *own = SSL_get_privatekey(ssl);
	int nid;

	if (SSL_version(ssl) < TLS1_3_VERSION)
		return;
	f->exchange = exchange_of(ssl);
	if (f->resumed)
		return;
	if (own != NULL && SSL_get_signature_nid(ssl, &nid) == 1)
		*(server ? &f->server_signature : &f->client_signature) =
		    signature_of(own, nid);
	if (peer != NULL && SSL_get_peer_signature_nid(ssl, &nid) == 1)
		*(server ? &f->client_signature : &f->server_signature) =
		    signature_of(X509_get0_pubkey(peer), nid);
}

void
tls_facts_get(SSL *ssl, struct tls_facts *out)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const struct tls_ctx *ctx = tls_ctx_of(ssl);

	*out = (struct tls_facts){
		.protocol = SSL_get_version(ssl),
		.cipher = SSL_CIPHER_get_name(cipher),
		.has_cert = SSL_get0_peer_certificate(ssl) != NULL,
		.asked_cert = ctx->asks_cert,
		.resumed = SSL_session_reused(ssl),
	};
	out->bits_used = SSL_CIPHER_get_bits(cipher, &out->bits_total);
	out->verified =
	    out->has_cert && SSL_get_verify_result(ssl) == X509_V_OK;
	if (ctx->server)
		out->asked_name = tls_server_asked(ssl, &out->name_matched);
	methods_of(ssl, out);
	ERR_clear_error();
}

static void
print_method(struct buf *b, const char *what, const struct tls_method *m)
{
	buf_fmt(b, "%s %s", what, m->name);
	if (m->curve != NULL)
		buf_fmt(b, " (%s)", m->curve);
	else if (m->bits > 0)
		buf_fmt(b, " (%d bits)", m->bits);
}

static void
print_signature(struct buf *b, const char *gap, const char *who,
    const struct tls_method *m)
{
	char what[40];

	if (m->name == NULL)
		return;
	buf_str(b, gap);
	snprintf(what, sizeof(what), "%s-signature", who);
	print_method(b, what, m);
	if (m->digest != NULL)
		buf_fmt(b, " %s-digest %s", who, m->digest);
}

void
tls_facts_print(const struct tls_facts *f, const char *gap, struct buf *out)
{
	const bool exchange = f->exchange.name != NULL;

	buf_fmt(out, "%s with cipher %s (%d/%d bits)", f->protocol, f->cipher,
	    f->bits_used, f->bits_total);
	if (exchange) {
		buf_str(out, gap);
		print_method(out, "key-exchange", &f->exchange);
	}
	print_signature(
	    out, exchange ? " " : gap, "server", &f->server_signature);
	print_signature(out, gap, "client", &f->client_signature);
}

/* ---- the peer's certificate ---- */
static void
hex(const uint8_t *digest, unsigned n, char *out, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t at = 0;

	for (unsigned i = 0; i < n && at + 3 < size; i++) {
		if (i > 0)
			out[at++] = ':';
		out[at++] = digits[digest[i] >> 4];
		out[at++] = digits[digest[i] & 15];
	}
	out[at] = '\0';
}

/* The last part of this kind of a name, as UTF-8; false without one. What
 * could end a line or hide something makes the whole unusable. */
static bool
name_part(const X509_NAME *name, int nid, char *out, size_t size)
{
	int at = -1, next;
	unsigned char *text = NULL;
	int n;

	while ((next = X509_NAME_get_index_by_NID(name, nid, at)) >= 0)
		at = next;
	if (at < 0)
		return false;
	n = ASN1_STRING_to_UTF8(
	    &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n <= 0 || (size_t)n >= size || memchr(text, 0, (size_t)n) != NULL) {
		OPENSSL_free(text);
		return false;
	}
	snprintf(
	    out, size, "%s", log_quote(span_of(text, (size_t)n), size - 1));
	OPENSSL_free(text);
	return true;
}

static void
fingerprints(const X509 *cert, const char *name, struct tls_cert *out)
{
	const EVP_MD *md = EVP_get_digestbyname(name);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned char *spki = NULL;
	unsigned n;
	int len;

	if (md == NULL)
		return;
	if (X509_digest(cert, md, digest, &n) == 1)
		hex(digest, n, out->fingerprint, sizeof(out->fingerprint));
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	if (len > 0 && EVP_Digest(spki, (size_t)len, digest, &n, md, NULL) == 1)
		hex(digest, n, out->pkey_fingerprint,
		    sizeof(out->pkey_fingerprint));
	OPENSSL_free(spki);
}

int
tls_digest_check(const char *name, struct err *e)
{
	if (EVP_get_digestbyname(name) == NULL)
		return err_set(
		    e, ERR_PERM, "5.3.5", "unknown digest: %s", name);
	return 0;
}

bool
tls_cert_get(SSL *ssl, const char *digest, struct tls_cert *out)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	const long result = SSL_get_verify_result(ssl);

	if (cert == NULL)
		return false;
	*out = (struct tls_cert){ .trusted = result == X509_V_OK };
	if (!out->trusted)
		snprintf(out->reason, sizeof(out->reason), "%s",
		    X509_verify_cert_error_string(result));
	(void)name_part(X509_get_subject_name(cert), NID_commonName,
	    out->subject, sizeof(out->subject));
	if (!name_part(X509_get_issuer_name(cert), NID_commonName, out->issuer,
		sizeof(out->issuer)))
		(void)name_part(X509_get_issuer_name(cert),
		    NID_organizationName, out->issuer, sizeof(out->issuer));
	fingerprints(cert, digest, out);
	ERR_clear_error();
	return true;
}

bool
tls_cert_covers(SSL *ssl, struct span name)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	ASN1_OCTET_STRING *ip;
	char text[LIMIT_DOMAIN + 2];
	int rc;

	if (cert == NULL || name.n == 0 ||
	    !span_copy(name, text, sizeof(text)))
		return false;
	ip = a2i_IPADDRESS(text);
	if (ip != NULL)
		rc = X509_check_ip(cert, ASN1_STRING_get0_data(ip),
		    (size_t)ASN1_STRING_length(ip), 0);
	else
		rc = X509_check_host(cert, text, name.n,
		    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL);
	ASN1_OCTET_STRING_free(ip);
	ERR_clear_error();
	return rc == 1;
}

/* ---- channel binding ---- */

/* RFC 9266 4.2: TLS 1.2 must have the extended master secret, or the value
 * is not one of this connection alone. */
static bool
exporter(SSL *ssl, struct buf *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	uint8_t secret[32];

	if (SSL_version(ssl) < TLS1_3_VERSION &&
	    SSL_get_extms_support(ssl) != 1)
		return false;
	if (SSL_export_keying_material(ssl, secret, sizeof(secret), label,
		sizeof(label) - 1, (const uint8_t *)"", 0, 1) != 1) {
		ERR_clear_error();
		return false;
	}
	buf_add(out, span_of(secret, sizeof(secret)));
	return true;
}

/* RFC 5929 4.1: by the hash of the certificate's signature, but nothing
 * weaker than SHA-256; for signatures without one (Ed25519) SHA-256 too, as
 * others do. */
static const EVP_MD *
end_point_digest(const X509 *cert)
{
	int hash = NID_undef;
	const EVP_MD *md;

	if (!OBJ_find_sigid_algs(X509_get_signature_nid(cert), &hash, NULL))
		hash = NID_undef;
	if (hash == NID_undef || hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	md = EVP_get_digestbynid(hash);
	return md != NULL ? md : EVP_sha256();
}

static unsigned
digest_end_point(const X509 *cert, uint8_t digest[EVP_MAX_MD_SIZE])
{
	unsigned n;

	if (cert == NULL ||
	    X509_digest(cert, end_point_digest(cert), digest, &n) != 1)
		return 0;
	return n;
}

/* The same of our own certificate, which does not change: worked out once. */
struct kept_digest {
	unsigned n;
	uint8_t bytes[EVP_MAX_MD_SIZE];
};

static int kept_index;

static void
kept_free(void *parent, void *kept, CRYPTO_EX_DATA *all, int index, long argl,
    void *argp)
{
	(void)parent;
	(void)all;
	(void)index;
	(void)argl;
	(void)argp;
	mem_free(kept);
}

static void
kept_begin(void)
{
	kept_index =
	    X509_get_ex_new_index(0, NULL, NULL, NULL, kept_free);
	BUG_ON(kept_index < 0);
}

static const struct kept_digest *
own_end_point(X509 *cert)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct kept_digest *kept;

	pthread_once(&once, kept_begin);
	kept = X509_get_ex_data(cert, kept_index);
	if (kept != NULL)
		return kept;
	kept = MEM_NEW(kept);
	kept->n = digest_end_point(cert, kept->bytes);
	BUG_ON(X509_set_ex_data(cert, kept_index, kept) != 1);
	return kept;
}

/* A server with several certificates does not know later which of them a
 * resumed session began with: its tickets say so. */
static int
on_ticket_made(SSL *ssl, void *arg)
{
	X509 *cert = SSL_get_certificate(ssl);
	const struct kept_digest *kept;

	(void)arg;
	if (cert == NULL || SSL_session_reused(ssl))
		return 1;
	kept = own_end_point(cert);
	return SSL_SESSION_set1_ticket_appdata(
	    SSL_get_session(ssl), kept->bytes, kept->n);
}

static SSL_TICKET_RETURN
on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t name_n, SSL_TICKET_STATUS status, void *arg)
{
	(void)ssl;
	(void)session;
	(void)name;
	(void)name_n;
	(void)arg;
	if (status == SSL_TICKET_SUCCESS)
		return SSL_TICKET_RETURN_USE;
	return status == SSL_TICKET_SUCCESS_RENEW
		   ? SSL_TICKET_RETURN_USE_RENEW
		   : SSL_TICKET_RETURN_IGNORE_RENEW;
}

void
tls_binding_keep(SSL_CTX *ctx)
{
	SSL_CTX_set_session_ticket_cb(
	    ctx, on_ticket_made, on_ticket_read, NULL);
}

static bool
end_point(SSL *ssl, struct buf *out)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n;

	if (SSL_is_server(ssl) && SSL_session_reused(ssl)) {
		void *kept = NULL;
		size_t size = 0;

		if (SSL_SESSION_get0_ticket_appdata(
			SSL_get_session(ssl), &kept, &size) != 1 ||
		    size == 0)
			return false;
		buf_add(out, span_of(kept, size));
		return true;
	}
	n = digest_end_point(SSL_is_server(ssl)
				 ? SSL_get_certificate(ssl)
				 : SSL_get0_peer_certificate(ssl),
	    digest);
	buf_add(out, span_of(digest, n));
	return n > 0;
}

bool
tls_binding_get(SSL *ssl, enum tls_binding kind, struct buf *out)
{
	switch (kind) {
	case TLS_BINDING_EXPORTER:
		return exporter(ssl, out);
	case TLS_BINDING_END_POINT:
		return end_point(ssl, out);
	}
	return false;
}
