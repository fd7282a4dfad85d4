/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTP_TLS_POLICY_H
#define CHAPPE_SMTP_TLS_POLICY_H

/*
 * What a destination must do about TLS before it gets mail, by Postfix's
 * parameters: smtp_tls_security_level, or the destination's own entry in
 * smtp_tls_policy_maps ("LEVEL [match=WORD:WORD...]"); and what RFC 8689 has
 * a message add to that or take from it.
 */

#include "lib/base/buf.h"
#include "lib/os/stream.h"

struct smtp;
struct target;

/* Each asks for more than the one before, but that "verify" is no more than
 * "fingerprint". */
enum tls_level {
	TLS_LEVEL_NONE,	       /* no TLS */
	TLS_LEVEL_MAY,	       /* where it is offered */
	TLS_LEVEL_ENCRYPT,     /* or not at all; from whomever */
	TLS_LEVEL_FINGERPRINT, /* with a certificate that match has */
	TLS_LEVEL_VERIFY,      /* a trusted one, for a name in match */
	TLS_LEVEL_SECURE,      /* the same with other names */
};

struct tls_policy {
	enum tls_level level;
	/* Names: "hostname" (the host's, as the MX record has it), "nexthop"
	 * (the domain), "dot-nexthop" (any below it), or one itself, ".name"
	 * for those below; or fingerprints. */
	struct buf match;
	bool trust_mx; /* "hostname" too, where DNSSEC vouches for the MX */
};

/* The policy of a next hop. -1: a table failed, or has an entry that can't be
 * read; out holds nothing then. */
int tls_policy_find(struct smtp *s, struct span nexthop,
    struct tls_policy *out, struct err *e);
void tls_policy_release(struct tls_policy *p);
/* Is this value of smtp_tls_policy_maps one? Then *out is filled, match only
 * if it has one. */
int tls_policy_parse(struct span value, struct tls_policy *out, struct err *e);

/* RFC 8689 4.2.1: the server must be verified. A policy that says how stays as
 * it is; others become "secure". */
void tls_policy_require(struct tls_policy *p, const char *secure_match);
/* RFC 8689 5 (TLS-Required: No): the message is worth more than its secrecy. */
void tls_policy_relax(struct tls_policy *p);

/* What a server has shown of itself. */
enum tls_trust {
	TLS_TRUST_NONE,	     /* no TLS */
	TLS_TRUST_ANONYMOUS, /* no certificate */
	TLS_TRUST_UNTRUSTED, /* one that nobody vouches for */
	TLS_TRUST_TRUSTED,   /* a good one */
	TLS_TRUST_VERIFIED,  /* the one that the policy wants */
};
const char *tls_trust_word(enum tls_trust t);
/* Of an encrypted stream to a target, as a policy of that next hop has it. */
enum tls_trust tls_policy_trust(const struct tls_policy *p,
    const struct stream *stream, const struct target *t, struct span nexthop,
    const char *digest);
/* Is that enough? */
bool tls_policy_content(const struct tls_policy *p, enum tls_trust t);
/* Logs it, as smtp_tls_loglevel has it, and what a certificate lacks that had
 * to be verified. */
struct smtp_conf;
void tls_policy_log(const struct tls_policy *p, enum tls_trust trust,
    const struct stream *stream, const struct target *t,
    const struct smtp_conf *conf);

#endif
