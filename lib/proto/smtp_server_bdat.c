/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server_impl.h"

#include <stdio.h>

#include "lib/base/limits.h"

/*
 * BDAT (RFC 3030 2). A chunk that is refused is read all the same, and
 * answered behind it: else its bytes would be taken for commands.
 */

enum { SKIP_MAX = 1 << 30 /* where messages have no limit */ };

/* Would the client send more than is worth skipping? */
static bool
too_much_to_skip(const struct smtp_server *s)
{
	const uint64_t max = s->conf->size_max > 0 ? s->conf->size_max
						   : SKIP_MAX;

	return s->chunk_size > max + max / 2;
}

static void
refuse_and_close(struct smtp_server *s, const struct smtp_turn *t,
    const struct smtp_reject *why)
{
	smtp_server_refuse_with(s, t->out, SMTP_BAD_SYNTAX, why);
	t->out->aborted = s->in_mail;
	smtp_server_forget(s);
	s->state = STATE_CLOSED;
}

static void
skip(struct smtp_server *s, const struct smtp_turn *t, unsigned code,
    const char *dsn, const char *text)
{
	s->chunk_skip = true;
	s->chunk_why = (struct smtp_reject){
		.verb = SMTP_BDAT, .code = code, .dsn = dsn, .text = text
	};
	s->state = STATE_BDAT;
	if (too_much_to_skip(s))
		refuse_and_close(s, t, &s->chunk_why);
}

static void
first_chunk(struct smtp_server *s, const struct smtp_turn *t)
{
	if (!s->in_mail || s->rcpt_tried == 0) {
		skip(s, t, 503, "5.5.1", "Error: need RCPT command");
	} else if (s->rcpt_ok == 0) {
		skip(s, t, s->conf->lmtp ? 503 : 554, "5.5.1",
		    "Error: no valid recipients");
	} else {
		s->waiting = SMTP_EVENT_DATA;
		t->out->type = SMTP_EVENT_DATA;
		t->out->chunked = true;
	}
}

static bool
chunk_fits(const struct smtp_server *s)
{
	const uint64_t before = s->bdat == BDAT_GOOD ? s->size : 0;

	return s->conf->size_max == 0 || (s->chunk_size <= s->conf->size_max &&
					     before <= s->conf->size_max -
							   s->chunk_size);
}

void
smtp_server_bdat(struct smtp_server *s, const struct smtp_turn *t)
{
	s->chunk_size = s->chunk_left = t->cmd->bdat_size;
	s->chunk_last = t->cmd->bdat_last;
	s->chunk_skip = false;
	if (s->bdat == BDAT_BAD) {
		snprintf(s->chunk_text, sizeof(s->chunk_text),
		    "Discarded %llu bytes after earlier error",
		    (unsigned long long)s->chunk_size);
		skip(s, t, 551, "5.0.0", s->chunk_text);
	} else if (s->chunk_size == 0 && !s->chunk_last) {
		skip(s, t, 551, "5.7.1", "Null BDAT request");
	} else if (!chunk_fits(s)) {
		skip(s, t, 552, "5.3.4", "Chunk exceeds message size limit");
	} else if (s->bdat == BDAT_NONE) {
		first_chunk(s, t);
	} else {
		s->state = STATE_BDAT;
	}
}

void
smtp_server_bdat_answer(struct smtp_server *s, unsigned code,
    const char *dsn, struct span text)
{
	s->state = STATE_BDAT;
	if (code < 400) {
		s->bdat = BDAT_GOOD;
		s->data_state = DATA_LINE_START;
		s->fault = FAULT_NONE;
		s->size = 0;
		return;
	}
	s->chunk_skip = true;
	s->chunk_why.code = 0;
	buf_reset(&s->held);
	smtp_server_format(s, &s->held, code, dsn, text);
}

/* ---- the end of a chunk ---- */

/* LMTP has an answer for each recipient to the last chunk (RFC 2033 4.2). */
static void
repeat_refusal(struct smtp_server *s)
{
	if (!s->conf->lmtp || !s->chunk_last)
		return;
	for (unsigned i = 1; i < s->rcpt_ok; i++) {
		if (s->chunk_why.code != 0)
			smtp_server_reply(s, s->chunk_why.code,
			    s->chunk_why.dsn, span_str(s->chunk_why.text));
		else
			buf_add(&s->out, buf_span(&s->held));
	}
}

static void
skipped(struct smtp_server *s, struct smtp_event *out)
{
	const bool last = s->chunk_last, in_mail = s->in_mail;

	repeat_refusal(s);
	if (s->chunk_why.code != 0) {
		smtp_server_refuse_with(
		    s, out, SMTP_BAD_STATE, &s->chunk_why);
	} else {
		buf_add(&s->out, buf_span(&s->held));
		buf_release(&s->held);
	}
	if (!last) {
		s->bdat = BDAT_BAD;
		return;
	}
	smtp_server_forget(s);
	if (out->type == SMTP_EVENT_BAD)
		out->aborted = in_mail;
	else if (in_mail)
		out->type = SMTP_EVENT_RSET;
}

static void
received(struct smtp_server *s, struct smtp_event *out)
{
	char text[60];

	if (s->chunk_last && s->data_state == DATA_CR && !s->bare_ok &&
	    !s->binary && s->fault == FAULT_NONE)
		s->fault = FAULT_CR;
	if (s->fault != FAULT_NONE) {
		const bool last = s->chunk_last;

		smtp_server_refuse_message(s, out);
		if (!last)
			s->bdat = BDAT_BAD;
	} else if (s->chunk_last) {
		s->waiting = SMTP_EVENT_DATA_END;
		out->type = SMTP_EVENT_DATA_END;
		out->size = s->size;
		out->chunked = true;
	} else {
		snprintf(text, sizeof(text), "Ok: %llu bytes",
		    (unsigned long long)s->chunk_size);
		smtp_server_reply(s, 250, "2.0.0", span_str(text));
		s->counts[SMTP_BDAT].ok++;
	}
}

static void
check_bytes(struct smtp_server *s, struct span bytes)
{
	if (s->binary || s->bare_ok)
		return;
	while (bytes.n > 0) {
		const size_t plain =
		    s->data_state == DATA_MIDDLE ? smtp_server_plain(bytes) : 0;

		if (plain > 0) {
			bytes = span_slice(bytes, plain, bytes.n);
			continue;
		}
		smtp_server_check_byte(s, bytes.p[0]);
		s->data_state = bytes.p[0] == '\r' ? DATA_CR : DATA_MIDDLE;
		bytes = span_slice(bytes, 1, bytes.n);
	}
}

size_t
smtp_server_chunk(
    struct smtp_server *s, struct span in, struct smtp_event *out)
{
	const size_t n = in.n < s->chunk_left ? in.n : (size_t)s->chunk_left;
	const struct span bytes = span_slice(in, 0, n);

	if (s->chunk_left == 0) {
		s->state = STATE_COMMAND;
		if (s->chunk_skip)
			skipped(s, out);
		else
			received(s, out);
		return 0;
	}
	s->chunk_left -= n;
	if (s->chunk_skip)
		return n;
	check_bytes(s, bytes);
	s->size += n;
	if (s->fault == FAULT_NONE) {
		out->type = SMTP_EVENT_CHUNK;
		out->data = bytes;
	}
	return n;
}
