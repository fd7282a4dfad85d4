/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/mem.h"

static const struct target mx = { .peer = "mx.test[192.0.2.1]" };

static void
says_where_a_connection_was_lost(void **state)
{
	struct err e;

	(void)state;
	fault_lost(&mx, SMTP_STAGE_DATA, "lost connection with", &e);
	assert_string_equal(e.text, "lost connection with mx.test[192.0.2.1] "
	    "while sending DATA command");
	assert_string_equal(e.dsn, "4.4.2");
	assert_int_equal(e.kind, ERR_TEMP);
}

static void
says_what_a_server_said(void **state)
{
	static const struct {
		enum smtp_stage stage;
		unsigned code;
		const char *dsn, *said;
		enum fault fault;
		enum err_kind kind;
		const char *out_dsn, *text;
	} rows[] = {
		{ SMTP_STAGE_GREETING, 554, "5.7.1", "554 go", FAULT_REPLY,
		    ERR_TEMP, "4.7.1", "host mx.test[192.0.2.1] refused to "
		    "talk to me: 554 go" },
		{ SMTP_STAGE_HELLO, 550, "5.0.0", "550 no", FAULT_REPLY,
		    ERR_PERM, "5.0.0", "host mx.test[192.0.2.1] refused to "
		    "talk to me: 550 no" },
		{ SMTP_STAGE_STARTTLS, 454, "4.7.0", "454 later", FAULT_REPLY,
		    ERR_TEMP, "4.7.0", "host mx.test[192.0.2.1] said: 454 "
		    "later (in reply to STARTTLS command)" },
		{ SMTP_STAGE_STARTTLS, 502, "5.5.1", "502 what", FAULT_NO_TLS,
		    ERR_TEMP, "4.5.1", "host mx.test[192.0.2.1] said: 502 "
		    "what (in reply to STARTTLS command)" },
		{ SMTP_STAGE_HELLO, 0, "4.7.4", "TLS is required, but was not "
		    "offered", FAULT_NO_TLS, ERR_TEMP, "4.7.4", "TLS is "
		    "required, but was not offered by host "
		    "mx.test[192.0.2.1]" },
		{ SMTP_STAGE_RCPT, 0, "", "Protocol error", FAULT_REPLY,
		    ERR_TEMP, "4.5.0", "mx.test[192.0.2.1]: Protocol error" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_client_event ev = {
			.type = SMTP_CLIENT_FAILED,
			.stage = rows[i].stage,
			.reply = { .code = rows[i].code,
			    .text = span_str(rows[i].said) },
		};
		struct err e;

		snprintf(ev.reply.dsn, sizeof(ev.reply.dsn), "%s",
		    rows[i].dsn);
		assert_int_equal(fault_by_reply(&mx, &ev, &e), rows[i].fault);
		assert_int_equal(e.kind, rows[i].kind);
		assert_string_equal(e.dsn, rows[i].out_dsn);
		assert_string_equal(e.text, rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_where_a_connection_was_lost),
		cmocka_unit_test(says_what_a_server_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
