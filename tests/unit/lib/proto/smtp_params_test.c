/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/proto/smtp_server.h"

enum { ALL = ~0u >> 1 };

static enum parse
mail(const char *params, unsigned caps, struct smtp_mail_params *out,
    struct smtp_reject *why)
{
	static char line[2000];
	struct smtp_cmd cmd;

	snprintf(line, sizeof(line), "MAIL FROM:<a@b.test> %s", params);
	assert_int_equal(
	    smtp_cmd_parse(span_str(line), &cmd, why), PARSE_OK);
	return smtp_params_mail(&cmd, caps, out, why);
}

static enum parse
rcpt(const char *params, struct smtp_rcpt_params *out,
    struct smtp_reject *why)
{
	static char line[2000];
	struct smtp_cmd cmd;

	snprintf(line, sizeof(line), "RCPT TO:<a@b.test> %s", params);
	if (smtp_cmd_parse(span_str(line), &cmd, why) != PARSE_OK)
		return PARSE_BAD;
	return smtp_params_rcpt(&cmd, ALL, out, why);
}

static void
reads_what_mail_has(void **state)
{
	struct smtp_mail_params p;
	struct smtp_reject why;

	(void)state;
	assert_int_equal(mail("SIZE=123 BODY=8bitmime RET=hdrs ENVID=a+2Bb "
			      "AUTH=<> SMTPUTF8 REQUIRETLS HOLDFOR=60",
			     ALL, &p, &why),
	    PARSE_OK);
	assert_int_equal(p.size, 123);
	assert_int_equal(p.body, SMTP_BODY_8BIT);
	assert_true(p.ret_hdrs && !p.ret_full && p.smtputf8 && p.requiretls);
	assert_true(span_eq(p.envid, SPAN("a+2Bb")));
	assert_true(span_eq(p.auth, SPAN("<>")));
	assert_int_equal(p.hold_for_s, 60);
	assert_int_equal(
	    mail("SIZE=1 SIZE=99999999999999999999999 BODY=BINARYMIME", ALL, &p, &why),
	    PARSE_OK);
	assert_int_equal(p.size, INT64_MAX);
	assert_int_equal(p.body, SMTP_BODY_BINARY);
	assert_int_equal(
	    mail("HOLDUNTIL=2026-11-22T20:00:01.5+01:00", ALL, &p, &why),
	    PARSE_OK);
	assert_int_equal(p.hold_until_s, 1795374001);
}

static void
refuses_what_mail_must_not_have(void **state)
{
	static const struct {
		const char *params;
		unsigned code;
		const char *text;
	} rows[] = {
		{ "FOO", 555, "Unsupported option: " },
		{ "FOO=1", 555, "Unsupported option: " },
		{ "NOTIFY=NEVER", 555, "Unsupported option: " },
		{ "BODY=9BIT", 555, "Unsupported option: " },
		{ "SMTPUTF8=yes", 555, "Unsupported option: " },
		{ "REQUIRETLS=yes", 555, "Unsupported option: " },
		{ "SIZE", 501, "Bad message size syntax" },
		{ "SIZE=-1", 501, "Bad message size syntax" },
		{ "SIZE=1k", 501, "Bad message size syntax" },
		{ "RET=ALL", 501, "Bad RET parameter syntax" },
		{ "RET=FULL RET=FULL", 501, "Bad RET parameter syntax" },
		{ "ENVID", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a+2", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a+2b", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a+00", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a+0A", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a=b", 501, "Bad ENVID parameter syntax" },
		{ "ENVID=a ENVID=b", 501, "Bad ENVID parameter syntax" },
		{ "AUTH=a+", 501, "Bad AUTH parameter syntax" },
		{ "HOLDFOR=0", 501, "Bad HOLDFOR parameter syntax" },
		{ "HOLDFOR=1234567890", 501, "Bad HOLDFOR parameter syntax" },
		{ "HOLDFOR=1 HOLDUNTIL=2026-11-22T20:00:00Z", 501,
		    "Error: HOLDFOR and HOLDUNTIL exclude each other" },
		{ "HOLDUNTIL=2026-11-22", 501,
		    "Bad HOLDUNTIL parameter syntax" },
		{ "HOLDUNTIL=2026-13-22T20:00:00Z", 501,
		    "Bad HOLDUNTIL parameter syntax" },
		{ "HOLDUNTIL=2026-11-22T20:00:00", 501,
		    "Bad HOLDUNTIL parameter syntax" },
		{ "HOLDUNTIL=2026-11-22T20:00:00Zx", 501,
		    "Bad HOLDUNTIL parameter syntax" },
		{ "HOLDUNTIL=2026-11-22T20:00:00.Z", 501,
		    "Bad HOLDUNTIL parameter syntax" },
	};
	struct smtp_mail_params p;
	struct smtp_reject why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(
		    mail(rows[i].params, ALL, &p, &why), PARSE_BAD);
		assert_int_equal(why.code, rows[i].code);
		assert_string_equal(why.dsn, "5.5.4");
		assert_string_equal(why.text, rows[i].text);
		if (rows[i].code == 555)
			assert_true(span_eq(
			    why.detail, span_str(rows[i].params)));
	}
}

