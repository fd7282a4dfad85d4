/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_EXCHANGE_H
#define CHAPPE_AUTH_EXCHANGE_H

/*
 * One SASL exchange, whoever asks for it: the step machine of lib/proto/sasl.h
 * together with those who know the answers to its questions, and how it ends:
 * the user is looked up, a refusal waits for its time, one line is logged. At
 * each moment either the owner or the exchange is to do something: after
 * start or step exactly one of the handler's functions is called, maybe at
 * once.
 */

#include "auth/auth.h"

struct exchange;

struct exchange_handler {
	/* Send data; the answer comes by exchange_step. */
	void (*challenge)(void *arg, struct span data);
	/* f->user is logged in. The exchange is gone. */
	void (*done)(void *arg, const struct login_facts *f);
	/* Refused (after its delay), or nobody can say now: e, whose text is
	 * for the log and not for the client. The exchange is gone. */
	void (*failed)(void *arg, const struct login_facts *f,
	    const struct err *e);
};

/* What the client's TLS shows of it. */
struct exchange_client {
	struct sasl_binding binding;
	struct span cert_name;	/* of a verified certificate; else empty */
	struct span cert_print; /* its fingerprint, verified or not */
};

/* NULL: there is no such mechanism. */
struct exchange *exchange_new(struct auth *a, struct span mechanism,
    const struct login_facts *f, const struct exchange_client *client,
    uint64_t trace, const struct exchange_handler *h, void *arg);
void exchange_start(struct exchange *x, bool has_initial, struct span initial);
void exchange_step(struct exchange *x, struct span response);

/* In `challenge`: why this is a refusal that the client only has to answer,
 * and *out_user its name for the log; NULL: it is none. */
const char *exchange_refusal(const struct exchange *x, const char **out_user);

/* The owner wants to hear no more. What is under way goes on to its end, so
 * that a failure counts. *x is NULL at once; NULL is legal. */
void exchange_abandon(struct exchange **x);

/* At the process's end: refusals that wait are answered at once. True when
 * nothing is left to wait for but clients. */
bool exchanges_flush(struct auth *a);

#endif
