/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* A driver with fixed habits: says what it was told, refuses an APPEND to
 * "no", asks twice in AUTHENTICATE, closes after LOGOUT. */
struct driver {
	struct imap_server *s;
	struct buf out;
	bool closed;
	int steps;
};

static void
on_command(struct driver *d, const struct imap_cmd *c)
{
	if (c->verb == IMAP_IDLE || c->verb == IMAP_AUTHENTICATE) {
		d->steps = c->verb == IMAP_IDLE ? 1 : 2;
		imap_server_continue(d->s, SPAN(""));
	} else if (c->verb == IMAP_LOGOUT) {
		imap_server_bye(d->s, "Logging out");
	} else {
		buf_fmt(imap_server_out(d->s), "* %s\r\n", c->name);
		if (c->verb == IMAP_LOGIN)
			imap_server_set_state(d->s, IMAP_AUTHENTICATED);
		imap_server_done(d->s, IMAP_OK, NULL, "done");
	}
}

static void
on_event(struct driver *d, const struct imap_event *ev)
{
	struct buf *out = imap_server_out(d->s);

	switch (ev->type) {
	case IMAP_EV_NONE:
		break;
	case IMAP_EV_COMMAND:
		on_command(d, ev->cmd);
		break;
	case IMAP_EV_LINE:
		buf_fmt(out, "* line %.*s\r\n", SPAN_FMT(ev->bytes));
		if (--d->steps > 0)
			imap_server_continue(d->s, SPAN("more"));
		else
			imap_server_done(d->s, IMAP_OK, "X", "line");
		break;
	case IMAP_EV_APPEND:
		if (span_eq(ev->cmd->mailbox, SPAN("no")))
			imap_server_done(d->s, IMAP_NO, "TRYCREATE", "no");
		else
			imap_server_go(d->s);
		break;
	case IMAP_EV_DATA:
		buf_add(out, ev->bytes);
		break;
	case IMAP_EV_APPEND_END:
		imap_server_done(d->s, IMAP_OK, NULL, "appended");
		break;
	case IMAP_EV_APPEND_BAD:
		buf_str(out, "* dropped\r\n");
		break;
	case IMAP_EV_CLOSE:
		d->closed = true;
		break;
	}
}

static void
drain(struct driver *d)
{
	const struct span out = imap_server_output(d->s);

	buf_add(&d->out, out);
	imap_server_sent(d->s, out.n);
}

/* Feeds at most `step` bytes at a time. */
static void
play(struct driver *d, struct span in, size_t step)
{
	size_t end = 0, at = 0;

	while (!d->closed && (at < in.n || end < in.n)) {
		struct imap_event ev;
		size_t n;

		if (end < in.n)
			end = in.n - end < step ? in.n : end + step;
		do {
			n = imap_server_feed(
			    d->s, span_slice(in, at, end), &ev);
			at += n;
			on_event(d, &ev);
			drain(d);
		} while ((n > 0 || ev.type != IMAP_EV_NONE) && !d->closed);
		if (end >= in.n && n == 0)
			break;
	}
}

static void
check(enum imap_state state, struct span in, const char *want)
{
	static const size_t steps[] = { SIZE_MAX, 1, 3, 7 };

	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct driver d = { .s = imap_server_new(state) };

		buf_init(&d.out, 10 << 20);
		play(&d, in, steps[i]);
		assert_string_equal(buf_cstr(&d.out), want);
		buf_release(&d.out);
		imap_server_free(&d.s);
	}
}

static void
takes_commands_in_order(void **state)
{
	(void)state;
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN(
		"a NOOP\r\nb CAPABILITY\r\n\r\nc noop\nd LOGOUT\r\ne NOOP\r\n"),
	    "* NOOP\r\na OK done\r\n* CAPABILITY\r\nb OK done\r\n"
	    "* NOOP\r\nc OK done\r\n* BYE Logging out\r\n");
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN("a LOGIN {1}\r\nu {2+}\r\npw\r\nb SELECT x\r\n"),
	    "+ OK\r\n* LOGIN\r\na OK done\r\n* SELECT\r\nb OK done\r\n");
}

static void
asks_for_lines(void **state)
{
	(void)state;
	check(IMAP_AUTHENTICATED, SPAN("a IDLE\r\nDONE\r\nb NOOP\r\n"),
	    "+ \r\n* line DONE\r\na OK [X] line\r\n* NOOP\r\nb OK done\r\n");
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN("a AUTHENTICATE LOGIN\r\nYQ==\r\nYg==\r\nb NOOP\r\n"),
	    "+ \r\n* line YQ==\r\n+ more\r\n* line Yg==\r\na OK [X] line\r\n"
	    "* NOOP\r\nb OK done\r\n");
}

