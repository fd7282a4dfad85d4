/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_TICKET_H
#define CHAPPE_AUTH_TICKET_H

/*
 * Tickets: the login stage proves to the spawner with one that auth verified
 * a user; it can't name a user itself. 128 random bits, for the process that
 * asked, good once and for 30 s. Pure but for its randomness.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/span.h"

enum { TICKET_SIZE = 16, TICKET_MS = 30000, TICKETS_MAX = 20000 };

struct tickets;
struct tickets *tickets_new(void);
void tickets_free(struct tickets **t);

/* False when too many are out. */
bool tickets_issue(struct tickets *t, const char *user, pid_t pid,
    uint64_t now_ms, uint8_t out[TICKET_SIZE]);
/* Redeems: the user's name (heap, the caller's), or NULL when there is no
 * such ticket for this process any more. It is used up in either case. */
char *tickets_redeem(struct tickets *t, struct span ticket, pid_t pid,
    uint64_t now_ms);

#endif
