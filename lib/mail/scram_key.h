/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SCRAM_KEY_H
#define CHAPPE_MAIL_SCRAM_KEY_H

/*
 * The server's half of a SCRAM password (RFC 5802 3): salt, iteration count,
 * StoredKey and ServerKey, from which nobody can log in elsewhere. As text in
 * Dovecot's form:
 *
 *   {SCRAM-SHA-256}ITERATIONS,SALT,STOREDKEY,SERVERKEY   (the last three in
 *                                                         base 64)
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/proto/sasl.h"

enum {
	SCRAM_SALT_MAX = 64,
	SCRAM_HASH_MAX = 32,
	SCRAM_ITERATIONS = 15000,	/* of new keys; RFC 7677 4 */
	SCRAM_ITERATIONS_MIN = 4096,	/* taken: RFC 5802 5.1 */
	SCRAM_ITERATIONS_MAX = 10000000, /* more is a mistake */
	SCRAM_NEW_SALT = 16,
};

struct scram_key {
	enum sasl_hash hash;
	unsigned iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_n;
	uint8_t stored[SCRAM_HASH_MAX], server[SCRAM_HASH_MAX];
};

/* 20 or 32. */
size_t scram_hash_size(enum sasl_hash hash);

/* From a password (prepared by SASLprep where that is possible, else as it
 * is). Costs `iterations` hashes: some milliseconds. salt: 1 to
 * SCRAM_SALT_MAX bytes; it may be out's own. */
void scram_key_derive(enum sasl_hash hash, struct span password,
    struct span salt, unsigned iterations, struct scram_key *out);

/* Reads "{SCRAM-SHA-1}..." or "{SCRAM-SHA-256}...". False: not of that form,
 * or an iteration count that is out of range. */
bool scram_key_parse(struct span text, struct scram_key *out);
/* Appends that text. */
void scram_key_print(const struct scram_key *k, struct buf *out);

/* Does the client's proof over the message (sasl.h) fit the key? In constant
 * time. If so out_signature has the server's answer, of the hash's size. */
bool scram_key_check(const struct scram_key *k, struct span message,
    struct span proof, uint8_t out_signature[SCRAM_HASH_MAX]);

/* The same password, salt and count: may one proof be tried with both? */
bool scram_key_same_salt(const struct scram_key *a, const struct scram_key *b);
/* The same password, in constant time; both with the same salt. */
bool scram_key_same(const struct scram_key *a, const struct scram_key *b);

#endif
