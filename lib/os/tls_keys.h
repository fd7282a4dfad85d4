/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_KEYS_H
#define CHAPPE_OS_TLS_KEYS_H

/*
 * Everything a TLS server serves with, in one sealed memory file: private
 * keys with their certificates, those of other server names (SNI), and the
 * authorities that client certificates are checked against. master writes
 * it; the daemons map it and read it where it lies, so that all processes
 * share the memory. docs/FORMATS.md has the bytes. All is PEM.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

enum tls_item {
	TLS_ITEM_CHAIN = 1, /* keys and certificates; its file names */
	TLS_ITEM_CA = 2,    /* trust anchors; file or directory */
	TLS_ITEM_NAME = 3,  /* as CHAIN; "www.example.com", ".example.com" */
};

enum { TLS_KEYS_MAX = 256 << 20 }; /* bytes of such a file */

/* Writing: begin, then add; the caller asks buf_ok and seals. */
void tls_keys_begin(struct buf *out);
void tls_keys_add(
    struct buf *out, enum tls_item kind, struct span name, struct span pem);

struct tls_keys; /* shared by reference */

/* Maps a sealed memory file; the descriptor stays the caller's. Fails when it
 * is not sealed or damaged. */
int tls_keys_open(int fd, struct tls_keys **out, struct err *e);
struct tls_keys *tls_keys_ref(struct tls_keys *k);
/* Drops the caller's reference. */
void tls_keys_free(struct tls_keys **k);

/* Steps through the items: *at begins with 0; false at the end. The spans
 * live as long as k. */
bool tls_keys_next(const struct tls_keys *k, size_t *at,
    enum tls_item *out_kind, struct span *out_name, struct span *out_pem);

/* The item of a server name: of the name itself, or of the longest
 * ".parent" there is. Case does not matter. False: none. */
bool tls_keys_by_name(
    const struct tls_keys *k, struct span host, struct span *out_pem);
/* Is there any item of a server name? */
bool tls_keys_has_names(const struct tls_keys *k);

#endif
