/* SPDX-License-Identifier: GPL-3.0-or-later */
/* BDAT, and what came with it: the commands of proxies, ETRN, footers. */
#define PLAY_CAPS                                                              \
	(SMTP_CAP_PIPELINING | SMTP_CAP_8BITMIME | SMTP_CAP_CHUNKING |         \
	    SMTP_CAP_BINARYMIME | SMTP_CAP_ETRN | SMTP_CAP_XCLIENT |           \
	    SMTP_CAP_XFORWARD | SMTP_CAP_SMTPUTF8 | SMTP_CAP_VRFY |            \
	    SMTP_CAP_LIMITS)
#include <stdio.h>

#include "tests/unit/lib/proto/smtp_server_play.h"

static const struct smtp_server_conf conf = { .hostname = "mx",
	.size_max = 40,
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3 };
static const struct smtp_server_conf lmtp = { .hostname = "mx",
	.size_max = 40,
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3,
	.lmtp = true };
static const struct smtp_server_conf strict = { .hostname = "mx",
	.error_max = 20,
	.junk_max = 100,
	.rcpt_max = 3,
	.strict_envelopes = true,
	.strict_smtputf8 = true,
	.bare_code = 521,
	.noop_commands = "XNOOP, RSET",
	.forbidden_commands = "HELLO" };

#define EHLO "EHLO c\r\n"
#define EHLO_SAYS                                                         \
	"250-mx\n250-PIPELINING\n250-VRFY\n250-ETRN\n250-XCLIENT NAME ADDR "   \
	"PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT\n250-XFORWARD "  \
	"NAME ADDR PROTO HELO SOURCE PORT IDENT\n250-8BITMIME\n"               \
	"250-SMTPUTF8\n250-CHUNKING\n250-BINARYMIME\n250 LIMITS RCPTMAX=3\n"
#define TO_RCPT EHLO "MAIL FROM:<a@b>\r\nRCPT TO:<c>\r\n"
#define TO_RCPT_SAYS EHLO_SAYS "250 2.1.0 Ok\n250 2.1.5 Ok\n"

static void
takes_chunks(void **state)
{
	(void)state;
	check(&conf,
	    SPAN(TO_RCPT "BDAT 10\r\n.\r\nabc\r\n\r\nBDAT 0 LAST\r\nQUIT\r\n"),
	    TO_RCPT_SAYS "250 2.0.0 Ok: 10 bytes\n250 2.0.0 Done\n"
			 "221 2.0.0 Bye\n",
	    ".\r\nabc\r\n\r\n[end 10]", "HMRDEq");
	check(&conf, SPAN(TO_RCPT "BDAT 3 last\r\na\r\nNOOP\r\n"),
	    TO_RCPT_SAYS "250 2.0.0 Done\n250 2.0.0 Ok\n", "a\r\n[end 3]",
	    "HMRDE");
	/* A CRLF may be cut in two. */
	check(&conf, SPAN(TO_RCPT "BDAT 2\r\na\rBDAT 1 LAST\r\n\nNOOP\r\n"),
	    TO_RCPT_SAYS
	    "250 2.0.0 Ok: 2 bytes\n250 2.0.0 Done\n250 2.0.0 Ok\n",
	    "a\r\n[end 3]", "HMRDE");
}

static void
takes_pipelined_chunks(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &conf);
	feed(&p, SPAN(EHLO), 100);
	feed(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<a>\r\nBDAT 2\r\nabBDAT 2 LAST"
		      "\r\ncdMAIL FROM:<>\r\nRCPT TO:<a>\r\nBDAT 1 LAST\r\nx"
		      "QUIT\r\n"),
	    1000);
	assert_string_equal(buf_cstr(&p.body), "abcd[end 4]x[end 1]");
	assert_string_equal(buf_cstr(&p.events), "HMRDEMRDEq");
	play_release(&p);
}

static void
binary_is_not_looked_at(void **state)
{
	(void)state;
	check(&conf,
	    SPAN(EHLO "MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<a>\r\n"
		      "DATA\r\nBDAT 8 LAST\r\n\n.\r.\0\n\r\rRSET\r\n"),
	    EHLO_SAYS "250 2.1.0 Ok\n250 2.1.5 Ok\n"
			   "503 5.5.1 Error: BINARYMIME needs BDAT\n"
			   "250 2.0.0 Done\n250 2.0.0 Ok\n",
	    NULL, "HMRbDEr");
}

