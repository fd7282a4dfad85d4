/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lib/proto/smtp_server_play.h"

static const struct smtp_server_conf conf = { .hostname = "mx.test",
	.size_max = 1000,
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3,
	.forbidden_commands = "CONNECT GET POST" };
static const struct smtp_server_conf lmtp_conf = { .hostname = "mx.test",
	.size_max = 30,
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3,
	.lmtp = true };
static const struct smtp_server_conf submission_conf = { .hostname = "mx.test",
	.error_max = 3,
	.junk_max = 2,
	.rcpt_max = 3,
	.tls_required = true,
	.helo_required = true };
static const struct smtp_server_conf lax_conf = { .hostname = "mx.test",
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3,
	.bare_newline_ok = true };

#define EHLO_REPLY                                                             \
	"250-mx.test\n250-PIPELINING\n250-SIZE 1000\n250-STARTTLS\n"           \
	"250-AUTH PLAIN LOGIN\n250-ENHANCEDSTATUSCODES\n250 8BITMIME\n"

static void
takes_a_message(void **state)
{
	(void)state;
	check(&conf,
	    SPAN("EHLO c.test\r\nMAIL FROM:<a@b.test> SIZE=99\r\n"
		 "RCPT TO:<c@d.test>\r\nRCPT TO:<no@d.test>\r\n"
		 "DATA\r\n"
		 "Subject: x\r\n\r\n..dot\r\n.also\r\n.\r\n"
		 "QUIT\r\n"),
	    EHLO_REPLY "250 2.1.0 Ok\n250 2.1.5 Ok\n550 5.1.1 unknown\n"
		       "354 Go\n250 2.0.0 Done\n221 2.0.0 Bye\n",
	    "Subject: x\r\n\r\n.dot\r\nalso\r\n[end 26]", "HMRRDEq");
}

static void
takes_pipelined_commands(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	feed(&p, SPAN("EHLO x\r\n"), 1000);
	feed(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"),
	    1000);
	feed(&p, SPAN("hi\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n"),
	    1000);
	feed(&p, SPAN(".\r\nRSET\r\nQUIT\r\nNOOP\r\n"), 1000);
	assert_string_equal(buf_cstr(&p.body), "hi\r\n[end 4][end 0]");
	assert_string_equal(buf_cstr(&p.events), "HMRRDEMRDErq");
	assert_true(smtp_server_closing(p.s));
	play_release(&p);
}

static void
keeps_the_order_of_commands(void **state)
{
	(void)state;
	check(&conf,
	    SPAN("RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<>\r\n"
		 "MAIL FROM:<>\r\nDATA\r\nRCPT TO:<no@b>\r\nDATA\r\n"
		 "RSET\r\nRCPT TO:<a@b>\r\nVRFY a\r\n"
		 "EXPN x\r\nLHLO x\r\nAUTH PLAIN\r\nNOOP\r\n"),
	    "503 5.5.1 Error: need MAIL command\n"
	    "503 5.5.1 Error: need RCPT command\n"
	    "250 2.1.0 Ok\n503 5.5.1 Error: nested MAIL command\n"
	    "503 5.5.1 Error: need RCPT command\n550 5.1.1 unknown\n"
	    "554 5.5.1 Error: no valid recipients\n250 2.0.0 Ok\n"
	    "503 5.5.1 Error: need MAIL command\n"
	    "502 5.5.1 VRFY command is disabled\n"
	    "502 5.5.1 Error: command not implemented\n"
	    "500 5.5.1 Error: this is SMTP: use EHLO\n"
	    "503 5.5.1 Error: authentication not enabled\n250 2.0.0 Ok\n",
	    "", "bbMbbRbrbbbbb");
}

static void
refuses_unknown_options(void **state)
{
	(void)state;
	check(&conf,
	    SPAN("EHLO x\r\nMAIL FROM:<a@b> RET=FULL\r\n"
		 "MAIL FROM:<a@b> SIZE=x\r\n"
		 "MAIL FROM:<a@b> SIZE=1001\r\n"
		 "MAIL FROM:<a@b> BODY=9BIT\r\n"
		 "MAIL FROM:<\xc3\xa4@b>\r\n"
		 "MAIL FROM:<a@b> BODY=8bitmime\r\n"
		 "RCPT TO:<a@b> NOTIFY=NEVER\r\n"
		 "RCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\n"
		 "RCPT TO:<a@b>\r\n"),
	    EHLO_REPLY "555 5.5.4 Unsupported option: RET=FULL\n"
		       "501 5.5.4 Bad message size syntax\n"
		       "552 5.3.4 Message size exceeds fixed limit\n"
		       "555 5.5.4 Unsupported option: BODY=9BIT\n"
		       "553 5.6.7 Must declare SMTPUTF8 to send unicode "
		       "address\n250 2.1.0 Ok\n"
		       "555 5.5.4 Unsupported option: NOTIFY=NEVER\n"
		       "250 2.1.5 Ok\n250 2.1.5 Ok\n250 2.1.5 Ok\n"
		       "452 4.5.3 Error: too many recipients\n",
	    NULL, NULL);
}

