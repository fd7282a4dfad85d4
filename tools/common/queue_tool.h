/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_QUEUE_TOOL_H
#define CHAPPE_TOOLS_QUEUE_TOOL_H

/*
 * What postqueue, postsuper and postcat share: talking to qmgr over
 * public/qmgr (lib/mail/queue_msg.h), and listing the directories themselves
 * while it is down.
 */

#include "lib/ipc/channel.h"
#include "lib/queue/queue.h"

/* Connects to public/qmgr. -1: the mail system is down (or refuses). */
int queue_tool_connect(const char *queue_directory, int *out_fd, struct err *e);

/* The trace id of this run's requests. */
uint64_t queue_tool_trace(void);

/* One message of a listing. A message with many recipients comes in pieces:
 * more is set for all but the last, and the pieces follow each other. */
struct queue_tool_message {
	struct span queue_name, id, sender;
	uint64_t size;
	int64_t arrival_s;
	bool expired, more;
	struct msg_in *rcpts; /* queue_tool_rcpt; NULL in a list of ids */
};
struct queue_tool_rcpt {
	struct span address, reason;
};
bool queue_tool_rcpt(const struct queue_tool_message *m, size_t *cursor,
    struct queue_tool_rcpt *out);

/* Calls fn for each message that qmgr knows (ids_only: only queue_name and
 * id are set). */
typedef void (*queue_tool_fn)(void *arg, const struct queue_tool_message *m);
int queue_tool_list(
    int fd, bool ids_only, queue_tool_fn fn, void *arg, struct err *e);

/* A growing list of ids. */
struct queue_ids {
	struct queue_id *ids;
	size_t count, room;
};
void queue_ids_add(struct queue_ids *l, struct queue_id id);

#endif
