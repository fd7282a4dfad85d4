/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_SSL_H
#define CHAPPE_OS_TLS_SSL_H

/*
 * What streams see of TLS contexts; nobody else includes it.
 */

#include <openssl/ssl.h>

#include "lib/base/buf.h"
#include "lib/os/tls.h"

/* A reference more; returns ctx. */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);

/* An SSL over the non-blocking socket, which stays the caller's. prefix:
 * bytes already read from it (copied). name as in stream_tls_client. Holds a
 * reference to ctx until tls_close. */
SSL *tls_open(
    struct tls_ctx *ctx, int fd, struct span prefix, const char *name);
void tls_close(SSL **ssl);
void tls_facts_get(SSL *ssl, struct tls_facts *out);
/* As stream_tls_binding. */
bool tls_binding_get(SSL *ssl, enum tls_binding kind, struct buf *out);
/* What went wrong in the last call, which returned rc. Always -1; temporary,
 * 4.7.5 (RFC 7817: cryptographic failure) unless the connection was lost. */
int tls_err(SSL *ssl, int rc, const char *what, struct err *e);

#endif
