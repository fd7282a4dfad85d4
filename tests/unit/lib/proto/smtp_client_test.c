/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static const struct smtp_client_conf conf = { .helo_name = "me.test",
	.tls = SMTP_CLIENT_TLS_NONE };
static const struct smtp_client_conf tls_conf = { .helo_name = "me.test",
	.tls = SMTP_CLIENT_TLS_MAY };
static const struct smtp_client_conf must_conf = { .helo_name = "me.test",
	.tls = SMTP_CLIENT_TLS_MUST };
static const struct smtp_client_conf auth_conf = { .helo_name = "me.test",
	.tls = SMTP_CLIENT_TLS_NONE,
	.user = "u",
	.password = "p" };
static const struct smtp_client_conf lmtp_conf = {
	.helo_name = "me.test", .tls = SMTP_CLIENT_TLS_NONE, .lmtp = true
};

static const struct span three[] = {
	{ (const uint8_t *)"a@x.test", 8 },
	{ (const uint8_t *)"b@x.test", 8 },
	{ (const uint8_t *)"c@x.test", 8 },
};

/* A driver in small. It sends two messages of `rcpts` recipients each if it
 * may, then QUIT; events are written down as text. */
struct play {
	struct smtp_client *c;
	struct smtp_client_message m;
	struct span body;
	struct buf commands; /* what the client sent, without CR */
	struct buf events;
	unsigned to_send;
};

static void
play_init(struct play *p, const struct smtp_client_conf *cf, size_t rcpts)
{
	*p = (struct play){ .c = smtp_client_new(cf),
		.to_send = 1,
		.body = SPAN("Subject: x\n\n.dot\nend") };
	p->m = (struct smtp_client_message){ .sender = SPAN("s@y.test"),
		.rcpts = three,
		.rcpt_count = rcpts,
		.size = 20,
		.body_8bit = true };
	buf_init(&p->commands, 1 << 20);
	buf_init(&p->events, 1 << 20);
}

static void
play_release(struct play *p)
{
	smtp_client_free(p->c);
	buf_release(&p->commands);
	buf_release(&p->events);
}

static void
collect(struct play *p)
{
	const struct span out = smtp_client_output(p->c);

	for (size_t i = 0; i < out.n; i++)
		if (out.p[i] != '\r')
			buf_byte(&p->commands, out.p[i]);
	smtp_client_sent(p->c, out.n);
}

static void
next_message(struct play *p)
{
	if (p->to_send == 0) {
		smtp_client_quit(p->c);
		return;
	}
	p->to_send--;
	smtp_client_send(p->c, &p->m);
}

static void
act(struct play *p, const struct smtp_client_event *ev)
{
	switch (ev->type) {
	case SMTP_CLIENT_NONE:
		break;
	case SMTP_CLIENT_NEED_TLS:
		buf_str(&p->events, "tls;");
		smtp_client_tls_started(p->c, 0);
		break;
	case SMTP_CLIENT_READY:
		buf_str(&p->events, "ready;");
		next_message(p);
		break;
	case SMTP_CLIENT_RESULT:
		buf_fmt(&p->events, "%zu:%s:%s:%.*s;", ev->rcpt, ev->reply.dsn,
		    smtp_stage_text(ev->stage), SPAN_FMT(ev->reply.text));
		break;
	case SMTP_CLIENT_WANT_BODY:
		buf_str(&p->events, "body;");
		assert_true(smtp_client_body_room(p->c) >= p->body.n);
		for (size_t i = 0; i < p->body.n; i++)
			smtp_client_body(p->c, span_slice(p->body, i, i + 1));
		smtp_client_body_end(p->c);
		break;
	case SMTP_CLIENT_DONE:
		buf_fmt(&p->events, "done%s;", ev->reusable ? "" : "!");
		if (ev->reusable)
			next_message(p);
		break;
	case SMTP_CLIENT_FAILED:
		buf_fmt(&p->events, "failed:%s:%s:%.*s;", ev->reply.dsn,
		    smtp_stage_text(ev->stage), SPAN_FMT(ev->reply.text));
		break;
	case SMTP_CLIENT_CLOSED:
		buf_str(&p->events, "closed;");
		break;
	}
}

