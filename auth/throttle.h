/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_THROTTLE_H
#define CHAPPE_AUTH_THROTTLE_H

/*
 * How long a failed login waits for its answer: the more a client network, or
 * the logins under a name, have failed lately, the longer. IPv4 addresses
 * count alone, IPv6 by their first 64 bits. Pure: the caller says what time
 * it is.
 */

#include <stdint.h>

struct throttle;
struct throttle *throttle_new(uint64_t delay_ms);
void throttle_free(struct throttle **t);

/* Notes a failure and gives the delay: delay_ms, doubling with each further
 * failure of the client or of the user, whichever has more, up to
 * THROTTLE_MAX_MS; forgotten THROTTLE_MEMORY_MS after the last one. addr ""
 * and loopback addresses, and user "", are not counted. */
uint64_t throttle_failed(struct throttle *t, const char *addr,
    const char *user, uint64_t now_ms);
/* A success takes the failures of both away. */
void throttle_succeeded(
    struct throttle *t, const char *addr, const char *user);

enum {
	THROTTLE_MAX_MS = 15000,
	THROTTLE_MEMORY_MS = 300000,
	THROTTLE_CLIENTS_MAX = 50000,
};

#endif
