/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_OAUTH_H
#define CHAPPE_AUTH_OAUTH_H

/*
 * Whose an access token is: by a set of keys, for tokens that are signed
 * (auth/jwt.h), else by asking a local service (RFC 7662, auth/introspect.h).
 */

#include "auth/auth.h"

struct oauth;

enum oauth_result {
	OAUTH_OK,
	OAUTH_REFUSED, /* why: for the log */
	OAUTH_SCOPE,   /* likewise; the token is good, but not for mail */
	OAUTH_FAILED,  /* nobody can say now */
};
/* user: NULL unless OK; both live during the call. */
typedef void (*oauth_fn)(void *arg, enum oauth_result result,
    const char *user, const char *why);

/* Reads nothing yet; NULL and e: a parameter means nothing. loop NULL: only
 * to look at the parameters. */
struct oauth *oauth_new(
    struct loop *loop, const struct auth_conf *conf, struct err *e);
void oauth_free(struct oauth **o);

/* Calls fn once, maybe at once. */
void oauth_check(
    struct oauth *o, struct span token, oauth_fn fn, void *arg);

/* Appends what the client is told of a refusal (RFC 7628 3.2.2). */
void oauth_error(
    const struct oauth *o, enum oauth_result result, struct buf *out);

#endif
