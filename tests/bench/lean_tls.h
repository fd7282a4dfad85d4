/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TESTS_BENCH_LEAN_TLS_H
#define CHAPPE_TESTS_BENCH_LEAN_TLS_H

/*
 * The client's half of TLS 1.3 (RFC 8446) as a load generator needs it: each
 * connection is a full handshake with X25519 and AES-256-GCM, so that the
 * server does all of its work, and has to do it right, since the keys follow
 * from it and its Finished is checked. Who it is does not matter: neither
 * certificate nor signature is looked at, and our own key share is made once
 * for a process. That is no security, and a fifth of what OpenSSL's client
 * costs. Bytes in and out; the caller has the socket.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lean_tls;

enum lean { LEAN_MORE, LEAN_OK, LEAN_BAD };

/* rsa: offer RSA-PSS signatures only, else ECDSA with P-256 only. */
void lean_tls_setup(bool rsa);

/* For one connection after the other: begin makes it new. */
struct lean_tls *lean_tls_new(void);

/* The first bytes to send; valid until the next call. */
const uint8_t *lean_tls_begin(struct lean_tls *t, size_t *out_n);

/* Bytes that were received. At most 16 KB may be unfinished. */
bool lean_tls_feed(struct lean_tls *t, const void *p, size_t n);

/* After each feed until LEAN_OK: the handshake. Then out has what is to be
 * sent, which may wait for what the caller says first. */
enum lean lean_tls_handshake(struct lean_tls *t, const uint8_t **out,
    size_t *out_n);

/* A record with these bytes (at most 8 KB); valid until the next call. */
const uint8_t *lean_tls_seal(struct lean_tls *t, const void *p, size_t n,
    size_t *out_n);

/* What the server said, one record a call. LEAN_BAD: it is at its end, or
 * something is wrong. */
enum lean lean_tls_open(struct lean_tls *t, char *to, size_t room,
    size_t *out_n);

#endif