static void
streams_append(void **state)
{
	(void)state;
	check(IMAP_AUTHENTICATED,
	    SPAN("a APPEND x {6}\r\nab\r\n{9\r\nb NOOP\r\n"),
	    "+ OK\r\nab\r\n{9a OK appended\r\n* NOOP\r\nb OK done\r\n");
	check(IMAP_AUTHENTICATED,
	    SPAN("a APPEND {1+}\r\nx {0+}\r\n\r\nb NOOP\r\n"),
	    "a OK appended\r\n* NOOP\r\nb OK done\r\n");
	/* Refused: with "+" the message comes all the same and is skipped. */
	check(IMAP_AUTHENTICATED, SPAN("a APPEND no {6}\r\nb NOOP\r\n"),
	    "a NO [TRYCREATE] no\r\n* NOOP\r\nb OK done\r\n");
	check(IMAP_AUTHENTICATED,
	    SPAN("a APPEND no {6+}\r\nx NOOP\r\nb NOOP\r\n"),
	    "a NO [TRYCREATE] no\r\n* NOOP\r\nb OK done\r\n");
	check(IMAP_AUTHENTICATED, SPAN("a APPEND no {0+}\r\n\r\nb NOOP\r\n"),
	    "a NO [TRYCREATE] no\r\n* NOOP\r\nb OK done\r\n");
	/* Something behind the message. */
	check(IMAP_AUTHENTICATED,
	    SPAN("a APPEND x {2+}\r\nhi there\r\nb NOOP\r\n"),
	    "hia BAD Line end expected after the message\r\n* dropped\r\n"
	    "* NOOP\r\nb OK done\r\n");
	check(IMAP_AUTHENTICATED,
	    SPAN("a APPEND x {2+}\r\nhi {2+}\r\nhi\r\nb NOOP\r\n"),
	    "hia BAD Line end expected after the message\r\n* dropped\r\n"
	    "* BYE Command line too long\r\n");
}

static void
refuses_bad_literals(void **state)
{
	(void)state;
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN("a LOGIN {4294967295}\r\nb LOGIN {-1}\r\nc LOGIN {}\r\n"
		 "d LOGIN {18446744073709551616}\r\ne NOOP\r\n"),
	    "a BAD Literal too large\r\nb BAD Invalid literal size\r\n"
	    "c BAD Invalid literal size\r\nd BAD Invalid literal size\r\n"
	    "* NOOP\r\ne OK done\r\n");
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN("a LOGIN {99999999999999999999999+}\r\nb NOOP\r\n"),
	    "a BAD Invalid literal size\r\n* BYE Invalid literal size\r\n");
	check(IMAP_NOT_AUTHENTICATED, SPAN("a LOGIN {99999+}\r\nb NOOP\r\n"),
	    "a BAD Literal too large\r\n* BYE Literal too large\r\n");
	check(IMAP_AUTHENTICATED, SPAN("a SELECT \"x{3}\r\nb NOOP\r\n"),
	    "a BAD Missing closing quote\r\n* NOOP\r\nb OK done\r\n");
	check(IMAP_NOT_AUTHENTICATED,
	    SPAN("a LOGIN {3}\r\nu\0x p\r\nb NOOP\r\n"),
	    "+ OK\r\na BAD NUL in a literal\r\n* NOOP\r\nb OK done\r\n");
}

/* Returns what the engine says to n bytes of filler between two texts. */
static void
flood(enum imap_state state, const char *before, const char *piece, size_t n,
    const char *after, const char *want)
{
	struct buf in;

	buf_init(&in, 4 << 20);
	buf_str(&in, before);
	while (n-- > 0)
		buf_str(&in, piece);
	buf_str(&in, after);
	check(state, buf_span(&in), want);
	buf_release(&in);
}

static void
bounds_lines(void **state)
{
	(void)state;
	flood(IMAP_NOT_AUTHENTICATED, "a LOGIN ", "x", 100000, "\r\nb NOOP\r\n",
	    "a BAD Command line too long\r\n* BYE Command line too long\r\n");
	flood(IMAP_AUTHENTICATED, "a SELECT ", "x", 100000, "\r\nb NOOP\r\n",
	    "a BAD Command line too long\r\n* NOOP\r\nb OK done\r\n");
	flood(IMAP_AUTHENTICATED, "a SELECT ", "x", 100000,
	    "{5+}\r\nb NOOP\r\n",
	    "a BAD Command line too long\r\n* BYE Command line too long\r\n");
	flood(IMAP_NOT_AUTHENTICATED, "a LOGIN ", "{0+}\r\n", 10000, "\r\n",
	    "a BAD Literal too large\r\n* BYE Literal too large\r\n");
	flood(IMAP_NOT_AUTHENTICATED, "", "\x01\r\n", 50, "a NOOP\r\n",
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BAD Invalid tag\r\n* BAD Invalid tag\r\n"
	    "* BYE Too many invalid commands\r\n");
}

/* What follows an unanswered command stays with the driver. */
static void
consumes_nothing_while_busy(void **state)
{
	struct imap_server *s = imap_server_new(IMAP_NOT_AUTHENTICATED);
	const struct span in = SPAN("a STARTTLS\r\nb LOGIN u p\r\n");
	struct imap_event ev;
	size_t n;

	(void)state;
	n = imap_server_feed(s, in, &ev);
	assert_int_equal(ev.type, IMAP_EV_COMMAND);
	assert_int_equal(ev.cmd->verb, IMAP_STARTTLS);
	assert_int_equal(n, 12);
	assert_int_equal(imap_server_feed(s, span_skip(in, n), &ev), 0);
	assert_int_equal(ev.type, IMAP_EV_NONE);
	imap_server_done(s, IMAP_OK, NULL, "Begin TLS");
	assert_true(span_eq(imap_server_output(s), SPAN("a OK Begin TLS\r\n")));
	imap_server_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_commands_in_order),
		cmocka_unit_test(asks_for_lines),
		cmocka_unit_test(streams_append),
		cmocka_unit_test(refuses_bad_literals),
		cmocka_unit_test(bounds_lines),
		cmocka_unit_test(consumes_nothing_while_busy),
	};

	return cmocka_run_group_tests_name("imap_server", tests, NULL, NULL);
}
