/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "lib/os/tls_ssl.h"

void
tls_facts_get(SSL *ssl, struct tls_facts *out)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

	*out = (struct tls_facts){
		.protocol = SSL_get_version(ssl),
		.cipher = SSL_CIPHER_get_name(cipher),
		.verified = SSL_get0_peer_certificate(ssl) != NULL &&
			    SSL_get_verify_result(ssl) == X509_V_OK,
	};
	out->bits_used = SSL_CIPHER_get_bits(cipher, &out->bits_total);
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

	if (!OBJ_find_sigid_algs(
		X509_get_signature_nid(cert), &hash, NULL))
		hash = NID_undef;
	if (hash == NID_undef || hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	md = EVP_get_digestbynid(hash);
	return md != NULL ? md : EVP_sha256();
}

static bool
end_point(SSL *ssl, struct buf *out)
{
	const X509 *cert = SSL_is_server(ssl)
			       ? SSL_get_certificate(ssl)
			       : SSL_get0_peer_certificate(ssl);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n;

	/* A server with several certificates does not know which of them a
	 * resumed session began with. */
	if (cert == NULL || (SSL_is_server(ssl) && SSL_session_reused(ssl)))
		return false;
	if (X509_digest(cert, end_point_digest(cert), digest, &n) != 1)
		return false;
	buf_add(out, span_of(digest, n));
	return true;
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
