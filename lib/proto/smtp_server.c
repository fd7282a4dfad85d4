/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_server_impl.h"

enum {
	OUTPUT_HIGH = 32768,  /* unsent replies beyond which nothing is read */
	OUTPUT_MAX = 1 << 20, /* far above what one answer can add to that */
	KEEP_MAX = 512,	      /* memory an idle buffer may keep */
};

struct smtp_server *
smtp_server_new(const struct smtp_server_conf *conf)
{
	struct smtp_server *s = MEM_NEW(s);

	s->conf = conf;
	s->bare_ok = conf->bare_newline_ok;
	s->last = SMTP_UNKNOWN;
	buf_init(&s->line, LIMIT_SASL_LINE + 2);
	buf_init(&s->out, OUTPUT_MAX);
	buf_init(&s->held, SMTP_SERVER_HELD_MAX);
	return s;
}

void
smtp_server_free(struct smtp_server *s)
{
	if (s == NULL)
		return;
	buf_wipe(&s->line);
	buf_release(&s->out);
	buf_release(&s->held);
	mem_free(s->cmd);
	mem_free(s);
}

void
smtp_server_offer(struct smtp_server *s, unsigned caps, const char *auth_mechs)
{
	s->caps = caps;
	s->auth_mechs = auth_mechs;
}

/* ---- refusals ---- */

void
smtp_server_forget(struct smtp_server *s)
{
	s->in_mail = s->binary = s->utf8 = false;
	s->bdat = BDAT_NONE;
	s->rcpt_tried = s->rcpt_ok = s->rcpt_answered = 0;
}

void
smtp_server_refuse_with(struct smtp_server *s, struct smtp_event *out,
    enum smtp_bad bad, const struct smtp_reject *why)
{
	struct buf b;

	buf_init(&b, 2 * LIMIT_SASL_LINE);
	buf_str(&b, why->text);
	if (bad != SMTP_BAD_FOREIGN)
		buf_add(&b, why->detail);
	smtp_server_reply(s, why->code, why->dsn, buf_span(&b));
	buf_release(&b);
	*out = (struct smtp_event){
		.type = SMTP_EVENT_BAD, .bad = bad, .reject = *why
	};
	s->errors++;
}

void
smtp_server_refuse(struct smtp_server *s, struct smtp_event *out,
    enum smtp_bad bad, unsigned code, const char *dsn, const char *text)
{
	const struct smtp_reject why = {
		.verb = s->last, .code = code, .dsn = dsn, .text = text
	};

	smtp_server_refuse_with(s, out, bad, &why);
}

void
smtp_server_refuse_sync(struct smtp_server *s, struct smtp_event *out)
{
	smtp_server_refuse(s, out, SMTP_BAD_SYNC, 554, "5.5.0",
	    "Error: SMTP protocol synchronization");
	out->aborted = s->in_mail;
	smtp_server_forget(s);
	s->state = STATE_CLOSED;
}

/* ---- lines ---- */

static void
auth_line(struct smtp_server *s, const struct smtp_turn *t)
{
	s->state = STATE_COMMAND;
	if (span_eq(t->line, SPAN("*"))) {
		smtp_server_refuse(s, t->out, SMTP_BAD_CANCELLED, 501, "5.7.0",
		    "Authentication aborted");
		return;
	}
	if (t->more) {
		smtp_server_refuse_sync(s, t->out);
		return;
	}
	s->waiting = SMTP_EVENT_AUTH_LINE;
	t->out->type = SMTP_EVENT_AUTH_LINE;
	t->out->data = t->line;
}

/* Commands are shorter than what AUTH may bring. */
static bool
line_too_long(const struct smtp_server *s)
{
	const struct span line = buf_span(&s->line);

	return s->line_skipped || !buf_ok(&s->line) ||
	       (line.n > LIMIT_SMTP_LINE && s->state != STATE_AUTH &&
		   !span_istarts(line, SPAN("AUTH ")));
}