#define TO_DATA "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n"
#define TO_DATA_REPLY EHLO_REPLY "250 2.1.0 Ok\n250 2.1.5 Ok\n354 Go\n"

static void
ends_only_at_crlf_dot_crlf(void **state)
{
	static const char *const endings[] = { "\n.\n", "\n.\r\n", "\r\n.\n",
		"\r.\r", "\r.\r\n", "\r\n.\r", "\r.\n", "\n.\r",
		"\r\r\n.\r\r\n", "\r\n.\r\r\n", "\n\n.\n\n", "\n\r.\n\r",
		"\r\n\n.\r\n", "\r\n.\t\r\n", "\r\n.\x0b\r\n", "\r\n .\r\n",
		"\r\n..\r\n", "\r\n.\xc2\x85\r\n" };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		for (size_t step = 1; step < 40; step += 13) {
			struct play p;
			struct buf b;

			buf_init(&b, 1000);
			buf_fmt(&b,
			    "a%sMAIL FROM:<evil>\r\nRCPT TO:<b>\r\n"
			    "DATA\r\nevil\r\n.\r\n",
			    endings[i]);
			play_init(&p, &conf);
			feed(&p, SPAN(TO_DATA), 1);
			feed(&p, buf_span(&b), step);
			/* One message with all the text, or none at all. */
			assert_true(
			    span_eq(buf_span(&p.events), SPAN("HMRDE")) ||
			    span_eq(buf_span(&p.events), SPAN("HMRDb")));
			play_release(&p);
			buf_release(&b);
		}
	}
}

static void
refuses_bare_bytes(void **state)
{
	(void)state;
	check(&conf, SPAN(TO_DATA "a\nb\r\n.\r\nNOOP\r\n"),
	    TO_DATA_REPLY "550 5.5.2 mx.test Error: bare <LF> received\n", NULL,
	    "HMRDb");
	check(&conf, SPAN(TO_DATA "a\rb\r\n.\r\nNOOP\r\n"),
	    TO_DATA_REPLY
	    "550 5.5.2 mx.test Error: bare <CR> received\n250 2.0.0 Ok\n",
	    NULL, "HMRDb");
	check(&conf, SPAN(TO_DATA "a\0b\r\n.\r\nNOOP\r\n"),
	    TO_DATA_REPLY
	    "550 5.5.2 mx.test Error: NUL byte received\n250 2.0.0 Ok\n",
	    NULL, "HMRDb");
	check(&conf, SPAN("NOOP a\rb\r\nNOOP a\0b\r\nNOOP\r\n"),
	    "500 5.5.2 Error: bare <CR> received\n"
	    "500 5.5.2 Error: NUL byte received\n250 2.0.0 Ok\n",
	    "", "bb");
	check(&conf, SPAN("MAIL FROM:<>\r\nNOOP\nNOOP\r\n"),
	    "250 2.1.0 Ok\n550 5.5.2 mx.test Error: bare <LF> received\n",
	    "[aborted]", "Mb");
}

static void
lets_bare_bytes_pass_if_told(void **state)
{
	(void)state;
	check(&lax_conf,
	    SPAN("MAIL FROM:<>\nRCPT TO:<a>\nDATA\r\na\n.\nb\rc\n.\r\nd\r\n.\r"
		 "e\r\n.\r\nQUIT\n"),
	    "250 2.1.0 Ok\n250 2.1.5 Ok\n354 Go\n250 2.0.0 Done\n"
	    "221 2.0.0 Bye\n",
	    "a\n.\nb\rc\n.\r\nd\r\n\re\r\n[end 18]", "MRDEq");
}

static void
limits_the_size(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	feed(&p, SPAN(TO_DATA), 1);
	for (int i = 0; i < 200; i++)
		feed(&p, SPAN("0123456789\r\n"), 5);
	assert_true(p.body.n <= 1000);
	feed(&p, SPAN(".\r\nMAIL FROM:<>\r\n"), 100);
	assert_true(span_ends(buf_span(&p.body), SPAN("[aborted]")));
	assert_string_equal(buf_cstr(&p.replies), TO_DATA_REPLY
	    "552 5.3.4 Message size exceeds fixed limit\n250 2.1.0 Ok\n");
	play_release(&p);
}

