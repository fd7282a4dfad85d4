/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_server.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct imap_server *s;
	struct buf out;
	bool closed;
	int steps;
};

static void
on_command(struct run *r, const struct imap_cmd *c)
{
	if (c->verb == IMAP_IDLE || c->verb == IMAP_AUTHENTICATE) {
		r->steps = 2;
		imap_server_continue(r->s, SPAN("go"));
		return;
	}
	buf_fmt(imap_server_out(r->s), "* %s %zu %zu\r\n", c->name,
	    c->mailbox.n, c->set.count);
	if (c->verb == IMAP_LOGIN)
		imap_server_set_state(r->s, IMAP_AUTHENTICATED);
	if (c->verb == IMAP_SELECT)
		imap_server_set_state(r->s, IMAP_SELECTED);
	if (c->verb == IMAP_LOGOUT)
		imap_server_bye(r->s, "bye");
	else
		imap_server_done(r->s, IMAP_OK, NULL, "ok");
}

static void
on_event(struct run *r, const struct imap_event *ev)
{
	switch (ev->type) {
	case IMAP_EV_NONE:
		break;
	case IMAP_EV_COMMAND:
		on_command(r, ev->cmd);
		break;
	case IMAP_EV_LINE:
		buf_add(&r->out, ev->bytes);
		if (--r->steps > 0)
			imap_server_continue(r->s, SPAN("go"));
		else
			imap_server_done(r->s, IMAP_OK, NULL, "line");
		break;
	case IMAP_EV_APPEND:
		if (ev->cmd->append_size % 2 == 1)
			imap_server_done(r->s, IMAP_NO, NULL, "odd");
		else
			imap_server_go(r->s);
		break;
	case IMAP_EV_DATA:
		buf_add(&r->out, ev->bytes);
		break;
	case IMAP_EV_APPEND_END:
		imap_server_done(r->s, IMAP_OK, NULL, "appended");
		break;
	case IMAP_EV_APPEND_BAD:
		break;
	case IMAP_EV_CLOSE:
		r->closed = true;
		break;
	}
}

static void
run(struct run *r, struct span in, size_t step, enum imap_state state)
{
	size_t at = 0, end = 0, n;
	struct imap_event ev;

	*r = (struct run){ .s = imap_server_new(state) };
	buf_init(&r->out, 64 << 20);
	while (!r->closed && end < in.n) {
		end = in.n - end < step ? in.n : end + step;
		do {
			struct span out;

			n = imap_server_feed(
			    r->s, span_slice(in, at, end), &ev);
			at += n;
			on_event(r, &ev);
			out = imap_server_output(r->s);
			buf_add(&r->out, out);
			imap_server_sent(r->s, out.n);
		} while (!r->closed && (n > 0 || ev.type != IMAP_EV_NONE));
	}
	imap_server_free(&r->s);
}

/* However the bytes are cut, the answers are the same. The first byte says
 * in which state the connection is. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum imap_state states[] = { IMAP_NOT_AUTHENTICATED,
		IMAP_AUTHENTICATED, IMAP_SELECTED };
	struct run whole, cut;
	struct span in;

	if (size == 0 || size > 100000)
		return 0;
	in = span_of(data + 1, size - 1);
	run(&whole, in, SIZE_MAX, states[data[0] % 3]);
	run(&cut, in, 1 + data[0] / 3 % 5, states[data[0] % 3]);
	BUG_ON(!span_eq(buf_span(&whole.out), buf_span(&cut.out)));
	buf_release(&whole.out);
	buf_release(&cut.out);
	return 0;
}
