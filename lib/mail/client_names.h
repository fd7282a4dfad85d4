/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_CLIENT_NAMES_H
#define CHAPPE_MAIL_CLIENT_NAMES_H

/*
 * The names of the clients that connected lately, so that one that comes
 * again is not asked about again. Only names that lead back to their address
 * are kept, for as long as the name servers allow, but at least
 * CLIENT_NAMES_MIN_S (a burst of connections is one question) and at most
 * CLIENT_NAMES_MAX_S. A fixed number of places: two clients may want the same
 * one, and the later has it. Memory only.
 */

#include <stdint.h>

#include "lib/base/span.h"

enum { CLIENT_NAMES_MIN_S = 2, CLIENT_NAMES_MAX_S = 60 };

struct client_names;

struct client_names *client_names_new(void);
void client_names_free(struct client_names **n);

/* The name for an address (as text), or NULL. now_ms: of the loop's clock.
 * The name lives until the next put. */
const char *client_names_get(const struct client_names *n,
    const char *addr, uint64_t now_ms);

/* ttl_s: seconds, as the answer had it. Both strings are copied. */
void client_names_put(struct client_names *n, const char *addr,
    const char *name, uint32_t ttl_s, uint64_t now_ms);

#endif
