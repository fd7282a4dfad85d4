/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RCPTS = 3 };

static const struct span rcpts[RCPTS] = {
	{ (const uint8_t *)"a@x", 3 },
	{ (const uint8_t *)"b@x", 3 },
	{ (const uint8_t *)"c@x", 3 },
};

struct play {
	struct smtp_client *c;
	struct smtp_client_message m;
	struct buf log;
	unsigned results[RCPTS];
	unsigned messages; /* a verdict of our own needs no input */
	bool failed;
};

/* Each recipient has exactly one result when the message is done. */
static void
done(struct play *p, bool reusable)
{
	for (size_t i = 0; i < RCPTS; i++) {
		BUG_ON(p->results[i] != 1);
		p->results[i] = 0;
	}
	if (reusable && p->messages++ < 20)
		smtp_client_send(p->c, &p->m);
}

static void
act(struct play *p, const struct smtp_client_event *ev)
{
	if (ev->type != SMTP_CLIENT_NONE)
		buf_fmt(&p->log, "%d,%zu,%s,", (int)ev->type, ev->rcpt,
		    ev->reply.dsn);
	buf_add(&p->log, ev->reply.text);
	for (size_t i = 0; i < ev->reply.text.n; i++)
		BUG_ON(ev->reply.text.p[i] < ' ' || ev->reply.text.p[i] > 126);
	BUG_ON(p->failed && ev->type != SMTP_CLIENT_NONE);
	switch (ev->type) {
	case SMTP_CLIENT_NEED_TLS:
		smtp_client_tls_started(p->c, 0);
		break;
	case SMTP_CLIENT_READY:
		smtp_client_send(p->c, &p->m);
		break;
	case SMTP_CLIENT_RESULT:
		BUG_ON(ev->rcpt >= RCPTS || ++p->results[ev->rcpt] > 1);
		break;
	case SMTP_CLIENT_WANT_BODY:
		smtp_client_body(p->c, SPAN("x\n.y"));
		smtp_client_body_end(p->c);
		break;
	case SMTP_CLIENT_DONE:
		done(p, ev->reusable);
		break;
	case SMTP_CLIENT_FAILED:
		p->failed = true;
		break;
	case SMTP_CLIENT_NONE:
	case SMTP_CLIENT_CLOSED:
		break;
	}
}

/* flags: what the message wants beside being sent. */
static void
play(const struct smtp_client_conf *conf, uint8_t flags, struct span in,
    size_t step, struct buf *out)
{
	const struct smtp_client_dsn dsn[RCPTS] = {
		{ .notify = 2, .orcpt = SPAN("rfc822;a+b@c") }
	};
	const struct smtp_forward forward = { .name = SPAN("a.test"),
		.helo = SPAN("x y"), .source = SPAN("LOCAL") };
	struct play p = { .c = smtp_client_new(conf) };

	p.m = (struct smtp_client_message){ .sender = SPAN("s@y"),
		.rcpts = rcpts,
		.rcpt_count = RCPTS,
		.size = 4,
		.binary = flags & 16,
		.smtputf8 = flags & 32,
		.probe = (flags & 48) == 48,
		.requiretls = flags & 64,
		.forward = flags & 32 ? &forward : NULL,
		.ret_hdrs = flags & 128,
		.envid = SPAN("x=y"),
		.dsn = dsn };
	buf_init(&p.log, 64 << 20);
	while (in.n > 0) {
		struct span part = span_slice(in, 0, step);
		struct smtp_client_event ev;
		size_t n;

		in = span_skip(in, step);
		do {
			n = smtp_client_feed(p.c, part, &ev);
			part = span_skip(part, n);
			act(&p, &ev);
			/* Output is lost when the session fails before it is
			 * fetched, so it is no part of the comparison. */
			smtp_client_sent(p.c, smtp_client_output(p.c).n);
		} while (n > 0 || ev.type != SMTP_CLIENT_NONE);
	}
	buf_add(out, buf_span(&p.log));
	buf_release(&p.log);
	smtp_client_free(p.c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct smtp_client_conf conf = { .helo_name = "me" };
	struct buf a, b;

	if (size == 0)
		return 0;
	conf.lmtp = data[0] & 1;
	conf.tls = (enum smtp_client_tls)((data[0] >> 1 & 3) % 3);
	conf.user = data[0] & 8 ? "user" : NULL;
	conf.password = "password";
	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	play(&conf, data[0], span_skip(in, 1), 1, &a);
	play(&conf, data[0], span_skip(in, 1), size, &b);
	BUG_ON(!span_eq(buf_span(&a), buf_span(&b)));
	buf_release(&a);
	buf_release(&b);
	return 0;
}
