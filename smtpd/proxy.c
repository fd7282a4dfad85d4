/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/proxy.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/smtp_proxy.h"
#include "lib/proto/smtp_xattr.h"
#include "smtpd/session.h"

enum {
	COMMANDS_MAX = 64 << 20, /* all recipients of a message */
};

struct proxy_session {
	struct smtp_proxy *proxy; /* NULL: no conversation yet */
	struct buf commands;	  /* still to be said, each with the class of
				     the reply that is wanted in front and LF
				     behind: "2RCPT TO:<a@b>\n" */
	struct buf line;	  /* being said */
	uint8_t wanted;
	struct buf mail;   /* MAIL of this transaction */
	bool client_words; /* a refusal may be passed on */
	void (*then)(struct session *s);
};

/* ---- the service ----------------------------------------------------------
 */

int
proxy_service_open(struct service *s, struct err *e)
{
	const struct smtpd_conf *c = s->conf;
	struct span word, rest = span_str(c->smtpd_proxy_options);

	if (c->smtpd_proxy_filter[0] == '\0')
		return 0;
	while (span_token(&rest, ", \t\r\n", &word)) {
		if (!span_ieq(word, SPAN("speed_adjust")))
			return err_set(e, ERR_PERM, "5.3.5",
			    "smtpd_proxy_options: unknown word \"%.*s\"",
			    SPAN_FMT(span_slice(word, 0, 60)));
		s->proxy_late = true;
	}
	if (smtp_proxy_place_open(c->smtpd_proxy_filter,
		s->common->queue_directory, &s->proxy, e) != 0)
		return err_wrap(e, "smtpd_proxy_filter");
	return 0;
}

bool
proxy_wanted(const struct session *s)
{
	return s->service->proxy != NULL && !s->local;
}

/* ---- refusals -------------------------------------------------------------
 */

static void
hang_up(struct session *s)
{
	struct proxy_session *p = s->proxy;

	smtp_proxy_quit(&p->proxy);
	buf_reset(&p->commands);
}

static void
log_end(struct session *s, bool accepted, unsigned code, struct span text)
{
	const struct log_ctx ctx = { .trace = s->log.trace };
	const struct recipient *rcpt = s->tx->rcpts.first;

	log_info(&ctx,
	    "proxy-%s: END-OF-MESSAGE: %u %s; from=<%s>%s%s%s "
	    "proto=%s%s%s%s",
	    accepted ? "accept" : "reject", code, log_quote(text, 900),
	    log_quote(s->tx->env.sender, 500), rcpt != NULL ? " to=<" : "",
	    rcpt != NULL ? log_quote(rcpt->rcpt.orig_address, 500) : "",
	    rcpt != NULL ? ">" : "", session_protocol(s),
	    s->helo != NULL ? " helo=<" : "",
	    s->helo != NULL ? log_quote(span_str(s->helo), 200) : "",
	    s->helo != NULL ? ">" : "");
}

/* The proxy's own words, or ours where they are none for a client. */
static void
refuse(struct session *s, bool pass_on, unsigned code, struct span text)
{
	struct refusal no = { .code = code, .dsn = "", .text = text };

	if (!pass_on || code < 400) {
		no = (struct refusal){ .code = 451,
			.dsn = "4.3.0",
			.text = SPAN("Error: queue file write error") };
		text = SPAN("4.3.0 Error: queue file write error");
	}
	if (s->stage.stage == STAGE_END)
		log_end(s, false, no.code, text);
	stage_refuse(s, &no);
}

static void
failed(struct session *s, unsigned code, struct span text)
{
	struct proxy_session *p = s->proxy;
	const char *place = s->service->conf->smtpd_proxy_filter;
	char copy[1024];
	const struct span said = buf_span(&p->line);
	const bool pass_on = p->client_words && code >= 400;
	const bool live = pass_on && s->stage.stage == STAGE_RCPT &&
			  span_istarts(said, SPAN("RCPT"));

	if (code == 0)
		log_warning(
		    &s->log, "proxy %s: %s", place, log_quote(text, 300));
	else
		log_warning(&s->log, "proxy %s rejected \"%s\": \"%u %s\"",
		    place,
		    said.n == 0 ? "connection request" : log_quote(said, 300),
		    code, log_quote(text, 300));
	snprintf(copy, sizeof(copy), "%.*s",
	    SPAN_FMT(span_slice(text, 0, sizeof(copy) - 1)));
	/* A recipient that is refused leaves the others. */
	if (!live)
		hang_up(s);
	refuse(s, pass_on, code, span_str(copy));
}

