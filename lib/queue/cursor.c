/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/cursor.h"

#include <errno.h>
#include <unistd.h>

enum {
	WINDOW = 1 << 16,
	WINDOW_FIRST = 2048,
};

int
queue_damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_PERM, "5.3.0", "damaged queue file: %s", what);
}

void
cursor_init(struct cursor *c, int fd, struct span head, uint64_t at,
    uint64_t end)
{
	*c = (struct cursor){
		.fd = fd, .head = head, .at = at, .end = end
	};
	buf_init(&c->win, RECORD_NOTES_MAX + RECORD_FRAME + 2 * WINDOW);
}

uint64_t
cursor_place(const struct cursor *c)
{
	return c->at - c->win.n;
}

int
cursor_fill(struct cursor *c, struct err *e)
{
	/* Most envelopes are short: a small piece first. */
	const uint64_t max = c->win.cap == 0 ? WINDOW_FIRST : WINDOW;
	uint64_t want = c->end - c->at;
	ssize_t n;

	if (want == 0)
		return 0;
	if (c->at < c->head.n) {
		if (want > c->head.n - c->at)
			want = c->head.n - c->at;
		buf_add(&c->win, span_slice(c->head, (size_t)c->at,
				     (size_t)(c->at + want)));
		c->at += want;
		return 1;
	}
	if (want > max)
		want = max;
	do
		n = pread(c->fd, buf_room(&c->win, (size_t)want), (size_t)want,
		    (off_t)c->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "read queue file");
	if (n == 0)
		return queue_damaged(e, "too short");
	buf_grown(&c->win, (size_t)n);
	c->at += (uint64_t)n;
	return 1;
}

int
cursor_record(struct cursor *c, size_t data_max, struct record *out,
    size_t *out_used, struct err *e)
{
	int got;

	for (;;) {
		switch (
		    record_get(buf_span(&c->win), data_max, out, out_used)) {
		case PARSE_OK:
			return 1;
		case PARSE_BAD:
			return queue_damaged(e, "bad record");
		case PARSE_MORE:
			break;
		}
		got = cursor_fill(c, e);
		if (got < 0)
			return -1;
		if (got == 0)
			return c->win.n == 0 ? 0 : queue_damaged(e, "torn record");
	}
}
