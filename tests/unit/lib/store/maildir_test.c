/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/maildir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/store/store_test.h"

#define TEXT "Subject: hi\n\nline one\nline two\n"
#define TEXT_CRLF "Subject: hi\r\n\r\nline one\r\nline two\r\n"

static int
setup(void **state)
{
	*state = home_new("maildir:~/Maildir");
	return 0;
}

static int
teardown(void **state)
{
	struct home *h = *state;

	home_free(&h);
	return 0;
}

static void
an_append_is_read_back(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	char name[300] = "";

	assert_int_equal(append_text(h, "inbox", TEXT_CRLF), 1);
	assert_int_equal(append_text(h, "INBOX", "a: b\r\n\r\nx"), 2);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 2);
	assert_int_equal(mailbox_message(mb, 1)->uid, 1);
	assert_int_equal(mailbox_message(mb, 1)->flags, FLAG_RECENT);
	assert_text(mb, 1, TEXT_CRLF);
	assert_text(mb, 2, "a: b\r\n\r\nx");
	mailbox_close(&mb);
	assert_int_equal(home_count(h, "Maildir/cur", ":2,", name), 2);
	assert_int_equal(home_count(h, "Maildir/tmp", "", NULL), 0);
	assert_non_null(strstr(name, ",S="));
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_message(mb, 1)->flags, 0);
	mailbox_close(&mb);
}

static void
append_keeps_flags_date_and_keywords(void **state)
{
	struct home *h = *state;
	const char *const words[] = { "$Forwarded", "work", NULL };
	const struct append_meta meta = { .flags = FLAG_SEEN | FLAG_FLAGGED,
		.keywords = words, .internal_s = 1000000000,
		.internal_zone_min = 120 };
	struct mailbox *mb;
	char name[300] = "";
	char *text;
	int n;

	append_with(h, "INBOX", TEXT, &meta);
	assert_int_equal(home_count(h, "Maildir/cur", "", name), 1);
	assert_non_null(strstr(name, ":2,FSab"));
	text = home_read(h, "Maildir/dovecot-keywords");
	assert_string_equal(text, "0 $Forwarded\n1 work\n");
	mem_free(text);
	mb = open_box(h, "INBOX");
	n = mailbox_keyword_find(mb, SPAN("WORK"), false);
	assert_true(n >= 0);
	assert_string_equal(mailbox_keyword(mb, (unsigned)n), "work");
	assert_int_equal(mailbox_message(mb, 1)->keywords, 3);
	assert_int_equal(mailbox_message(mb, 1)->flags,
	    FLAG_SEEN | FLAG_FLAGGED | FLAG_RECENT);
	assert_int_equal(mailbox_message(mb, 1)->internal_s, 1000000000);
	assert_int_equal(mailbox_message(mb, 1)->internal_zone_min, 120);
	mailbox_close(&mb);
	/* The index gone: the files still know all but the zone. */
	run(h, "rm Maildir/chappe.*");
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_message(mb, 1)->uid, 1);
	assert_int_equal(mailbox_message(mb, 1)->internal_s, 1000000000);
	assert_int_equal(mailbox_message(mb, 1)->keywords, 3);
	assert_int_equal(mailbox_message(mb, 1)->size, strlen(TEXT_CRLF));
	mailbox_close(&mb);
}

static void
a_delivery_goes_to_new_and_is_taken(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	struct mailbox_status st;
	struct err e;

	deliver_text(h, TEXT, "4F00");
	assert_int_equal(home_count(h, "Maildir/new", "Q4F00.", NULL), 1);
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &st, &e), 0);
	assert_int_equal(st.messages, 1);
	assert_int_equal(st.recent, 1);
	assert_int_equal(st.uid_next, 2);
	assert_int_equal(home_count(h, "Maildir/new", "", NULL), 1);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_message(mb, 1)->flags, FLAG_RECENT);
	assert_int_equal(home_count(h, "Maildir/new", "", NULL), 0);
	assert_int_equal(home_count(h, "Maildir/cur", ":2,", NULL), 1);
	assert_text(mb, 1, TEXT_CRLF);
	deliver_text(h, TEXT, "4F01");
	assert_sync(mb, true, "*2/2 ");
	mailbox_close(&mb);
}

