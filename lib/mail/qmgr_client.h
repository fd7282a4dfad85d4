/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_QMGR_CLIENT_H
#define CHAPPE_MAIL_QMGR_CLIENT_H

/*
 * An accepting process's side of private/qmgr: it says who it is, tells of
 * each durable message, and takes its leave. No mail depends on it: when the
 * connection ends without a farewell qmgr looks at this process's part of
 * the queue itself, and at its start it looks at everything. So nothing here
 * fails towards the caller.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/os/loop.h"
#include "lib/queue/queue.h"

struct qmgr_client;

/* path: the socket of private/qmgr; slot: this process's, of queue ids. The
 * connection is made at once and kept. */
struct qmgr_client *qmgr_client_new(struct loop *loop, const char *path,
    uint8_t slot);
void qmgr_client_free(struct qmgr_client **q);

/* This process's commits go by group commit (queue_commit = group): it gets
 * its journal segments over this connection, and messages are told of with
 * their place in them. The queue lives longer than q. */
void qmgr_client_group(struct qmgr_client *q, struct queue *queue);

/* A message that would survive a power cut is in the queue: its content's
 * size in bytes and its number of recipients. Called from inside its commit's
 * queue_commit_fn, which knows its place in the journal. */
void qmgr_client_message(struct qmgr_client *q, struct queue_id id,
    uint64_t size, uint32_t rcpt_count, uint64_t trace);

/* Says farewell when qmgr has heard of all messages, or after 2 s without;
 * then calls done. For an orderly end. */
typedef void (*qmgr_client_fn)(void *arg);
void qmgr_client_farewell(struct qmgr_client *q, qmgr_client_fn done,
    void *arg);

#endif