static void
refuses_bare_bytes_in_chunks(void **state)
{
	(void)state;
	/* The session goes on: where the next command is, is certain. */
	check(&conf, SPAN(TO_RCPT "BDAT 3 LAST\r\na\nbNOOP\r\n"),
	    TO_RCPT_SAYS
	    "550 5.5.2 mx Error: bare <LF> received\n250 2.0.0 Ok\n",
	    NULL, "HMRDb");
	check(&conf, SPAN(TO_RCPT "BDAT 3 LAST\r\nab\rNOOP\r\n"),
	    TO_RCPT_SAYS
	    "550 5.5.2 mx Error: bare <CR> received\n250 2.0.0 Ok\n",
	    NULL, "HMRDb");
	check(&conf,
	    SPAN(TO_RCPT "BDAT 3\r\na\0bBDAT 3\r\nxyzBDAT 1 LAST\r\nx"
			 "BDAT 1\r\nxRSET\r\nNOOP\r\n"),
	    TO_RCPT_SAYS "550 5.5.2 mx Error: NUL byte received\n"
			 "551 5.0.0 Discarded 3 bytes after earlier error\n"
			 "551 5.0.0 Discarded 1 bytes after earlier error\n"
			 "503 5.5.1 Error: need RCPT command\n"
			 "250 2.0.0 Ok\n250 2.0.0 Ok\n",
	    NULL, "HMRDbbbbr");
}

