/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_QUEUE_LIST_H
#define CHAPPE_MAIL_QUEUE_LIST_H

/*
 * The listing of the queue as mailq (postqueue -p) and postqueue -j print it,
 * in Postfix's shapes (that of long queue ids). It only makes text: messages
 * and recipients are given one by one, the bytes collect in `out`, which the
 * owner empties as it likes.
 */

#include "lib/base/buf.h"

struct queue_list {
	struct buf out;
	bool json;
	bool open; /* a message is being printed */
	bool first_rcpt;
	bool had_reason;
	struct buf reason; /* of the last recipient */
	uint64_t messages, bytes;
};

struct queue_list_entry {
	struct span queue_name; /* "active", "deferred", "hold", ... */
	struct span id;
	uint64_t size; /* content bytes */
	int64_t arrival_s;
	struct span sender; /* empty: null, shown as MAILER-DAEMON */
	bool expired;
};

void queue_list_init(struct queue_list *l, bool json);
void queue_list_release(struct queue_list *l);

/* Begins a message (and ends the one before). */
void queue_list_message(struct queue_list *l, const struct queue_list_entry *e);
/* A recipient of it; reason empty: not tried, or not known. */
void queue_list_rcpt(
    struct queue_list *l, struct span address, struct span reason);
/* Ends the last message and the listing. */
void queue_list_end(struct queue_list *l);

#endif
