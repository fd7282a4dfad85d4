/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/queue_tool.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/mail/queue_msg.h"
#include "lib/os/log.h"

enum { TIMEOUT_MS = 60 * 1000 };

int
queue_tool_connect(const char *queue_directory, int *out_fd, struct err *e)
{
	char path[LIMIT_PATH];

	snprintf(path, sizeof(path), "%s/public/qmgr", queue_directory);
	return sync_connect(path, TIMEOUT_MS, out_fd, e);
}

uint64_t
queue_tool_trace(void)
{
	static uint64_t trace;

	if (trace == 0)
		trace = log_trace_new();
	return trace;
}

bool
queue_tool_rcpt(const struct queue_tool_message *m, size_t *cursor,
    struct queue_tool_rcpt *out)
{
	struct msg_in g;

	if (m->rcpts == NULL || !msg_next(m->rcpts, F_RCPT, cursor, &g))
		return false;
	out->address = msg_get(&g, F_ADDRESS, LIMIT_IPC_MESSAGE);
	out->reason = msg_get(&g, F_REASON, LIMIT_IPC_MESSAGE);
	return true;
}

static void
give_messages(struct msg_in *page, bool ids_only, queue_tool_fn fn, void *arg)
{
	struct msg_in g;
	size_t cursor = 0;

	while (msg_next(page, F_MESSAGE, &cursor, &g)) {
		const uint64_t flags = msg_get_u64(&g, F_FLAGS);
		struct queue_tool_message m = {
			.queue_name = msg_get(&g, F_QUEUE_NAME, 20),
			.id = msg_get(&g, F_QID, QUEUE_ID_TEXT),
			.rcpts = ids_only ? NULL : &g,
			.expired = (flags & QUEUE_ENTRY_EXPIRED) != 0,
			.more = (flags & QUEUE_ENTRY_MORE) != 0,
		};

		if (!ids_only) {
			m.sender = msg_get(&g, F_SENDER, LIMIT_IPC_MESSAGE);
			m.size = msg_get_u64(&g, F_SIZE);
			m.arrival_s =
			    (int64_t)(msg_get_u64(&g, F_ARRIVAL_US) / 1000000);
		}
		fn(arg, &m);
	}
}

int
queue_tool_list(
    int fd, bool ids_only, queue_tool_fn fn, void *arg, struct err *e)
{
	struct buf store;
	struct msg_out out;
	struct msg_in in;
	uint32_t id = 1;
	bool more = true;
	int ret = 0;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	for (bool first = true; more && ret == 0; first = false) {
		msg_begin(&out, MSG_QUEUE_LIST, id++, queue_tool_trace());
		msg_put_u64(&out, F_FLAGS, ids_only ? QUEUE_LIST_IDS : 0);
		if (!first)
			msg_put(&out, F_CURSOR, SPAN("next"));
		ret = sync_call(fd, &out, &store, &in, TIMEOUT_MS, e);
		msg_out_release(&out);
		if (ret != 0)
			break;
		give_messages(&in, ids_only, fn, arg);
		more = msg_has(&in, F_CURSOR);
		msg_in_release(&in);
	}
	buf_release(&store);
	return ret;
}

void
queue_ids_add(struct queue_ids *l, struct queue_id id)
{
	if (l->count == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->ids = mem_resize(l->ids, l->room, sizeof(*l->ids));
	}
	l->ids[l->count++] = id;
}
