/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_client_impl.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/proto/utf8.h"
#include "lib/proto/xtext.h"

enum {
	PIPELINE_HIGH = 8192, /* unsent commands beyond which none is added */
	BODY_HIGH = 65536,    /* unsent bytes of body likewise */
};

/* ---- results ---- */

static void
finish(struct smtp_client *c, size_t rcpt)
{
	if (c->rcpts[rcpt] == RCPT_ACCEPTED)
		c->accepted--;
	c->rcpts[rcpt] = RCPT_FINISHED;
}

static void
result(struct smtp_client *c, size_t rcpt, enum smtp_stage stage,
    const struct smtp_reply *r, struct smtp_client_event *out)
{
	finish(c, rcpt);
	*out = (struct smtp_client_event){ .type = SMTP_CLIENT_RESULT,
		.rcpt = rcpt,
		.stage = stage,
		.reply = *r };
}

/* From now on pending() gives this reply to every recipient without result. */
static void
fan_out(struct smtp_client *c, const struct smtp_reply *r)
{
	if (c->fan)
		return;
	c->fan = true;
	c->fan_next = 0;
	c->fan_stage =
	    c->stage == SMTP_STAGE_BODY ? SMTP_STAGE_DATA_END : c->stage;
	c->fan_reply = *r;
	buf_reset(&c->fan_text);
	buf_add(&c->fan_text, r->text);
}

static void
fan_out_own(struct smtp_client *c, const char *dsn, const char *text)
{
	struct smtp_reply r = { .text = span_str(text) };

	snprintf(r.dsn, sizeof(r.dsn), "%s", dsn);
	fan_out(c, &r);
}

static bool
next_of_fan(struct smtp_client *c, struct smtp_client_event *out)
{
	for (; c->fan && c->fan_next < c->m->rcpt_count; c->fan_next++) {
		if (c->rcpts[c->fan_next] == RCPT_FINISHED)
			continue;
		c->fan_reply.text = buf_span(&c->fan_text);
		result(c, c->fan_next, c->fan_stage, &c->fan_reply, out);
		return true;
	}
	c->fan = false;
	return false;
}

bool
smtp_client_pending(struct smtp_client *c, struct smtp_client_event *out)
{
	if (c->dead && c->m == NULL && c->stage == SMTP_STAGE_TLS) {
		smtp_client_fail(c, NULL, "4.7.0",
		    "Protocol error: data before the TLS handshake", out);
		return true;
	}
	if (c->m == NULL)
		return false;
	if (c->fan && next_of_fan(c, out))
		return true;
	if (c->chunk_due) {
		c->chunk_due = false;
		out->type = SMTP_CLIENT_WANT_BODY;
		return true;
	}
	if (!c->done_pending)
		return false;
	c->done_pending = false;
	c->m = NULL;
	mem_free(c->rcpts);
	c->rcpts = NULL;
	c->stage = c->dead ? SMTP_STAGE_CLOSED : SMTP_STAGE_IDLE;
	*out = (struct smtp_client_event){ .type = SMTP_CLIENT_DONE,
		.reusable = !c->dead };
	return true;
}

/* ---- commands ---- */

static void
mail_command(struct smtp_client *c)
{
	const struct smtp_client_message *m = c->m;
	uint64_t limit;

	const bool dsn = smtp_client_offers(c, "DSN", NULL);

	buf_fmt(&c->out, "MAIL FROM:<%.*s>", SPAN_FMT(m->sender));
	if (m->size > 0 && smtp_client_offers(c, "SIZE", &limit))
		buf_fmt(&c->out, " SIZE=%llu", (unsigned long long)m->size);
	if (m->binary)
		buf_str(&c->out, " BODY=BINARYMIME");
	else if (m->body_8bit && smtp_client_offers(c, "8BITMIME", NULL))
		buf_str(&c->out, " BODY=8BITMIME");
	if (m->smtputf8)
		buf_str(&c->out, " SMTPUTF8");
	if (m->requiretls)
		buf_str(&c->out, " REQUIRETLS");
	if (dsn && (m->ret_full || m->ret_hdrs))
		buf_str(&c->out, m->ret_full ? " RET=FULL" : " RET=HDRS");
	if (dsn && m->envid.n > 0) {
		buf_str(&c->out, " ENVID=");
		xtext_encode(m->envid, &c->out);
	}
	buf_str(&c->out, "\r\n");
}

