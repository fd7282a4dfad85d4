/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SASL_IMPL_H
#define CHAPPE_PROTO_SASL_IMPL_H

/*
 * What the mechanisms of sasl.h share; nobody else includes it.
 */

#include "lib/proto/sasl.h"

struct sasl_mechanism {
	const char *name;
	/* Takes one response. */
	enum sasl_result (*step)(struct sasl *s, struct span response);
	/* What a good verdict leads to; NULL: SASL_OK. */
	enum sasl_result (*accept)(struct sasl *s, struct span signature);
	/* What a bad one leads to; NULL: SASL_REFUSED. */
	enum sasl_result (*refuse)(struct sasl *s, struct span detail);
	/* Sent to a client that gave no initial response. */
	const char *first_challenge;
	enum sasl_hash hash;
	bool plus;
};

struct sasl {
	const struct sasl_mechanism *mechanism;
	const char *fault;
	unsigned stage;      /* the mechanism's own */
	bool over, asked;    /* asked: a verdict is waited for */
	struct buf authzid, user, password, token;
	struct buf challenge;
	struct buf exporter, end_point;
	bool plus_offered;
	/* SCRAM */
	struct buf gs2;	     /* header, with the binding's name */
	struct buf nonce;    /* the client's half, later both */
	struct buf message;  /* AuthMessage, as far as it is known */
	struct buf proof;
	enum { SASL_BIND_NONE, SASL_BIND_EXPORTER, SASL_BIND_END_POINT } bind;
};

/* Always SASL_BAD. */
enum sasl_result sasl_bad(struct sasl *s, const char *fault);
/* Takes a value over: no NUL, valid UTF-8, not too long. */
bool sasl_keep(struct buf *b, struct span value);

/* The header of GS2 (RFC 5801 4), up to and with its second comma, off the
 * front of *rest: the flag ('n', 'y' or 'p'), the binding's name behind
 * "p=" and the authzid, decoded. False: malformed. */
struct sasl_gs2 {
	uint8_t flag;
	struct span binding;
	struct buf authzid; /* released by the caller */
};
bool sasl_gs2_parse(struct span *rest, struct sasl_gs2 *out);

enum sasl_result sasl_step_scram(struct sasl *s, struct span response);
enum sasl_result sasl_accept_scram(struct sasl *s, struct span signature);
enum sasl_result sasl_step_oauth(struct sasl *s, struct span response);
enum sasl_result sasl_refuse_oauth(struct sasl *s, struct span detail);
enum sasl_result sasl_step_xoauth2(struct sasl *s, struct span response);

#endif
