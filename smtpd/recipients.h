/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_RECIPIENTS_H
#define CHAPPE_SMTPD_RECIPIENTS_H

/*
 * The recipients of one transaction. They stay in memory, in the
 * transaction's arena, until the message is committed, since filters may take
 * some away, add others, or send the whole message elsewhere; recipients_write
 * puts them into the queue file. A pair of address and address given is kept
 * once.
 */

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/table.h"
#include "lib/mail/router.h"
#include "lib/queue/queue.h"

struct session;
struct transaction;

/* One address to deliver to. */
struct recipient {
	struct recipient *next;
	struct queue_rcpt rcpt; /* spans in the transaction's arena */
};

struct recipients {
	struct recipient *first, **end;
	struct table seen;
	uint32_t count; /* to deliver to */
	bool changed;   /* since they were last written */
};

void recipients_init(struct recipients *r);
void recipients_release(struct recipients *r);

/* A copy of a routing result that lives as long as the arena. */
struct route_result *recipients_keep(
    struct arena *a, const struct route_result *result);

/* Takes what routing made of one address. given: what the client said with
 * it (DSN parameters; spans in the arena), its addresses and route are not
 * looked at; may be NULL. False: too many (LIMIT_RCPT), nothing was taken. */
bool recipients_take(struct session *s, const struct route_result *result,
    const struct queue_rcpt *given);

/* Routes an address that a table or filter adds, without asking whether the
 * user exists, and takes it. notify: DSN_NOTIFY_* or 0. 0: it is taken; -1:
 * it is not, e says why, and so does a line in the log; 1: done will be called
 * with NULL or with e, never before the call has returned (who adds thousands
 * makes a loop of it). Not before DATA was answered; one at a time. */
typedef void (*recipients_fn)(struct session *s, const struct err *e);
int recipients_add(struct session *s, struct span address, uint32_t notify,
    recipients_fn done, struct err *e);

/* Takes all away that deliver to, or were given as, this address (as the
 * client said it, without angle brackets); how many. */
unsigned recipients_remove(struct session *s, struct span address);
void recipients_clear(struct session *s);

/* Puts them into the queue file, if they are not there as they are now. */
void recipients_write(struct transaction *tx);

#endif
