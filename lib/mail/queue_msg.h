/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_QUEUE_MSG_H
#define CHAPPE_MAIL_QUEUE_MSG_H

/*
 * Numbers and words that qmgr and the tools share on public/qmgr.
 *
 * MSG_QUEUE_LIST{[F_CURSOR] [F_FLAGS]} is answered by MSG_QUEUE_PAGE with
 * F_MESSAGE groups {F_QUEUE_NAME F_QID F_FLAGS F_SIZE F_ARRIVAL_US F_SENDER
 * F_RCPT{F_ADDRESS F_ORIG_ADDRESS F_REASON}*} and, when there is more,
 * F_CURSOR: the same connection asks on with it.
 *
 * MSG_QUEUE_EDIT{F_OP F_QID*} is answered by MSG_OK{F_COUNT F_QID*}: those
 * it was done to.
 *
 * MSG_QUEUE_FLUSH{[F_QID] [F_DOMAIN]} by MSG_OK{F_COUNT}.
 */

enum {
	QUEUE_LIST_IDS = 1, /* F_FLAGS of MSG_QUEUE_LIST: only F_QUEUE_NAME
			       and F_QID */
	/* F_FLAGS of a F_MESSAGE group */
	QUEUE_ENTRY_MORE = 1,	 /* the next group is the same message's */
	QUEUE_ENTRY_EXPIRED = 2, /* force-expired */
	QUEUE_EDIT_MAX = 1000,	 /* ids in one MSG_QUEUE_EDIT */
};

/* F_OP of MSG_QUEUE_EDIT. */
#define QUEUE_OP_DELETE "delete"
#define QUEUE_OP_HOLD "hold"
#define QUEUE_OP_RELEASE "release"
#define QUEUE_OP_REQUEUE "requeue"
#define QUEUE_OP_EXPIRE "expire"
#define QUEUE_OP_EXPIRE_NOW "expire-now"

#endif
