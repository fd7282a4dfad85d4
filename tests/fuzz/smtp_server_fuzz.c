/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that a session said and did, as text; apart, since what stands between
 * two replies is not the same when much comes at once. */
struct play {
	struct smtp_server *s;
	struct buf log, replies;
	struct buf body; /* of the message being received */
	bool refuse_data;
};

static void
answer(struct play *p, unsigned code, const char *text)
{
	smtp_server_answer(p->s, code,
	    code == 354 || code == 334 ? "" : "2.0.0", span_str(text));
}

/* Decides by what the client said, so that it is the same in each run. */
static void
act(struct play *p, const struct smtp_event *ev)
{
	const bool no = ev->cmd != NULL && ev->cmd->path.text.n > 0 &&
			ev->cmd->path.text.p[0] == 'n';

	if (ev->type != SMTP_EVENT_NONE && ev->type != SMTP_EVENT_CHUNK)
		buf_fmt(&p->log, "%d;", (int)ev->type);
	switch (ev->type) {
	case SMTP_EVENT_HELLO:
	case SMTP_EVENT_VRFY:
	case SMTP_EVENT_ETRN:
	case SMTP_EVENT_XFORWARD:
		answer(p, 250, "hello");
		break;
	case SMTP_EVENT_XCLIENT:
		answer(p, 220, "anew");
		break;
	case SMTP_EVENT_MAIL:
	case SMTP_EVENT_RCPT:
		buf_fmt(&p->log, "%u,%u,", (unsigned)ev->mail.body,
		    ev->rcpt.notify);
		buf_add(&p->log, ev->cmd->path.text);
		answer(p, no ? 550 : 250, "path");
		break;
	case SMTP_EVENT_DATA:
		buf_reset(&p->body);
		answer(p, p->refuse_data ? 451 : 354, "go");
		break;
	case SMTP_EVENT_CHUNK:
		BUG_ON(ev->data.n == 0);
		buf_add(&p->body, ev->data);
		break;
	case SMTP_EVENT_DATA_END:
		BUG_ON(ev->size != p->body.n);
		buf_add(&p->log, buf_span(&p->body));
		while (smtp_server_waiting(p->s))
			answer(p, 250, "done");
		break;
	case SMTP_EVENT_STARTTLS:
		answer(p, 220, "tls");
		smtp_server_tls_started(p->s, 0);
		break;
	case SMTP_EVENT_AUTH:
		answer(p, ev->cmd->arg.n > 0 ? 535 : 334, "auth");
		break;
	case SMTP_EVENT_AUTH_LINE:
		answer(p, ev->data.n % 3 == 0 ? 235 : 334, "auth");
		break;
	case SMTP_EVENT_BAD:
		buf_fmt(&p->log, "%d,%d;", (int)ev->bad, ev->aborted);
		break;
	case SMTP_EVENT_NONE:
	case SMTP_EVENT_RSET:
	case SMTP_EVENT_QUIT:
	case SMTP_EVENT_TOO_MANY_ERRORS:
		break;
	}
}

static void
feed(struct play *p, struct span part)
{
	struct smtp_event ev;
	size_t n;

	do {
		n = smtp_server_feed(p->s, part, &ev);
		part = span_skip(part, n);
		act(p, &ev);
		BUG_ON(smtp_server_waiting(p->s));
		buf_add(&p->replies, smtp_server_output(p->s));
		smtp_server_sent(p->s, smtp_server_output(p->s).n);
	} while (n > 0 || ev.type != SMTP_EVENT_NONE);
	BUG_ON(part.n > 0 && !smtp_server_closing(p->s));
}

enum split { BY_BYTE, BY_LINE, WHOLE };

static void
play(const struct smtp_server_conf *conf, struct span in, enum split split,
    struct buf *out)
{
	struct play p = { .s = smtp_server_new(conf),
		.refuse_data = conf->future_s };

	smtp_server_offer(p.s,
	    SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_8BITMIME |
		SMTP_CAP_STARTTLS | SMTP_CAP_AUTH | SMTP_CAP_VRFY |
		SMTP_CAP_DSN | SMTP_CAP_SMTPUTF8 | SMTP_CAP_CHUNKING |
		SMTP_CAP_BINARYMIME | SMTP_CAP_ETRN | SMTP_CAP_XCLIENT |
		SMTP_CAP_XFORWARD | SMTP_CAP_REQUIRETLS |
		SMTP_CAP_FUTURERELEASE | SMTP_CAP_LIMITS,
	    "PLAIN");
	smtp_server_future_until(p.s, "2026-11-29T00:00:00Z");
	buf_init(&p.log, 64 << 20);
	buf_init(&p.replies, 64 << 20);
	buf_init(&p.body, 1 << 20);
	while (in.n > 0) {
		const size_t lf = span_chr(in, '\n');
		const size_t line = lf == SIZE_MAX ? in.n : lf + 1;
		const size_t n = split == BY_BYTE   ? 1
				 : split == BY_LINE ? line
						    : in.n;

		feed(&p, span_slice(in, 0, n));
		in = span_skip(in, n);
	}
	buf_add(out, buf_span(&p.log));
	buf_add(out, buf_span(&p.replies));
	buf_release(&p.replies);
	buf_release(&p.log);
	buf_release(&p.body);
	smtp_server_free(p.s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct smtp_server_conf conf = { .hostname = "mx",
		.error_max = 10,
		.junk_max = 20,
		.rcpt_max = 5,
		.size_max = 500 };
	struct buf a, b;

	if (size == 0)
		return 0;
	conf.lmtp = data[0] & 1;
	conf.bare_newline_ok = data[0] & 2;
	conf.helo_required = data[0] & 4;
	conf.tls_required = data[0] & 8;
	conf.future_s = data[0] & 16;
	conf.pipelining_ok = data[0] & 32;
	conf.strict_envelopes = data[0] & 64;
	if (data[0] & 128) {
		conf.noop_commands = "XNOOP";
		conf.forbidden_commands = "GET POST";
	}
	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	play(&conf, span_skip(in, 1), BY_BYTE, &a);
	play(&conf, span_skip(in, 1), BY_LINE, &b);
	BUG_ON(!span_eq(buf_span(&a), buf_span(&b)));
	buf_reset(&b);
	play(&conf, span_skip(in, 1), WHOLE, &b);
	buf_release(&a);
	buf_release(&b);
	return 0;
}
