/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/dsn_report.h"

#include <stdarg.h>

#include "lib/base/buf.h"
#include "lib/proto/date.h"

enum {
	FOLD_AT = 72,	 /* where long lines are divided if there is a space */
	LINE_HARD = 900, /* where they are divided anyhow (RFC 5321: 998) */
	PIECE_MAX = 65536,
};

struct writer {
	const struct dsn_report *r;
	dsn_sink_fn sink;
	void *arg;
	struct buf b; /* one line or paragraph at a time */
};

static void
flush(struct writer *w)
{
	if (w->b.n > 0)
		w->sink(w->arg, buf_span(&w->b));
	buf_reset(&w->b);
}

static void line(struct writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
line(struct writer *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(&w->b, fmt, ap);
	va_end(ap);
	buf_str(&w->b, "\r\n");
	flush(w);
}

/* Adds a value after `column` bytes of its line, without control bytes,
 * folded with an indent of four. */
static void
add_value(struct writer *w, size_t column, struct span value)
{
	for (size_t i = 0; i < value.n && buf_ok(&w->b); i++) {
		const uint8_t c = value.p[i];

		if ((c == ' ' && column >= FOLD_AT && i + 1 < value.n) ||
		    column >= LINE_HARD) {
			buf_str(&w->b, "\r\n    ");
			column = 4;
			if (c == ' ')
				continue;
		}
		buf_byte(&w->b, c < ' ' || c == 127 ? '?' : c);
		column++;
	}
}

static void
field(struct writer *w, const char *name, const char *type, struct span value)
{
	if (value.n == 0)
		return;
	buf_fmt(&w->b, "%s: %s", name, type);
	add_value(w, w->b.n, value);
	buf_str(&w->b, "\r\n");
	flush(w);
}

static void
date_field(struct writer *w, const char *name, int64_t t)
{
	buf_fmt(&w->b, "%s: ", name);
	date_print_rfc5322(&w->b, t, w->r->offset_min, NULL);
	buf_str(&w->b, "\r\n");
	flush(w);
}

static void
header(struct writer *w)
{
	static const char *const subjects[] = {
		[DSN_FAILED] = "Undelivered Mail Returned to Sender",
		[DSN_DELAYED] = "Delayed Mail (still being retried)",
		[DSN_DELIVERED] = "Successful Mail Delivery Report",
	};
	const struct dsn_report *r = w->r;

	date_field(w, "Date", r->now_s);
	line(w, "From: Mail Delivery System <MAILER-DAEMON@%s>", r->hostname);
	line(w, "Subject: %s", subjects[r->kind]);
	field(w, "To", "", r->to);
	line(w, "Auto-Submitted: auto-replied");
	if (r->message_id != NULL)
		line(w, "Message-Id: %s", r->message_id);
	line(w, "MIME-Version: 1.0");
	line(w, "Content-Type: multipart/report; report-type=delivery-status;");
	line(w, "\tboundary=\"%s\"", r->boundary);
	if (r->eight_bit)
		line(w, "Content-Transfer-Encoding: 8bit");
	line(w, "%s", "");
	line(w, "This is a MIME-encapsulated message.");
	line(w, "%s", "");
}

static void
begin_part(struct writer *w, const char *description, const char *type)
{
	line(w, "--%s", w->r->boundary);
	line(w, "Content-Description: %s", description);
	line(w, "Content-Type: %s", type);
}

static void
explain(struct writer *w)
{
	switch (w->r->kind) {
	case DSN_FAILED:
		line(w, "Your message could not be delivered to the recipients "
			"listed below.");
		line(w, "It is attached, as far as you asked for it.");
		break;
	case DSN_DELAYED:
		line(w, "THIS IS ONLY A WARNING. YOU NEED NOT SEND YOUR "
			"MESSAGE AGAIN.");
		line(w, "%s", "");
		line(w, "Your message could not yet be delivered to the "
			"recipients listed below.");
		line(w, "It will be tried again without your doing anything.");
		break;
	case DSN_DELIVERED:
		line(w, "Your message was delivered to the recipients listed "
			"below, as you");
		line(w, "asked to be told.");
		break;
	}
}

static void
people_rcpt(struct writer *w, const struct dsn_report_rcpt *rc)
{
	line(w, "%s", "");
	buf_byte(&w->b, '<');
	add_value(w, 1, rc->address);
	buf_byte(&w->b, '>');
	if (rc->orig_address.n > 0 && !span_eq(rc->orig_address, rc->address)) {
		buf_str(&w->b, " (expanded from <");
		add_value(w, w->b.n, rc->orig_address);
		buf_str(&w->b, ">)");
	}
	buf_str(&w->b, ": ");
	add_value(w, w->b.n, rc->reason);
	buf_str(&w->b, "\r\n");
	flush(w);
}

static void
people_part(struct writer *w)
{
	begin_part(w, "Notification", "text/plain; charset=us-ascii");
	line(w, "%s", "");
	line(w, "This is the mail system at host %s.", w->r->hostname);
	line(w, "%s", "");
	explain(w);
	line(w, "%s", "");
	line(w, "Should you need help, write to the postmaster and include "
		"this report.");
	line(w, "%s", "");
	line(w, "                   The mail system");
	for (size_t i = 0; i < w->r->rcpt_count; i++)
		people_rcpt(w, &w->r->rcpts[i]);
	line(w, "%s", "");
}

static void
report_rcpt(struct writer *w, const struct dsn_report_rcpt *rc)
{
	line(w, "%s", "");
	field(w, "Final-Recipient", "rfc822; ", rc->address);
	if (rc->orcpt.n > 0)
		field(w, "Original-Recipient", "", rc->orcpt);
	else
		field(w, "Original-Recipient", "rfc822;", rc->orig_address);
	line(w, "Action: %s", rc->action);
	field(w, "Status", "", rc->status);
	field(w, "Remote-MTA", "dns; ", rc->remote);
	if (rc->diagnostic.n > 0)
		field(w, "Diagnostic-Code", "smtp; ", rc->diagnostic);
	else
		field(w, "Diagnostic-Code", "x-postfix; ", rc->reason);
	if (w->r->kind == DSN_DELAYED && w->r->give_up_s > 0)
		date_field(w, "Will-Retry-Until", w->r->give_up_s);
}

static void
report_part(struct writer *w)
{
	const struct dsn_report *r = w->r;

	begin_part(w, "Delivery report", "message/delivery-status");
	line(w, "%s", "");
	line(w, "Reporting-MTA: dns; %s", r->hostname);
	field(w, "Original-Envelope-Id", "", r->envid);
	line(w, "X-%s-Queue-ID: %s", r->mail_name, r->qid);
	buf_fmt(&w->b, "X-%s-Sender: rfc822; ", r->mail_name);
	add_value(w, w->b.n, r->sender);
	buf_str(&w->b, "\r\n");
	flush(w);
	date_field(w, "Arrival-Date", r->arrival_s);
	for (size_t i = 0; i < r->rcpt_count; i++)
		report_rcpt(w, &r->rcpts[i]);
	line(w, "%s", "");
}

void
dsn_report_begin(const struct dsn_report *r, dsn_sink_fn sink, void *arg)
{
	struct writer w = { .r = r, .sink = sink, .arg = arg };

	buf_init(&w.b, PIECE_MAX);
	header(&w);
	people_part(&w);
	report_part(&w);
	begin_part(&w,
	    r->headers_only	       ? "Undelivered Message Headers"
	    : r->kind == DSN_DELIVERED ? "Message"
				       : "Undelivered Message",
	    r->headers_only ? "text/rfc822-headers" : "message/rfc822");
	if (r->eight_bit)
		line(&w, "Content-Transfer-Encoding: 8bit");
	line(&w, "%s", "");
	buf_release(&w.b);
}

void
dsn_report_end(const struct dsn_report *r, dsn_sink_fn sink, void *arg)
{
	struct writer w = { .r = r, .sink = sink, .arg = arg };

	buf_init(&w.b, PIECE_MAX);
	line(&w, "%s", "");
	line(&w, "--%s--", r->boundary);
	buf_release(&w.b);
}
