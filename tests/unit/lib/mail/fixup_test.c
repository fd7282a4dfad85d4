/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/fixup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#define RECEIVED "Received: by h\r\n"
#define ID "Message-Id: <20261122143422.ABC@h.test>\r\n"
#define DATE "Date: Sun, 22 Nov 2026 14:34:22 +0000\r\n"
#define FROM "From: Bob <bob@h.test>\r\n"

static const struct fixup_conf conf = {
	.received = { (const uint8_t *)RECEIVED, sizeof(RECEIVED) - 1 },
	.submission = true,
	.from = { (const uint8_t *)"Bob <bob@h.test>", 16 },
	.qid = "ABC",
	.hostname = "h.test",
	.time_s = 1795358062,
};

static const struct fixup_conf relay_conf = {
	.received = { (const uint8_t *)RECEIVED, sizeof(RECEIVED) - 1 },
};

static void
collect(void *arg, struct span bytes)
{
	buf_add(arg, bytes);
}

static void
check(const struct fixup_conf *c, const char *in, const char *wanted,
    const char *id, unsigned hops)
{
	struct span all = span_str(in);

	/* step 0: whole; else in pieces of that size */
	for (size_t step = 0; step < 5; step++) {
		struct buf out;
		struct fixup *f;

		buf_init(&out, 10000000);
		f = fixup_new(c, collect, &out);
		if (step == 0)
			fixup_feed(f, all);
		for (size_t at = 0; step > 0 && at < all.n; at += step)
			fixup_feed(f, span_slice(all, at, at + step));
		fixup_end(f);
		assert_string_equal(buf_cstr(&out), wanted);
		assert_string_equal(fixup_message_id(f), id);
		assert_int_equal(fixup_hops(f), hops);
		fixup_free(&f);
		buf_release(&out);
	}
}

static void
test_complete_header_is_kept(void **state)
{
	(void)state;
	check(&conf,
	    "Received: x\r\nReceived:\r\n y\r\nfrom: a@b\r\nDATE: z\r\n"
	    "Message-ID:\r\n <i@d>\r\nSubject: \xc3\xa9\r\n\r\nbody\r\nBcc: k",
	    RECEIVED
	    "Received: x\r\nReceived:\r\n y\r\nfrom: a@b\r\nDATE: z\r\n"
	    "Message-ID:\r\n <i@d>\r\nSubject: \xc3\xa9\r\n\r\nbody\r\nBcc: k",
	    "<i@d>", 2);
}

static void
test_missing_fields_are_added(void **state)
{
	(void)state;
	check(&conf, "Subject: s\r\n\r\nb\r\n",
	    RECEIVED "Subject: s\r\n" ID DATE FROM "\r\nb\r\n",
	    "<20261122143422.ABC@h.test>", 0);
	check(&conf, "From: a\r\nDate: d\r\n\r\n",
	    RECEIVED "From: a\r\nDate: d\r\n" ID "\r\n",
	    "<20261122143422.ABC@h.test>", 0);
}

static void
test_body_without_empty_line(void **state)
{
	(void)state;
	check(&conf, "Hello world\r\nTo: x\r\n",
	    RECEIVED ID DATE FROM "\r\nHello world\r\nTo: x\r\n",
	    "<20261122143422.ABC@h.test>", 0);
	check(&conf, "Date: d\r\nFrom: f\r\nMessage-Id: <i>\r\ntext",
	    RECEIVED
	    "Date: d\r\nFrom: f\r\nMessage-Id: <i>\r\n\r\ntext",
	    "<i>", 0);
	check(&conf, "", RECEIVED ID DATE FROM "\r\n",
	    "<20261122143422.ABC@h.test>", 0);
	check(&conf, " text\r\n", RECEIVED ID DATE FROM "\r\n text\r\n",
	    "<20261122143422.ABC@h.test>", 0);
}

static void
test_only_header(void **state)
{
	(void)state;
	check(&relay_conf, "A: b\r\n", RECEIVED "A: b\r\n\r\n", "", 0);
}

static void
test_blind_copies_are_dropped(void **state)
{
	(void)state;
	check(&relay_conf,
	    "Bcc: a,\r\n b\r\nTo: t\r\nRESENT-BCC: c\r\nReturn-Path: <x>\r\n"
	    "Content-Length: 4\r\nSubject: s\r\n\r\nb",
	    RECEIVED "To: t\r\nSubject: s\r\n\r\nb", "", 0);
}

static void
test_resent_fields_count(void **state)
{
	(void)state;
	check(&conf,
	    "Resent-To: x\r\nFrom: a\r\nDate: d\r\nMessage-Id: <o>\r\n\r\n",
	    RECEIVED "Resent-To: x\r\nFrom: a\r\nDate: d\r\nMessage-Id: <o>\r\n"
	    "Resent-" ID "Resent-" DATE "Resent-" FROM "\r\n",
	    "<20261122143422.ABC@h.test>", 0);
}

static void
test_mailbox_line_is_kept_apart(void **state)
{
	(void)state;
	check(&relay_conf, "From a@b Sun Nov 22\r\nTo: x\r\n\r\n",
	    RECEIVED "X-Mailbox-Line: From a@b Sun Nov 22\r\nTo: x\r\n\r\n",
	    "", 0);
}

static void
test_endless_header_passes(void **state)
{
	struct span line = SPAN("X-Long: 0123456789012345678901234567890\r\n");
	struct buf out;
	struct fixup *f;
	size_t fed = 0;

	(void)state;
	buf_init(&out, 10000000);
	f = fixup_new(&relay_conf, collect, &out);
	while (fed < 5000000) {
		fixup_feed(f, line);
		fed += line.n;
	}
	fixup_end(f);
	assert_int_equal(out.n, fed + sizeof(RECEIVED) - 1);
	fixup_free(&f);
	buf_release(&out);
}

static void
test_tls_required_no(void **state)
{
	static const struct {
		const char *header;
		bool optional;
	} rows[] = {
		{ "To: x\r\n", false },
		{ "TLS-Required: No\r\n", true },
		{ "To: x\r\ntls-required:\r\n  no \r\n", true },
		{ "TLS-Required: Yes\r\n", false },
		{ "TLS-Required: Nope\r\n", false },
		{ "TLS-Required:\r\n", false },
		{ "X-TLS-Required: No\r\n", false },
		{ "To: x\r\n\r\nTLS-Required: No\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out;
		struct fixup *f;

		buf_init(&out, 10000);
		f = fixup_new(&relay_conf, collect, &out);
		fixup_feed(f, span_str(rows[i].header));
		fixup_end(f);
		assert_int_equal(fixup_tls_optional(f), rows[i].optional);
		fixup_free(&f);
		buf_release(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete_header_is_kept),
		cmocka_unit_test(test_missing_fields_are_added),
		cmocka_unit_test(test_body_without_empty_line),
		cmocka_unit_test(test_only_header),
		cmocka_unit_test(test_blind_copies_are_dropped),
		cmocka_unit_test(test_resent_fields_count),
		cmocka_unit_test(test_mailbox_line_is_kept_apart),
		cmocka_unit_test(test_endless_header_passes),
		cmocka_unit_test(test_tls_required_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
