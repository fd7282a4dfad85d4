/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/milter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next step, so that the filter always has something to answer. */
static void
step(struct milter *m, unsigned *turn)
{
	const struct span args[2] = { SPAN("<a@b>"), SPAN("SIZE=1") };

	for (unsigned tries = 0; !milter_waiting(m) && tries < MILTER_STEPS;
	     tries++) {
		switch ((enum milter_step)((*turn)++ % MILTER_STEPS)) {
		case MILTER_CONNECT:
			milter_connect(m, SPAN("j\0x\0"), SPAN("n"),
			    MILTER_FAMILY_INET, 25, SPAN("192.0.2.1"));
			break;
		case MILTER_HELO:
			milter_helo(m, SPAN_EMPTY, SPAN("h"));
			break;
		case MILTER_MAIL:
			milter_mail(m, SPAN_EMPTY, args, 2);
			break;
		case MILTER_RCPT:
			milter_rcpt(m, SPAN_EMPTY, args, 1);
			break;
		case MILTER_DATA:
			milter_data(m, SPAN_EMPTY);
			break;
		case MILTER_UNKNOWN:
			milter_unknown(m, SPAN_EMPTY, SPAN("X"));
			break;
		case MILTER_HEADER:
			milter_header(m, SPAN("A"), SPAN(" b\r\n c"));
			break;
		case MILTER_EOH:
			milter_eoh(m, SPAN_EMPTY);
			break;
		case MILTER_BODY:
			milter_body(m, SPAN("x\r\n"));
			break;
		case MILTER_EOM:
			milter_eom(m, SPAN_EMPTY);
			break;
		case MILTER_STEPS:
			break;
		}
	}
}

static void
play(struct span in, size_t piece, struct buf *out)
{
	const struct milter_conf conf = { .version = 6 };
	struct milter *m = milter_new(&conf);
	unsigned turn = 0;
	bool failed = false;

	while (in.n > 0) {
		struct span part = span_slice(in, 0, piece);
		struct milter_event ev;
		size_t n;

		in = span_skip(in, piece);
		do {
			n = milter_feed(m, part, &ev);
			part = span_skip(part, n);
			BUG_ON(failed && ev.type != MILTER_NONE);
			failed = failed || ev.type == MILTER_FAILED;
			if (ev.type == MILTER_NONE)
				continue;
			buf_fmt(out, "%d,%d,%d,%u,%u,%s,", (int)ev.type,
			    (int)ev.verdict, (int)ev.edit, ev.index, ev.code,
			    ev.dsn);
			buf_add(out, ev.name);
			buf_add(out, ev.value);
			buf_add(out, ev.text);
			BUG_ON(ev.type == MILTER_VERDICT &&
			       ev.verdict == MILTER_REPLY &&
			       (ev.code < 400 || ev.code > 599));
			if (!failed)
				step(m, &turn);
			buf_add(out, milter_output(m));
			milter_sent(m, milter_output(m).n);
		} while (n > 0 || ev.type != MILTER_NONE);
	}
	milter_free(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf a, b;

	if (size == 0)
		return 0;
	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	play(in, 1, &a);
	play(in, size, &b);
	BUG_ON(!span_eq(buf_span(&a), buf_span(&b)));
	buf_release(&a);
	buf_release(&b);
	return 0;
}
