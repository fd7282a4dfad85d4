/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/base64.h"
#include "lib/proto/smtp_client_impl.h"

enum { OUTPUT_MAX = 1 << 20, KEEP_MAX = 1024 };

struct smtp_client *
smtp_client_new(const struct smtp_client_conf *conf)
{
	struct smtp_client *c = MEM_NEW(c);

	c->conf = conf;
	c->stage = SMTP_STAGE_GREETING;
	c->tls_active = conf->tls == SMTP_CLIENT_TLS_NONE;
	buf_init(&c->line, LIMIT_SMTP_REPLY_LINE);
	buf_init(&c->text, LIMIT_SMTP_REPLY);
	buf_init(&c->out, OUTPUT_MAX);
	buf_init(&c->offers, LIMIT_SMTP_REPLY);
	buf_init(&c->forward, LIMIT_SMTP_REPLY);
	buf_init(&c->fan_text, LIMIT_SMTP_REPLY);
	return c;
}

void
smtp_client_free(struct smtp_client *c)
{
	if (c == NULL)
		return;
	buf_release(&c->line);
	buf_release(&c->text);
	buf_wipe(&c->out);
	buf_release(&c->offers);
	buf_release(&c->forward);
	buf_release(&c->fan_text);
	mem_free(c->rcpts);
	mem_free(c);
}

void
smtp_client_command(struct smtp_client *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(&c->out, fmt, ap);
	va_end(ap);
	buf_str(&c->out, "\r\n");
}

void
smtp_client_fail(struct smtp_client *c, const struct smtp_reply *r,
    const char *dsn, const char *text, struct smtp_client_event *out)
{
	*out = (struct smtp_client_event){ .type = SMTP_CLIENT_FAILED,
		.stage = c->stage };
	if (text == NULL) {
		out->reply = *r;
	} else {
		snprintf(out->reply.dsn, sizeof(out->reply.dsn), "%s", dsn);
		out->reply.text = span_str(text);
	}
	c->stage = SMTP_STAGE_CLOSED;
	buf_wipe(&c->out);
}

/* ---- the session before its first message ---- */

static void
hello(struct smtp_client *c)
{
	const char *verb = c->conf->lmtp       ? "LHLO"
			   : c->hello_fallback ? "HELO"
					       : "EHLO";

	c->stage = SMTP_STAGE_HELLO;
	smtp_client_command(c, "%s %s", verb, c->conf->helo_name);
}

bool
smtp_client_find_offer(const struct smtp_client *c, const char *keyword, struct span *out)
{
	struct span rest = buf_span(&c->offers), line, word;

	while (span_token(&rest, "\n", &line)) {
		if (span_token(&line, " ", &word) &&
		    span_ieq(word, span_str(keyword))) {
			*out = line;
			return true;
		}
	}
	return false;
}

bool
smtp_client_offers(
    const struct smtp_client *c, const char *keyword, uint64_t *out_size)
{
	struct span args;

	if (!smtp_client_find_offer(c, keyword, &args))
		return false;
	if (out_size != NULL &&
	    !span_u64(span_trim(args), UINT64_MAX, out_size))
		*out_size = 0;
	return true;
}

static bool
offers_mechanism(const struct smtp_client *c, const char *name)
{
	struct span args, word;

	if (!smtp_client_find_offer(c, "AUTH", &args))
		return false;
	while (span_token(&args, " ", &word))
		if (span_ieq(word, span_str(name)))
			return true;
	return false;
}

/* Adds a secret's base 64 as a line, or behind a command. */
static void
add_secret(struct smtp_client *c, const char *command, struct span secret)
{
	c->secret_out = true;
	buf_str(&c->out, command);
	base64_encode(secret, &c->out);
	buf_str(&c->out, "\r\n");
}

static void
auth_plain(struct smtp_client *c)
{
	struct buf b;

	buf_init(&b, LIMIT_SASL_LINE);
	buf_byte(&b, 0);
	buf_str(&b, c->conf->user);
	buf_byte(&b, 0);
	buf_str(&b, c->conf->password);
	add_secret(c, "AUTH PLAIN ", buf_span(&b));
	buf_wipe(&b);
	c->auth_step = AUTH_END;
}

static void
begin_auth(struct smtp_client *c, struct smtp_client_event *out)
{
	c->stage = SMTP_STAGE_AUTH;
	if (offers_mechanism(c, "PLAIN")) {
		auth_plain(c);
	} else if (offers_mechanism(c, "LOGIN")) {
		smtp_client_command(c, "AUTH LOGIN");
		c->auth_step = AUTH_LOGIN_USER;
	} else {
		smtp_client_fail(c, NULL, "4.7.0",
		    "server offered no known authentication mechanism", out);
	}
}

static void
ready(struct smtp_client *c, struct smtp_client_event *out)
{
	c->stage = SMTP_STAGE_IDLE;
	c->pipelining = smtp_client_offers(c, "PIPELINING", NULL);
	out->type = SMTP_CLIENT_READY;
}