static void
a_repeated_delivery_is_one(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	deliver_text(h, TEXT, "4F00");
	deliver_text(h, TEXT, "4F00");
	assert_int_equal(home_count(h, "Maildir/new", "", NULL), 1);
	assert_int_equal(home_count(h, "Maildir/tmp", "", NULL), 0);
	mb = open_box(h, "INBOX");
	deliver_text(h, TEXT, "4F00");
	assert_sync(mb, true, "");
	deliver_text(h, TEXT "more\n", "4F00");
	deliver_text(h, TEXT, "4F0");
	assert_sync(mb, true, "*3/3 ");
	mailbox_close(&mb);
}

static void
flags_are_changed_in_names(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *other;
	const uint32_t both[] = { 1, 2 };
	struct err e;
	int n;

	append_text(h, "INBOX", TEXT);
	append_text(h, "INBOX", TEXT);
	mb = open_box(h, "INBOX");
	other = open_box(h, "INBOX");
	assert_int_equal(mailbox_set_flags(mb, both, 2, FLAGS_ADD,
			     FLAG_SEEN | FLAG_DRAFT, 0, &e),
	    0);
	assert_int_equal(home_count(h, "Maildir/cur", ":2,DS", NULL), 2);
	assert_sync(mb, true, "");
	assert_sync(other, true, "F1 F2 ");
	n = mailbox_keyword_find(mb, SPAN("later"), true);
	assert_int_equal(n, 0);
	set_flags(mb, 2, FLAGS_SET, FLAG_ANSWERED, 1);
	assert_int_equal(home_count(h, "Maildir/cur", ":2,Ra", NULL), 1);
	set_flags(other, 1, FLAGS_REMOVE, FLAG_DRAFT, 0);
	assert_int_equal(mailbox_message(other, 1)->flags, FLAG_SEEN);
	assert_sync(other, true, "F2 ");
	assert_string_equal(mailbox_keyword(other, 0), "later");
	assert_sync(mb, true, "F1 ");
	mailbox_close(&mb);
	mailbox_close(&other);
}

static void
expunge_removes_files_and_renumbers(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *other;
	struct message_text t;
	struct err e;

	for (int i = 0; i < 4; i++)
		append_text(h, "INBOX", TEXT);
	mb = open_box(h, "INBOX");
	other = open_box(h, "INBOX");
	expunge_uid(mb, 2);
	expunge_uid(mb, 3);
	assert_int_equal(home_count(h, "Maildir/cur", "", NULL), 2);
	assert_int_equal(mailbox_count(mb), 4);
	assert_sync(mb, true, "E3 E2 ");
	assert_int_equal(mailbox_count(mb), 2);
	assert_int_equal(mailbox_message(mb, 2)->uid, 4);
	assert_sync(other, false, "");
	assert_int_equal(mailbox_text(other, 2, &t, &e), -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(mailbox_seq(other, 3), 3);
	assert_sync(other, true, "E3 E2 ");
	assert_int_equal(mailbox_seq(other, 3), 0);
	assert_int_equal(mailbox_seq_from(other, 3), 2);
	expunge_uid(mb, 4);
	assert_int_equal(append_text(h, "INBOX", TEXT), 5);
	assert_sync(other, true, "E2 *2/1 ");
	mailbox_close(&mb);
	mailbox_close(&other);
}

static void
uids_survive_the_loss_of_the_index(void **state)
{
	struct home *h = *state;
	struct mailbox_status before, after;
	struct mailbox *mb;
	struct err e;

	for (int i = 0; i < 3; i++)
		append_text(h, "INBOX", TEXT);
	mb = open_box(h, "INBOX");
	expunge_uid(mb, 3);
	mailbox_get_status(mb, &before);
	mailbox_close(&mb);
	run(h, "rm Maildir/chappe.index");
	mb = open_box(h, "INBOX");
	mailbox_get_status(mb, &after);
	assert_int_equal(after.uid_validity, before.uid_validity);
	assert_int_equal(after.messages, 2);
	assert_int_equal(mailbox_message(mb, 2)->uid, 2);
	/* 3 was announced: never again. */
	assert_true(append_text(h, "INBOX", TEXT) > 3);
	mailbox_close(&mb);
	run(h, "printf rubbish > Maildir/chappe.index");
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &after, &e), 0);
	assert_int_equal(after.uid_validity, before.uid_validity);
	assert_int_equal(after.messages, 3);
	run(h, "rm Maildir/dovecot-uidlist");
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &after, &e), 0);
	assert_true(after.uid_validity > before.uid_validity);
	assert_int_equal(after.messages, 3);
}