static void
limits_lines_and_comes_back(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	for (int i = 0; i < 10000; i++)
		feed(&p, SPAN("0123456789"), 10);
	feed(&p, SPAN("\r\nNOOP\r\n"), 10);
	assert_string_equal(buf_cstr(&p.replies),
	    "500 5.5.2 Error: line too long\n250 2.0.0 Ok\n");
	buf_reset(&p.replies);
	feed(&p, SPAN("NOOP "), 10);
	for (int i = 0; i < 900; i++)
		feed(&p, SPAN("0123456789"), 10);
	feed(&p, SPAN("\r\n"), 10);
	assert_string_equal(
	    buf_cstr(&p.replies), "500 5.5.2 Error: line too long\n");
	play_release(&p);
}

static void
talks_lmtp(void **state)
{
	(void)state;
	check(&lmtp_conf,
	    SPAN("EHLO x\r\nMAIL FROM:<>\r\nLHLO x\r\nMAIL FROM:<>\r\n"
		 "RCPT TO:<no>\r\nDATA\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\n"
		 "DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\n"
		 "RCPT TO:<b>\r\nDATA\r\n"
		 "0123456789012345678901234567890\r\n.\r\n"),
	    "500 5.5.1 Error: this is LMTP: use LHLO\n"
	    "503 5.5.1 Error: send LHLO first\n"
	    "250-mx.test\n250-PIPELINING\n250-SIZE 30\n250-STARTTLS\n"
	    "250-AUTH PLAIN LOGIN\n250-ENHANCEDSTATUSCODES\n250 8BITMIME\n"
	    "250 2.1.0 Ok\n550 5.1.1 unknown\n"
	    "503 5.5.1 Error: no valid recipients\n250 2.1.5 Ok\n"
	    "250 2.1.5 Ok\n354 Go\n250 2.0.0 Done\n250 2.0.0 Done\n"
	    "250 2.1.0 Ok\n250 2.1.5 Ok\n250 2.1.5 Ok\n354 Go\n"
	    "552 5.3.4 Message size exceeds fixed limit\n"
	    "552 5.3.4 Message size exceeds fixed limit\n",
	    NULL, "bbHMRbRRDEMRRDb");
}

static void
starts_tls_with_nothing_left_over(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &submission_conf);
	feed(&p, SPAN("EHLO x\r\n"), 100);
	feed(&p, SPAN("MAIL FROM:<>\r\n"), 100);
	feed(&p, SPAN("STARTTLS\r\n"), 100);
	feed(&p, SPAN("EHLO injected\r\n"), 100);
	assert_string_equal(buf_cstr(&p.events), "HbS");
	assert_non_null(strstr(buf_cstr(&p.replies),
	    "530 5.7.0 Must issue a STARTTLS command first\n"));
	assert_true(smtp_server_tls_started(p.s, 0));
	buf_reset(&p.replies);
	feed(&p, SPAN("MAIL FROM:<>\r\n"), 100);
	feed(&p, SPAN("EHLO x\r\n"), 100);
	feed(&p, SPAN("STARTTLS\r\n"), 100);
	assert_true(span_starts(buf_span(&p.replies),
	    SPAN("503 5.5.1 Error: send HELO/EHLO first\n")));
	assert_non_null(strstr(
	    buf_cstr(&p.replies), "554 5.5.1 Error: TLS already active\n"));
	play_release(&p);

	play_init(&p, &submission_conf);
	feed(&p, SPAN("EHLO x\r\n"), 100);
	feed(&p, SPAN("STARTTLS\r\nEHLO injected\r\n"), 100);
	assert_string_equal(buf_cstr(&p.events), "Hb");
	assert_true(span_ends(buf_span(&p.replies),
	    SPAN("554 5.5.0 Error: SMTP protocol synchronization\n")));
	assert_true(smtp_server_closing(p.s));
	play_release(&p);

	play_init(&p, &submission_conf);
	feed(&p, SPAN("EHLO x\r\n"), 100);
	feed(&p, SPAN("STARTTLS\r\n"), 100);
	assert_false(smtp_server_tls_started(p.s, 4));
	assert_true(smtp_server_closing(p.s));
	play_release(&p);
}