static void
feed(struct play *p, struct span in)
{
	struct smtp_client_event ev;
	size_t n;

	do {
		n = smtp_client_feed(p->c, in, &ev);
		in = span_skip(in, n);
		act(p, &ev);
		collect(p);
	} while (n > 0 || ev.type != SMTP_CLIENT_NONE);
}

/* Once with all replies in one piece, once byte by byte. */
static void
check(const struct smtp_client_conf *cf, size_t rcpts, struct span in,
    const char *commands, const char *events)
{
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct play p;

		play_init(&p, cf, rcpts);
		if (bytewise)
			for (size_t i = 0; i < in.n; i++)
				feed(&p, span_slice(in, i, i + 1));
		else
			feed(&p, in);
		if (commands != NULL)
			assert_string_equal(buf_cstr(&p.commands), commands);
		assert_string_equal(buf_cstr(&p.events), events);
		play_release(&p);
	}
}

#define PIPE                                                                   \
	"220 x ESMTP\r\n250-x.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"     \
	"250 8BITMIME\r\n"
#define MAIL "MAIL FROM:<s@y.test> SIZE=20 BODY=8BITMIME\n"
#define BODY "Subject: x\n\n..dot\nend\n.\n"

static void
sends_pipelined(void **state)
{
	(void)state;
	check(&conf, 2,
	    SPAN(PIPE "250 2.1.0 ok\r\n250 ok\r\n550-5.1.1 no\r\n"
		      "550 5.1.1 such user\r\n354 go\r\n250 2.0.0 queued\r\n"
		      "221 bye\r\n"),
	    "EHLO me.test\n" MAIL
	    "RCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\n" BODY "QUIT\n",
	    "ready;1:5.1.1:RCPT TO command:550-5.1.1 no 550 5.1.1 such user;"
	    "body;0:2.0.0:end of DATA command:250 2.0.0 queued;done;closed;");
}

static void
falls_back_to_helo_and_lock_step(void **state)
{
	(void)state;
	check(&conf, 1,
	    SPAN("220 x\r\n502 what\r\n250 x\r\n250\r\n250 ok\r\n354 go\r\n"
		 "250 ok\r\n221 bye\r\n"),
	    "EHLO me.test\nHELO me.test\nMAIL FROM:<s@y.test>\n"
	    "RCPT TO:<a@x.test>\nDATA\n" BODY "QUIT\n",
	    "ready;body;0:2.0.0:end of DATA command:250 ok;done;closed;");
}

static void
lock_step_waits_for_each_reply(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf, 2);
	feed(&p, SPAN("220 x\r\n250 x\r\n"));
	assert_string_equal(
	    buf_cstr(&p.commands), "EHLO me.test\nMAIL FROM:<s@y.test>\n");
	feed(&p, SPAN("250 ok\r\n"));
	assert_true(
	    span_ends(buf_span(&p.commands), SPAN("RCPT TO:<a@x.test>\n")));
	feed(&p, SPAN("550 no\r\n"));
	feed(&p, SPAN("450 no\r\n"));
	assert_true(span_ends(
	    buf_span(&p.commands), SPAN("RCPT TO:<b@x.test>\nRSET\n")));
	feed(&p, SPAN("250 ok\r\n"));
	assert_string_equal(buf_cstr(&p.events),
	    "ready;0:5.0.0:RCPT TO command:550 no;"
	    "1:4.0.0:RCPT TO command:450 no;done;");
	play_release(&p);
}

static void
refused_sender_is_everyones_result(void **state)
{
	static const char events[] =
	    "ready;0:5.7.1:MAIL FROM command:550 5.7.1 spam;"
	    "1:5.7.1:MAIL FROM command:550 5.7.1 spam;done;closed;";

	(void)state;
	check(&conf, 2, SPAN("220 x\r\n250 x\r\n550 5.7.1 spam\r\n221 x\r\n"),
	    NULL, events);
	check(&conf, 2,
	    SPAN(PIPE "550 5.7.1 spam\r\n503 x\r\n503 x\r\n503 x\r\n221 x\r\n"),
	    NULL, events);
	/* A server that accepts DATA all the same gets an empty message. */
	check(&conf, 2,
	    SPAN(PIPE "550 5.7.1 spam\r\n503 x\r\n503 x\r\n354 x\r\n"
		      "554 no recipients\r\n221 x\r\n"),
	    "EHLO me.test\n" MAIL
	    "RCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\n.\nQUIT\n",
	    events);
}

