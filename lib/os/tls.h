/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_H
#define CHAPPE_OS_TLS_H

/*
 * TLS contexts over OpenSSL: what streams need to become encrypted. TLS 1.2
 * and 1.3 only. Certificates and keys come as PEM bytes, since the daemons
 * that use them may not open the files: master hands them over.
 */

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

struct tls_ctx; /* shared by reference by many streams; freed last */

/* A server context from a certificate chain and its private key, both PEM
 * (either order, or both in one). Fails when they do not fit together. */
struct tls_ctx *tls_server_new(struct span chain, struct span key,
    struct err *e);

/* A client context. ca_file: PEM file of trust anchors, or NULL for the
 * system's. verify: refuse servers whose chain or name does not verify. */
struct tls_ctx *tls_client_new(const char *ca_file, bool verify,
    struct err *e);

/* Drops the caller's reference. */
void tls_ctx_free(struct tls_ctx **ctx);

/* Facts of an established connection, for Received and the log. Strings
 * live as long as the stream's TLS. */
struct tls_facts {
	const char *protocol; /* "TLSv1.3" */
	const char *cipher;   /* "TLS_AES_256_GCM_SHA384" */
	int bits_used, bits_total;
	bool verified;        /* peer's chain and name verified */
};

/* Kinds of channel binding, for SASL mechanisms that end in -PLUS. */
enum tls_binding {
	TLS_BINDING_EXPORTER,  /* "tls-exporter", RFC 9266 */
	TLS_BINDING_END_POINT, /* "tls-server-end-point", RFC 5929 4 */
};

#endif
