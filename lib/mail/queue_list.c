/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/queue_list.h"

#include <time.h>

#include "lib/base/limits.h"
#include "lib/os/log.h"

enum { OUT_MAX = 1 << 28, REASON_COLUMN = 76 };

void
queue_list_init(struct queue_list *l, bool json)
{
	*l = (struct queue_list){ .json = json };
	buf_init(&l->out, OUT_MAX);
	buf_init(&l->reason, LIMIT_LOG_LINE);
}

void
queue_list_release(struct queue_list *l)
{
	buf_release(&l->out);
	buf_release(&l->reason);
}

/* ---- JSON ---- */
static void
put_json(struct buf *b, struct span s)
{
	buf_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		const uint8_t c = s.p[i];

		if (c == '"' || c == '\\') {
			buf_byte(b, '\\');
			buf_byte(b, c);
		} else if (c < ' ' || c == 0x7f) {
			buf_fmt(b, "\\u%04x", c);
		} else {
			buf_byte(b, c);
		}
	}
	buf_byte(b, '"');
}

static struct span
shown_sender(const struct queue_list_entry *e)
{
	return e->sender.n > 0 ? e->sender : SPAN("MAILER-DAEMON");
}

static void
json_message(struct queue_list *l, const struct queue_list_entry *e)
{
	buf_str(&l->out, "{\"queue_name\": ");
	put_json(&l->out, e->queue_name);
	buf_str(&l->out, ", \"queue_id\": ");
	put_json(&l->out, e->id);
	buf_fmt(&l->out,
	    ", \"arrival_time\": %lld, \"message_size\": %llu, "
	    "\"forced_expire\": %s, \"sender\": ",
	    (long long)e->arrival_s, (unsigned long long)e->size,
	    e->expired ? "true" : "false");
	put_json(&l->out, shown_sender(e));
	buf_str(&l->out, ", \"recipients\": [");
}

static void
json_rcpt(struct queue_list *l, struct span address, struct span reason)
{
	if (!l->first_rcpt)
		buf_str(&l->out, ", ");
	buf_str(&l->out, "{\"address\": ");
	put_json(&l->out, address);
	if (reason.n > 0) {
		buf_str(&l->out, ", \"delay_reason\": ");
		put_json(&l->out, reason);
	}
	buf_byte(&l->out, '}');
}

/* ---- text ---- */
static char
mark_of(const struct queue_list_entry *e)
{
	if (e->expired)
		return '#';
	if (span_eq(e->queue_name, SPAN("active")))
		return '*';
	return span_eq(e->queue_name, SPAN("hold")) ? '!' : '\0';
}

static void
text_message(struct queue_list *l, const struct queue_list_entry *e)
{
	const time_t at = (time_t)e->arrival_s;
	struct tm tm;
	char when[32], id[32] = "";

	if (l->messages == 0)
		buf_fmt(&l->out, "%-17s %8s %-19s %s\n", "----Queue ID-----",
		    "--Size--", "---Arrival Time----",
		    "--Sender/Recipient------");
	else
		buf_byte(&l->out, '\n');
	if (span_copy(e->id, id, sizeof(id) - 1))
		id[e->id.n] = mark_of(e);
	localtime_r(&at, &tm);
	strftime(when, sizeof(when), "%a %b %e %H:%M:%S", &tm);
	buf_fmt(&l->out, "%-17s %8llu %19.19s %s\n", id,
	    (unsigned long long)e->size, when,
	    log_quote(shown_sender(e), LIMIT_ADDRESS));
}

/* A run of equal reasons is shown once, before its first recipient. */
static void
text_reason(struct queue_list *l, struct span reason)
{
	int room;

	if (reason.n == 0 && l->had_reason)
		reason = SPAN("reason unavailable");
	if (reason.n == 0 || span_eq(reason, buf_span(&l->reason)))
		return;
	l->had_reason = true;
	buf_reset(&l->reason);
	buf_add(&l->reason, span_slice(reason, 0, LIMIT_LOG_LINE));
	room = REASON_COLUMN - (int)l->reason.n;
	buf_fmt(&l->out, "%*s(%s)\n", room > 0 ? room : 0, "",
	    log_quote(reason, LIMIT_LOG_LINE));
}

static void
text_rcpt(struct queue_list *l, struct span address, struct span reason)
{
	text_reason(l, reason);
	buf_fmt(&l->out, "%-17s %8s %-19s %s\n", "", "", "",
	    log_quote(address, LIMIT_ADDRESS));
}

/* ---- both ---- */
static void
close_message(struct queue_list *l)
{
	if (l->open && l->json)
		buf_str(&l->out, "]}\n");
	l->open = false;
}

void
queue_list_message(struct queue_list *l, const struct queue_list_entry *e)
{
	close_message(l);
	if (l->json)
		json_message(l, e);
	else
		text_message(l, e);
	l->open = l->first_rcpt = true;
	l->had_reason = false;
	buf_reset(&l->reason);
	l->messages++;
	l->bytes += e->size;
}

void
queue_list_rcpt(struct queue_list *l, struct span address, struct span reason)
{
	if (l->json)
		json_rcpt(l, address, reason);
	else
		text_rcpt(l, address, reason);
	l->first_rcpt = false;
}

void
queue_list_end(struct queue_list *l)
{
	close_message(l);
	if (l->json)
		return;
	if (l->messages == 0)
		buf_str(&l->out, "Mail queue is empty\n");
	else
		buf_fmt(&l->out, "\n-- %llu Kbytes in %llu Request%s.\n",
		    (unsigned long long)(l->bytes / 1024),
		    (unsigned long long)l->messages,
		    l->messages == 1 ? "" : "s");
}
