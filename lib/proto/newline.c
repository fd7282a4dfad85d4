/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/newline.h"

static bool
is_plain(uint8_t c)
{
	return c != '\r' && c != '\n' && c != '\0';
}

static void
one(struct newline *n, uint8_t c, newline_fn out, void *arg)
{
	if (n->cr && c != '\n')
		out(arg, SPAN(" "));
	n->cr = c == '\r';
	if (c == '\n')
		out(arg, SPAN("\r\n"));
	else if (c == '\0')
		out(arg, SPAN(" "));
}

void
newline_feed(
    struct newline *n, struct span bytes, newline_fn out, void *arg)
{
	size_t from = 0, i = 0;

	while (i < bytes.n) {
		/* A whole CRLF may stand inside a piece. */
		if (is_plain(bytes.p[i]) && !n->cr) {
			i++;
		} else if (!n->cr && bytes.p[i] == '\r' && i + 1 < bytes.n &&
			   bytes.p[i + 1] == '\n') {
			i += 2;
		} else {
			if (i > from)
				out(arg, span_slice(bytes, from, i));
			one(n, bytes.p[i], out, arg);
			from = is_plain(bytes.p[i]) ? i : i + 1;
			i++;
		}
	}
	if (i > from)
		out(arg, span_slice(bytes, from, i));
}

void
newline_end(struct newline *n, newline_fn out, void *arg)
{
	if (n->cr)
		out(arg, SPAN(" "));
	n->cr = false;
}
