/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TESTS_SMTP_SERVER_PLAY_H
#define CHAPPE_TESTS_SMTP_SERVER_PLAY_H

/* A daemon in small behind the SMTP server engine, for its tests. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_server.h"

/* A daemon in small: takes everything, but recipients that begin with
 * "no"; what happens is kept as text. */
struct play {
	struct smtp_server *s;
	struct buf replies; /* all that the engine said, without CR */
	struct buf body;    /* message bytes; "\n[end N]\n" behind each */
	struct buf events;  /* one letter an event */
	unsigned rcpts;
};

#ifndef PLAY_CAPS
#define PLAY_CAPS                                                              \
	(SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_8BITMIME |             \
	    SMTP_CAP_STARTTLS | SMTP_CAP_AUTH | SMTP_CAP_ENHANCEDSTATUSCODES)
#endif

static void
play_init(struct play *p, const struct smtp_server_conf *c)
{
	*p = (struct play){ .s = smtp_server_new(c) };
	smtp_server_offer(p->s, PLAY_CAPS, "PLAIN LOGIN");
	buf_init(&p->replies, 1 << 20);
	buf_init(&p->body, 1 << 20);
	buf_init(&p->events, 1 << 20);
}

static void
play_release(struct play *p)
{
	smtp_server_free(p->s);
	buf_release(&p->replies);
	buf_release(&p->body);
	buf_release(&p->events);
}

static void
collect(struct play *p)
{
	const struct span out = smtp_server_output(p->s);

	for (size_t i = 0; i < out.n; i++)
		if (out.p[i] != '\r')
			buf_byte(&p->replies, out.p[i]);
	smtp_server_sent(p->s, out.n);
}

static void
answer_rcpt(struct play *p, const struct smtp_event *ev)
{
	if (span_starts(ev->cmd->path.text, SPAN("no"))) {
		smtp_server_answer(p->s, 550, "5.1.1", SPAN("unknown"));
		return;
	}
	p->rcpts++;
	smtp_server_answer(p->s, 250, "2.1.5", SPAN("Ok"));
}

static void
act(struct play *p, const struct smtp_event *ev)
{
	static const char letters[] = "-HMRDEVTXFSALcrqbx";

	if (ev->type != SMTP_EVENT_CHUNK && ev->type != SMTP_EVENT_NONE)
		buf_byte(&p->events, (uint8_t)letters[ev->type]);
	switch (ev->type) {
	case SMTP_EVENT_HELLO:
		smtp_server_answer(p->s, 250, "", SPAN("mx.test"));
		break;
	case SMTP_EVENT_MAIL:
		p->rcpts = 0;
		smtp_server_answer(p->s, 250, "2.1.0", SPAN("Ok"));
		break;
	case SMTP_EVENT_RCPT:
		answer_rcpt(p, ev);
		break;
	case SMTP_EVENT_DATA:
		smtp_server_answer(p->s, 354, "", SPAN("Go"));
		break;
	case SMTP_EVENT_CHUNK:
		buf_add(&p->body, ev->data);
		break;
	case SMTP_EVENT_DATA_END:
		buf_fmt(&p->body, "[end %u]", (unsigned)ev->size);
		while (smtp_server_waiting(p->s))
			smtp_server_answer(p->s, 250, "2.0.0", SPAN("Done"));
		break;
	case SMTP_EVENT_VRFY:
		smtp_server_answer(p->s, 252, "2.0.0", ev->cmd->arg);
		break;
	case SMTP_EVENT_STARTTLS:
		smtp_server_answer(p->s, 220, "2.0.0", SPAN("Ready"));
		break;
	case SMTP_EVENT_AUTH:
		smtp_server_answer(p->s, 334, "", SPAN("dXNlcg=="));
		break;
	case SMTP_EVENT_AUTH_LINE:
		if (span_eq(ev->data, SPAN("good")))
			smtp_server_answer(p->s, 235, "2.7.0", SPAN("In"));
		else if (span_eq(ev->data, SPAN("more")))
			smtp_server_answer(p->s, 334, "", SPAN("cGFzcw=="));
		else
			smtp_server_answer(p->s, 535, "5.7.8", SPAN("No"));
		break;
	case SMTP_EVENT_BAD:
		if (ev->aborted)
			buf_str(&p->body, "[aborted]");
		break;
	case SMTP_EVENT_ETRN:
		smtp_server_answer(p->s, 250, "", SPAN("Queuing started"));
		break;
	case SMTP_EVENT_XCLIENT:
		smtp_server_answer(p->s, 220, "", SPAN("mx.test anew"));
		break;
	case SMTP_EVENT_XFORWARD:
		smtp_server_answer(p->s, 250, "2.0.0", SPAN("Ok"));
		break;
	case SMTP_EVENT_NONE:
	case SMTP_EVENT_RSET:
	case SMTP_EVENT_QUIT:
	case SMTP_EVENT_TOO_MANY_ERRORS:
		break;
	}
}

/* Feeds all of it, at most `step` bytes being there at a time. */
static void
feed(struct play *p, struct span in, size_t step)
{
	while (in.n > 0) {
		struct span part = span_slice(in, 0, step);
		const size_t before = part.n;
		struct smtp_event ev;
		size_t n;

		do {
			n = smtp_server_feed(p->s, part, &ev);
			part = span_skip(part, n);
			act(p, &ev);
			collect(p);
		} while (n > 0 || ev.type != SMTP_EVENT_NONE);
		in = span_skip(in, before - part.n);
		if (part.n > 0 && before == part.n)
			break;
	}
}

static void
feed_lines(struct play *p, struct span in)
{
	while (in.n > 0) {
		const size_t lf = span_chr(in, '\n');
		const size_t n = lf == SIZE_MAX ? in.n : lf + 1;

		feed(p, span_slice(in, 0, n), n);
		in = span_skip(in, n);
	}
}

/* Whole lines in one piece each, then byte by byte: both must end alike. */
static void
check(const struct smtp_server_conf *c, struct span in, const char *replies,
    const char *body, const char *events)
{
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct play p;

		play_init(&p, c);
		if (bytewise)
			feed(&p, in, 1);
		else
			feed_lines(&p, in);
		assert_string_equal(buf_cstr(&p.replies), replies);
		if (body != NULL)
			assert_string_equal(buf_cstr(&p.body), body);
		if (events != NULL)
			assert_string_equal(buf_cstr(&p.events), events);
		play_release(&p);
	}
}

#endif
