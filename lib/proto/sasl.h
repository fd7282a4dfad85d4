/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SASL_H
#define CHAPPE_PROTO_SASL_H

/*
 * The server's side of SASL (RFC 4422) as a step machine: a response goes in,
 * a challenge or credentials come out. It knows no passwords and no base 64:
 * responses and challenges are bytes. PLAIN (RFC 4616) and LOGIN; a mechanism
 * is a row with a step function, so that those with more state can follow.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum { SASL_NAME_MAX = 255, SASL_PASSWORD_MAX = 1024 };

enum sasl_result {
	SASL_CHALLENGE, /* sasl_challenge is to be sent */
	SASL_DONE,	/* the credentials are complete */
	SASL_BAD,	/* malformed: the exchange is over */
};

struct sasl;

/* Begins an exchange of the mechanism (ignoring case); NULL if there is none
 * of that name. */
struct sasl *sasl_new(struct span mechanism);

/* Overwrites the secrets. NULL is legal. */
void sasl_free(struct sasl **s);

/* "PLAIN", "LOGIN". */
const char *sasl_mechanism(const struct sasl *s);

/* The first step, with the client's initial response or, has_initial false,
 * without one. */
enum sasl_result sasl_start(
    struct sasl *s, bool has_initial, struct span initial);

/* The client's response to a challenge. */
enum sasl_result sasl_step(struct sasl *s, struct span response);

/* After SASL_CHALLENGE: what to send; valid until the next step. */
struct span sasl_challenge(const struct sasl *s);

/* After SASL_DONE: who wants to be who, and the password; valid until
 * sasl_free. None holds a NUL; user and password are not empty; authzid is
 * empty when the client named none or the same as user. */
struct span sasl_authzid(const struct sasl *s);
struct span sasl_user(const struct sasl *s);
struct span sasl_password(const struct sasl *s);

#endif
