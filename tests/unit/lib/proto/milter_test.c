/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/milter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* SPAN, for static rows. */
#define W(lit) { (const uint8_t *)("" lit), sizeof(lit) - 1 }

static const struct milter_conf v6 = { .version = 6 };

/* The bytes of one packet from the filter. */
static void
packet(struct buf *b, char letter, struct span data)
{
	const size_t n = data.n + 1;
	const uint8_t head[5] = { 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
		(uint8_t)n, (uint8_t)letter };

	buf_add(b, span_of(head, 5));
	buf_add(b, data);
}

static void
u32(struct buf *b, uint32_t n)
{
	const uint8_t p[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16),
		(uint8_t)(n >> 8), (uint8_t)n };

	buf_add(b, span_of(p, 4));
}

static struct milter_event
feed(struct milter *m, struct span in)
{
	struct milter_event ev;

	assert_int_equal(milter_feed(m, in, &ev), in.n);
	return ev;
}

static struct milter_event
answer(struct milter *m, char letter, struct span data)
{
	struct milter_event ev;
	struct buf b;

	buf_init(&b, 2 << 20);
	packet(&b, letter, data);
	ev = feed(m, buf_span(&b));
	buf_release(&b);
	return ev;
}

static void
sent_is(struct milter *m, struct span want)
{
	const struct span out = milter_output(m);

	assert_int_equal(out.n, want.n);
	assert_memory_equal(out.p, want.p, want.n);
	milter_sent(m, out.n);
}

static struct milter_event
negotiate(struct milter *m, uint32_t version, uint32_t actions,
    uint32_t protocol, struct span more)
{
	struct milter_event ev;
	struct buf b;

	buf_init(&b, 4096);
	u32(&b, version);
	u32(&b, actions);
	u32(&b, protocol);
	buf_add(&b, more);
	ev = answer(m, 'O', buf_span(&b));
	buf_release(&b);
	milter_sent(m, milter_output(m).n);
	return ev;
}

static struct milter *
ready(uint32_t protocol)
{
	struct milter *m = milter_new(&v6);

	assert_int_equal(
	    negotiate(m, 6, 0x1ff, protocol, SPAN_EMPTY).type, MILTER_READY);
	assert_false(milter_waiting(m));
	return m;
}

static void
offers_by_version(void **state)
{
	static const struct {
		struct milter_conf conf;
		struct span want;
	} rows[] = {
		{ { 2, false }, W("\0\0\0\rO\0\0\0\2\0\0\1\xff\0\0\0\x7f") },
		{ { 2, true }, W("\0\0\0\rO\0\0\0\2\0\0\1\xff\0\0\0\xff") },
		{ { 3, false }, W("\0\0\0\rO\0\0\0\3\0\0\1\xff\0\0\1\x7f") },
		{ { 4, false }, W("\0\0\0\rO\0\0\0\4\0\0\1\xff\0\0\3\x7f") },
		{ { 6, false },
		    W("\0\0\0\rO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct milter *m = milter_new(&rows[i].conf);

		assert_true(milter_waiting(m));
		sent_is(m, rows[i].want);
		milter_free(&m);
		assert_null(m);
	}
}

static void
refuses_bad_negotiation(void **state)
{
	static const struct {
		uint32_t version, actions;
		struct span more;
	} rows[] = {
		{ 7, 0, W("") },
		{ 1, 0, W("") },
		{ 6, 0x200, W("") },
		{ 6, 0, W("\0\0\0\0i") },
		{ 6, 0, W("\0\0") },
	};
	struct milter *m;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		m = milter_new(&v6);
		assert_int_equal(negotiate(m, rows[i].version, rows[i].actions,
				     0, rows[i].more)
				     .type,
		    MILTER_FAILED);
		/* It stays that way. */
		assert_int_equal(answer(m, 'c', SPAN_EMPTY).type, MILTER_NONE);
		milter_free(&m);
	}
	m = milter_new(&v6);
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).type, MILTER_FAILED);
	milter_free(&m);
	m = milter_new(&v6);
	assert_int_equal(answer(m, 'O', SPAN("\0\0\0\6")).type, MILTER_FAILED);
	milter_free(&m);
}

