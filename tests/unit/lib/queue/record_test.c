/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct queue_envelope
sample(void)
{
	return (struct queue_envelope){
		.trace = 0x123456789abc0001,
		.arrival_us = 1795358062123456,
		.sender = SPAN("s@example.com"),
		.dsn_envid = SPAN("QQ314159"),
		.dsn_ret = DSN_RET_HDRS,
		.encoding = SPAN("8BITMIME"),
		.client_name = SPAN("unknown"),
		.client_addr = SPAN("192.0.2.1"),
		.helo = SPAN("client.example.com"),
		.protocol = SPAN("ESMTPSA"),
		.sasl_user = SPAN("user"),
		.sasl_method = SPAN("PLAIN"),
		.message_id = SPAN("<a@b>"),
		.uid = 0,
		.filter = SPAN("smtp:[127.0.0.1]:10024"),
		.release_at_s = 2000000000,
		.smtputf8 = true,
		.requiretls = true,
		.tls_optional = true,
		.probe = true,
		.birth = QUEUE_HOLD,
	};
}

static void
assert_span(struct span a, struct span b)
{
	assert_int_equal(a.n, b.n);
	if (a.n > 0)
		assert_memory_equal(a.p, b.p, a.n);
}

/* Takes the one record in b; every prefix must ask for more. */
static struct record
take(const struct buf *b)
{
	struct record r;
	size_t used = 0;

	for (size_t n = 0; n < b->n; n++)
		assert_int_equal(
		    record_get(span_of(b->p, n), 100000, &r, &used),
		    PARSE_MORE);
	assert_int_equal(record_get(buf_span(b), 100000, &r, &used), PARSE_OK);
	assert_int_equal(used, b->n);
	return r;
}

static void
envelope_and_back(void **state)
{
	const struct queue_envelope envelope = sample();
	struct queue_envelope e;
	struct record r;
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	record_envelope_put(&b, &envelope);
	r = take(&b);
	assert_true(record_envelope_get(&r, &e));
	assert_true(e.trace == envelope.trace);
	assert_int_equal(e.arrival_us, envelope.arrival_us);
	assert_span(e.sender, envelope.sender);
	assert_span(e.dsn_envid, envelope.dsn_envid);
	assert_int_equal(e.dsn_ret, DSN_RET_HDRS);
	assert_span(e.encoding, envelope.encoding);
	assert_span(e.client_name, envelope.client_name);
	assert_span(e.client_addr, envelope.client_addr);
	assert_span(e.helo, envelope.helo);
	assert_span(e.protocol, envelope.protocol);
	assert_span(e.sasl_user, envelope.sasl_user);
	assert_span(e.sasl_method, envelope.sasl_method);
	assert_span(e.message_id, envelope.message_id);
	assert_int_equal(e.uid, 0);
	assert_span(e.filter, envelope.filter);
	assert_int_equal(e.release_at_s, envelope.release_at_s);
	assert_true(e.smtputf8);
	assert_true(e.requiretls);
	assert_true(e.tls_optional);
	assert_true(e.probe);
	assert_int_equal(e.birth, QUEUE_HOLD);
	buf_release(&b);
}

static void
an_empty_envelope_is_one(void **state)
{
	const struct queue_envelope none = { .uid = -1, .birth = QUEUE_ACTIVE };
	struct queue_envelope e = sample();
	struct record r;
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	record_envelope_put(&b, &none);
	r = take(&b);
	assert_true(record_envelope_get(&r, &e));
	assert_int_equal(e.sender.n, 0);
	assert_int_equal(e.uid, -1);
	assert_int_equal(e.birth, QUEUE_ACTIVE);
	assert_int_equal(e.dsn_ret, DSN_RET_UNSET);
	buf_release(&b);
}

static void
recipient_and_back(void **state)
{
	const struct queue_rcpt in = {
		.address = SPAN("john@example.com"),
		.orig_address = SPAN("j@example.com"),
		.transport = SPAN("smtp"),
		.nexthop = SPAN("example.com"),
		.dsn_orcpt = SPAN("rfc822;j@example.com"),
		.dsn_notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY,
		.flags = RCPT_ALIAS,
	};
	struct queue_rcpt out;
	struct record r;
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	record_rcpt_put(&b, &in);
	r = take(&b);
	assert_int_equal(record_mark_state(r.mark), RCPT_TODO);
	assert_true(record_rcpt_get(&r, &out));
	assert_span(out.address, in.address);
	assert_span(out.orig_address, in.orig_address);
	assert_span(out.transport, in.transport);
	assert_span(out.nexthop, in.nexthop);
	assert_span(out.dsn_orcpt, in.dsn_orcpt);
	assert_int_equal(out.dsn_notify, in.dsn_notify);
	assert_int_equal(out.flags, in.flags);
	buf_release(&b);
}

