/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_PASSWORD_H
#define CHAPPE_AUTH_PASSWORD_H

/*
 * Stored passwords: "{SCHEME}text" as Dovecot writes them, without a scheme
 * crypt(3)'s form. PLAIN (CLEARTEXT), SSHA256, SSHA512, SHA256 and SHA512 are
 * cheap and compared on the spot; CRYPT and its kinds (SHA512-CRYPT,
 * SHA256-CRYPT, BLF-CRYPT, YESCRYPT, MD5-CRYPT, DES-CRYPT), SCRAM-SHA-1 and
 * SCRAM-SHA-256 cost time by design and go to a worker.
 */

#include <stdbool.h>

#include "lib/base/span.h"
#include "lib/mail/scram_key.h"

enum password_kind {
	PASSWORD_PLAIN,
	PASSWORD_DIGEST,
	PASSWORD_CRYPT,
	PASSWORD_SCRAM, /* SCRAM-SHA-1, SCRAM-SHA-256 */
	PASSWORD_UNKNOWN, /* a scheme not known here */
};

/* *out_text: what stands behind the scheme. */
enum password_kind password_kind(const char *stored, const char **out_text);

/* PASSWORD_PLAIN and PASSWORD_DIGEST only; in constant time for texts of the
 * same length. */
bool password_matches(const char *stored, struct span password);

/* crypt(3), slow; the password has no NUL. For workers. */
bool password_crypt_matches(const char *hash, const char *password);

/* PASSWORD_CRYPT and PASSWORD_SCRAM, with the scheme; slow. *last: a key that
 * was derived from this same password before, so that several with one salt
 * cost one; hash SASL_HASH_NONE at first. */
bool password_slow_matches(
    const char *stored, const char *password, struct scram_key *last);

/* Equal, in a time that does not depend on where they differ. */
bool password_same(struct span a, struct span b);

/* A hash that no password has, for users who do not exist: checking it takes
 * as long as checking theirs would. */
extern const char password_dummy[];

#endif
