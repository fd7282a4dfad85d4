/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_TLS_H
#define CHAPPE_SMTPD_TLS_H

/*
 * TLS as smtpd's clients and logs see it: the server context that the
 * parameters describe, what is logged about a handshake, and what Received
 * tells of it.
 */

#include "lib/base/buf.h"
#include "lib/os/tls.h"

struct conf;
struct smtpd_conf;
struct session;
struct stage_state;

/* Checks what the parameters say, and settles what one of them says of
 * another (smtpd_enforce_tls). */
int tls_verify(struct conf *c, struct smtpd_conf *conf, struct err *e);

/* A context to serve with; -1: the certificates are no good. name: the
 * service's, whose sessions resume with one another. */
int tls_context(const struct smtpd_conf *conf, const char *name,
    struct tls_keys *keys, struct tls_ctx **out, struct err *e);

/* The handshake is complete: remembers the client's certificate. */
void tls_established(struct session *s);
/* What there is to log of it, once; "connect from" must be in the log. */
void tls_log(struct session *s);
/* It failed; e: NULL when it took too long. */
void tls_failed(struct session *s, const struct err *e);

/* The session ends: what it held goes back to the system in a while. */
void tls_ended(struct session *s);

/* "\t(using TLSv1.3 ...)\r\n\t(Client ...)\r\n"; nothing without TLS. */
void tls_received(const struct session *s, struct buf *out);

#endif