static void
after_tls(struct smtp_client *c, struct smtp_client_event *out)
{
	if (c->conf->user != NULL)
		begin_auth(c, out);
	else
		ready(c, out);
}

static void
after_hello(struct smtp_client *c, struct smtp_client_event *out)
{
	if (c->tls_active) {
		after_tls(c, out);
	} else if (smtp_client_offers(c, "STARTTLS", NULL)) {
		c->stage = SMTP_STAGE_STARTTLS;
		smtp_client_command(c, "STARTTLS");
	} else if (c->conf->tls == SMTP_CLIENT_TLS_MUST) {
		smtp_client_fail(c, NULL, "4.7.4",
		    "TLS is required, but was not offered", out);
	} else {
		after_tls(c, out);
	}
}

static void
on_hello(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	if (r->code / 100 == 2) {
		after_hello(c, out);
	} else if (r->code / 100 == 5 && !c->conf->lmtp && !c->hello_fallback) {
		c->hello_fallback = true;
		buf_reset(&c->offers);
		hello(c);
	} else {
		smtp_client_fail(c, r, NULL, NULL, out);
	}
}

static void
on_starttls(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	if (r->code / 100 == 2) {
		c->stage = SMTP_STAGE_TLS;
		out->type = SMTP_CLIENT_NEED_TLS;
	} else if (c->conf->tls == SMTP_CLIENT_TLS_MUST || r->code == 421) {
		smtp_client_fail(c, r, NULL, NULL, out);
	} else {
		after_tls(c, out);
	}
}

static void
on_auth(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	if (r->code == 235) {
		ready(c, out);
	} else if (r->code != 334 || c->auth_step == AUTH_END) {
		smtp_client_fail(c, r, NULL, NULL, out);
	} else if (c->auth_step == AUTH_LOGIN_USER) {
		add_secret(c, "", span_str(c->conf->user));
		c->auth_step = AUTH_LOGIN_PASSWORD;
	} else {
		add_secret(c, "", span_str(c->conf->password));
		c->auth_step = AUTH_END;
	}
}

static void
on_reply(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out)
{
	switch (c->stage) {
	case SMTP_STAGE_GREETING:
		if (r->code / 100 == 2)
			hello(c);
		else
			smtp_client_fail(c, r, NULL, NULL, out);
		return;
	case SMTP_STAGE_HELLO:
		on_hello(c, r, out);
		return;
	case SMTP_STAGE_STARTTLS:
		on_starttls(c, r, out);
		return;
	case SMTP_STAGE_AUTH:
		on_auth(c, r, out);
		return;
	case SMTP_STAGE_XFORWARD:
	case SMTP_STAGE_MAIL:
	case SMTP_STAGE_RCPT:
	case SMTP_STAGE_DATA:
	case SMTP_STAGE_BODY:
	case SMTP_STAGE_DATA_END:
	case SMTP_STAGE_RSET:
		smtp_client_on_reply(c, r, out);
		return;
	case SMTP_STAGE_QUIT:
		c->stage = SMTP_STAGE_CLOSED;
		out->type = SMTP_CLIENT_CLOSED;
		return;
	case SMTP_STAGE_TLS:
	case SMTP_STAGE_IDLE:
	case SMTP_STAGE_CLOSED:
		break;
	}
	/* Nothing was asked: at best the server says why it goes away. */
	if (r->code >= 400)
		smtp_client_fail(c, r, NULL, NULL, out);
	else
		smtp_client_fail(
		    c, NULL, "4.5.0", "Protocol error: unexpected reply", out);
}

/* ---- replies (RFC 5321 4.2) ---- */

/* The enhanced code behind the reply code, when it is of the same class
 * (RFC 2034 4); else the class alone. */
static void
take_dsn(unsigned code, struct span text, char out[12])
{
	struct span word;
	size_t dots = 0, digits = 0;

	memcpy(out, "0.0.0", 6);
	out[0] = (char)('0' + code / 100);
	if (!span_token(&text, " ", &word) || word.n < 5 || word.n > 9 ||
	    word.p[0] != '0' + code / 100 || word.p[1] != '.')
		return;
	for (size_t i = 1; i < word.n; i++) {
		if (word.p[i] == '.' && i + 1 < word.n) {
			dots++;
			digits = 0;
		} else if (!ascii_digit(word.p[i]) || ++digits > 3) {
			return;
		}
	}
	if (dots == 2 && digits > 0)
		span_copy(word, out, 12);
}

static void
add_text(struct smtp_client *c, struct span line)
{
	if (c->text.n > 0)
		buf_byte(&c->text, ' ');
	for (size_t i = 0; i < line.n; i++) {
		const uint8_t b = line.p[i];

		buf_byte(&c->text, b < ' ' || b > 126 ? '?' : b);
	}
}

/* Keeps the keywords of EHLO apart from the text: one line each. */
static void
add_offer(struct smtp_client *c, struct span line, bool first)
{
	if (c->stage != SMTP_STAGE_HELLO || c->hello_fallback)
		return;
	if (first) {
		buf_reset(&c->offers);
		return;
	}
	buf_add(&c->offers, span_skip(line, 4));
	buf_byte(&c->offers, '\n');
}