static void
filter_names_its_macros(void **state)
{
	struct milter *m = milter_new(&v6);

	(void)state;
	assert_int_equal(negotiate(m, 6, 0, 0,
			     SPAN("\0\0\0\0j _\0\0\0\0\5i {x}\0\0\0\0\x63z\0"))
			     .type,
	    MILTER_READY);
	assert_string_equal(milter_macro_list(m, MILTER_CONNECT), "j _");
	assert_string_equal(milter_macro_list(m, MILTER_EOM), "i {x}");
	assert_null(milter_macro_list(m, MILTER_HELO));
	milter_free(&m);
}

static void
older_filters_get_less(void **state)
{
	struct milter *m = milter_new(&v6);

	(void)state;
	assert_int_equal(
	    negotiate(m, 2, 0x3f, 0, SPAN_EMPTY).type, MILTER_READY);
	assert_false(milter_wants(m, MILTER_DATA));
	assert_false(milter_wants(m, MILTER_UNKNOWN));
	assert_true(milter_wants(m, MILTER_RCPT));
	assert_false(milter_data(m, SPAN("i\0X\0")));
	assert_false(milter_unknown(m, SPAN_EMPTY, SPAN("FOO")));
	sent_is(m, SPAN_EMPTY);
	milter_free(&m);
}

static void
steps_on_the_wire(void **state)
{
	const struct span mail[] = { SPAN("<a@b>"), SPAN("SIZE=10") };
	struct milter *m = ready(0);
	struct buf macros;

	(void)state;
	buf_init(&macros, MILTER_MACROS_MAX);
	milter_macro(&macros, "j", SPAN("h"));
	milter_macro(&macros, "{client_addr}", SPAN("1\0002"));
	assert_true(milter_connect(m, buf_span(&macros), SPAN("name"),
	    MILTER_FAMILY_INET, 258, SPAN("192.0.2.1")));
	sent_is(m, SPAN("\0\0\0\x18"
			"DCj\0h\0{client_addr}\0001 2\0"
			"\0\0\0\x13"
			"Cname\0004\1\2" "192.0.2.1\0"));
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).verdict, MILTER_CONTINUE);
	assert_true(milter_helo(m, SPAN_EMPTY, SPAN("me")));
	sent_is(m, SPAN("\0\0\0\4Hme\0"));
	assert_int_equal(answer(m, 'p', SPAN_EMPTY).type, MILTER_PROGRESS);
	assert_true(milter_waiting(m));
	assert_int_equal(answer(m, 'a', SPAN_EMPTY).verdict, MILTER_ACCEPT);
	assert_true(milter_mail(m, SPAN_EMPTY, mail, 2));
	sent_is(m, SPAN("\0\0\0\x0fM<a@b>\0SIZE=10\0"));
	assert_int_equal(answer(m, 'd', SPAN_EMPTY).verdict, MILTER_DISCARD);
	assert_true(milter_rcpt(m, SPAN("i\0Q\0"), mail, 1));
	sent_is(m, SPAN("\0\0\0\6DRi\0Q\0\0\0\0\7R<a@b>\0"));
	assert_int_equal(answer(m, 'r', SPAN_EMPTY).verdict, MILTER_REJECT);
	assert_true(milter_data(m, SPAN_EMPTY));
	sent_is(m, SPAN("\0\0\0\1T"));
	assert_int_equal(answer(m, 't', SPAN_EMPTY).verdict, MILTER_TEMPFAIL);
	assert_true(milter_unknown(m, SPAN_EMPTY, SPAN("FOO")));
	sent_is(m, SPAN("\0\0\0\5UFOO\0"));
	assert_int_equal(answer(m, '4', SPAN_EMPTY).verdict, MILTER_SHUTDOWN);
	assert_true(milter_eoh(m, SPAN_EMPTY));
	sent_is(m, SPAN("\0\0\0\1N"));
	assert_int_equal(answer(m, 'f', SPAN_EMPTY).verdict, MILTER_CONNFAIL);
	assert_true(milter_body(m, SPAN("x\r\n\0y")));
	sent_is(m, SPAN("\0\0\0\6Bx\r\n\0y"));
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).verdict, MILTER_CONTINUE);
	assert_true(milter_eom(m, SPAN_EMPTY));
	sent_is(m, SPAN("\0\0\0\1E"));
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).verdict, MILTER_CONTINUE);
	milter_abort(m);
	milter_quit_nc(m);
	milter_quit(m);
	sent_is(m, SPAN("\0\0\0\1A\0\0\0\1K\0\0\0\1Q"));
	buf_release(&macros);
	milter_free(&m);
}

