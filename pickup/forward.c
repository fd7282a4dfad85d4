/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/os/range.h"
#include "pickup/pickup.h"

enum { CREDIT = 20 };

/* One MSG_FORWARD under way. */
struct forward {
	struct request *request;
	struct range_reader content;
	struct arena arena;
};

static void
forward_free(struct forward *f)
{
	if (f->content.range.fd >= 0)
		close(f->content.range.fd);
	arena_reset(&f->arena);
	mem_free(f);
}

static ssize_t
read_content(void *arg, void *out, size_t size, struct err *e)
{
	struct forward *f = arg;

	return range_read(&f->content, out, size, e);
}

static void
forwarded(void *arg, struct queue_id id, const struct err *e)
{
	struct forward *f = arg;
	char text[QUEUE_ID_TEXT];
	struct msg_out m;

	if (e != NULL) {
		request_error(&f->request, e);
	} else {
		queue_id_text(id, text);
		request_begin(f->request, &m, MSG_OK);
		msg_put_str(&m, F_QID, text);
		request_answer(&f->request, &m);
		msg_out_release(&m);
	}
	forward_free(f);
}

static struct intake_rcpt *
take_rcpts(struct forward *f, struct msg_in *m, size_t *out_count)
{
	struct intake_rcpt *rcpts;
	struct msg_in group;
	size_t cursor = 0, n = 0, room = 0;

	while (msg_next(m, F_RCPT, &cursor, &group))
		room++;
	rcpts = arena_alloc(&f->arena, (room + 1) * sizeof(*rcpts));
	cursor = 0;
	while (n < room && msg_next(m, F_RCPT, &cursor, &group)) {
		rcpts[n].address = arena_dup(&f->arena,
		    msg_need(&group, F_ADDRESS, LIMIT_ADDRESS));
		rcpts[n].orig_address = arena_dup(&f->arena,
		    msg_get(&group, F_ORIG_ADDRESS, LIMIT_ADDRESS));
		m->bad |= group.bad;
		n++;
	}
	if (n == 0)
		m->bad = true;
	*out_count = n;
	return rcpts;
}

static uint64_t
next_trace(uint64_t trace)
{
	return (trace & ~UINT64_C(0xFFFF)) | ((trace + 1) & 0xFFFF);
}

static int
on_forward(struct request *r, struct msg_in *m, void *arg)
{
	struct pickup *p = arg;
	struct forward *f = MEM_NEW(f);
	struct intake_spec spec = { .uid = -1, .count_hops = true };
	struct range content;
	struct err e;

	arena_init(&f->arena, 4 * LIMIT_IPC_MESSAGE);
	f->request = r;
	msg_get_range(m, &content);
	content.fd = msg_take_fd(m);
	range_begin(&f->content, &content);
	spec.sender = arena_dup(&f->arena,
	    msg_get(m, F_SENDER, LIMIT_ADDRESS));
	spec.header = arena_dup(&f->arena,
	    msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE));
	spec.eight_bit = span_ieq(msg_get(m, F_ENCODING, 16),
	    SPAN("8BITMIME"));
	spec.requiretls = msg_has(m, F_REQUIRETLS);
	spec.rcpts = take_rcpts(f, m, &spec.rcpt_count);
	if (msg_done(m, &e) != 0) {
		request_drop(&f->request);
		forward_free(f);
		return -1;
	}
	spec.trace = next_trace(m->trace);
	spec.read = read_content;
	spec.done = forwarded;
	spec.arg = f;
	intake_start(p, &spec);
	return 0;
}

static const struct server_handler handlers[] = {
	{ MSG_FORWARD, on_forward },
	{ MSG_HELLO, NULL },
};

struct server *
forward_server_new(struct pickup *p)
{
	const struct server_options o = { .handlers = handlers,
		.credit = CREDIT,
		.arg = p };

	return server_new(daemon_loop(p->daemon), &o);
}
