/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_CHECK_ACTIONS_H
#define CHAPPE_MAIL_CHECK_ACTIONS_H

/*
 * What checks, tables and filters want done with a message beside taking it,
 * collected while it goes by, the same in smtpd and pickup. Only what becomes
 * of a message that is refused differs: a reply here, a bounce there.
 */

#include "lib/base/arena.h"
#include "lib/mail/checks.h"
#include "lib/os/log.h"

struct check_actions {
	struct arena *arena;  /* holds the spans; the owner's */
	bool discard;	      /* say it is taken, and forget it */
	bool hold;	      /* into hold/ */
	bool refused;	      /* set by check_actions_note */
	struct span filter;   /* "transport:nexthop" for all recipients */
	struct span redirect; /* one recipient in place of all */
	struct check_rcpt {   /* recipients to add (BCC) */
		struct check_rcpt *next;
		struct span address;
	} *added;
};

/* One more recipient, behind the others; nothing once the arena is full. */
void check_actions_add(struct check_actions *a, struct span address);

/* Logs and notes what a check says, unless it is decided already what becomes
 * of the message. True: it is refused, which is the caller's to do, with
 * check_reject_text. The line is Postfix's: "reject: header Subject: x WHERE:
 * 5.7.1 text", with `whose` in front; where: "from local; from=<a@b>". */
bool check_actions_note(struct check_actions *a, const struct check_hit *hit,
    const struct log_ctx *log, const char *whose, const char *where);

/* What a REJECT says to the sender, printable. Until the next log_quote. */
const char *check_reject_text(const struct check_hit *hit);

#endif
