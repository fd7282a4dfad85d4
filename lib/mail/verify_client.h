/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_VERIFY_CLIENT_H
#define CHAPPE_MAIL_VERIFY_CLIENT_H

/*
 * The question to verify: can this address be delivered to? verify answers
 * from what it remembers, else sends a probe, and says VERIFY_TODO when the
 * probe takes longer than the asker wants to wait.
 */

#include "lib/ipc/channel.h"
#include "lib/mail/verify_record.h"

struct verify_answer {
	enum verify_status status;
	struct span text; /* why */
};

/* Asks for the address (not empty, without angle brackets) over a client of
 * the service verify: fn as client_ask calls it, not later than a few seconds
 * after wait_ms. client_cancel(c, arg) forgets it. */
void verify_ask(struct client *c, struct span address, uint64_t wait_ms,
    uint64_t trace, client_fn fn, void *arg);

/* The answer in m, of which text is a part; false when it is none. */
bool verify_answer_read(struct msg_in *m, struct verify_answer *out);

#endif