static void
other_families(void **state)
{
	struct milter *m = ready(MILTER_NR_CONNECT);

	(void)state;
	assert_false(milter_connect(
	    m, SPAN_EMPTY, SPAN("n"), MILTER_FAMILY_INET6, 25, SPAN("::1")));
	assert_false(milter_connect(
	    m, SPAN_EMPTY, SPAN("n"), MILTER_FAMILY_UNIX, 0, SPAN("/s")));
	assert_false(milter_connect(
	    m, SPAN_EMPTY, SPAN("n"), MILTER_FAMILY_UNKNOWN, 9, SPAN("x")));
	sent_is(m, SPAN("\0\0\0\x0a"
			"Cn\0006\0\x19::1\0"
			"\0\0\0\x09"
			"Cn\0L\0\0/s\0"
			"\0\0\0\4Cn\0U"));
	milter_free(&m);
}

static void
headers_as_filters_see_them(void **state)
{
	struct milter *m = ready(MILTER_NR_HEADER);
	struct buf big;

	(void)state;
	milter_header(m, SPAN("A"), SPAN(" b\r\n\tc"));
	milter_header(m, SPAN("A"), SPAN("\tb"));
	milter_header(m, SPAN("A"), SPAN("  b\0c"));
	sent_is(m, SPAN("\0\0\0\x08LA\0b\n\tc\0"
			"\0\0\0\6LA\0\tb\0"
			"\0\0\0\x08LA\0 b c\0"));
	milter_free(&m);
	m = ready(MILTER_NR_HEADER | MILTER_LEADING_SPACE);
	milter_header(m, SPAN("A"), SPAN(" b"));
	sent_is(m, SPAN("\0\0\0\6LA\0 b\0"));
	/* What is too long for a packet is cut. */
	buf_init(&big, 100000);
	while (big.n < 99990)
		buf_str(&big, "abcdefghi ");
	milter_header(m, SPAN("A"), buf_span(&big));
	assert_int_equal(milter_output(m).n, 5 + MILTER_CHUNK);
	buf_release(&big);
	milter_free(&m);
}

static void
what_a_filter_does_not_want(void **state)
{
	struct milter *m =
	    ready(MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_MAIL |
		  MILTER_NO_RCPT | MILTER_NO_DATA | MILTER_NO_UNKNOWN |
		  MILTER_NO_HEADERS | MILTER_NO_EOH | MILTER_NO_BODY);

	(void)state;
	for (int i = 0; i < MILTER_STEPS; i++)
		assert_int_equal(
		    milter_wants(m, (enum milter_step)i), i == MILTER_EOM);
	assert_false(milter_mail(m, SPAN("i\0Q\0"), NULL, 0));
	assert_false(milter_header(m, SPAN("A"), SPAN("b")));
	assert_false(milter_body(m, SPAN("x")));
	sent_is(m, SPAN("\0\0\0\6DMi\0Q\0"));
	assert_true(milter_eom(m, SPAN_EMPTY));
	milter_free(&m);
}

static void
no_reply_is_waited_for(void **state)
{
	struct milter *m =
	    ready(MILTER_NR_CONNECT | MILTER_NR_HELO | MILTER_NR_MAIL |
		  MILTER_NR_RCPT | MILTER_NR_DATA | MILTER_NR_UNKNOWN |
		  MILTER_NR_HEADER | MILTER_NR_EOH | MILTER_NR_BODY);

	(void)state;
	assert_false(milter_helo(m, SPAN_EMPTY, SPAN("x")));
	assert_false(milter_mail(m, SPAN_EMPTY, NULL, 0));
	assert_false(milter_rcpt(m, SPAN_EMPTY, NULL, 0));
	assert_false(milter_data(m, SPAN_EMPTY));
	assert_false(milter_unknown(m, SPAN_EMPTY, SPAN("x")));
	assert_false(milter_header(m, SPAN("A"), SPAN("b")));
	assert_false(milter_eoh(m, SPAN_EMPTY));
	assert_false(milter_body(m, SPAN("x")));
	assert_int_equal(milter_output(m).n, 7 + 5 + 5 + 5 + 7 + 9 + 5 + 6);
	assert_true(milter_eom(m, SPAN_EMPTY));
	assert_true(milter_waiting(m));
	milter_free(&m);
}