static void
refuse_line(struct smtp_server *s, struct smtp_event *out, const char *text)
{
	s->any_command = true;
	s->last = SMTP_UNKNOWN;
	s->counts[SMTP_UNKNOWN].total++;
	s->state = STATE_COMMAND; /* it ends an AUTH exchange */
	smtp_server_refuse(s, out, SMTP_BAD_LINE, 500, "5.5.2", text);
}

/* Such a client may have meant what follows otherwise than it would be read:
 * no more is. */
static void
refuse_bare_line(struct smtp_server *s, struct smtp_event *out)
{
	const unsigned code = s->conf->bare_code;
	struct smtp_reject why = { .verb = SMTP_UNKNOWN,
		.code = code != 0 ? code : 550,
		.dsn = "5.5.2",
		.text = "Error: bare <LF> received" };

	s->any_command = true;
	s->last = SMTP_UNKNOWN;
	s->counts[SMTP_UNKNOWN].total++;
	smtp_server_reply_host(s, why.code, why.dsn, why.text);
	*out = (struct smtp_event){ .type = SMTP_EVENT_BAD,
		.bad = SMTP_BAD_BARE,
		.reject = why,
		.aborted = s->in_mail };
	s->errors++;
	smtp_server_forget(s);
	s->state = STATE_CLOSED;
}

/* The line is the client's, or what the driver makes of it. */
static void
command(struct smtp_server *s, struct smtp_turn *t)
{
	struct buf b;

	buf_init(&b, LIMIT_SMTP_LINE);
	if (s->hooks != NULL && s->hooks->rewrite != NULL &&
	    s->hooks->rewrite(s->hooks->arg, t->line, &b) && buf_ok(&b)) {
		buf_reset(&s->line);
		buf_add(&s->line, buf_span(&b));
		t->line = buf_span(&s->line);
	}
	buf_release(&b);
	smtp_server_command(s, t);
}

static void
whole_line(struct smtp_server *s, bool more, struct smtp_event *out)
{
	struct smtp_turn t = { .more = more, .out = out };
	bool cr;

	t.line = buf_span(&s->line);
	cr = t.line.n > 0 && t.line.p[t.line.n - 1] == '\r';
	t.line.n -= cr;
	s->saw_bare |= !cr;
	if (line_too_long(s))
		refuse_line(s, out, "Error: line too long");
	else if (!cr && !s->bare_ok)
		refuse_bare_line(s, out);
	else if (span_chr(t.line, '\r') != SIZE_MAX)
		refuse_line(s, out, "Error: bare <CR> received");
	else if (span_chr(t.line, '\0') != SIZE_MAX)
		refuse_line(s, out, "Error: NUL byte received");
	else if (s->state == STATE_AUTH)
		auth_line(s, &t);
	else
		command(s, &t);
}

static void
drop_line(struct smtp_server *s)
{
	s->line_skipped = s->line_done = false;
	if (s->line.cap > KEEP_MAX || s->last == SMTP_AUTH)
		buf_wipe(&s->line);
	buf_reset(&s->line);
}

static size_t
feed_line(struct smtp_server *s, struct span in, struct smtp_event *out)
{
	const size_t lf = span_chr(in, '\n');
	const size_t n = lf == SIZE_MAX ? in.n : lf + 1;

	/* The memory for a line that goes on for ever is given back at once. */
	if (!s->line_skipped)
		buf_add(&s->line, span_slice(in, 0, lf));
	if (!buf_ok(&s->line)) {
		s->line_skipped = true;
		buf_release(&s->line);
	}
	if (lf == SIZE_MAX)
		return n;
	whole_line(s, in.n > n, out);
	s->line_done = true;
	/* The detail of a refusal points into the line: until the next call. */
	if (s->waiting == SMTP_EVENT_NONE && out->type != SMTP_EVENT_BAD)
		drop_line(s);
	return n;
}

/* ---- the driver's side ---- */

static bool
may_read(const struct smtp_server *s)
{
	return s->waiting == SMTP_EVENT_NONE && s->state != STATE_TLS &&
	       s->state != STATE_CLOSED && s->out.n < OUTPUT_HIGH;
}

