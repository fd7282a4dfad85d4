/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_DELIVER_H
#define CHAPPE_STORE_DELIVER_H

/*
 * The last step of a message's way: from a descriptor into the user's inbox,
 * with Return-Path, X-Original-To and Delivered-To in front. Runs as the
 * user, blocks.
 */

#include "lib/os/range.h"
#include "lib/store/store.h"

struct delivery {
	struct range content;	  /* not delivered if it is damaged */
	struct span sender;       /* envelope; empty: null */
	struct span address;      /* recipient: Delivered-To */
	struct span orig_address; /* X-Original-To; empty: address */
	const char *queue_id;
	uint32_t rcpt_index; /* in the queue file: tells apart two recipients
	                        of one message who share a mailbox */
};

/* Appends the lines that go in front, each ended by LF. Line ends in
 * addresses become "?". */
void delivery_lines(const struct delivery *d, struct buf *out);

/* Was the message delivered to this address before, by its Delivered-To
 * lines? 1 yes, 0 no, -1 it can't be read. Looks at most at LIMIT_HEADER
 * bytes. */
int delivery_loops(const struct delivery *d, struct err *e);

/* Delivers to INBOX. 0: survives power loss. In a Maildir a repeated delivery
 * of the same queue id, recipient and content is recognised; in an mbox it
 * makes a second copy. */
int deliver_inbox(struct store *s, const struct delivery *d, struct err *e);

/* Appends to the file (made 0600 if it is not there) as to an mbox, under its
 * locks; /dev/null takes everything. size_max: 0 none. */
int deliver_file(const char *path, const struct delivery *d,
    int64_t size_max, struct err *e);

/* "maildir" or "mailbox": what the status text says. */
const char *deliver_kind(const struct store *s);

#endif