static void
refused_data_is_a_result(void **state)
{
	(void)state;
	check(&conf, 1,
	    SPAN(PIPE "250 x\r\n250 x\r\n451 4.3.0 later\r\n250 reset\r\n"
		      "221 x\r\n"),
	    "EHLO me.test\n" MAIL "RCPT TO:<a@x.test>\nDATA\nRSET\nQUIT\n",
	    "ready;0:4.3.0:DATA command:451 4.3.0 later;done;closed;");
	check(&conf, 1,
	    SPAN(PIPE "250 x\r\n250 x\r\n354 go\r\n554 5.6.0 no\r\n221 x\r\n"),
	    NULL,
	    "ready;body;0:5.6.0:end of DATA command:554 5.6.0 no;done;"
	    "closed;");
}

/* Its results are the replies to RCPT; nothing is sent. */
#define SPAN_INIT(lit) { (const uint8_t *)("" lit), sizeof(lit) - 1 }
static void
a_probe_ends_at_rcpt(void **state)
{
	static const struct {
		struct span in;
		const char *commands, *events;
	} rows[] = {
		{ SPAN_INIT(PIPE "250 x\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n"
			    "250 reset\r\n221 x\r\n"),
		    "EHLO me.test\n" MAIL "RCPT TO:<a@x.test>\n"
		    "RCPT TO:<b@x.test>\nRSET\nQUIT\n",
		    "ready;0:2.1.5:RCPT TO command:250 2.1.5 ok;"
		    "1:5.1.1:RCPT TO command:550 5.1.1 no;done;closed;" },
		{ SPAN_INIT("220 x\r\n250 x\r\n250 x\r\n250 ok\r\n"
			    "450 no\r\n250 reset\r\n221 x\r\n"),
		    "EHLO me.test\nMAIL FROM:<s@y.test>\n"
		    "RCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\nRSET\nQUIT\n",
		    "ready;0:2.0.0:RCPT TO command:250 ok;"
		    "1:4.0.0:RCPT TO command:450 no;done;closed;" },
		{ SPAN_INIT(PIPE "550 5.7.1 spam\r\n503 x\r\n503 x\r\n"
			    "221 x\r\n"),
		    "EHLO me.test\n" MAIL "RCPT TO:<a@x.test>\n"
		    "RCPT TO:<b@x.test>\nQUIT\n",
		    "ready;0:5.7.1:MAIL FROM command:550 5.7.1 spam;"
		    "1:5.7.1:MAIL FROM command:550 5.7.1 spam;done;closed;" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t step = 1; step < 1000; step += 998) {
			struct play p;

			play_init(&p, &conf, 2);
			p.m.probe = true;
			for (size_t n = 0; n < rows[i].in.n; n += step)
				feed(&p, span_slice(rows[i].in, n, n + step));
			assert_string_equal(
			    buf_cstr(&p.commands), rows[i].commands);
			assert_string_equal(
			    buf_cstr(&p.events), rows[i].events);
			play_release(&p);
		}
}

static void
sends_many_messages(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf, 1);
	p.to_send = 50;
	feed(&p, SPAN(PIPE));
	for (int i = 0; i < 50; i++)
		feed(&p, SPAN("250 x\r\n250 x\r\n354 x\r\n250 2.0.0 x\r\n"));
	feed(&p, SPAN("221 x\r\n"));
	assert_true(span_ends(buf_span(&p.events), SPAN("done;closed;")));
	play_release(&p);
}

static void
goodbye_ends_everything(void **state)
{
	(void)state;
	check(&conf, 2, SPAN("421 4.3.2 busy\r\n"), "",
	    "failed:4.3.2:initial server greeting:421 4.3.2 busy;");
	check(&conf, 2, SPAN(PIPE "250 x\r\n421 4.4.2 bye\r\n"), NULL,
	    "ready;0:4.4.2:RCPT TO command:421 4.4.2 bye;"
	    "1:4.4.2:RCPT TO command:421 4.4.2 bye;done!;");
}