/* ---- the conversation -----------------------------------------------------
 */

static void run(struct session *s);

/* What the proxy may know of the client, or of the client that the client
 * spoke of. */
static void
put_xforward(struct session *s, struct span offered, struct buf *out)
{
	const struct xforward *x = s->xforward;
	struct span rest, line;
	struct buf lines;
	char port[16] = "";

	if (s->port != 0)
		snprintf(port, sizeof(port), "%u", s->port);
	const struct smtp_forward own = {
		.name = span_str(s->name),
		.addr = span_str(s->addr),
		.port = span_str(port),
		.helo = span_str(s->helo),
		.proto = span_str(session_protocol(s)),
		.source = s->trusted ? SPAN("LOCAL") : SPAN("REMOTE"),
	};
	struct smtp_forward other = own;

	if (x != NULL)
		other = (struct smtp_forward){
			.name = span_str(x->name),
			.addr = span_str(x->addr),
			.port = span_str(x->port),
			.helo = span_str(x->helo),
			.ident = span_str(x->ident),
			.proto = span_str(x->proto),
			.source = x->source != NULL ? span_str(x->source)
						    : own.source,
		};
	buf_init(&lines, COMMANDS_MAX);
	smtp_xforward_print(&other, offered, &lines);
	rest = buf_span(&lines);
	while (span_token(&rest, "\n", &line)) {
		buf_byte(out, '2');
		buf_add(out, line);
		buf_byte(out, '\n');
	}
	buf_release(&lines);
}

/* The reply to EHLO: XFORWARD comes next, if it is offered. */
static void
after_hello(struct session *s, struct span text)
{
	struct proxy_session *p = s->proxy;
	struct span line;
	struct buf all;

	buf_init(&all, COMMANDS_MAX);
	span_token(&text, "\n", &line); /* its name */
	while (span_token(&text, "\n", &line))
		if (span_istarts(line, SPAN("XFORWARD ")))
			put_xforward(s, span_skip(line, 9), &all);
	buf_add(&all, buf_span(&p->commands));
	buf_release(&p->commands);
	p->commands = all;
}

static void
replied(void *arg, unsigned code, struct span text)
{
	struct session *s = arg;
	struct proxy_session *p = s->proxy;

	if (code / 100 + '0' != p->wanted) {
		failed(s, code, text);
		return;
	}
	if (span_istarts(buf_span(&p->line), SPAN("EHLO")))
		after_hello(s, text);
	run(s);
}

/* Says what is still to be said, then goes on. */
static void
run(struct session *s)
{
	struct proxy_session *p = s->proxy;
	const struct span all = buf_span(&p->commands);
	const size_t lf = span_chr(all, '\n');

	if (lf == SIZE_MAX) {
		p->then(s);
		return;
	}
	buf_reset(&p->line);
	p->wanted = all.p[0];
	buf_add(&p->line, span_slice(all, 1, lf));
	buf_consume(&p->commands, lf + 1);
	p->client_words = !span_istarts(buf_span(&p->line), SPAN("EHLO")) &&
			  !span_istarts(buf_span(&p->line), SPAN("XFORWARD"));
	smtp_proxy_say(p->proxy, buf_span(&p->line), replied, s);
}

/* Begins the conversation, if there is none, in front of what is to be said,
 * and goes on with `then`. */
static void
talk(struct session *s, void (*then)(struct session *s))
{
	struct proxy_session *p = s->proxy;
	struct service *service = s->service;
	struct buf all;

	p->then = then;
	if (p->proxy != NULL) {
		run(s);
		return;
	}
	buf_init(&all, COMMANDS_MAX);
	buf_fmt(&all, "2EHLO %s\n2", service->conf->smtpd_proxy_ehlo);
	buf_add(&all, buf_span(&p->mail));
	buf_byte(&all, '\n');
	buf_add(&all, buf_span(&p->commands));
	buf_release(&p->commands);
	p->commands = all;
	buf_reset(&p->line);
	p->wanted = '2';
	p->client_words = false;
	p->proxy = smtp_proxy_open(service->loop, service->resolver,
	    service->proxy, (uint64_t)service->conf->smtpd_proxy_timeout,
	    s->log.trace, replied, s);
}

/* ---- the gate -------------------------------------------------------------
 */