static void
add_notify(struct buf *out, unsigned notify)
{
	static const char *const words[] = { "NEVER", "SUCCESS", "FAILURE",
		"DELAY" };
	const char *before = " NOTIFY=";

	for (unsigned i = 0; i < COUNT_OF(words); i++) {
		if ((notify & 1U << i) == 0)
			continue;
		buf_str(out, before);
		buf_str(out, words[i]);
		before = ",";
	}
}

static void
add_orcpt(struct buf *out, struct span orcpt)
{
	const size_t semicolon = span_chr(orcpt, ';');

	if (semicolon == SIZE_MAX)
		return;
	buf_str(out, " ORCPT=");
	buf_add(out, span_slice(orcpt, 0, semicolon + 1));
	xtext_encode(span_skip(orcpt, semicolon + 1), out);
}

static void
rcpt_command(struct smtp_client *c, size_t i)
{
	buf_fmt(&c->out, "RCPT TO:<%.*s>", SPAN_FMT(c->m->rcpts[i]));
	if (c->m->dsn != NULL && smtp_client_offers(c, "DSN", NULL)) {
		add_notify(&c->out, c->m->dsn[i].notify);
		add_orcpt(&c->out, c->m->dsn[i].orcpt);
	}
	buf_str(&c->out, "\r\n");
}

static void
next_command(struct smtp_client *c)
{
	if (c->sent == 0)
		mail_command(c);
	else if (c->sent <= c->m->rcpt_count)
		rcpt_command(c, c->sent - 1);
	else
		smtp_client_command(c, "DATA");
	c->sent++;
}

void
smtp_client_pump(struct smtp_client *c)
{
	if (c->m == NULL || c->fan || c->done_pending ||
	    c->stage == SMTP_STAGE_XFORWARD)
		return;
	while (c->sent < c->last && c->out.n < PIPELINE_HIGH &&
	       (c->pipelining || c->sent == c->got))
		next_command(c);
}

/* The next XFORWARD command, or what comes behind the last. */
static void
forward_next(struct smtp_client *c)
{
	const size_t lf = span_chr(buf_span(&c->forward), '\n');

	if (lf == SIZE_MAX) {
		c->stage = SMTP_STAGE_MAIL;
		buf_reset(&c->forward);
		return;
	}
	c->stage = SMTP_STAGE_XFORWARD;
	buf_add(&c->out, span_slice(buf_span(&c->forward), 0, lf));
	buf_str(&c->out, "\r\n");
	buf_consume(&c->forward, lf + 1);
}

static void
forward_begin(struct smtp_client *c)
{
	struct span offered;

	buf_reset(&c->forward);
	if (c->m->forward != NULL &&
	    smtp_client_find_offer(c, "XFORWARD", &offered))
		smtp_xforward_print(c->m->forward, offered, &c->forward);
	forward_next(c);
}

/* An address that would break out of its command is not sent. Canonical ones
 * never do; this is the last line of defence. */
static bool
addresses_ok(const struct smtp_client_message *m)
{
	for (size_t i = 0; i <= m->rcpt_count; i++) {
		const struct span s = i == 0 ? m->sender : m->rcpts[i - 1];

		if (span_chr(s, '\r') != SIZE_MAX ||
		    span_chr(s, '\n') != SIZE_MAX ||
		    span_chr(s, '\0') != SIZE_MAX)
			return false;
	}
	return true;
}

