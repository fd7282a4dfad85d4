/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bounce/bounce_impl.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/mail/delivery_log.h"

enum { PIECE = 65536 };

const char *
bounce_kind_text(enum dsn_kind kind)
{
	switch (kind) {
	case DSN_FAILED:
		return "sender non-delivery notification";
	case DSN_DELAYED:
		return "sender delay notification";
	case DSN_DELIVERED:
		return "sender delivery status notification";
	}
	return "";
}

static const char *
action_text(enum dsn_kind kind)
{
	switch (kind) {
	case DSN_FAILED:
		return "failed";
	case DSN_DELAYED:
		return "delayed";
	case DSN_DELIVERED:
		return "delivered";
	}
	return "";
}

/* RFC 3461 4.1: without a wish, failures and delays are told. */
static bool
wanted(enum dsn_kind kind, uint64_t notify)
{
	if ((notify & DSN_NOTIFY_NEVER) != 0)
		return false;
	switch (kind) {
	case DSN_FAILED:
		return notify == 0 || (notify & DSN_NOTIFY_FAILURE) != 0;
	case DSN_DELAYED:
		return notify == 0 || (notify & DSN_NOTIFY_DELAY) != 0;
	case DSN_DELIVERED:
		return (notify & DSN_NOTIFY_SUCCESS) != 0;
	}
	return false;
}

static int
read_kind(struct msg_in *m, enum dsn_kind *out)
{
	switch (msg_get_u64(m, F_ACTION)) {
	case RCPT_SENT:
		*out = DSN_DELIVERED;
		return 0;
	case RCPT_DEFERRED:
		*out = DSN_DELAYED;
		return 0;
	case RCPT_FAILED:
		*out = DSN_FAILED;
		return 0;
	}
	return -1;
}

static struct span
keep(struct arena *a, struct msg_in *m, enum msg_field f, size_t max)
{
	return arena_dup(a, msg_get(m, f, max));
}

static void
read_rcpt(struct arena *a, struct msg_in *m, enum dsn_kind kind,
    struct dsn_report_rcpt *out)
{
	const struct span transport = msg_get(m, F_TRANSPORT, LIMIT_ADDRESS);

	out->address = arena_dup(a, msg_need(m, F_ADDRESS, LIMIT_ADDRESS));
	out->orig_address = keep(a, m, F_ORIG_ADDRESS, LIMIT_ADDRESS);
	out->orcpt = keep(a, m, F_DSN_ORCPT, LIMIT_ADDRESS);
	out->action = action_text(kind);
	/* RFC 3464 2.3.3: what went on by SMTP is not known to be there. */
	if (kind == DSN_DELIVERED &&
	    (span_eq(transport, SPAN("smtp")) ||
		span_eq(transport, SPAN("relay"))))
		out->action = "relayed";
	out->status = arena_dup(a, msg_need(m, F_DSN, 11));
	out->reason = keep(a, m, F_TEXT, LIMIT_SMTP_REPLY);
	out->remote = keep(a, m, F_REMOTE, LIMIT_ADDRESS);
	out->diagnostic = keep(a, m, F_DIAGNOSTIC, LIMIT_SMTP_REPLY);
	if (span_eq(out->orig_address, out->address))
		out->orig_address = SPAN_EMPTY;
}

static void
read_rcpts(struct msg_in *m, struct arena *a, struct dsn_report *r)
{
	struct dsn_report_rcpt *rcpts;
	struct msg_in group;
	size_t cursor = 0, room = 0;

	while (msg_next(m, F_RCPT, &cursor, &group))
		room++;
	if (room == 0)
		m->bad = true;
	rcpts = arena_alloc(a, (room + 1) * sizeof(*rcpts));
	cursor = 0;
	while (msg_next(m, F_RCPT, &cursor, &group)) {
		uint64_t notify = msg_get_u64(&group, F_DSN_NOTIFY);

		read_rcpt(a, &group, r->kind, &rcpts[r->rcpt_count]);
		m->bad |= group.bad;
		if (wanted(r->kind, notify))
			r->rcpt_count++;
	}
	r->rcpts = rcpts;
}

int
bounce_order_read(struct msg_in *m, struct arena *arena,
    struct bounce_order *out)
{
	struct bounce_order o = { .arena = arena };
	struct dsn_report *r = &o.report;

	if (read_kind(m, &r->kind) != 0)
		return -1;
	msg_get_range(m, &o.content);
	o.qid = arena_dup(arena, msg_need(m, F_QID, QUEUE_ID_TEXT - 1));
	o.sender = keep(arena, m, F_SENDER, LIMIT_ADDRESS);
	r->sender = o.sender;
	r->envid = keep(arena, m, F_DSN_ENVID, LIMIT_ADDRESS);
	r->arrival_s = (int64_t)(msg_get_u64(m, F_ARRIVAL_US) / 1000000);
	r->eight_bit = span_ieq(msg_get(m, F_ENCODING, 16), SPAN("8BITMIME"));
	/* RFC 3461 4.3: FULL is for failures only. */
	o.requiretls = msg_has(m, F_REQUIRETLS);
	/* RFC 8689 5: neither is FULL for what needs TLS. */
	r->headers_only = msg_get_u64(m, F_DSN_RET) == DSN_RET_HDRS ||
	    r->kind != DSN_FAILED || o.requiretls;
	read_rcpts(m, arena, r);
	if (m->bad)
		return -1;
	o.content.fd = msg_take_fd(m);
	if (m->bad)
		return -1;
	*out = o;
	return 0;
}

/* ---- the original ---- */

/* Reads all of it, for the checksum's sake, and keeps the beginning. */
static int
read_content(const struct bounce_order *o, size_t want, struct buf *out,
    struct err *e)
{
	uint8_t *piece = mem_alloc(PIECE);
	struct range_reader r;
	ssize_t n;

	range_begin(&r, &o->content);
	while ((n = range_read(&r, piece, PIECE, e)) > 0) {
		const size_t left = want - out->n;

		buf_add(out, span_of(piece, (size_t)n < left ? (size_t)n : left));
	}
	mem_free(piece);
	return n < 0 ? -1 : 0;
}

/* Up to the empty line; of a header that is cut, up to the last whole line. */
static size_t
header_length(struct span content)
{
	size_t end = span_find(content, SPAN("\r\n\r\n"));

	if (span_starts(content, SPAN("\r\n")))
		return 0;
	if (end != SIZE_MAX)
		return end + 2;
	end = span_rchr(content, '\n');
	return end == SIZE_MAX ? 0 : end + 1;
}

static bool
has_high_bytes(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > 127)
			return true;
	return false;
}

int
bounce_original(struct bounce_order *o, uint64_t limit, struct buf *out,
    struct err *e)
{
	const uint64_t size = o->content.size;

	if (size > limit)
		o->report.headers_only = true;
	if (read_content(o, (size_t)(size < limit ? size : limit), out, e) !=
	    0) {
		if (e->sysno != EBADMSG)
			return -1;
		/* What is damaged goes nowhere, but that it was not delivered
		 * is to be told. */
		buf_reset(out);
		o->report.headers_only = true;
	}
	if (o->report.headers_only)
		buf_truncate(out, header_length(buf_span(out)));
	o->report.eight_bit = has_high_bytes(buf_span(out));
	return 0;
}