/* One line of a reply, without its end. OK: it was the last. */
static enum parse
reply_line(struct smtp_client *c, struct span line)
{
	const bool last = line.n == 3 || (line.n > 3 && line.p[3] == ' ');
	uint64_t code;

	if (!span_u64(span_slice(line, 0, 3), 599, &code) || line.n < 3 ||
	    code < 200 || (!last && line.p[3] != '-'))
		return PARSE_BAD;
	if (c->code != 0 && c->code != code)
		return PARSE_BAD;
	add_offer(c, line, c->code == 0);
	c->code = (unsigned)code;
	add_text(c, line);
	return !buf_ok(&c->text) ? PARSE_BAD : last ? PARSE_OK : PARSE_MORE;
}

static void
whole_line(struct smtp_client *c, struct smtp_client_event *out)
{
	struct span line = buf_span(&c->line);
	struct smtp_reply r = { .code = 0 };
	enum parse result;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	result = reply_line(c, line);
	buf_reset(&c->line);
	if (result == PARSE_MORE)
		return;
	if (result == PARSE_BAD) {
		smtp_client_fail(
		    c, NULL, "4.5.0", "Protocol error: malformed reply", out);
		return;
	}
	r.code = c->code;
	c->code = 0;
	r.text = buf_span(&c->text);
	take_dsn(r.code, span_skip(r.text, 4), r.dsn);
	on_reply(c, &r, out);
}

static size_t
feed_line(struct smtp_client *c, struct span in, struct smtp_client_event *out)
{
	const size_t lf = span_chr(in, '\n');
	const size_t n = lf == SIZE_MAX ? in.n : lf + 1;

	if (c->code == 0 && c->line.n == 0)
		buf_reset(&c->text);
	buf_add(&c->line, span_slice(in, 0, lf));
	if (!buf_ok(&c->line)) {
		smtp_client_fail(c, NULL, "4.5.0",
		    "Protocol error: reply line too long", out);
		return n;
	}
	if (lf != SIZE_MAX)
		whole_line(c, out);
	return n;
}

size_t
smtp_client_feed(
    struct smtp_client *c, struct span in, struct smtp_client_event *out)
{
	size_t used = 0;

	*out = (struct smtp_client_event){ .type = SMTP_CLIENT_NONE };
	while (out->type == SMTP_CLIENT_NONE && c->stage != SMTP_STAGE_CLOSED) {
		if (smtp_client_pending(c, out))
			break;
		smtp_client_pump(c);
		if (c->stage == SMTP_STAGE_TLS || used == in.n)
			break;
		used += feed_line(c, span_skip(in, used), out);
	}
	return used;
}

/* ---- the driver's side ---- */

void
smtp_client_tls_started(struct smtp_client *c, size_t leftover)
{
	BUG_ON(c->stage != SMTP_STAGE_TLS);
	buf_reset(&c->offers);
	if (leftover > 0) {
		c->dead = true;
		return;
	}
	c->tls_active = true;
	hello(c);
}

void
smtp_client_quit(struct smtp_client *c)
{
	BUG_ON(c->stage != SMTP_STAGE_IDLE);
	c->stage = SMTP_STAGE_QUIT;
	smtp_client_command(c, "QUIT");
}

struct span
smtp_client_output(const struct smtp_client *c)
{
	return buf_span(&c->out);
}

void
smtp_client_sent(struct smtp_client *c, size_t n)
{
	buf_consume(&c->out, n);
	if (c->out.n > 0)
		return;
	if (c->secret_out)
		buf_wipe(&c->out);
	else if (c->out.cap > KEEP_MAX && c->stage != SMTP_STAGE_BODY)
		buf_release(&c->out);
	c->secret_out = false;
}

enum smtp_stage
smtp_client_stage(const struct smtp_client *c)
{
	return c->stage;
}

const char *
smtp_stage_text(enum smtp_stage stage)
{
	static const char *const texts[] = {
		[SMTP_STAGE_GREETING] = "initial server greeting",
		[SMTP_STAGE_HELLO] = "HELO command",
		[SMTP_STAGE_STARTTLS] = "STARTTLS command",
		[SMTP_STAGE_TLS] = "TLS handshake",
		[SMTP_STAGE_AUTH] = "AUTH command",
		[SMTP_STAGE_IDLE] = "idle time",
		[SMTP_STAGE_XFORWARD] = "XFORWARD command",
		[SMTP_STAGE_MAIL] = "MAIL FROM command",
		[SMTP_STAGE_RCPT] = "RCPT TO command",
		[SMTP_STAGE_DATA] = "DATA command",
		[SMTP_STAGE_BODY] = "message body",
		[SMTP_STAGE_DATA_END] = "end of DATA command",
		[SMTP_STAGE_RSET] = "RSET command",
		[SMTP_STAGE_QUIT] = "QUIT command",
		[SMTP_STAGE_CLOSED] = "end of session",
	};

	return texts[stage];
}