void
smtp_client_send(struct smtp_client *c, const struct smtp_client_message *m)
{
	uint64_t limit = 0;

	BUG_ON(c->stage != SMTP_STAGE_IDLE || m->rcpt_count == 0);
	c->m = m;
	c->rcpts = mem_zalloc(m->rcpt_count);
	c->sent = c->got = c->accepted = 0;
	c->last = m->rcpt_count + (m->binary || m->probe ? 1 : 2);
	c->mail_ok = c->fan = c->done_pending = c->lmtp_final = false;
	c->chunk_due = false;
	c->line_start = true;
	c->cr_pending = false;
	c->stage = SMTP_STAGE_MAIL;
	smtp_client_offers(c, "SIZE", &limit);
	if (!addresses_ok(m))
		fan_out_own(c, "5.1.3", "bad address syntax");
	else if (m->smtputf8 && !smtp_client_offers(c, "SMTPUTF8", NULL))
		fan_out_own(
		    c, "5.6.7", "SMTPUTF8 is required, but was not offered");
	else if (m->binary && !(smtp_client_offers(c, "BINARYMIME", NULL) &&
				  smtp_client_offers(c, "CHUNKING", NULL)))
		fan_out_own(c, "5.6.1",
		    "BINARYMIME is required, but was not offered");
	else if (m->requiretls && !smtp_client_offers(c, "REQUIRETLS", NULL))
		fan_out_own(c, "5.7.30",
		    "REQUIRETLS is required, but was not offered");
	else if (limit > 0 && m->size > limit)
		fan_out_own(
		    c, "5.3.4", "message size exceeds size limit of server");
	c->done_pending = c->fan;
	if (!c->fan)
		forward_begin(c);
	smtp_client_pump(c);
}

/* ---- replies ---- */

static void
protocol_error(struct smtp_client *c, struct smtp_client_event *out)
{
	smtp_client_fail(
	    c, NULL, "4.5.0", "Protocol error: unexpected reply", out);
}

/* The transaction ends here: at once, or after a RSET where the server still
 * holds on to a sender. */
static void
end_transaction(struct smtp_client *c, bool reset)
{
	if (reset && !c->dead) {
		c->stage = SMTP_STAGE_RSET;
		smtp_client_command(c, "RSET");
		return;
	}
	c->done_pending = true;
}

/* All replies to what was sent are in, and there will be no DATA. */
static void
settle(struct smtp_client *c)
{
	if (c->got < c->sent)
		return;
	if (c->m->binary && c->mail_ok && c->accepted > 0) {
		smtp_client_command(c, "BDAT %llu LAST",
		    (unsigned long long)c->m->size);
		c->stage = SMTP_STAGE_BODY;
		c->chunk_due = true;
		return;
	}
	end_transaction(c, c->mail_ok);
}

/* The stage that the next reply belongs to. */
static void
next_stage(struct smtp_client *c)
{
	c->stage = c->got == 0			? SMTP_STAGE_MAIL
		   : c->got <= c->m->rcpt_count ? SMTP_STAGE_RCPT
						: SMTP_STAGE_DATA;
}

static void
on_mail(struct smtp_client *c, const struct smtp_reply *r)
{
	c->got++;
	c->mail_ok = r->code / 100 == 2;
	if (!c->mail_ok) {
		fan_out(c, r);
		c->last = c->sent;
		if (c->got == c->last)
			settle(c);
	}
	if (!c->done_pending)
		next_stage(c);
}

static void
on_rcpt(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	const size_t rcpt = c->got - 1;

	c->got++;
	if (c->rcpts[rcpt] == RCPT_FINISHED) {
		; /* MAIL was refused: what is said of recipients is void */
	} else if (r->code / 100 == 2 && !c->m->probe) {
		c->rcpts[rcpt] = RCPT_ACCEPTED;
		c->accepted++;
	} else {
		result(c, rcpt, SMTP_STAGE_RCPT, r, out);
	}
	next_stage(c);
	if (c->got > c->m->rcpt_count && c->accepted == 0 &&
	    c->sent <= c->m->rcpt_count + 1)
		c->last = c->sent;
	if (c->got == c->last)
		settle(c);
}

/* 354 although no recipient is left must be answered by a message all the
 * same (RFC 2920 3.1): an empty one. */
static void
on_data(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	c->got++;
	if (r->code / 100 == 3) {
		if (c->accepted > 0) {
			c->stage = SMTP_STAGE_BODY;
			out->type = SMTP_CLIENT_WANT_BODY;
		} else {
			c->stage = SMTP_STAGE_DATA_END;
			smtp_client_command(c, ".");
		}
		return;
	}
	fan_out(c, r);
	end_transaction(c, c->mail_ok);
}

