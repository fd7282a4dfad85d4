/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* Bytes that are looked at together: each of them several times. */
enum { PLAIN_PIECE = 256 };

static void
fault(struct smtp_server *s, enum data_fault f)
{
	if (s->fault == FAULT_NONE)
		s->fault = f;
}

size_t
smtp_server_plain(struct span in)
{
	static const char not_plain[] = { '\r', '\n', '\0' };
	size_t n = in.n < PLAIN_PIECE ? in.n : PLAIN_PIECE;

	for (size_t i = 0; i < COUNT_OF(not_plain); i++) {
		const uint8_t *at = memchr(in.p, not_plain[i], n);

		if (at != NULL)
			n = (size_t)(at - in.p);
	}
	return n;
}

/* The state is not yet advanced. */
void
smtp_server_check_byte(struct smtp_server *s, uint8_t c)
{
	const bool cr =
	    s->data_state == DATA_CR || s->data_state == DATA_DOT_CR;

	if (c == '\n' && !cr)
		s->saw_bare = true;
	if (s->bare_ok)
		return;
	if (c == '\0')
		fault(s, FAULT_NUL);
	if (c == '\n' && !cr)
		fault(s, FAULT_LF);
	if (c != '\n' && cr)
		fault(s, FAULT_CR);
}

static enum data_state
next_state(enum data_state st, uint8_t c)
{
	if (c == '\r')
		return st == DATA_DOT ? DATA_DOT_CR : DATA_CR;
	if (c == '\n')
		return st == DATA_CR ? DATA_LINE_START : DATA_MIDDLE;
	if (c == '.' && st == DATA_LINE_START)
		return DATA_DOT;
	return DATA_MIDDLE;
}

static void
end_message(struct smtp_server *s)
{
	s->state = STATE_COMMAND;
	s->data_state = DATA_LINE_START;
}

static bool
too_big(const struct smtp_server *s)
{
	return s->conf->size_max > 0 && s->size > s->conf->size_max;
}

static struct smtp_reject
why_refused(const struct smtp_server *s)
{
	static const char *const texts[] = {
		[FAULT_NONE] = "",
		[FAULT_CR] = "Error: bare <CR> received",
		[FAULT_LF] = "Error: bare <LF> received",
		[FAULT_NUL] = "Error: NUL byte received",
	};

	if (s->fault != FAULT_LF && too_big(s))
		return (struct smtp_reject){ .verb = SMTP_DATA,
			.code = 552,
			.dsn = "5.3.4",
			.text = "Message size exceeds fixed limit" };
	return (struct smtp_reject){ .verb = SMTP_DATA,
		.code = s->conf->bare_code != 0 ? s->conf->bare_code : 550,
		.dsn = "5.5.2",
		.text = texts[s->fault] };
}

void
smtp_server_refuse_message(struct smtp_server *s, struct smtp_event *out)
{
	const struct smtp_reject why = why_refused(s);
	const bool by_bdat = s->bdat != BDAT_NONE;
	const unsigned replies =
	    s->conf->lmtp && (!by_bdat || s->chunk_last) ? s->rcpt_ok : 1;

	for (unsigned i = 0; i < replies; i++) {
		if (why.code == 552)
			smtp_server_reply(
			    s, why.code, why.dsn, span_str(why.text));
		else
			smtp_server_reply_host(s, why.code, why.dsn, why.text);
	}
	*out = (struct smtp_event){ .type = SMTP_EVENT_BAD,
		.bad = why.code == 552 ? SMTP_BAD_SIZE : SMTP_BAD_BARE,
		.reject = why,
		.aborted = true };
	s->errors++;
	end_message(s);
	smtp_server_forget(s);
	/* Where its next message begins is anybody's guess, so no more is
	 * read from a client that ends lines by LF alone; BDAT has no doubt. */
	if (s->fault == FAULT_LF && !by_bdat)
		s->state = STATE_CLOSED;
}

static void
message_done(struct smtp_server *s, struct smtp_event *out)
{
	if (s->fault != FAULT_NONE || too_big(s)) {
		smtp_server_refuse_message(s, out);
		return;
	}
	end_message(s);
	s->waiting = SMTP_EVENT_DATA_END;
	out->type = SMTP_EVENT_DATA_END;
	out->size = s->size;
}

static void
emit(struct smtp_server *s, struct span bytes, struct smtp_event *out)
{
	s->size += bytes.n;
	if (s->fault != FAULT_NONE || too_big(s) || bytes.n == 0)
		return;
	out->type = SMTP_EVENT_CHUNK;
	out->data = bytes;
}

/* Takes the dot and CR that were held back, now that they are no end of data:
 * the dot was stuffing, the CR is part of the message. True if that made an
 * event. */
static bool
release_held(struct smtp_server *s, uint8_t c, struct smtp_event *out)
{
	if (s->data_state != DATA_DOT_CR || c == '\n')
		return false;
	smtp_server_check_byte(s, c);
	s->data_state = DATA_CR;
	emit(s, SPAN("\r"), out);
	return out->type != SMTP_EVENT_NONE;
}

static bool
held_back(enum data_state st)
{
	return st == DATA_DOT || st == DATA_DOT_CR;
}

/* Passes over what needs no thought: lines that begin with no dot and have no
 * control byte of ours but the CR and LF at their end. */
static size_t
ordinary_lines(struct smtp_server *s, struct span in)
{
	bool at_start = s->data_state == DATA_LINE_START;
	size_t at = 0;

	if (!at_start && s->data_state != DATA_MIDDLE)
		return 0;
	while (at < in.n && !(at_start && in.p[at] == '.')) {
		const size_t n = smtp_server_plain(span_slice(in, at, in.n));

		at += n;
		at_start = at_start && n == 0;
		if (in.n - at < 2 || in.p[at] != '\r' || in.p[at + 1] != '\n')
			break;
		at += 2;
		at_start = true;
	}
	s->data_state = at_start ? DATA_LINE_START : DATA_MIDDLE;
	return at;
}

/* Runs over the input as far as it is one piece of the message: up to a dot
 * that is not part of it, or the end. */
size_t
smtp_server_data(struct smtp_server *s, struct span in, struct smtp_event *out)
{
	size_t from = 0, i = 0;

	if (release_held(s, in.p[0], out))
		return 0;
	while (i < in.n) {
		const uint8_t c = in.p[i];
		const enum data_state st = s->data_state;
		const size_t ordinary =
		    ordinary_lines(s, span_slice(in, i, in.n));

		if (ordinary > 0) {
			i += ordinary;
			continue;
		}
		if (st == DATA_LINE_START && c == '.' && i > from)
			break;
		if (st == DATA_DOT_CR && c != '\n')
			break;
		smtp_server_check_byte(s, c);
		if (s->fault == FAULT_LF)
			break;
		if (st == DATA_DOT_CR) {
			message_done(s, out);
			return i + 1;
		}
		s->data_state = next_state(st, c);
		i++;
		if (held_back(s->data_state))
			from = i;
	}
	if (s->fault == FAULT_LF) {
		smtp_server_refuse_message(s, out);
		return in.n;
	}
	emit(s, span_slice(in, from, i), out);
	return i;
}