static void
knows_only_what_is_offered(void **state)
{
	static const struct {
		const char *params;
		unsigned cap;
	} rows[] = { { "SIZE=1", SMTP_CAP_SIZE },
		{ "BODY=7BIT", SMTP_CAP_8BITMIME },
		{ "BODY=BINARYMIME", SMTP_CAP_BINARYMIME },
		{ "BODY=BINARYMIME", SMTP_CAP_CHUNKING },
		{ "AUTH=<>", SMTP_CAP_AUTH }, { "RET=FULL", SMTP_CAP_DSN },
		{ "ENVID=x", SMTP_CAP_DSN },
		{ "SMTPUTF8", SMTP_CAP_SMTPUTF8 },
		{ "REQUIRETLS", SMTP_CAP_REQUIRETLS },
		{ "HOLDFOR=1", SMTP_CAP_FUTURERELEASE } };
	struct smtp_mail_params p;
	struct smtp_reject why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(mail(rows[i].params, ALL, &p, &why), PARSE_OK);
		assert_int_equal(
		    mail(rows[i].params, ALL & ~rows[i].cap, &p, &why),
		    PARSE_BAD);
		assert_int_equal(why.code, 555);
	}
}

static void
reads_what_rcpt_has(void **state)
{
	static const char *const bad[] = { "NOTIFY", "NOTIFY=", "NOTIFY=x",
		"NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "NOTIFY=DELAY,",
		"NOTIFY=,DELAY", "NOTIFY=DELAY NOTIFY=DELAY", "ORCPT=x",
		"ORCPT=;x", "ORCPT=rfc822;", "ORCPT=rfc822;a+4", "ORCPT=a b;x",
		"ORCPT=rfc_822;x", "ORCPT=rfc822;a ORCPT=rfc822;a",
		"ORCPT=rfc822;\xc3\xa4", "SIZE=1" };
	struct smtp_rcpt_params p;
	struct smtp_reject why;

	(void)state;
	assert_int_equal(rcpt("NOTIFY=delay,Success,FAILURE "
			      "ORCPT=rfc822;c+2Bx@d.test",
			     &p, &why),
	    PARSE_OK);
	assert_int_equal(p.notify,
	    SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY);
	assert_true(span_eq(p.orcpt, SPAN("rfc822;c+2Bx@d.test")));
	assert_int_equal(
	    rcpt("NOTIFY=NEVER ORCPT=utf-8;\xc3\xa4@d", &p, &why), PARSE_OK);
	assert_int_equal(p.notify, SMTP_NOTIFY_NEVER);
	assert_int_equal(rcpt("", &p, &why), PARSE_OK);
	assert_int_equal(p.notify, 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(rcpt(bad[i], &p, &why), PARSE_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_mail_has),
		cmocka_unit_test(refuses_what_mail_must_not_have),
		cmocka_unit_test(knows_only_what_is_offered),
		cmocka_unit_test(reads_what_rcpt_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