static void
skips_steps_of_a_kind(void **state)
{
	struct milter *m = ready(MILTER_CAN_SKIP);

	(void)state;
	assert_true(milter_body(m, SPAN("x")));
	milter_sent(m, milter_output(m).n);
	assert_int_equal(answer(m, 's', SPAN_EMPTY).verdict, MILTER_SKIP);
	assert_false(milter_wants(m, MILTER_BODY));
	assert_false(milter_body(m, SPAN("y")));
	sent_is(m, SPAN_EMPTY);
	assert_true(milter_eom(m, SPAN_EMPTY));
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).verdict, MILTER_CONTINUE);
	assert_true(milter_wants(m, MILTER_BODY));
	milter_free(&m);
}

static void
reply_codes(void **state)
{
	static const struct {
		struct span in;
		unsigned code; /* 0: malformed */
		const char *dsn, *text;
	} rows[] = {
		{ W("550 5.7.1 no\0"), 550, "5.7.1", "no" },
		{ W("451 4.7.1"), 451, "4.7.1", "" },
		{ W("554\0"), 554, "", "" },
		{ W("550 go away"), 550, "", "go away" },
		{ W("550 4.7.1 odd"), 550, "", "4.7.1 odd" },
		{ W("550 5..1 odd"), 550, "", "5..1 odd" },
		{ W("550 100%% of %it%"), 550, "", "100% of it" },
		{ W("550-5.7.1 a\r\n550 5.7.1 b\0"), 550, "5.7.1", "a\nb" },
		{ W("550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n"), 550,
		    "5.7.1", "a\nb\nc" },
		{ W("250 fine"), 0, "", "" },
		{ W("650 fine"), 0, "", "" },
		{ W("55"), 0, "", "" },
		{ W(""), 0, "", "" },
		{ W("550x"), 0, "", "" },
		{ W("550-a\r\n551 b"), 0, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct milter *m = ready(0);
		struct milter_event ev;

		milter_helo(m, SPAN_EMPTY, SPAN("x"));
		ev = answer(m, 'y', rows[i].in);
		if (rows[i].code == 0) {
			assert_int_equal(ev.type, MILTER_FAILED);
			milter_free(&m);
			continue;
		}
		assert_int_equal(ev.type, MILTER_VERDICT);
		assert_int_equal(ev.verdict, MILTER_REPLY);
		assert_int_equal(ev.code, rows[i].code);
		assert_string_equal(ev.dsn, rows[i].dsn);
		assert_true(span_eq(ev.text, span_str(rows[i].text)));
		milter_free(&m);
	}
}

static const struct edit_row {
	char letter;
	struct span in;
	enum milter_edit edit;
	uint32_t index;
	const char *name, *value;
} edits[] = {
	{ 'h', W("A\0b\0"), MILTER_ADD_HEADER, 0, "A", "b" },
	{ 'i', W("\0\0\0\2A\0b\0"), MILTER_INSERT_HEADER, 2, "A", "b" },
	{ 'm', W("\0\0\0\1A\0b\0"), MILTER_CHANGE_HEADER, 1, "A", "b" },
	{ 'm', W("\0\0\0\0A\0\0"), MILTER_CHANGE_HEADER, 1, "A", "" },
	{ 'b', W("x\r\ny"), MILTER_REPLACE_BODY, 0, "", "x\r\ny" },
	{ 'b', W(""), MILTER_REPLACE_BODY, 0, "", "" },
	{ '+', W("<a@b>\0"), MILTER_ADD_RCPT, 0, "<a@b>", "" },
	{ '2', W("<a@b>\0NOTIFY=NEVER\0"), MILTER_ADD_RCPT, 0, "<a@b>",
	    "NOTIFY=NEVER" },
	{ '2', W("<a@b>\0"), MILTER_ADD_RCPT, 0, "<a@b>", "" },
	{ '-', W("<a@b>\0"), MILTER_DELETE_RCPT, 0, "<a@b>", "" },
	{ 'e', W("<>\0"), MILTER_CHANGE_FROM, 0, "<>", "" },
	{ 'e', W("<a@b>\0RET=HDRS\0"), MILTER_CHANGE_FROM, 0, "<a@b>",
	    "RET=HDRS" },
	{ 'q', W("why\0"), MILTER_QUARANTINE, 0, "", "why" },
};

static void
is_edit(const struct milter_event *ev, const struct edit_row *row)
{
	assert_int_equal(ev->type, MILTER_EDIT);
	assert_int_equal(ev->edit, row->edit);
	assert_int_equal(ev->index, row->index);
	assert_true(span_eq(ev->name, span_str(row->name)));
	assert_true(span_eq(ev->value, span_str(row->value)));
}

static void
modifications(void **state)
{
	struct milter *m = ready(0);

	(void)state;
	milter_eom(m, SPAN_EMPTY);
	for (size_t i = 0; i < COUNT_OF(edits); i++) {
		const struct milter_event ev =
		    answer(m, edits[i].letter, edits[i].in);

		is_edit(&ev, &edits[i]);
		assert_true(milter_waiting(m));
	}
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).type, MILTER_VERDICT);
	/* Nowhere else. */
	milter_eoh(m, SPAN_EMPTY);
	assert_int_equal(answer(m, 'h', SPAN("A\0b\0")).type, MILTER_FAILED);
	milter_free(&m);
}

