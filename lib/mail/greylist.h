/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_GREYLIST_H
#define CHAPPE_MAIL_GREYLIST_H

/*
 * Greylisting (RFC 6647): a mail from a client, a sender and a recipient that
 * are not known together has to come a second time, as real mail servers try
 * again and most of what sends spam does not. Clients that have come back
 * often enough are not asked any more. What is known is in the shared table,
 * so all processes know it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/os/shared_table.h"

struct greylist {
	int64_t delay_s;    /* before which it is too early to come again */
	int64_t retry_s;    /* after which it is as if it came first */
	int64_t lifetime_s; /* how long it is known, from its last mail */
	uint32_t auto_allow; /* mails that came back; 0: never */
};

struct grey_mail {
	struct span client; /* its network, as text */
	struct span sender, rcpt;
};

enum grey_answer { GREY_PASS, GREY_WAIT };

/* *out_s: with GREY_WAIT how many seconds are left, with GREY_PASS how many
 * it was held up, 0 when it was not. */
enum grey_answer greylist_ask(struct shared_table *t,
    const struct greylist *conf, const struct grey_mail *mail, int64_t now_s,
    int64_t *out_s);

#endif
