/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_VERIFIED_H
#define CHAPPE_AUTH_VERIFIED_H

/*
 * Logins that were verified a moment ago, so that a client that opens ten
 * connections costs one hash. Only successes, and no password: an HMAC under
 * a key that exists in this process only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum { VERIFIED_MAX = 20000 };

struct verified;
/* ttl_ms 0: remembers nothing. */
struct verified *verified_new(uint64_t ttl_ms);
void verified_free(struct verified **v);

void verified_add(struct verified *v, const char *user, struct span password,
    uint64_t now_ms);
bool verified_has(struct verified *v, const char *user, struct span password,
    uint64_t now_ms);

#endif
