/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_POLICY_H
#define CHAPPE_OS_TLS_POLICY_H

/*
 * What Postfix's TLS parameters say, in OpenSSL's terms: which protocol
 * versions, which ciphers, which options. Strings and numbers only.
 */

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* The versions that a list allows. */
struct tls_versions {
	int min, max;	   /* TLS1_VERSION ...; max 0: no limit */
	uint64_t excluded; /* SSL_OP_NO_TLSv1_2 ... */
};

/* Reads smtpd_tls_protocols and its like: names (SSLv2 to TLSv1.3) that are
 * allowed, "!name" that are not, ">=name" and "<=name" as bounds, also as
 * hexadecimal wire numbers (0x303); separated by blanks, commas or colons.
 * Empty: no constraint. -1: an unknown word, or nothing is left. */
int tls_protocols_parse(
    const char *list, struct tls_versions *out, struct err *e);

/* Appends the cipher list of TLS up to 1.2: base, without what the
 * exclusions (each a list of names, separated by blanks, commas or colons)
 * name. */
void tls_cipher_list(const char *base, const char *const *exclusions,
    size_t count, struct buf *out);

/* Reads a list of option names as in tls_ssl_options and
 * tls_disable_workarounds (NO_TICKET, LEGACY_SERVER_CONNECT, ... and
 * hexadecimal numbers). -1: an unknown word. */
int tls_options_parse(const char *list, uint64_t *out, struct err *e);

#endif
