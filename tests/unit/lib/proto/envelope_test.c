/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
prints(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" },
		/* RFC 3501 8's example, shortened. */
		{ "Date: Wed, 17 Jul 1996 02:23:25 -0700\r\n"
		  "From: Terry Gray <gray@cac.example>\r\n"
		  "Subject: IMAP4rev1 WG mtg\r\n summary\r\n"
		  "to: imap@cac.example, <a@b>\r\n"
		  "cc: minutes@cnri.example, John K <k@mit.example>\r\n"
		  "Message-Id: <B27397-0100000@cac.example>\r\n\r\nSender: no",
		    "(\"Wed, 17 Jul 1996 02:23:25 -0700\" "
		    "\"IMAP4rev1 WG mtg summary\" "
		    "((\"Terry Gray\" NIL \"gray\" \"cac.example\")) "
		    "((\"Terry Gray\" NIL \"gray\" \"cac.example\")) "
		    "((\"Terry Gray\" NIL \"gray\" \"cac.example\")) "
		    "((NIL NIL \"imap\" \"cac.example\")"
		    "(NIL NIL \"a\" \"b\")) "
		    "((NIL NIL \"minutes\" \"cnri.example\")"
		    "(\"John K\" NIL \"k\" \"mit.example\")) "
		    "NIL NIL \"<B27397-0100000@cac.example>\")" },
		{ "To: gr: a@b, c@d;, \"x \\\" y\" <u@v>\r\n"
		  "Subject: caf\xc3\xa9\r\n\r\n",
		    "(NIL {5}\r\ncaf\xc3\xa9 NIL NIL NIL ((NIL NIL \"gr\" NIL)"
		    "(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"
		    "(NIL NIL NIL NIL)"
		    "(\"x \\\" y\" NIL \"u\" \"v\")) NIL NIL NIL NIL)" },
		{ "From: joe\nSubject:\nSender: s@t\n\n",
		    "(NIL \"\" ((NIL NIL \"joe\" \"MISSING_DOMAIN\")) "
		    "((NIL NIL \"s\" \"t\")) "
		    "((NIL NIL \"joe\" \"MISSING_DOMAIN\")) "
		    "NIL NIL NIL NIL NIL)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf b;

		buf_init(&b, 10000);
		envelope_print(span_str(rows[i].in), &b);
		assert_string_equal(buf_cstr(&b), rows[i].want);
		buf_release(&b);
	}
}

/* CVE-2024-23184: many addresses, many fields. */
static void
survives_bombs(void **state)
{
	static const char *const pieces[] = { "To: a@b\r\n", "To: a@b, ",
		"a@b, ", "a:;", "\r\n ", "(", "\"", "<" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct buf in, out;

		buf_init(&in, 1 << 20);
		buf_init(&out, 16 << 20);
		buf_str(&in, "To: ");
		while (buf_ok(&in))
			buf_str(&in, pieces[i]);
		envelope_print(buf_span(&in), &out);
		assert_true(buf_ok(&out));
		buf_release(&in);
		buf_release(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints),
		cmocka_unit_test(survives_bombs),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
