/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_DELIVERY_LOG_H
#define CHAPPE_MAIL_DELIVERY_LOG_H

/*
 * The one log line for the fate of a recipient, in Postfix's shape:
 *   QID: to=<r>, orig_to=<o>, relay=host[addr]:25, conn_use=2, delay=0.02,
 *   delays=a/b/c/d, dsn=2.0.0, status=sent (250 2.0.0 Ok)
 * delays: before the queue manager, in it, connection set-up, transmission;
 * seconds in two significant digits, not finer than 0.01.
 */

#include "lib/base/buf.h"
#include "lib/os/log.h"

/* F_ACTION in MSG_RESULT. */
enum rcpt_action { RCPT_SENT = 1, RCPT_DEFERRED = 2, RCPT_FAILED = 3 };

struct delivery_facts {
	const struct log_ctx *log; /* with the queue id */
	struct span to;
	struct span orig_to; /* shown when different from to */
	struct span relay;   /* empty: "none" */
	unsigned conn_use;   /* shown from 2 on */
	int64_t arrival_us;  /* when the message came in */
	int64_t active_us;   /* when the queue manager took it up */
	int64_t now_us;
	int64_t setup_us, transmit_us; /* durations */
	const char *dsn;	       /* "2.0.0" */
	enum rcpt_action action;
	const char *status; /* NULL: sent, deferred or bounced, by action */
	struct span text;   /* why */
};

/* The status of what would be returned, but for soft_bounce. */
#define DELIVERY_SOFT "SOFTBOUNCE"

/* The status of a probe: it is "deliverable", or not. */
const char *delivery_log_probe(enum rcpt_action action);

/* Writes the line and the trace event. */
void delivery_log(const struct delivery_facts *f);

/* The line alone (without "QID: "). */
void delivery_log_text(const struct delivery_facts *f, struct buf *out);

/* A duration in that form: "0.02", "1.2", "340", "0". */
void delivery_log_seconds(struct buf *out, int64_t us);

#endif
