/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* What came, as text: "P" a part's field, "N" one of a message within, "l" a
 * line with the bytes before it, "o" the rest; and all of it as it was. */
struct seen {
	struct buf events, bytes;
};

static void
on_field(void *arg, enum mime_stream_class c, const struct header_field *f)
{
	struct seen *s = arg;

	buf_fmt(&s->events, "%c(%.*s)", c == MIME_STREAM_PART ? 'P' : 'N',
	    SPAN_FMT(f->name));
	buf_add(&s->bytes, f->raw);
}

static void
on_line(void *arg, struct span line, uint64_t at)
{
	struct seen *s = arg;

	buf_fmt(&s->events, "l%u(%.*s)", (unsigned)at,
	    SPAN_FMT(span_trim(line)));
	buf_add(&s->bytes, line);
}

static void
on_other(void *arg, struct span bytes)
{
	struct seen *s = arg;

	buf_str(&s->events, "o");
	buf_add(&s->bytes, bytes);
}

static const struct mime_stream_handler handler = { on_field, on_line,
	on_other };

static void
run(struct seen *seen, const char *type, struct span in, size_t step)
{
	struct mime_stream *s =
	    mime_stream_new(span_str(type), SPAN_EMPTY, &handler, seen);

	for (size_t at = 0; at < in.n; at += step)
		mime_stream_feed(s, span_slice(in, at, at + step));
	mime_stream_end(s);
	mime_stream_free(&s);
	assert_null(s);
}

static void
check(const char *type, const char *in, const char *wanted)
{
	static const size_t steps[] = { 1, 2, 3, 7, 100000 };
	const struct span all = span_str(in);

	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct seen seen;

		buf_init(&seen.events, 100000);
		buf_init(&seen.bytes, 100000);
		run(&seen, type, all, steps[i]);
		assert_string_equal(buf_cstr(&seen.events), wanted);
		assert_string_equal(buf_cstr(&seen.bytes), in);
		buf_release(&seen.events);
		buf_release(&seen.bytes);
	}
}

#define MIXED "multipart/mixed; boundary=\"b\""

static void
text_is_lines(void **state)
{
	(void)state;
	check("", "one\r\ntwo\nthree", "l0(one)l5(two)l9(three)");
	check("text/plain; boundary=b", "--b\r\nA: b\r\n",
	    "l0(--b)l5(A: b)");
	check(MIXED, "", "");
}

static void
parts_have_headers(void **state)
{
	(void)state;
	check(MIXED,
	    "pre\r\n--b\r\nA: 1\r\n folded\r\nB: 2\r\n\r\ntext\r\n"
	    "--b \t\r\n\r\nmore\r\n--b--\r\npost\r\n--b\r\n",
	    "l0(pre)l5(--b)P(A)P(B)ol0(text)l6(--b)ol0(more)l6(--b--)"
	    "l0(post)l6(--b)");
}

static void
the_empty_line_may_be_missing(void **state)
{
	(void)state;
	check(MIXED, "--b\r\nA: 1\r\nno field\r\nB: 2\r\n--b--\r\n",
	    "l0(--b)P(A)l0(no field)l10(B: 2)l16(--b--)");
	check(MIXED, "--b\r\nA: 1\r\n--b\r\nB: 2",
	    "l0(--b)P(A)l0(--b)P(B)");
	check(MIXED, "--b\r\n folded\r\n", "l0(--b)l0(folded)");
}

static void
messages_lie_within(void **state)
{
	(void)state;
	check("message/rfc822", "S: x\r\n\r\nhi\r\n", "N(S)ol0(hi)");
	check(MIXED,
	    "--b\r\nContent-Type: message/rfc822\r\n\r\nS: x\r\n"
	    "Content-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\n"
	    "T: y\r\n\r\nin\r\n--c--\r\n--b--\r\n",
	    "l0(--b)P(Content-Type)oN(S)N(Content-Type)ol0(--c)oN(T)ol0(in)"
	    "l4(--c--)l0(--b--)");
	/* The outer boundary closes what is open within. */
	check(MIXED,
	    "--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--c\r\n"
	    "A: b\r\n--b--\r\nC: d\r\n--c\r\n",
	    "l0(--b)P(Content-Type)ol0(--c)P(A)l0(--b--)l0(C: d)l6(--c)");
}

static void
what_is_encoded_is_text(void **state)
{
	(void)state;
	check(MIXED,
	    "--b\r\nContent-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nS: x\r\n",
	    "l0(--b)P(Content-Type)P(Content-Transfer-Encoding)ol0(S: x)");
}

static void
long_lines_and_fields_pass(void **state)
{
	const size_t size = 3 * LIMIT_SMTP_TEXT_LINE;
	uint8_t *p = mem_alloc(size);
	struct seen seen;
	struct buf in;

	(void)state;
	memset(p, 'x', size);
	buf_init(&in, 10 * size);
	buf_str(&in, "--b\r\nA: ");
	for (unsigned i = 0; i < 10; i++) {
		buf_add(&in, span_of(p, 50000));
		buf_str(&in, "\r\n ");
	}
	buf_str(&in, "\r\nB: 1\r\n\r\n");
	buf_add(&in, span_of(p, size));
	buf_str(&in, "\r\n--b--\r\n");
	buf_init(&seen.events, 10 * size);
	buf_init(&seen.bytes, 10 * size);
	run(&seen, MIXED, buf_span(&in), 1000);
	assert_true(buf_ok(&seen.events) && buf_ok(&seen.bytes));
	assert_true(span_eq(buf_span(&seen.bytes), buf_span(&in)));
	assert_true(span_find(buf_span(&seen.events), SPAN("P(A)o")) !=
		    SIZE_MAX);
	assert_true(span_find(buf_span(&seen.events), SPAN("P(B)ol0(xx")) !=
		    SIZE_MAX);
	buf_release(&in);
	buf_release(&seen.events);
	buf_release(&seen.bytes);
	mem_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_lines),
		cmocka_unit_test(parts_have_headers),
		cmocka_unit_test(the_empty_line_may_be_missing),
		cmocka_unit_test(messages_lie_within),
		cmocka_unit_test(what_is_encoded_is_text),
		cmocka_unit_test(long_lines_and_fields_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
