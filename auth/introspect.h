/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_INTROSPECT_H
#define CHAPPE_AUTH_INTROSPECT_H

/*
 * Asks a service on this host about a token (RFC 7662): one HTTP POST over a
 * loopback or UNIX socket, a connection each. No TLS, hence nothing but
 * loopback; a service elsewhere needs a proxy here.
 */

#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/os/loop.h"

enum {
	INTROSPECT_MS = 10000,
	INTROSPECT_ANSWER_MAX = 65536,
	INTROSPECT_WAITING_MAX = 1000, /* questions at a time */
};

struct introspect_place {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char host[80];	 /* for the Host field */
	char path[256];	 /* "/introspect" */
};

/* Reads "http://127.0.0.1:8080/path", "http://[::1]:8080/path",
 * "http://localhost/path" or "unix:/socket:/path". False: none of these. */
bool introspect_place_parse(struct span text, struct introspect_place *out);

/* Appends the request for a token. authorization: value of that field, or
 * "". */
void introspect_request(const struct introspect_place *p, struct span token,
    const char *authorization, struct buf *out);

/* Finds the body in what came so far; ended: no more will come. OK: *out_body
 * (within answer). BAD: no HTTP, or another status than 200, *out_why. */
enum parse introspect_answer(struct span answer, bool ended,
    struct span *out_body, const char **out_why);

/* Asks; fn is called once, not from inside: the body, or empty and e. */
typedef void (*introspect_fn)(
    void *arg, struct span body, const struct err *e);
void introspect_ask(struct loop *loop, const struct introspect_place *p,
    struct span token, const char *authorization, introspect_fn fn, void *arg);

#endif