static void
malformed(void **state)
{
	static const struct {
		char letter;
		struct span in;
	} rows[] = {
		{ 'h', W("A\0b") },
		{ 'h', W("A\0") },
		{ 'h', W("\0b\0") },
		{ 'h', W("A\0b\0c") },
		{ 'i', W("\0\0\0") },
		{ 'i', W("\xff\xff\xff\xff"
			    "A\0b\0") },
		{ 'm', W("\x7f\xff\xff\xff"
			    "A\0b\0") },
		{ '+', W("a@b") },
		{ '+', W("a@b\0X\0") },
		{ '2', W("a@b\0X") },
		{ 'e', W("") },
		{ 'q', W("why") },
		{ 'c', W("x") },
		{ 'Z', W("") },
		{ 'O', W("\0\0\0\6\0\0\0\0\0\0\0\0") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct milter *m = ready(0);
		struct milter_event ev;

		milter_eom(m, SPAN_EMPTY);
		ev = answer(m, rows[i].letter, rows[i].in);
		assert_int_equal(ev.type, MILTER_FAILED);
		assert_non_null(ev.why);
		milter_free(&m);
	}
}

static void
bad_packets(void **state)
{
	struct milter *m = ready(0);
	struct milter_event ev;

	(void)state;
	assert_int_equal(answer(m, 'c', SPAN_EMPTY).type, MILTER_FAILED);
	milter_free(&m);
	m = ready(0);
	milter_eom(m, SPAN_EMPTY);
	milter_feed(m, SPAN("\0\0\0\0c"), &ev);
	assert_int_equal(ev.type, MILTER_FAILED);
	milter_free(&m);
	m = ready(0);
	milter_eom(m, SPAN_EMPTY);
	milter_feed(m, SPAN("\0\x10\0\1b"), &ev);
	assert_int_equal(ev.type, MILTER_FAILED);
	milter_free(&m);
}

/* Byte by byte as well as all in one piece. */
static void
cut_anywhere(void **state)
{
	struct buf all;

	(void)state;
	buf_init(&all, 4096);
	for (size_t i = 0; i < COUNT_OF(edits); i++)
		packet(&all, edits[i].letter, edits[i].in);
	packet(&all, 'y', SPAN("550 5.7.1 no\0"));
	for (size_t step = 1; step <= all.n; step += all.n - 1) {
		struct milter *m = ready(0);
		struct span rest = buf_span(&all);
		size_t n = 0;

		milter_eom(m, SPAN_EMPTY);
		while (rest.n > 0) {
			struct milter_event ev;

			rest = span_skip(rest,
			    milter_feed(m, span_slice(rest, 0, step), &ev));
			if (ev.type == MILTER_NONE)
				continue;
			if (n < COUNT_OF(edits))
				is_edit(&ev, &edits[n]);
			else
				assert_int_equal(ev.code, 550);
			n++;
		}
		assert_int_equal(n, COUNT_OF(edits) + 1);
		milter_free(&m);
	}
	buf_release(&all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_by_version),
		cmocka_unit_test(refuses_bad_negotiation),
		cmocka_unit_test(filter_names_its_macros),
		cmocka_unit_test(older_filters_get_less),
		cmocka_unit_test(steps_on_the_wire),
		cmocka_unit_test(other_families),
		cmocka_unit_test(headers_as_filters_see_them),
		cmocka_unit_test(what_a_filter_does_not_want),
		cmocka_unit_test(no_reply_is_waited_for),
		cmocka_unit_test(skips_steps_of_a_kind),
		cmocka_unit_test(reply_codes),
		cmocka_unit_test(modifications),
		cmocka_unit_test(malformed),
		cmocka_unit_test(bad_packets),
		cmocka_unit_test(cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
