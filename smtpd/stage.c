/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/stage.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "smtpd/session.h"

/* In the order in which they are asked. */
static const struct gate *const gates[] = {
	&screen_gate,
	&limits_gate,
	&tls_gate,
	&auth_gate,
	&restrict_gate,
	&greylist_gate,
	&outbound_gate,
	&milter_gate,
	&proxy_gate,
	NULL,
};

const char *
stage_name(enum stage stage)
{
	switch (stage) {
	case STAGE_CONNECT:
		return "CONNECT";
	case STAGE_HELO:
		return "HELO";
	case STAGE_MAIL:
		return "MAIL";
	case STAGE_RCPT:
		return "RCPT";
	case STAGE_DATA:
		return "DATA";
	case STAGE_END:
		return "END-OF-MESSAGE";
	case STAGE_ETRN:
		return "ETRN";
	case STAGE_VRFY:
		return "VRFY";
	}
	return "";
}

const struct smtp_cmd *
stage_cmd(const struct session *s)
{
	return s->stage.cmd;
}

bool
stage_waits(const struct session *s)
{
	return s->stage.asking;
}

static void
refuse(struct session *s)
{
	struct stage_state *st = &s->stage;
	const struct span text = buf_span(&st->text);

	if (st->log_as != NULL)
		session_log_reject(s, st->log_as, stage_name(st->stage),
		    st->code, st->dsn, text,
		    st->stage == STAGE_RCPT ? s->tx->rcpt : SPAN_EMPTY);
	switch (st->stage) {
	case STAGE_CONNECT:
		session_turn_away(s, st->code, st->dsn, text);
		return;
	case STAGE_END:
		message_refuse(s, st->code, st->dsn, text);
		return;
	case STAGE_MAIL:
		envelope_abort(s);
		break;
	case STAGE_HELO:
	case STAGE_RCPT:
	case STAGE_DATA:
	case STAGE_ETRN:
	case STAGE_VRFY:
		break;
	}
	session_answer(s, st->code, st->dsn, "%s", buf_cstr(&st->text));
}

/* Asks one gate after the other as long as they answer at once. What follows
 * from the last answer may free the session: it comes last. */
static void
go_on(struct session *s)
{
	struct stage_state *st = &s->stage;
	const struct gate *gate;

	while (st->code == 0 && (gate = gates[st->next]) != NULL) {
		st->next++;
		st->asking = st->inside = true;
		gate->ask(s, st->stage);
		st->inside = false;
		if (st->asking)
			return;
	}
	/* Filters may want to hear of recipients that others refuse. */
	if (st->code != 0 && st->stage == STAGE_RCPT &&
	    milter_tell_refused(s, refuse))
		return;
	if (st->code != 0)
		refuse(s);
	else
		st->passed(s);
}

void
stage_begin(struct session *s, enum stage stage, const struct smtp_cmd *cmd,
    stage_fn passed)
{
	struct stage_state *st = &s->stage;

	BUG_ON(st->asking);
	st->stage = stage;
	st->cmd = cmd;
	st->passed = passed;
	st->next = 0;
	st->code = 0;
	buf_release(&st->text);
	go_on(s);
}

static void
answered(struct session *s)
{
	struct stage_state *st = &s->stage;

	st->asking = false;
	if (!st->inside)
		go_on(s);
}

void
stage_pass(struct session *s)
{
	BUG_ON(!s->stage.asking);
	answered(s);
}

void
stage_refuse(struct session *s, const struct refusal *r)
{
	struct stage_state *st = &s->stage;

	BUG_ON(!st->asking || r->code < 400);
	st->code = r->code;
	snprintf(st->dsn, sizeof(st->dsn), "%s", r->dsn);
	st->log_as = r->log_as;
	buf_reset(&st->text);
	buf_add(&st->text, span_slice(r->text, 0, st->text.max));
	answered(s);
}

void
stage_reject(struct session *s, unsigned code, const char *dsn,
    const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	stage_refuse(s, &(struct refusal){ .code = code,
			    .dsn = dsn,
			    .text = span_str(text),
			    .log_as = "reject" });
}

void
stage_reset(struct session *s)
{
	for (size_t i = 0; gates[i] != NULL; i++)
		if (gates[i]->reset != NULL)
			gates[i]->reset(s);
}

void
stage_end(struct session *s)
{
	struct stage_state *st = &s->stage;

	if (st->asking && gates[st->next - 1]->cancel != NULL)
		gates[st->next - 1]->cancel(s);
	st->asking = false;
	for (size_t i = 0; gates[i] != NULL; i++)
		if (gates[i]->end != NULL)
			gates[i]->end(s);
	buf_release(&st->text);
}