static void
too_many_errors(struct smtp_server *s, struct smtp_event *out)
{
	smtp_server_reply_host(s, 421, "4.7.0", "Error: too many errors");
	*out = (struct smtp_event){ .type = SMTP_EVENT_TOO_MANY_ERRORS };
	smtp_server_forget(s);
}

size_t
smtp_server_feed(struct smtp_server *s, struct span in, struct smtp_event *out)
{
	size_t used = 0;

	*out = (struct smtp_event){ .type = SMTP_EVENT_NONE };
	if (s->line_done && s->waiting == SMTP_EVENT_NONE)
		drop_line(s);
	while (out->type == SMTP_EVENT_NONE && may_read(s)) {
		const struct span rest = span_skip(in, used);

		if (s->state == STATE_BDAT && s->chunk_left == 0) {
			smtp_server_chunk(s, SPAN_EMPTY, out);
			continue;
		}
		if (!smtp_server_in_data(s) &&
		    s->errors >= s->conf->error_max) {
			too_many_errors(s, out);
			break;
		}
		if (rest.n == 0)
			break;
		used += s->state == STATE_DATA	 ? smtp_server_data(s, rest, out)
			: s->state == STATE_BDAT ? smtp_server_chunk(
						       s, rest, out)
						 : feed_line(s, rest, out);
	}
	return used;
}

static void
answer_hello(struct smtp_server *s, unsigned code)
{
	if (code != 250)
		return;
	s->hello = s->cmd->verb == SMTP_HELO ? HELLO_HELO : HELLO_EHLO;
}

static void
answer_data_end(struct smtp_server *s, unsigned code)
{
	if (code / 100 == 2)
		s->errors = s->junk = 0;
	if (s->conf->lmtp && ++s->rcpt_answered < s->rcpt_ok)
		return;
	smtp_server_forget(s);
	s->waiting = SMTP_EVENT_NONE;
}

/* What an accepting answer changes. */
static void
advance(struct smtp_server *s, enum smtp_event_type type, unsigned code)
{
	switch (type) {
	case SMTP_EVENT_HELLO:
		answer_hello(s, code);
		break;
	case SMTP_EVENT_MAIL:
		s->in_mail = true;
		s->binary = s->mail.body == SMTP_BODY_BINARY;
		s->utf8 = s->mail.smtputf8;
		break;
	case SMTP_EVENT_RCPT:
		s->rcpt_ok++;
		break;
	case SMTP_EVENT_DATA:
		s->state = STATE_DATA;
		s->data_state = DATA_LINE_START;
		s->fault = FAULT_NONE;
		s->size = 0;
		break;
	case SMTP_EVENT_STARTTLS:
		s->state = STATE_TLS;
		break;
	case SMTP_EVENT_AUTH:
	case SMTP_EVENT_AUTH_LINE:
		if (code == 334)
			s->state = STATE_AUTH;
		else
			s->authenticated = true;
		break;
	case SMTP_EVENT_XCLIENT:
		if (!s->assumed)
			smtp_server_assume(s, false, false, false);
		s->assumed = false;
		smtp_server_forget(s);
		break;
	case SMTP_EVENT_NONE:
	case SMTP_EVENT_DATA_END:
	case SMTP_EVENT_VRFY:
	case SMTP_EVENT_ETRN:
	case SMTP_EVENT_XFORWARD:
	case SMTP_EVENT_CHUNK:
	case SMTP_EVENT_RSET:
	case SMTP_EVENT_QUIT:
	case SMTP_EVENT_BAD:
	case SMTP_EVENT_TOO_MANY_ERRORS:
		break;
	}
}

/* DATA is done well when the message is, and AUTH when it succeeds. */
static void
count_success(struct smtp_server *s, enum smtp_event_type type, unsigned code)
{
	if (code >= 400) {
		s->errors++;
		return;
	}
	if (code == 334 || type == SMTP_EVENT_DATA ||
	    (type == SMTP_EVENT_DATA_END && s->rcpt_answered > 0))
		return;
	s->counts[s->last].ok++;
}

