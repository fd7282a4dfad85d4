/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/delivery_log.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

void
delivery_log_seconds(struct buf *out, int64_t us)
{
	long long hundredths = us > 0 ? (us + 5000) / 10000 : 0;

	if (hundredths >= 995) {
		/* Ten seconds and more: whole ones. */
		buf_fmt(out, "%lld", (hundredths + 50) / 100);
		return;
	}
	if (hundredths >= 100)
		hundredths = (hundredths + 5) / 10 * 10;
	buf_fmt(out, "%lld", hundredths / 100);
	hundredths %= 100;
	if (hundredths % 10 != 0)
		buf_fmt(out, ".%02lld", hundredths);
	else if (hundredths != 0)
		buf_fmt(out, ".%lld", hundredths / 10);
}

const char *
delivery_log_probe(enum rcpt_action action)
{
	return action == RCPT_SENT ? "deliverable" : "undeliverable";
}

static const char *
status_word(const struct delivery_facts *f)
{
	if (f->status != NULL)
		return f->status;
	switch (f->action) {
	case RCPT_SENT:
		return "sent";
	case RCPT_DEFERRED:
		return "deferred";
	case RCPT_FAILED:
		return "bounced";
	}
	BUG_ON(true);
}

static void
put_delays(const struct delivery_facts *f, struct buf *out)
{
	const int64_t work_us = f->setup_us + f->transmit_us;
	const int64_t parts[] = { f->active_us - f->arrival_us,
		f->now_us - f->active_us - work_us, f->setup_us,
		f->transmit_us };

	buf_str(out, ", delay=");
	delivery_log_seconds(out, f->now_us - f->arrival_us);
	buf_str(out, ", delays=");
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (i > 0)
			buf_byte(out, '/');
		delivery_log_seconds(out, parts[i]);
	}
}

void
delivery_log_text(const struct delivery_facts *f, struct buf *out)
{
	buf_fmt(out, "to=<%s>", log_quote(f->to, LIMIT_ADDRESS));
	if (f->orig_to.n > 0 && !span_eq(f->orig_to, f->to))
		buf_fmt(out, ", orig_to=<%s>",
		    log_quote(f->orig_to, LIMIT_ADDRESS));
	buf_fmt(out, ", relay=%s",
	    f->relay.n > 0 ? log_quote(f->relay, LIMIT_ADDRESS) : "none");
	if (f->conn_use > 1)
		buf_fmt(out, ", conn_use=%u", f->conn_use);
	put_delays(f, out);
	buf_fmt(out, ", dsn=%s, status=%s (%s)", f->dsn, status_word(f),
	    log_quote(f->text, LIMIT_LOG_LINE / 2));
}

void
delivery_log(const struct delivery_facts *f)
{
	struct buf line;

	buf_init(&line, 2 * LIMIT_LOG_LINE);
	delivery_log_text(f, &line);
	log_info(f->log, "%s", buf_cstr(&line));
	buf_release(&line);
	log_event(f->log, "delivery", "%s %s <%s>", status_word(f), f->dsn,
	    log_quote(f->to, LIMIT_ADDRESS));
}