static void
early_final_reply_stops_the_body(void **state)
{
	struct smtp_client_event ev;
	struct play p;

	(void)state;
	play_init(&p, &conf, 1);
	feed(&p, SPAN(PIPE "250 x\r\n250 x\r\n"));
	assert_int_equal(smtp_client_feed(p.c, SPAN("354 x\r\n"), &ev), 7);
	assert_int_equal(ev.type, SMTP_CLIENT_WANT_BODY);
	smtp_client_body(p.c, SPAN("part"));
	feed(&p, SPAN("552 5.3.4 too big\r\n"));
	assert_int_equal(smtp_client_body_room(p.c), 0);
	assert_string_equal(buf_cstr(&p.events),
	    "ready;0:5.3.4:end of DATA command:552 5.3.4 too big;done!;");
	play_release(&p);
}

static void
talks_lmtp(void **state)
{
	(void)state;
	check(&lmtp_conf, 3,
	    SPAN(PIPE "250 x\r\n250 a\r\n550 5.1.1 b\r\n250 c\r\n354 go\r\n"
		      "250 2.0.0 a in\r\n452 4.2.2 c full\r\n221 x\r\n"),
	    "LHLO me.test\n" MAIL "RCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\n"
	    "RCPT TO:<c@x.test>\nDATA\n" BODY "QUIT\n",
	    "ready;1:5.1.1:RCPT TO command:550 5.1.1 b;body;"
	    "0:2.0.0:end of DATA command:250 2.0.0 a in;"
	    "2:4.2.2:end of DATA command:452 4.2.2 c full;done;closed;");
	check(&lmtp_conf, 1, SPAN("220 x\r\n500 no LHLO\r\n"), NULL,
	    "failed:5.0.0:HELO command:500 no LHLO;");
}

static void
starts_tls_where_offered(void **state)
{
	struct smtp_client_event ev;
	struct play p;

	(void)state;
	check(&tls_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n"
		 "250-x\r\n250 PIPELINING\r\n250 x\r\n550 x\r\n503 x\r\n"
		 "250 x\r\n221 x\r\n"),
	    "EHLO me.test\nSTARTTLS\nEHLO me.test\nMAIL FROM:<s@y.test>\n"
	    "RCPT TO:<a@x.test>\nDATA\nRSET\nQUIT\n",
	    "tls;ready;0:5.0.0:RCPT TO command:550 x;done;closed;");
	check(&tls_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n454 not now\r\n"),
	    "EHLO me.test\nSTARTTLS\nMAIL FROM:<s@y.test>\n", "ready;");
	check(&must_conf, 1, SPAN("220 x\r\n250 x\r\n"), NULL,
	    "failed:4.7.4:HELO command:TLS is required, but was not "
	    "offered;");
	check(&must_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n"),
	    NULL, "failed:4.7.0:STARTTLS command:454 4.7.0 not now;");

	play_init(&p, &must_conf, 1);
	feed(&p, SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n"));
	assert_int_equal(
	    smtp_client_feed(p.c, SPAN("220 go\r\n250 x\r\n"), &ev), 8);
	assert_int_equal(ev.type, SMTP_CLIENT_NEED_TLS);
	smtp_client_tls_started(p.c, 7);
	feed(&p, SPAN_EMPTY);
	assert_string_equal(buf_cstr(&p.events),
	    "failed:4.7.0:TLS handshake:Protocol error: data before the TLS "
	    "handshake;");
	play_release(&p);
}

static void
authenticates(void **state)
{
	(void)state;
	check(&auth_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 AUTH LOGIN PLAIN\r\n235 in\r\n"),
	    "EHLO me.test\nAUTH PLAIN AHUAcA==\nMAIL FROM:<s@y.test>\n",
	    "ready;");
	check(&auth_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 AUTH LOGIN\r\n334 VXNlcg==\r\n"
		 "334 UGFzcw==\r\n235 in\r\n"),
	    "EHLO me.test\nAUTH LOGIN\ndQ==\ncA==\nMAIL FROM:<s@y.test>\n",
	    "ready;");
	check(&auth_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 AUTH PLAIN\r\n535 5.7.8 bad\r\n"), NULL,
	    "failed:5.7.8:AUTH command:535 5.7.8 bad;");
	check(&auth_conf, 1,
	    SPAN("220 x\r\n250-x\r\n250 AUTH PLAIN\r\n334 again\r\n"), NULL,
	    "failed:3.0.0:AUTH command:334 again;");
	check(&auth_conf, 1, SPAN("220 x\r\n250 x\r\n"), NULL,
	    "failed:4.7.0:AUTH command:server offered no known "
	    "authentication mechanism;");
}