void
smtp_server_answer(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text)
{
	const enum smtp_event_type type = s->waiting;

	const bool chunked = type == SMTP_EVENT_DATA && s->last == SMTP_BDAT;

	BUG_ON(type == SMTP_EVENT_NONE);
	count_success(s, type, code);
	if (chunked && code != 421)
		smtp_server_bdat_answer(s, code, dsn, text);
	else if (type == SMTP_EVENT_HELLO && code == 250 &&
	    s->cmd->verb != SMTP_HELO)
		smtp_server_reply_hello(s);
	else
		smtp_server_reply(s, code, dsn, text);
	if (type == SMTP_EVENT_DATA_END)
		answer_data_end(s, code);
	else
		s->waiting = SMTP_EVENT_NONE;
	if (code < 400 && s->state != STATE_CLOSED && !chunked)
		advance(s, type, code);
	if (s->waiting != SMTP_EVENT_NONE)
		return;
	if (type == SMTP_EVENT_VRFY)
		s->utf8 = s->in_mail && s->mail.smtputf8;
	mem_free(s->cmd);
	s->cmd = NULL;
	drop_line(s);
}

void
smtp_server_say(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text)
{
	smtp_server_reply(s, code, dsn, text);
}

bool
smtp_server_tls_started(struct smtp_server *s, size_t leftover)
{
	BUG_ON(s->waiting != SMTP_EVENT_NONE);
	if (leftover > 0) {
		s->state = STATE_CLOSED;
		return false;
	}
	s->tls = true;
	s->hello = HELLO_NONE;
	s->authenticated = false;
	smtp_server_forget(s);
	buf_wipe(&s->line);
	if (s->state == STATE_TLS)
		s->state = STATE_COMMAND;
	return true;
}

struct span
smtp_server_output(const struct smtp_server *s)
{
	return buf_span(&s->out);
}

void
smtp_server_sent(struct smtp_server *s, size_t n)
{
	buf_consume(&s->out, n);
	if (s->out.n == 0 && s->out.cap > KEEP_MAX)
		buf_release(&s->out);
}

bool
smtp_server_waiting(const struct smtp_server *s)
{
	return s->waiting != SMTP_EVENT_NONE;
}

bool
smtp_server_closing(const struct smtp_server *s)
{
	return s->state == STATE_CLOSED;
}

bool
smtp_server_in_data(const struct smtp_server *s)
{
	return s->state == STATE_DATA || s->state == STATE_BDAT;
}

void
smtp_server_bare_newline(struct smtp_server *s, bool ok)
{
	s->bare_ok = ok;
}

bool
smtp_server_saw_bare_newline(const struct smtp_server *s)
{
	return s->saw_bare;
}

bool
smtp_server_pipelined_badly(const struct smtp_server *s)
{
	return s->badly_piped;
}

void
smtp_server_hook(struct smtp_server *s, const struct smtp_server_hooks *hooks)
{
	s->hooks = hooks;
}

void
smtp_server_future_until(struct smtp_server *s, const char *text)
{
	s->future_until = text;
}

void
smtp_server_assume(struct smtp_server *s, bool hello, bool extended, bool login)
{
	s->hello = !hello ? HELLO_NONE : extended ? HELLO_EHLO : HELLO_HELO;
	s->authenticated = login;
	s->assumed = true;
}

enum smtp_verb
smtp_server_last(const struct smtp_server *s, bool *out_any)
{
	*out_any = s->any_command;
	return s->last;
}

uint64_t
smtp_server_data_size(const struct smtp_server *s)
{
	return s->size;
}

unsigned
smtp_server_errors(const struct smtp_server *s)
{
	return s->errors;
}

void
smtp_server_count(const struct smtp_server *s, enum smtp_verb verb,
    unsigned *out_ok, unsigned *out_total)
{
	*out_ok = s->counts[verb].ok;
	*out_total = s->counts[verb].total;
}

bool
smtp_server_extended(const struct smtp_server *s)
{
	return s->hello == HELLO_EHLO;
}