/* Any one byte changed is found, but for the mark. */
static void
every_byte_but_the_mark_is_guarded(void **state)
{
	const struct queue_rcpt in = { .address = SPAN("a@b"),
		.orig_address = SPAN("a@b"),
		.nexthop = SPAN("b") };
	struct record r;
	struct buf b;
	size_t used;

	(void)state;
	buf_init(&b, 1000);
	record_rcpt_put(&b, &in);
	for (size_t i = 0; i < b.n; i++) {
		const uint8_t old = b.p[i];

		for (unsigned bit = 0; bit < 8; bit++) {
			b.p[i] = (uint8_t)(old ^ 1U << bit);
			assert_int_equal(record_get(buf_span(&b), 1000, &r,
					     &used) == PARSE_OK,
			    i == RECORD_MARK_AT);
		}
		b.p[i] = old;
	}
	b.p[RECORD_MARK_AT] = record_mark_byte(RCPT_BOUNCED);
	assert_int_equal(record_get(buf_span(&b), 1000, &r, &used), PARSE_OK);
	assert_int_equal(record_mark_state(r.mark), RCPT_BOUNCED);
	assert_int_equal(record_mark_state(0), RCPT_TODO);
	assert_int_equal(record_get(buf_span(&b), 2, &r, &used), PARSE_BAD);
	buf_release(&b);
}

static void
head_and_end(void **state)
{
	const struct record_header in = { .id = { 0x660D7F2B3C4D1FF },
		.envelope_size = 100,
		.content_at = 4096,
		.content_size = 5000000000,
		.more_size = 77,
		.content_crc = 0xdeadbeef,
		.rcpt_count = 3 };
	struct record_header out = { 0 };
	struct record r;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	record_header_put(&b, &in);
	assert_int_equal(b.n, RECORD_HEADER);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(
		    record_header_get(span_of(b.p, n), &out), PARSE_MORE);
	assert_int_equal(record_header_get(buf_span(&b), &out), PARSE_OK);
	assert_memory_equal(&in, &out, sizeof(in));
	assert_true(
	    record_header_end(&out) == 4096 + 5000000000 + 77 + RECORD_END);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 0x10;
		assert_int_equal(
		    record_header_get(buf_span(&b), &out), PARSE_BAD);
		b.p[i] ^= 0x10;
	}
	buf_reset(&b);
	record_end_put(&b, &in);
	assert_int_equal(b.n, RECORD_END);
	r = take(&b);
	assert_true(record_end_get(&r, &in));
	out.content_size++;
	assert_false(record_end_get(&r, &out));
	buf_release(&b);
}

static void
notes_and_back(void **state)
{
	const struct queue_note in[] = {
		{ 0, 1000, SPAN("4.4.1"), SPAN("connection refused"),
		    SPAN("mx.example.com") },
		{ 7, 2000, SPAN("4.4.1"), SPAN("connection refused"),
		    SPAN("mx.example.com") },
		{ 9, 3000, SPAN("4.2.0"), SPAN_EMPTY, SPAN_EMPTY },
	};
	struct record_notes n;
	struct record_notes_iter it = { 0 };
	struct queue_note out;
	struct record r;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	record_notes_put(&b, 1234567, 4, in, 3);
	r = take(&b);
	assert_true(record_notes_get(&r, &n));
	assert_int_equal(n.next_try_s, 1234567);
	assert_int_equal(n.tries, 4);
	assert_int_equal(n.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(record_notes_next(&n, &it, &out));
		assert_int_equal(out.rcpt_index, in[i].rcpt_index);
		assert_int_equal(out.at_us, in[i].at_us);
		assert_span(out.dsn, in[i].dsn);
		assert_span(out.reason, in[i].reason);
		assert_span(out.remote, in[i].remote);
	}
	assert_false(record_notes_next(&n, &it, &out));
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(envelope_and_back),
		cmocka_unit_test(an_empty_envelope_is_one),
		cmocka_unit_test(recipient_and_back),
		cmocka_unit_test(every_byte_but_the_mark_is_guarded),
		cmocka_unit_test(head_and_end),
		cmocka_unit_test(notes_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
