/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_SSL_H
#define CHAPPE_OS_TLS_SSL_H

/*
 * The inside of TLS contexts and connections, for tls*.c and for streams;
 * nobody else includes it.
 */

#include <openssl/ssl.h>

#include "lib/base/buf.h"
#include "lib/base/table.h"
#include "lib/os/tls.h"

struct tls_ctx {
	SSL_CTX *ssl;
	unsigned refs;
	bool server;
	/* Of servers only: */
	struct tls_keys *keys;
	struct table by_name; /* server name -> struct tls_chains */
	bool asks_cert;
};

/* ---- contexts ---- */
struct tls_ctx *tls_ctx_new(const SSL_METHOD *method, bool server);
/* A reference more; returns ctx. */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
/* What only servers have. */
void tls_server_release(struct tls_ctx *ctx);
/* The server name that the client asked for, and whether it has certificates
 * of its own. NULL: it asked none, or there are no names here. */
const char *tls_server_asked(const SSL *ssl, bool *out_matched);

/* The error of OpenSSL's queue, which is emptied. Always -1; temporary,
 * 4.7.5. */
int tls_ssl_err(struct err *e, const char *what);

/* ---- certificates and keys ---- */
/* Private keys with their certificates. */
struct tls_chains;
/* Reads PEM: keys and certificates in any order, a certificate that belongs
 * to one of the keys begins a chain, others continue it. Fails when a key has
 * no certificate or there is none. */
struct tls_chains *tls_chains_read(struct span pem, struct err *e);
void tls_chains_free(struct tls_chains **c);
/* Has ctx (ssl: instead of what it had) serve with them. */
int tls_chains_use(const struct tls_chains *c, SSL_CTX *ctx, struct err *e);
bool tls_chains_use_here(const struct tls_chains *c, SSL *ssl);

/* Adds the certificates in pem to a store, and their subjects to a list; each
 * may be NULL. Fails when there are none. */
int tls_anchors_read(struct span pem, X509_STORE *store,
    STACK_OF(X509_NAME) * names, struct err *e);

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb has it. */
int tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *ctx, EVP_MAC_CTX *mac, int making);

/* ---- connections ---- */
/* The socket as OpenSSL sees it; prefix: bytes already read from it
 * (copied). */
BIO *tls_wire_new(int fd, struct span prefix);
/* From now on what is written waits in the kernel for more (at most 200 ms),
 * so that both go in one packet; or not. */
void tls_wire_more(SSL *ssl, bool more);
/* Nothing followed: what waits goes out. */
void tls_wire_push(SSL *ssl);

/* An SSL over the non-blocking socket, which stays the caller's. prefix:
 * bytes already read from it (copied). name as in stream_tls_client. Holds a
 * reference to ctx until tls_close. */
SSL *tls_open(
    struct tls_ctx *ctx, int fd, struct span prefix, const char *name);
void tls_close(SSL **ssl);
struct tls_ctx *tls_ctx_of(const SSL *ssl);
void tls_facts_get(SSL *ssl, struct tls_facts *out);
/* As stream_tls_cert. */
bool tls_cert_get(SSL *ssl, const char *digest, struct tls_cert *out);
/* As stream_tls_covers. */
bool tls_cert_covers(SSL *ssl, struct span name);
/* As stream_tls_binding. */
bool tls_binding_get(SSL *ssl, enum tls_binding kind, struct buf *out);
/* Has tickets carry what a session's end point was. */
void tls_binding_keep(SSL_CTX *ctx);
/* What went wrong in the last call, which returned rc. Always -1; temporary,
 * 4.7.5 (RFC 7817: cryptographic failure) unless the connection was lost. */
int tls_err(SSL *ssl, int rc, const char *what, struct err *e);

#endif