static void
survives_hostile_servers(void **state)
{
	static const char *const rows[] = { "hello\r\n", "22\r\n", "\r\n",
		"220x\r\n", "999 x\r\n", "120 x\r\n", "220-a\r\n550 b\r\n",
		"-20 x\r\n", "2 0 x\r\n" };
	struct play p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&conf, 1, span_str(rows[i]), NULL,
		    "failed:4.5.0:initial server greeting:"
		    "Protocol error: malformed reply;");
	/* Only a code, with or without a hyphen's continuation, is a reply. */
	check(&conf, 1, SPAN("550 5.7.1\r\n"), NULL,
	    "failed:5.7.1:initial server greeting:550 5.7.1;");
	check(&conf, 1, SPAN("550-\r\n550\r\n"), NULL,
	    "failed:5.0.0:initial server greeting:550- 550;");
	check(&conf, 1, SPAN("550 a\0b\x1b[m\xff\r\n"), NULL,
	    "failed:5.0.0:initial server greeting:550 a?b?[m?;");
	check(&conf, 1, SPAN(PIPE "250 x\r\n354 x\r\n"), NULL,
	    "ready;failed:4.5.0:RCPT TO command:"
	    "Protocol error: unexpected reply;");
	check(&conf, 1, SPAN(PIPE "250 x\r\n250 x\r\n354 x\r\n354 x\r\n"), NULL,
	    "ready;body;failed:4.5.0:end of DATA command:"
	    "Protocol error: unexpected reply;");
	check(&conf, 1, SPAN(PIPE "250 x\r\n250 x\r\n250 x\r\n"), NULL,
	    "ready;failed:4.5.0:DATA command:"
	    "Protocol error: unexpected reply;");

	play_init(&p, &conf, 1);
	for (int i = 0; i < 1000; i++)
		feed(&p, SPAN("220-many lines\r\n"));
	feed(&p, SPAN("220-many lines\r\n"));
	for (int i = 0; i < 1000; i++)
		feed(&p, SPAN("220-many lines\r\n"));
	assert_string_equal(buf_cstr(&p.events),
	    "failed:4.5.0:initial server greeting:"
	    "Protocol error: malformed reply;");
	play_release(&p);

	play_init(&p, &conf, 1);
	for (int i = 0; i < 100000; i++)
		feed(&p, SPAN("220 endless "));
	assert_string_equal(buf_cstr(&p.events),
	    "failed:4.5.0:initial server greeting:"
	    "Protocol error: reply line too long;");
	play_release(&p);
}

