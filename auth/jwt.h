/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_JWT_H
#define CHAPPE_AUTH_JWT_H

/*
 * Access tokens that carry their own proof: JSON web tokens (RFC 7519) signed
 * with RS256, ES256 or HS256 (RFC 7518 3) by a key of a set (RFC 7517). "none"
 * is no algorithm here, and a key does only what its type is for, so that a
 * public key never serves as a secret.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct jwt_keys;
/* Reads a key set, {"keys":[...]}; keys of other kinds and uses are passed
 * over. NULL and e: no such set, or no usable key in it. */
struct jwt_keys *jwt_keys_parse(struct span json, struct err *e);
void jwt_keys_free(struct jwt_keys **k);

/* What a token must say besides being signed; "" asks for nothing. */
struct jwt_claims {
	const char *issuers;  /* iss is one of these words */
	const char *audience; /* aud is, or has in it, one of these words */
	const char *scope;    /* scope (or scp) has all these words */
	const char *username; /* the claim that names the user */
};

enum jwt_result {
	JWT_OK,
	JWT_NONE,    /* not a token of this form, or of none of our keys */
	JWT_REFUSED, /* expired, another audience, a false signature ... */
	JWT_SCOPE,   /* good, but not for this */
};

/* Checks a token at the time now_s (Unix seconds; a minute off is allowed).
 * OK: out_user (initialised by the caller) has the user's name. Otherwise
 * *out_why says why, for the log. */
enum jwt_result jwt_check(const struct jwt_keys *k, struct span token,
    const struct jwt_claims *c, int64_t now_s, struct buf *out_user,
    const char **out_why);

/* The same checks of claims that came from elsewhere, such as an
 * introspection's answer (RFC 7662 2.2): JSON with "active". */
enum jwt_result jwt_check_answer(struct span json, const struct jwt_claims *c,
    int64_t now_s, struct buf *out_user, const char **out_why);

#endif
