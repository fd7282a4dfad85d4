/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/location.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
locations_are_understood(void **state)
{
	static const struct {
		const char *name, *home, *location, *home_mailbox, *spool;
		const char *driver, *root, *inbox, *index; /* "" : NULL */
	} rows[] = {
		{ "bob", "/h/bob", "maildir:~/Maildir", NULL, NULL, "maildir",
		    "/h/bob/Maildir", "", "" },
		{ "bob", "/h/bob", "Maildir:~/Maildir/:LAYOUT=maildir++",
		    NULL, NULL, "maildir", "/h/bob/Maildir", "", "" },
		{ "bob", "/h/bob", "mbox:~/mail:INBOX=/var/mail/%u", NULL,
		    NULL, "mbox", "/h/bob/mail", "/var/mail/bob", "" },
		{ "Bob@Ex.org", "/h", "maildir:/v/%Ld/%Ln:INDEX=/i/%u", NULL,
		    NULL, "maildir", "/v/ex.org/bob", "", "/i/Bob@Ex.org" },
		{ "bob", "/h/bob", "maildir:%h/M%%", NULL, NULL, "maildir",
		    "/h/bob/M%", "", "" },
		{ "bob", "/h/bob", "", "Maildir/", "/s", "maildir",
		    "/h/bob/Maildir", "", "" },
		{ "bob", "/h/bob", NULL, "box", "/s", "mbox", "/h/bob/mail",
		    "/h/bob/box", "" },
		{ "bob", "/h/bob", "", "", "/s", "mbox", "/h/bob/mail",
		    "/s/bob", "" },
		{ "bob", "", "", "", "/s", "mbox", "", "/s/bob", "" },
		/* Errors. */
		{ "bob", "", "maildir:~/Maildir", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir:", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "sdbox:~/x", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir:x", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir:~/x:FOO=1", NULL, NULL, NULL, "", "",
		    "" },
		{ "bob", "/h", "maildir:~/x:LAYOUT=fs", NULL, NULL, NULL, "",
		    "", "" },
		{ "bob", "/h", "maildir:/x/%q", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir:/x/%", NULL, NULL, NULL, "", "", "" },
		{ "bob", "/h", "maildir:/x/%d", NULL, NULL, NULL, "", "", "" },
		{ "../x", "/h", "maildir:/x/%u", NULL, NULL, NULL, "", "", "" },
		{ "a/b", "/h", NULL, NULL, "/s", NULL, "", "", "" },
		{ "..", "/h", NULL, NULL, "/s", NULL, "", "", "" },
		{ "", "/h", NULL, NULL, "/s", NULL, "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct store_user u = { .name = rows[i].name,
			.home = rows[i].home[0] ? rows[i].home : NULL,
			.location = rows[i].location,
			.home_mailbox = rows[i].home_mailbox,
			.mail_spool_directory = rows[i].spool };
		struct location l;
		struct err e;
		const int rc = location_parse(&u, &l, &e);

		if (rc != (rows[i].driver != NULL ? 0 : -1))
			fail_msg("row %zu: %d", i, rc);
		if (rc != 0) {
			assert_int_equal(e.kind, ERR_PERM);
			continue;
		}
		assert_int_equal(l.driver,
		    strcmp(rows[i].driver, "mbox") == 0 ? LOCATION_MBOX :
							  LOCATION_MAILDIR);
		assert_string_equal(l.root ? l.root : "", rows[i].root);
		assert_string_equal(l.inbox ? l.inbox : "", rows[i].inbox);
		assert_string_equal(l.index ? l.index : "", rows[i].index);
		location_release(&l);
	}
}

static void
an_index_can_be_in_memory(void **state)
{
	const struct store_user u = { .name = "bob", .home = "/h",
		.location = "mbox:~/mail:INDEX=MEMORY" };
	struct location l;
	struct err e;

	(void)state;
	assert_int_equal(location_parse(&u, &l, &e), 0);
	assert_true(l.index_memory);
	location_release(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locations_are_understood),
		cmocka_unit_test(an_index_can_be_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