static void
sends_only_clean_lines(void **state)
{
	static const char *const rows[][2] = {
		{ "", ".\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ ".\n..\r\n", "..\r\n...\r\n.\r\n" },
		{ "a\rb\r\r\nc\r", "a b \r\nc\r\n.\r\n" },
		{ "\r.\n\n.\n\r\n", " .\r\n\r\n..\r\n\r\n.\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_client_event ev;
		struct play p;

		play_init(&p, &conf, 1);
		feed(&p, SPAN(PIPE "250 x\r\n250 x\r\n"));
		smtp_client_feed(p.c, SPAN("354 x\r\n"), &ev);
		assert_int_equal(ev.type, SMTP_CLIENT_WANT_BODY);
		smtp_client_body(p.c, span_str(rows[i][0]));
		smtp_client_body_end(p.c);
		assert_true(
		    span_eq(smtp_client_output(p.c), span_str(rows[i][1])));
		play_release(&p);
	}
}

static void
our_own_verdicts(void **state)
{
	static const struct span evil = { (const uint8_t *)"a@x\r\nDATA", 9 };
	struct play p;

	(void)state;
	play_init(&p, &conf, 1);
	p.m.size = 2000;
	feed(&p, SPAN(PIPE));
	assert_string_equal(buf_cstr(&p.events),
	    "ready;0:5.3.4:MAIL FROM command:message size exceeds size limit "
	    "of server;done;");
	play_release(&p);

	play_init(&p, &conf, 1);
	p.m.smtputf8 = true;
	feed(&p, SPAN(PIPE));
	assert_true(span_starts(buf_span(&p.events), SPAN("ready;0:5.6.7:")));
	play_release(&p);

	play_init(&p, &conf, 1);
	p.m.rcpts = &evil;
	feed(&p, SPAN(PIPE));
	assert_string_equal(buf_cstr(&p.commands), "EHLO me.test\nQUIT\n");
	play_release(&p);
}

/* Before the message, a command at a time; refused or not. */
static void
tells_who_the_client_was(void **state)
{
	const struct smtp_forward forward = {
		.name = SPAN("client.test"), .addr = SPAN("192.0.2.1"),
		.helo = SPAN("a+b"), .proto = SPAN("ESMTP"),
		.source = SPAN("REMOTE"),
	};
	static const struct {
		const char *offer, *reply, *says;
	} rows[] = {
		{ "XFORWARD NAME ADDR PORT PROTO HELO SOURCE",
		    "250 x\r\n",
		    "XFORWARD NAME=client.test ADDR=192.0.2.1 "
		    "PORT=[UNAVAILABLE] HELO=a+2Bb PROTO=ESMTP "
		    "SOURCE=REMOTE\n" },
		{ "XFORWARD ADDR IDENT", "550 no\r\n",
		    "XFORWARD ADDR=192.0.2.1 IDENT=[UNAVAILABLE]\n" },
		{ "XFORWARD NOTHING", "", "" },
		{ "8BITMIME", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char in[400], wanted[400];
		struct play p;

		play_init(&p, &conf, 1);
		p.m.forward = &forward;
		p.m.body_8bit = false;
		snprintf(in, sizeof(in), "220 x ESMTP\r\n250-x.test\r\n"
		    "250 %s\r\n%s250 m\r\n250 r\r\n", rows[i].offer,
		    rows[i].reply);
		feed(&p, span_str(in));
		snprintf(wanted, sizeof(wanted), "EHLO me.test\n%sMAIL "
		    "FROM:<s@y.test>\nRCPT TO:<a@x.test>\nDATA\n",
		    rows[i].says);
		assert_string_equal(buf_cstr(&p.commands), wanted);
		play_release(&p);
	}
	/* Each message says it anew; 421 ends all. */
	struct play p;

	play_init(&p, &conf, 1);
	p.m.forward = &forward;
	feed(&p, SPAN("220 x ESMTP\r\n250-x.test\r\n250 XFORWARD ADDR\r\n"
	    "421 4.3.2 bye\r\n"));
	assert_true(span_find(buf_span(&p.events), SPAN("0:4.3.2:")) !=
	    SIZE_MAX);
	assert_true(span_find(buf_span(&p.events), SPAN("done!;")) !=
	    SIZE_MAX);
	play_release(&p);
}

static void
many_recipients_go_in_small_pieces(void **state)
{
	static struct span many[20000];
	struct smtp_client_event ev;
	struct play p;
	size_t sent = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = SPAN("somebody@somewhere.test");
	play_init(&p, &conf, COUNT_OF(many));
	p.m.rcpts = many;
	feed(&p, SPAN(PIPE));
	for (size_t i = 0; i <= COUNT_OF(many); i++)
		feed(&p, SPAN("250 x\r\n"));
	smtp_client_feed(p.c, SPAN("354 x\r\n"), &ev);
	assert_int_equal(ev.type, SMTP_CLIENT_WANT_BODY);
	for (struct span s = buf_span(&p.commands), line;
	     span_token(&s, "\n", &line);)
		sent += span_starts(line, SPAN("RCPT"));
	assert_int_equal(sent, COUNT_OF(many));
	play_release(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_pipelined),
		cmocka_unit_test(falls_back_to_helo_and_lock_step),
		cmocka_unit_test(lock_step_waits_for_each_reply),
		cmocka_unit_test(refused_sender_is_everyones_result),
		cmocka_unit_test(refused_data_is_a_result),
		cmocka_unit_test(a_probe_ends_at_rcpt),
		cmocka_unit_test(sends_many_messages),
		cmocka_unit_test(goodbye_ends_everything),
		cmocka_unit_test(early_final_reply_stops_the_body),
		cmocka_unit_test(talks_lmtp),
		cmocka_unit_test(starts_tls_where_offered),
		cmocka_unit_test(authenticates),
		cmocka_unit_test(survives_hostile_servers),
		cmocka_unit_test(sends_only_clean_lines),
		cmocka_unit_test(our_own_verdicts),
		cmocka_unit_test(many_recipients_go_in_small_pieces),
		cmocka_unit_test(tells_who_the_client_was),
	};

	return cmocka_run_group_tests_name("smtp_client", tests, NULL, NULL);
}
