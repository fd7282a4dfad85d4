/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/dsn_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

static void
sink(void *arg, struct span bytes)
{
	buf_add(arg, bytes);
}

static void
compose(const struct dsn_report *r, struct buf *out)
{
	buf_init(out, 1 << 20);
	dsn_report_begin(r, sink, out);
	buf_str(out, "Subject: original\r\n");
	dsn_report_end(r, sink, out);
	assert_true(buf_ok(out));
}

static struct dsn_report
sample(const struct dsn_report_rcpt *rcpts, size_t count)
{
	return (struct dsn_report){ .kind = DSN_FAILED,
		.hostname = "mx.test",
		.mail_name = "Postfix",
		.to = SPAN("a@b.test"),
		.message_id = "<1@mx.test>",
		.boundary = "ABC.1/mx.test",
		.now_s = 1795358062,
		.qid = "ABC",
		.sender = SPAN("a@b.test"),
		.arrival_s = 1795358000,
		.rcpts = rcpts,
		.rcpt_count = count };
}

static const struct dsn_report_rcpt unknown = {
	.address = { (const uint8_t *)"c@d.test", 8 },
	.action = "failed",
	.status = { (const uint8_t *)"5.1.1", 5 },
	.reason = { (const uint8_t *)"unknown user: \"c\"", 17 },
};

static void
has_three_parts(void **state)
{
	const struct dsn_report r = sample(&unknown, 1);
	static const char want[] =
	    "Date: Sun, 22 Nov 2026 14:34:22 +0000\r\n"
	    "From: Mail Delivery System <MAILER-DAEMON@mx.test>\r\n"
	    "Subject: Undelivered Mail Returned to Sender\r\n"
	    "To: a@b.test\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "Message-Id: <1@mx.test>\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"ABC.1/mx.test\"\r\n\r\n";
	static const char report[] =
	    "--ABC.1/mx.test\r\n"
	    "Content-Description: Delivery report\r\n"
	    "Content-Type: message/delivery-status\r\n\r\n"
	    "Reporting-MTA: dns; mx.test\r\n"
	    "X-Postfix-Queue-ID: ABC\r\n"
	    "X-Postfix-Sender: rfc822; a@b.test\r\n"
	    "Arrival-Date: Sun, 22 Nov 2026 14:33:20 +0000\r\n\r\n"
	    "Final-Recipient: rfc822; c@d.test\r\n"
	    "Action: failed\r\n"
	    "Status: 5.1.1\r\n"
	    "Diagnostic-Code: x-postfix; unknown user: \"c\"\r\n\r\n"
	    "--ABC.1/mx.test\r\n"
	    "Content-Description: Undelivered Message\r\n"
	    "Content-Type: message/rfc822\r\n\r\n"
	    "Subject: original\r\n\r\n"
	    "--ABC.1/mx.test--\r\n";
	struct buf b;

	(void)state;
	compose(&r, &b);
	assert_true(span_starts(buf_span(&b), span_str(want)));
	assert_true(span_ends(buf_span(&b), span_str(report)));
	assert_true(
	    span_find(buf_span(&b),
		SPAN("\r\n<c@d.test>: unknown user: \"c\"\r\n")) != SIZE_MAX);
	buf_release(&b);
}

static void
shows_what_a_remote_host_said(void **state)
{
	const struct dsn_report_rcpt rc = { .address = SPAN("c@d.test"),
		.orig_address = SPAN("list@b.test"),
		.orcpt = SPAN("rfc822;list@b.test"),
		.action = "delayed",
		.status = SPAN("4.2.2"),
		.reason = SPAN("said: 452 full"),
		.remote = SPAN("mx.d.test"),
		.diagnostic = SPAN("452 4.2.2 full") };
	struct dsn_report r = sample(&rc, 1);
	struct buf b;

	(void)state;
	r.kind = DSN_DELAYED;
	r.headers_only = true;
	r.give_up_s = 1795358000;
	r.envid = SPAN("id 1");
	compose(&r, &b);
	assert_true(span_find(buf_span(&b),
			SPAN("Original-Recipient: rfc822;list@b.test\r\n"
			     "Action: delayed\r\nStatus: 4.2.2\r\n"
			     "Remote-MTA: dns; mx.d.test\r\n"
			     "Diagnostic-Code: smtp; 452 4.2.2 full\r\n"
			     "Will-Retry-Until: ")) != SIZE_MAX);
	assert_true(span_find(buf_span(&b),
			SPAN("Original-Envelope-Id: id 1\r\n")) != SIZE_MAX);
	assert_true(span_find(buf_span(&b),
			SPAN("<c@d.test> (expanded from <list@b.test>): ")) !=
		    SIZE_MAX);
	assert_true(
	    span_find(buf_span(&b),
		SPAN("Content-Type: text/rfc822-headers\r\n")) != SIZE_MAX);
	buf_release(&b);
}

static void
values_cannot_add_lines(void **state)
{
	struct dsn_report_rcpt rc = unknown;
	struct dsn_report r = sample(&rc, 1);
	struct span rest, row;
	struct buf b, evil;
	size_t long_lines = 0;

	(void)state;
	buf_init(&evil, 1 << 20);
	buf_str(&evil, "550 x\r\nX-Evil: 1\r\n\r\n--ABC.1/mx.test--\n\033[m");
	for (int i = 0; i < 1000; i++)
		buf_str(&evil, "words and ");
	for (int i = 0; i < 1000; i++)
		buf_str(&evil, "nospace");
	rc.reason = rc.diagnostic = rc.remote = rc.address = buf_span(&evil);
	r.sender = r.to = r.envid = buf_span(&evil);
	compose(&r, &b);
	assert_true(span_find(buf_span(&b), SPAN("\nX-Evil")) == SIZE_MAX);
	assert_true(
	    span_find(buf_span(&b), SPAN("\n--ABC.1/mx.test--\n")) == SIZE_MAX);
	assert_true(span_chr(buf_span(&b), '\033') == SIZE_MAX);
	rest = buf_span(&b);
	while (span_token(&rest, "\n", &row))
		long_lines += row.n > 998;
	assert_int_equal(long_lines, 0);
	buf_release(&b);
	buf_release(&evil);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_three_parts),
		cmocka_unit_test(shows_what_a_remote_host_said),
		cmocka_unit_test(values_cannot_add_lines),
	};

	return cmocka_run_group_tests_name("dsn_report", tests, NULL, NULL);
}
