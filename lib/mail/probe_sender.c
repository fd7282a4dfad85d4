/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/probe_sender.h"

enum { BASE = 31, DIGITS_MAX = 14 };

static bool
is_null(struct span sender)
{
	return sender.n == 0 || span_eq(sender, SPAN("<>"));
}

bool
probe_sender_good(struct span sender)
{
	return sender.n == 0 ||
	    (sender.p[0] != '@' && sender.p[sender.n - 1] != '@');
}

static void
put_period(uint64_t period, struct buf *out)
{
	/* No vowels: no words. */
	static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
	char text[DIGITS_MAX];
	size_t n = sizeof(text);

	do {
		text[--n] = digits[period % BASE];
		period /= BASE;
	} while (period > 0 && n > 0);
	buf_add(out, span_of(text + n, sizeof(text) - n));
}

void
probe_sender_make(
    struct span sender, uint64_t ttl_s, uint64_t now_s, struct buf *out)
{
	const size_t at = span_rchr(sender, '@');

	if (is_null(sender))
		return;
	buf_add(out, span_slice(sender, 0, at));
	if (ttl_s > 0)
		put_period(now_s / ttl_s, out);
	if (at != SIZE_MAX)
		buf_add(out, span_skip(sender, at));
}

bool
probe_sender_is(struct span sender, uint64_t ttl_s, uint64_t now_s,
    struct span local)
{
	const struct span base = span_slice(sender, 0, span_rchr(sender, '@'));
	struct span rest;
	bool is = false;

	if (is_null(sender) || ttl_s == 0 || !span_istarts(local, base))
		return false;
	rest = span_skip(local, base.n);
	for (uint64_t n = 0; n < 3 && !is; n++) {
		struct buf text;

		if (now_s / ttl_s + n == 0)
			continue;
		buf_init(&text, DIGITS_MAX);
		put_period(now_s / ttl_s + n - 1, &text);
		is = span_ieq(rest, buf_span(&text));
		buf_release(&text);
	}
	return is;
}