static void
put_command(struct buf *out, const char *verb, const struct smtp_cmd *cmd)
{
	buf_fmt(out, "%s:<", verb);
	buf_add(out, cmd->path.text);
	buf_byte(out, '>');
	for (size_t i = 0; i < cmd->param_count; i++) {
		buf_byte(out, ' ');
		buf_add(out, cmd->params[i].key);
		if (!cmd->params[i].has_value)
			continue;
		buf_byte(out, '=');
		buf_add(out, cmd->params[i].value);
	}
}

static void
ask_mail(struct session *s)
{
	struct proxy_session *p = s->proxy;

	if (p == NULL) {
		p = s->proxy = MEM_NEW(p);
		buf_init(&p->commands, COMMANDS_MAX);
		buf_init(&p->line, LIMIT_SMTP_LINE);
		buf_init(&p->mail, LIMIT_SMTP_LINE);
	}
	buf_reset(&p->mail);
	buf_reset(&p->commands);
	put_command(&p->mail, "MAIL FROM", stage_cmd(s));
	stage_pass(s);
}

static void
ask_rcpt(struct session *s)
{
	struct proxy_session *p = s->proxy;

	buf_byte(&p->commands, '2');
	put_command(&p->commands, "RCPT TO", stage_cmd(s));
	buf_byte(&p->commands, '\n');
	if (s->service->proxy_late)
		stage_pass(s);
	else
		talk(s, stage_pass);
}

static void
ask_data(struct session *s)
{
	char dir[LIMIT_PATH];

	if (s->tx->mail == NULL) {
		snprintf(dir, sizeof(dir), "%s/incoming",
		    s->service->common->queue_directory);
		s->tx->mail =
		    milter_mail_new(s->service->loop, dir, SIZE_MAX);
	}
	if (s->service->proxy_late) {
		stage_pass(s);
		return;
	}
	buf_str(&s->proxy->commands, "3DATA\n");
	talk(s, stage_pass);
}

static void
message_answered(void *arg, unsigned code, struct span text)
{
	struct session *s = arg;
	char copy[1024];

	snprintf(copy, sizeof(copy), "%.*s",
	    SPAN_FMT(span_slice(text, 0, sizeof(copy) - 1)));
	if (code == 0)
		log_warning(&s->log, "proxy %s: %s",
		    s->service->conf->smtpd_proxy_filter, copy);
	hang_up(s);
	if (code / 100 != 2) {
		refuse(s, true, code, span_str(copy));
		return;
	}
	if (copy[0] == '\0')
		snprintf(copy, sizeof(copy), "Ok");
	log_end(s, true, code, span_str(copy));
	s->tx->proxied = true;
	s->tx->taken = arena_dup(&s->tx->arena, span_str(copy));
	stage_pass(s);
}

static void
send_message(struct session *s)
{
	smtp_proxy_send(s->proxy->proxy, s->tx->mail, message_answered, s);
}

static void
ask_end(struct session *s)
{
	milter_mail_end(s->tx->mail);
	if (s->tx->act.discard) {
		stage_pass(s);
		return;
	}
	if (milter_mail_too_many(s->tx->mail)) {
		stage_reject(s, 552, "5.3.4", "Error: too many header fields");
		return;
	}
	if (s->service->proxy_late)
		buf_str(&s->proxy->commands, "3DATA\n");
	talk(s, send_message);
}

static void
ask(struct session *s, enum stage stage)
{
	if (!proxy_wanted(s)) {
		stage_pass(s);
		return;
	}
	switch (stage) {
	case STAGE_MAIL:
		ask_mail(s);
		break;
	case STAGE_RCPT:
		ask_rcpt(s);
		break;
	case STAGE_DATA:
		ask_data(s);
		break;
	case STAGE_END:
		ask_end(s);
		break;
	case STAGE_CONNECT:
	case STAGE_HELO:
	case STAGE_ETRN:
	case STAGE_VRFY:
		stage_pass(s);
		break;
	}
}

static void
reset(struct session *s)
{
	if (s->proxy != NULL)
		hang_up(s);
}

static void
end(struct session *s)
{
	struct proxy_session *p = s->proxy;

	if (p == NULL)
		return;
	smtp_proxy_free(&p->proxy);
	buf_release(&p->commands);
	buf_release(&p->line);
	buf_release(&p->mail);
	mem_free(p);
	s->proxy = NULL;
}

const struct gate proxy_gate = { "proxy", ask, NULL, reset, end };
