/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PICKUP_ACTIONS_H
#define CHAPPE_PICKUP_ACTIONS_H

/*
 * What header and body checks want done with a message that pickup takes in,
 * collected while it goes by. Nobody waits for a reply here: a message that is
 * refused comes back to its sender.
 */

#include "lib/base/arena.h"
#include "lib/mail/checks.h"
#include "lib/os/log.h"

struct actions {
	struct arena arena; /* holds the spans */
	bool discard, hold;
	bool refused;
	struct err why; /* refused */
	struct span filter, redirect;
	struct added_rcpt {
		struct added_rcpt *next;
		struct span address;
	} *added;
};

void actions_init(struct actions *a);
void actions_release(struct actions *a);
/* One more recipient. */
void actions_add(struct actions *a, struct span address);
/* Logs and notes what a check says; sender is for the log. */
void actions_note(struct actions *a, const struct check_hit *hit,
    const struct log_ctx *log, struct span sender);

#endif