static void
keeps_step_after_refusals(void **state)
{
	(void)state;
	check(&conf, SPAN(EHLO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
	    EHLO_SAYS
	    "503 5.5.1 Error: need RCPT command\n250 2.0.0 Ok\n",
	    "", "Hb");
	check(&conf,
	    SPAN(EHLO "MAIL FROM:<>\r\nRCPT TO:<no>\r\nBDAT 2\r\nxx"
		      "MAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\nBDAT 6 LAST\r\n"
		      "QUIT\r\nMAIL FROM:<>\r\n"),
	    EHLO_SAYS "250 2.1.0 Ok\n550 5.1.1 unknown\n"
			   "554 5.5.1 Error: no valid recipients\n"
			   "503 5.5.1 Error: MAIL after BDAT\n"
			   "503 5.5.1 Error: RCPT after BDAT\n"
			   "503 5.5.1 Error: DATA after BDAT\n"
			   "551 5.0.0 Discarded 6 bytes after earlier error\n"
			   "250 2.1.0 Ok\n",
	    "[aborted]", "HMRbbbbbM");
	check(&conf, SPAN(TO_RCPT "BDAT 0\r\nBDAT 0 LAST\r\nNOOP\r\n"),
	    TO_RCPT_SAYS "551 5.7.1 Null BDAT request\n"
			 "551 5.0.0 Discarded 0 bytes after earlier error\n"
			 "250 2.0.0 Ok\n",
	    "[aborted]", "HMRbb");
}

static void
limits_chunks(void **state)
{
	(void)state;
	check(&conf,
	    SPAN(TO_RCPT "BDAT 20\r\n01234567890123456789BDAT 21 LAST\r\n"
			 "012345678901234567890NOOP\r\n"),
	    TO_RCPT_SAYS "250 2.0.0 Ok: 20 bytes\n"
			 "552 5.3.4 Chunk exceeds message size limit\n"
			 "250 2.0.0 Ok\n",
	    "01234567890123456789[aborted]", "HMRDb");
	/* More than is worth reading. */
	check(&conf, SPAN(TO_RCPT "BDAT 99999999999 LAST\r\nNOOP\r\n"),
	    TO_RCPT_SAYS "552 5.3.4 Chunk exceeds message size limit\n",
	    "[aborted]", "HMRb");
}

static void
hangs_up_on_what_is_no_bdat(void **state)
{
	static const char *const args[] = { "", " ", " x", " -1", " 1 FIRST",
		" 1 LAST x", " 99999999999999999999", " 1LAST" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(args); i++) {
		struct buf b;

		buf_init(&b, 1000);
		buf_fmt(&b, TO_RCPT "BDAT%s\r\nMAIL FROM:<>\r\n", args[i]);
		check(&conf, buf_span(&b),
		    TO_RCPT_SAYS "521 5.5.4 Syntax: BDAT count [LAST]\n",
		    "[aborted]", "HMRb");
		buf_release(&b);
	}
}

static void
answers_each_recipient_in_lmtp(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, &lmtp);
	feed(&p, SPAN("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>"
		      "\r\nBDAT 1\r\n"),
	    1);
	buf_reset(&p.replies);
	feed(&p, SPAN("xBDAT 1 LAST\r\ny"), 1);
	assert_string_equal(buf_cstr(&p.replies),
	    "250 2.0.0 Ok: 1 bytes\n250 2.0.0 Done\n250 2.0.0 Done\n");
	feed(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\n"), 1);
	buf_reset(&p.replies);
	feed(&p, SPAN("BDAT 1 LAST\r\n\n"), 1);
	assert_string_equal(buf_cstr(&p.replies),
	    "550 5.5.2 mx Error: bare <LF> received\n"
	    "550 5.5.2 mx Error: bare <LF> received\n");
	play_release(&p);
}

/* The driver's refusal stands behind the chunk that it refuses. */
static void
refusals_come_behind_the_chunk(void **state)
{
	struct smtp_event ev;
	struct smtp_server *s = smtp_server_new(&conf);
	struct span in = SPAN("MAIL FROM:<>\r\nRCPT TO:<a>\r\n"
			      "BDAT 6 LAST\r\nQUIT\r\n");

	(void)state;
	smtp_server_offer(s, PLAY_CAPS, "");
	for (unsigned i = 0; i < 3;) {
		in = span_skip(in, smtp_server_feed(s, span_slice(in, 0, 1),
				       &ev));
		if (!smtp_server_waiting(s))
			continue;
		i++;
		smtp_server_answer(s, i == 3 ? 451 : 250, "4.3.0",
		    i == 3 ? SPAN("No\nreally") : SPAN("Ok"));
		smtp_server_sent(s, smtp_server_output(s).n);
	}
	assert_int_equal(smtp_server_output(s).n, 0);
	assert_true(smtp_server_in_data(s));
	while (in.n > 0)
		in = span_skip(in, smtp_server_feed(s, in, &ev));
	if (ev.type == SMTP_EVENT_NONE)
		smtp_server_feed(s, in, &ev);
	assert_int_equal(ev.type, SMTP_EVENT_RSET);
	assert_true(span_eq(smtp_server_output(s),
	    SPAN("451-4.3.0 No\r\n451 4.3.0 really\r\n")));
	assert_false(smtp_server_closing(s));
	smtp_server_free(s);
}

static void
xclient_begins_anew(void **state)
{
	(void)state;
	check(&conf,
	    SPAN(EHLO "XCLIENT\r\nXCLIENT NAME\r\nXCLIENT FOO=x\r\n"
		      "XCLIENT ADDR=999.1.1.1\r\n"
		      "XCLIENT NAME=a.test ADDR=192.0.2.1\r\n" EHLO
		      "MAIL FROM:<>\r\nXCLIENT NAME=b\r\nXFORWARD NAME=b\r\n"
		      "RSET\r\nXFORWARD NAME=b IDENT=x\r\n"
		      "XFORWARD LOGIN=x\r\n"),
	    EHLO_SAYS
	    "501 5.5.4 Syntax: XCLIENT attribute=value...\n"
	    "501 5.5.4 Error: attribute=value expected\n"
	    "501 5.5.4 Bad XCLIENT attribute name: FOO\n"
	    "501 5.5.4 Bad ADDR syntax: 999.1.1.1\n"
	    "220 mx.test anew\n" EHLO_SAYS "250 2.1.0 Ok\n"
	    "503 5.5.1 Error: MAIL transaction in progress\n"
	    "503 5.5.1 Error: MAIL transaction in progress\n"
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n"
	    "501 5.5.4 Bad XFORWARD attribute name: LOGIN\n",
	    NULL, "HbbbbXHMbbrFb");
}

static void
etrn_wants_a_domain(void **state)
{
	(void)state;
	check(&conf,
	    SPAN("ETRN\r\nETRN a b\r\nETRN -x-\r\nETRN @a.test\r\n"
		 "ETRN [192.0.2.1]\r\nMAIL FROM:<>\r\nETRN a.test\r\n"),
	    "500 Syntax: ETRN domain\n500 Syntax: ETRN domain\n"
	    "501 Error: invalid parameter syntax\n250 Queuing started\n"
	    "250 Queuing started\n250 2.1.0 Ok\n"
	    "503 Error: MAIL transaction in progress\n",
	    "", "bbbTTMb");
}

static void
strict_where_told(void **state)
{
	(void)state;
	check(&strict,
	    SPAN("MAIL FROM:a@b\r\nMAIL FROM:<a>\r\nMAIL FROM:<>\r\n"
		 "RCPT TO:c@d\r\nRCPT TO:<postmaster>\r\nRCPT TO:<x>\r\n"
		 "RCPT TO:<\xc3\xa4@d.test>\r\nXNOOP\r\nRSET\r\n"
		 "RCPT TO:<c@d>\r\n"),
	    "501 5.1.7 Bad sender address syntax\n"
	    "501 5.1.7 Bad sender address syntax\n250 2.1.0 Ok\n"
	    "501 5.1.3 Bad recipient address syntax\n250 2.1.5 Ok\n"
	    "501 5.1.3 Bad recipient address syntax\n"
	    "553 5.6.7 Must declare SMTPUTF8 to send unicode address\n"
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.1.5 Ok\n",
	    "", "bbMbRbbR");
	check(&strict,
	    SPAN("MAIL FROM:<\xc3\xa4@d.test> SMTPUTF8\r\n"
		 "RCPT TO:<\xc3\xa4@d.test>\r\nVRFY \xc3\xa4\r\n"
		 "VRFY \xc3\xa4 SMTPUTF8\r\nNOOP\n"),
	    "250 2.1.0 Ok\n250 2.1.5 Ok\n"
	    "553 5.6.7 Must declare SMTPUTF8 to send unicode address\n"
	    "252 2.0.0 \xc3\xa4\n521 5.5.2 mx Error: bare <LF> received\n",
	    "[aborted]", "MRbVb");
	check(&strict, SPAN("HELLO x\r\nNOOP\r\n"),
	    "221 2.7.0 Error: I can break rules, too. Goodbye.\n", "", "b");
	check(&strict, SPAN("Subject: x\r\nNOOP\r\n"),
	    "221 2.7.0 Error: I can break rules, too. Goodbye.\n", "", "b");
	check(&strict, SPAN("\x16\x03\x01\r\nNOOP\r\n"),
	    "221 2.7.0 Error: I can break rules, too. Goodbye.\n", "", "b");
}

static void
input_may_not_come_too_early(void **state)
{
	static const char *const forms[] = { "NOOP\r\nNOOP\r\n",
		"HELO x\r\nNOOP\r\n", "EHLO x\r\nNOOP\r\n",
		"VRFY x\r\nNOOP\r\n", "MAIL FROM:<>\r\nRSET\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		struct play p;

		play_init(&p, &conf);
		feed(&p, span_str(forms[i]), 1000);
		assert_string_equal(buf_cstr(&p.replies),
		    "554 5.5.0 Error: SMTP protocol synchronization\n");
		assert_true(smtp_server_closing(p.s));
		assert_true(smtp_server_pipelined_badly(p.s));
		play_release(&p);
	}
}

static bool
rewrite(void *arg, struct span line, struct buf *out)
{
	(void)arg;
	if (!span_eq(line, SPAN("PLEASE")))
		return false;
	buf_str(out, "VRFY someone");
	return true;
}

static void
footer(void *arg, struct span reply, struct buf *out)
{
	assert_true(
	    span_eq(reply, SPAN("500 5.5.2 Error: command not recognized")));
	buf_fmt(out, "%s", (const char *)arg);
}

static void
hooks_change_lines_and_refusals(void **state)
{
	static const struct {
		const char *footer, *says;
	} rows[] = {
		{ "Call %\\nnow", "500-5.5.2 Error: command not recognized\n"
				  "500-5.5.2 Call %\n500 5.5.2 now\n" },
		{ "\\c; call",
		    "500 5.5.2 Error: command not recognized; call\n" },
		{ "", "500 5.5.2 Error: command not recognized\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[40];
		struct smtp_server_hooks hooks = { rewrite, footer, text };
		struct play p;

		snprintf(text, sizeof(text), "%s", rows[i].footer);
		play_init(&p, &conf);
		smtp_server_hook(p.s, &hooks);
		feed(&p, SPAN("PLEASE\r\nFOO\r\n"), 1);
		assert_true(span_starts(buf_span(&p.replies),
		    SPAN("252 2.0.0 someone\n")));
		assert_string_equal(
		    buf_cstr(&p.replies) + 18, rows[i].says);
		play_release(&p);
	}
}

static void
soft_means_later(void **state)
{
	struct smtp_server_conf soft = conf;
	struct play p;

	(void)state;
	soft.soft = true;
	play_init(&p, &soft);
	feed(&p, SPAN("NOOP\r\nFOO\r\nMAIL FROM:<a\r\n"), 1);
	assert_string_equal(buf_cstr(&p.replies),
	    "250 2.0.0 Ok\n400 4.5.2 Error: command not recognized\n"
	    "401 4.1.7 Bad sender address syntax\n");
	play_release(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_chunks),
		cmocka_unit_test(takes_pipelined_chunks),
		cmocka_unit_test(binary_is_not_looked_at),
		cmocka_unit_test(refuses_bare_bytes_in_chunks),
		cmocka_unit_test(keeps_step_after_refusals),
		cmocka_unit_test(limits_chunks),
		cmocka_unit_test(hangs_up_on_what_is_no_bdat),
		cmocka_unit_test(answers_each_recipient_in_lmtp),
		cmocka_unit_test(refusals_come_behind_the_chunk),
		cmocka_unit_test(xclient_begins_anew),
		cmocka_unit_test(etrn_wants_a_domain),
		cmocka_unit_test(strict_where_told),
		cmocka_unit_test(input_may_not_come_too_early),
		cmocka_unit_test(hooks_change_lines_and_refusals),
		cmocka_unit_test(soft_means_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