static void
a_folder_from_dovecot_keeps_its_uids(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	run(h, "mkdir -p Maildir/cur Maildir/new Maildir/tmp");
	home_write(h, "Maildir/cur/1000.a.host:2,S", TEXT);
	home_write(h, "Maildir/cur/1001.b.host,S=5:2,b", TEXT);
	home_write(h, "Maildir/cur/1002.c.host:2,", TEXT);
	home_write(h, "Maildir/dovecot-uidlist",
	    "3 V1234567890 N20 Gabcdef\n"
	    "7 W35 :1000.a.host\n"
	    "9 :1001.b.host,S=5\n"
	    "12 :1009.gone.host\n");
	home_write(h, "Maildir/dovecot-keywords", "0 one\n1 two\n");
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 3);
	assert_int_equal(mailbox_message(mb, 1)->uid, 7);
	assert_int_equal(mailbox_message(mb, 2)->uid, 9);
	assert_int_equal(mailbox_message(mb, 3)->uid, 20);
	assert_int_equal(mailbox_message(mb, 1)->flags, FLAG_SEEN);
	assert_int_equal(mailbox_message(mb, 3)->flags, FLAG_RECENT);
	assert_int_equal(mailbox_message(mb, 2)->keywords, 2);
	assert_string_equal(mailbox_keyword(mb, 1), "two");
	mailbox_close(&mb);
}

static void
foreign_programs_may_do_as_they_like(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	append_text(h, "INBOX", TEXT);
	append_text(h, "INBOX", TEXT);
	mb = open_box(h, "INBOX");
	/* A mail program sets flags, also to where we don't look first. */
	run(h,
	    "cd Maildir/cur; for f in *; do mv $f ${f%:*}:2,ST; done");
	set_flags(mb, 1, FLAGS_ADD, FLAG_FLAGGED, 0);
	assert_int_equal(home_count(h, "Maildir/cur", ":2,FST", NULL), 1);
	assert_text(mb, 2, TEXT_CRLF);
	assert_sync(mb, true, "F2 ");
	/* Delivers, removes. */
	home_write(h, "Maildir/new/5.x.host", TEXT);
	run(h, "rm Maildir/cur/*FST");
	assert_sync(mb, true, "E1 *2/2 ");
	mailbox_close(&mb);
}

static void
a_restored_mail_gets_a_new_uid(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	append_text(h, "INBOX", TEXT);
	append_text(h, "INBOX", TEXT);
	mb = open_box(h, "INBOX");
	run(h, "mkdir away && mv Maildir/cur/* away");
	assert_sync(mb, true, "E2 E1 ");
	run(h, "mv away/* Maildir/cur");
	assert_sync(mb, true, "*2/2 ");
	assert_int_equal(mailbox_message(mb, 1)->uid, 3);
	mailbox_close(&mb);
}