static void
on_data_end(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	size_t i = 0;

	if (!c->conf->lmtp || c->accepted == 0) {
		fan_out(c, r);
		c->done_pending = true;
		return;
	}
	while (c->rcpts[i] != RCPT_ACCEPTED)
		i++;
	result(c, i, SMTP_STAGE_DATA_END, r, out);
	if (c->accepted == 0)
		c->done_pending = true;
}

/* 421 says that the server goes away, whatever was asked. */
static void
on_goodbye(struct smtp_client *c, const struct smtp_reply *r)
{
	c->dead = true;
	if (c->stage != SMTP_STAGE_RSET)
		fan_out(c, r);
	c->done_pending = true;
}

void
smtp_client_on_reply(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	if (r->code == 421) {
		on_goodbye(c, r);
		return;
	}
	if (c->stage != SMTP_STAGE_DATA && c->stage != SMTP_STAGE_RSET &&
	    r->code / 100 == 3) {
		protocol_error(c, out);
		return;
	}
	if (c->stage == SMTP_STAGE_XFORWARD) {
		forward_next(c);
		smtp_client_pump(c);
	} else if (c->stage == SMTP_STAGE_MAIL && c->sent > 0) {
		on_mail(c, r);
	} else if (c->stage == SMTP_STAGE_RCPT && c->got < c->sent) {
		on_rcpt(c, r, out);
	} else if (c->stage == SMTP_STAGE_DATA && c->got < c->sent &&
		   r->code / 100 != 2) {
		on_data(c, r, out);
	} else if (c->stage == SMTP_STAGE_DATA_END) {
		on_data_end(c, r, out);
	} else if (c->stage == SMTP_STAGE_RSET) {
		c->dead = r->code / 100 != 2;
		c->done_pending = true;
	} else if (c->stage == SMTP_STAGE_BODY && r->code >= 400) {
		/* The server refuses before it has seen all: what is still
		 * to be sent would be commands to it. */
		c->dead = true;
		fan_out(c, r);
		c->done_pending = true;
	} else {
		protocol_error(c, out);
	}
}

/* ---- the body ---- */

size_t
smtp_client_body_room(const struct smtp_client *c)
{
	if (c->stage != SMTP_STAGE_BODY || c->done_pending ||
	    c->out.n >= BODY_HIGH)
		return 0;
	return BODY_HIGH;
}

static void
body_byte(struct smtp_client *c, uint8_t b)
{
	if (c->cr_pending && b != '\n') {
		buf_byte(&c->out, ' ');
		c->line_start = false;
	}
	c->cr_pending = b == '\r';
	if (b == '\r') {
		return;
	} else if (b == '\n') {
		buf_str(&c->out, "\r\n");
		c->line_start = true;
		return;
	}
	if (b == '.' && c->line_start)
		buf_byte(&c->out, '.');
	buf_byte(&c->out, b);
	c->line_start = false;
}

/* How many bytes at the front of s can be copied as they are: the inside of
 * a line. */
static size_t
plain_length(const struct smtp_client *c, struct span s)
{
	size_t n = 0;

	if (c->cr_pending || (c->line_start && s.p[0] == '.'))
		return 0;
	while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
		n++;
	return n;
}

void
smtp_client_body(struct smtp_client *c, struct span bytes)
{
	BUG_ON(bytes.n > BODY_HIGH);
	if (c->stage != SMTP_STAGE_BODY || c->done_pending)
		return;
	if (c->m->binary) {
		buf_add(&c->out, bytes);
		return;
	}
	while (bytes.n > 0) {
		const size_t n = plain_length(c, bytes);

		if (n > 0) {
			buf_add(&c->out, span_slice(bytes, 0, n));
			c->line_start = false;
			bytes = span_skip(bytes, n);
		} else {
			body_byte(c, bytes.p[0]);
			bytes = span_skip(bytes, 1);
		}
	}
}

void
smtp_client_body_end(struct smtp_client *c)
{
	if (c->stage != SMTP_STAGE_BODY || c->done_pending)
		return;
	if (!c->m->binary) {
		if (!c->line_start || c->cr_pending)
			buf_str(&c->out, "\r\n");
		smtp_client_command(c, ".");
	}
	c->stage = SMTP_STAGE_DATA_END;
}