static void
authenticates(void **state)
{
	static const char tail[] =
	    "334 dXNlcg==\n501 5.7.0 Authentication aborted\n"
	    "334 dXNlcg==\n535 5.7.8 No\n"
	    "334 dXNlcg==\n334 cGFzcw==\n235 2.7.0 In\n"
	    "503 5.5.1 Error: already authenticated\n250 2.1.0 Ok\n";
	struct buf want;

	(void)state;
	buf_init(&want, 1000);
	buf_fmt(&want, "%s%s", EHLO_REPLY, tail);
	check(&conf,
	    SPAN("EHLO x\r\nAUTH LOGIN\r\n*\r\nAUTH LOGIN\r\nbad\r\n"
		 "AUTH LOGIN\r\nmore\r\ngood\r\nAUTH PLAIN\r\n"
		 "MAIL FROM:<> AUTH=<>\r\n"),
	    buf_cstr(&want), "", "HAbALALLbM");
	buf_release(&want);
}

static void
ends_after_too_many_errors(void **state)
{
	(void)state;
	check(&submission_conf, SPAN("FOO\r\nBAR\r\nBAZ\r\nNOOP\r\n"),
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "421 4.7.0 mx.test Error: too many errors\n",
	    "", "bbbx");
	check(&submission_conf,
	    SPAN("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"),
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
	    "250 2.0.0 Ok\n421 4.7.0 mx.test Error: too many errors\n",
	    "", "x");
}

static void
sends_browsers_away(void **state)
{
	(void)state;
	check(&conf, SPAN("GET / HTTP/1.1\r\nHost: x\r\n"),
	    "221 2.7.0 Error: I can break rules, too. Goodbye.\n", "", "b");
}

static void
notices_what_comes_too_early(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	feed(&p, SPAN("EHLO x\r\n"), 100);
	feed(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\nSubject: x\r\n"),
	    1000);
	assert_string_equal(buf_cstr(&p.events), "HMRb");
	assert_true(smtp_server_closing(p.s));
	play_release(&p);
}

static void
counts_commands(void **state)
{
	unsigned ok, total;
	struct play p;
	bool any;

	(void)state;
	play_init(&p, &conf);
	smtp_server_last(p.s, &any);
	assert_false(any);
	feed(&p, SPAN(TO_DATA "x\r\n.\r\nRCPT TO:<a>\r\nFOO\r\n"), 1);
	smtp_server_count(p.s, SMTP_RCPT, &ok, &total);
	assert_int_equal(ok, 1);
	assert_int_equal(total, 2);
	smtp_server_count(p.s, SMTP_DATA, &ok, &total);
	assert_int_equal(ok, 1);
	assert_int_equal(total, 1);
	smtp_server_count(p.s, SMTP_UNKNOWN, &ok, &total);
	assert_int_equal(ok, 0);
	assert_int_equal(total, 1);
	assert_int_equal(smtp_server_last(p.s, &any), SMTP_UNKNOWN);
	assert_true(any);
	assert_int_equal(smtp_server_errors(p.s), 2);
	play_release(&p);
}

static void
writes_replies_of_several_lines(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	smtp_server_say(p.s, 220, "",
	    SPAN("one\ntwo\r\nthr\x1b\xff"
		 "ee"));
	assert_true(span_eq(smtp_server_output(p.s),
	    SPAN("220-one\r\n220-two?\r\n220 thr??ee\r\n")));
	smtp_server_say(p.s, 421, "4.3.2", SPAN("gone"));
	assert_true(smtp_server_closing(p.s));
	play_release(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_message),
		cmocka_unit_test(takes_pipelined_commands),
		cmocka_unit_test(keeps_the_order_of_commands),
		cmocka_unit_test(refuses_unknown_options),
		cmocka_unit_test(ends_only_at_crlf_dot_crlf),
		cmocka_unit_test(refuses_bare_bytes),
		cmocka_unit_test(lets_bare_bytes_pass_if_told),
		cmocka_unit_test(limits_the_size),
		cmocka_unit_test(limits_lines_and_comes_back),
		cmocka_unit_test(talks_lmtp),
		cmocka_unit_test(starts_tls_with_nothing_left_over),
		cmocka_unit_test(authenticates),
		cmocka_unit_test(ends_after_too_many_errors),
		cmocka_unit_test(sends_browsers_away),
		cmocka_unit_test(notices_what_comes_too_early),
		cmocka_unit_test(counts_commands),
		cmocka_unit_test(writes_replies_of_several_lines),
	};

	return cmocka_run_group_tests_name("smtp_server", tests, NULL, NULL);
}
