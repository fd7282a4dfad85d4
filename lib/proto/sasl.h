/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SASL_H
#define CHAPPE_PROTO_SASL_H

/*
 * The server's side of SASL (RFC 4422) as a step machine: a response goes in,
 * and out comes a challenge or a question that only somebody with the users'
 * secrets can answer. It knows no passwords, no clock, no hash function and
 * no base 64: responses and challenges are bytes. PLAIN (RFC 4616), LOGIN,
 * EXTERNAL (RFC 4422 A), OAUTHBEARER (RFC 7628), XOAUTH2, SCRAM-SHA-1 (RFC
 * 5802) and SCRAM-SHA-256 (RFC 7677), each also with channel binding.
 *
 *   sasl_start, sasl_step   take what the client says
 *   SASL_PASSWORD           look at user and password, then sasl_accept or
 *                           sasl_refuse
 *   SASL_SALT               give the user's salt by sasl_salt
 *   SASL_PROOF              check the proof, then sasl_accept or sasl_refuse
 *   SASL_TOKEN, SASL_CERT   likewise
 *   SASL_OK, SASL_REFUSED, SASL_BAD   it is over
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum {
	SASL_NAME_MAX = 255,
	SASL_PASSWORD_MAX = 1024,
	SASL_TOKEN_MAX = 12288,	  /* an access token */
	SASL_BINDING_MAX = 128,	  /* one channel binding */
	SASL_NONCE_MAX = 256,	  /* the client's; longer ones are malformed */
	SASL_SCRAM_MESSAGE_MAX = 4096, /* RFC 5802 sets no limit */
};

enum sasl_result {
	SASL_CHALLENGE, /* sasl_challenge is to be sent */
	SASL_PASSWORD,	/* user, password and perhaps authzid are there */
	SASL_SALT,	/* SCRAM: user and authzid are there */
	SASL_PROOF,	/* SCRAM: sasl_scram_proof, sasl_scram_message */
	SASL_TOKEN,	/* sasl_token, perhaps user */
	SASL_CERT,	/* EXTERNAL: whose is the client's certificate? */
	SASL_OK,	/* logged in */
	SASL_REFUSED,	/* the refusal stands */
	SASL_BAD,	/* malformed, sasl_fault: the exchange is over */
};

enum sasl_hash { SASL_HASH_NONE, SASL_HASH_SHA1, SASL_HASH_SHA256 };

/* What is known of the TLS connection (RFC 5929, RFC 9266). */
struct sasl_binding {
	struct span exporter;  /* tls-exporter; empty: not to be had */
	struct span end_point; /* tls-server-end-point; likewise */
	bool plus_offered;     /* a -PLUS mechanism stood in the list */
};

struct sasl;

/* Begins an exchange of the mechanism (ignoring case); NULL if there is none
 * of that name. */
struct sasl *sasl_new(struct span mechanism);

/* Overwrites the secrets. NULL is legal. */
void sasl_free(struct sasl **s);

/* "PLAIN", "SCRAM-SHA-256-PLUS". */
const char *sasl_mechanism(const struct sasl *s);

/* Before sasl_start: copies the binding's bytes. Without it there is none,
 * and the mechanisms that need one are malformed. */
void sasl_bind(struct sasl *s, const struct sasl_binding *b);

/* The first step, with the client's initial response or, has_initial false,
 * without one. */
enum sasl_result sasl_start(
    struct sasl *s, bool has_initial, struct span initial);

/* The client's response to a challenge. */
enum sasl_result sasl_step(struct sasl *s, struct span response);

/* Answers SASL_SALT: the user's salt (1 to 255 bytes) and iteration count,
 * and our half of the nonce: printable, without comma. Gives
 * SASL_CHALLENGE. */
enum sasl_result sasl_salt(struct sasl *s, struct span salt,
    unsigned iterations, struct span nonce);

/* Answers PASSWORD, PROOF, TOKEN and CERT: they are good. signature: for
 * PROOF the server's signature, else empty. Gives SASL_OK, or for SCRAM a
 * last challenge that the client answers with nothing. */
enum sasl_result sasl_accept(struct sasl *s, struct span signature);

/* Answers the same: they are not. detail: for TOKEN the error as JSON (RFC
 * 7628 3.2.2), sent as a challenge that the client must answer; else unused.
 * Gives SASL_REFUSED, or that challenge. */
enum sasl_result sasl_refuse(struct sasl *s, struct span detail);

/* After SASL_CHALLENGE: what to send; valid until the next step. */
struct span sasl_challenge(const struct sasl *s);

/* Who wants to be who, and the password; valid until sasl_free. None holds a
 * NUL; user and password are not empty where the result says that they are
 * there; authzid is empty when the client named none or the same as user.
 * SCRAM's user is prepared (RFC 4013). For EXTERNAL the user is empty and
 * authzid is what the client asked for. */
struct span sasl_authzid(const struct sasl *s);
struct span sasl_user(const struct sasl *s);
struct span sasl_password(const struct sasl *s);
struct span sasl_token(const struct sasl *s);

/* SCRAM: which hash; with SASL_PROOF the client's proof (as many bytes as the
 * hash has) and the message that it is over (RFC 5802 3: AuthMessage). */
enum sasl_hash sasl_scram_hash(const struct sasl *s);
struct span sasl_scram_proof(const struct sasl *s);
struct span sasl_scram_message(const struct sasl *s);

/* After SASL_BAD: what was wrong, a few words for the log. */
const char *sasl_fault(const struct sasl *s);

#endif