static void
copy_and_move_are_all_or_none(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *to;
	const uint32_t seqs[] = { 2, 1 };
	uint32_t uids[2], validity;
	struct err e;

	append_text(h, "INBOX", TEXT);
	append_text(h, "INBOX", "b: b\n\nb\n");
	mb = open_box(h, "INBOX");
	set_flags(mb, 2, FLAGS_SET, FLAG_SEEN,
	    (uint64_t)1 << mailbox_keyword_find(mb, SPAN("kw"), true));
	assert_int_equal(mailbox_copy(mb, seqs, 2, SPAN("Sent"), false, uids,
			     &validity, &e),
	    -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(store_create(h->store, SPAN("Sent"), &e), 0);
	assert_int_equal(mailbox_copy(mb, seqs, 2, SPAN("Sent"), false, uids,
			     &validity, &e),
	    0);
	assert_int_equal(uids[0], 1);
	assert_int_equal(uids[1], 2);
	to = open_box(h, "Sent");
	assert_text(to, 1, "b: b\r\n\r\nb\r\n");
	assert_int_equal(
	    mailbox_message(to, 1)->flags, FLAG_SEEN | FLAG_RECENT);
	assert_string_equal(mailbox_keyword(to, 0), "kw");
	assert_int_equal(mailbox_message(to, 1)->keywords, 1);
	assert_int_equal(mailbox_message(to, 1)->internal_s,
	    mailbox_message(mb, 2)->internal_s);
	assert_int_equal(mailbox_copy(mb, seqs, 2, SPAN("Sent"), true, uids,
			     &validity, &e),
	    0);
	assert_sync(mb, true, "E2 E1 ");
	assert_sync(to, true, "*4/4 ");
	assert_text(to, 4, TEXT_CRLF);
	mailbox_close(&mb);
	mailbox_close(&to);
}

static void
read_only_changes_nothing(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	const uint32_t one = 1;
	struct err e;

	deliver_text(h, TEXT, NULL);
	assert_int_equal(mailbox_open(h->store, SPAN("INBOX"), true, &mb, &e),
	    0);
	assert_true(mailbox_read_only(mb));
	assert_int_equal(mailbox_message(mb, 1)->flags, FLAG_RECENT);
	assert_int_equal(
	    mailbox_set_flags(mb, &one, 1, FLAGS_ADD, FLAG_SEEN, 0, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(mailbox_expunge(mb, &one, 1, &e), -1);
	assert_int_equal(home_count(h, "Maildir/new", "", NULL), 1);
	mailbox_close(&mb);
}

static void
names_do_not_lead_out(void **state)
{
	static const char *const names[] = { "../x", "a/b", "/etc", "", ".x",
		"a..b", "a.", "~root", "a.~b", "cur", "x.tmp", "a\001b",
		"\xff", "a\x7f", "x.cur" };
	struct home *h = *state;
	struct mailbox *mb;
	char *big = mem_zalloc(60001);
	struct err e;

	memset(big, 'a', 60000);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(mailbox_open(h->store, span_str(names[i]),
				     false, &mb, &e),
		    -1);
		assert_int_equal(e.kind, ERR_PERM);
		/* A separator at the end is allowed when creating. */
		if (strcmp(names[i], "a.") != 0)
			assert_int_equal(store_create(h->store,
					     span_str(names[i]), &e),
			    -1);
	}
	assert_int_equal(store_create(h->store, span_str(big), &e), -1);
	mem_free(big);
	assert_int_equal(home_count(h, ".", "", NULL), 0);
}

static void
a_symlink_is_no_folder(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	struct err e;

	append_text(h, "INBOX", TEXT);
	run(h, "mkdir -p other/cur && ln -s other Maildir/.x");
	assert_int_equal(
	    mailbox_open(h->store, SPAN("x"), false, &mb, &e), -1);
	run(h, "ln -s /etc/passwd Maildir/cur/1.a.b");
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 1);
	mailbox_close(&mb);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_append_is_read_back),
		T(append_keeps_flags_date_and_keywords),
		T(a_delivery_goes_to_new_and_is_taken),
		T(a_repeated_delivery_is_one),
		T(flags_are_changed_in_names),
		T(expunge_removes_files_and_renumbers),
		T(uids_survive_the_loss_of_the_index),
		T(a_folder_from_dovecot_keeps_its_uids),
		T(foreign_programs_may_do_as_they_like),
		T(a_restored_mail_gets_a_new_uid),
		T(copy_and_move_are_all_or_none),
		T(read_only_changes_nothing),
		T(names_do_not_lead_out),
		T(a_symlink_is_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
