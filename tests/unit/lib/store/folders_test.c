/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/store/store_test.h"

static int
setup_maildir(void **state)
{
	*state = home_new("maildir:~/Maildir");
	return 0;
}

static int
setup_mbox(void **state)
{
	*state = home_new("mbox:~/mail:INBOX=~/inbox");
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
list_one(void *arg, struct span name, unsigned attributes)
{
	static const struct {
		unsigned bit;
		char letter;
	} letters[] = { { BOX_NOSELECT, 'n' }, { BOX_HASCHILDREN, 'c' },
		{ BOX_SUBSCRIBED, 's' }, { BOX_NONEXISTENT, 'x' },
		{ BOX_DRAFTS, 'D' }, { BOX_SENT, 'S' }, { BOX_TRASH, 'T' } };
	struct buf *b = arg;

	buf_add(b, name);
	buf_byte(b, '/');
	for (size_t i = 0; i < COUNT_OF(letters); i++)
		if ((attributes & letters[i].bit) != 0)
			buf_byte(b, (uint8_t)letters[i].letter);
	buf_byte(b, ' ');
}

static void
assert_list(struct home *h, bool subscribed, const char *want)
{
	struct err e;
	struct buf b;

	buf_init(&b, 4000);
	assert_int_equal(
	    store_list(h->store, subscribed, list_one, &b, &e), 0);
	assert_string_equal(buf_cstr(&b), want);
	buf_release(&b);
}

static void
create(struct home *h, const char *name)
{
	struct err e;

	if (store_create(h->store, span_str(name), &e) != 0)
		fail_msg("%s: %s", name, e.text);
}

static void
folders_come_and_go(void **state)
{
	struct home *h = *state;
	struct err e;

	assert_list(h, false, "INBOX/ ");
	create(h, "Sent");
	create(h, "a.b.c");
	create(h, "Entw\xc3\xbcrfe");
	create(h, "Trash.");
	assert_int_equal(home_count(h, "Maildir", "cur", NULL), 0);
	run(h, "test -d 'Maildir/.Entw&APw-rfe/cur'");
	assert_list(h, false,
	    "Entw\xc3\xbcrfe/ INBOX/ Sent/S Trash/T a/nc a.b/nc a.b.c/ ");
	assert_int_equal(store_create(h->store, SPAN("Sent"), &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	assert_int_equal(store_create(h->store, SPAN("inbox"), &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	create(h, "a");
	assert_int_equal(store_delete(h->store, SPAN("a.b"), &e), -1);
	assert_int_equal(store_delete(h->store, SPAN("none"), &e), -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(store_delete(h->store, SPAN("INBOX"), &e), -1);
	assert_int_equal(store_delete(h->store, SPAN("a"), &e), 0);
	assert_int_equal(store_delete(h->store, SPAN("Sent"), &e), 0);
	assert_list(h, false,
	    "Entw\xc3\xbcrfe/ INBOX/ Trash/T a/nc a.b/nc a.b.c/ ");
	run(h, "! ls Maildir | grep removed");
}

static void
a_removed_name_gets_a_new_validity(void **state)
{
	struct home *h = *state;
	struct mailbox_status a, b;
	struct err e;

	create(h, "x");
	assert_int_equal(store_status(h->store, SPAN("x"), &a, &e), 0);
	assert_int_equal(store_delete(h->store, SPAN("x"), &e), 0);
	create(h, "x");
	assert_int_equal(store_status(h->store, SPAN("x"), &b, &e), 0);
	assert_true(b.uid_validity > a.uid_validity);
	assert_int_equal(
	    store_rename(h->store, SPAN("x"), SPAN("y"), &e), 0);
	create(h, "x");
	assert_int_equal(store_status(h->store, SPAN("x"), &a, &e), 0);
	assert_true(a.uid_validity > b.uid_validity);
	assert_int_equal(store_status(h->store, SPAN("y"), &a, &e), 0);
	assert_int_equal(a.uid_validity, b.uid_validity);
}

static void
a_rename_takes_the_children(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	struct err e;

	create(h, "a");
	create(h, "a.b");
	create(h, "ab");
	append_text(h, "a.b", "x: y\n\nz\n");
	assert_int_equal(
	    store_rename(h->store, SPAN("a"), SPAN("n.a"), &e), 0);
	assert_list(h, false, "INBOX/ ab/ n/nc n.a/c n.a.b/ ");
	mb = open_box(h, "n.a.b");
	assert_text(mb, 1, "x: y\r\n\r\nz\r\n");
	mailbox_close(&mb);
	assert_int_equal(
	    store_rename(h->store, SPAN("n"), SPAN("m"), &e), 0);
	assert_list(h, false, "INBOX/ ab/ m/nc m.a/c m.a.b/ ");
	assert_int_equal(
	    store_rename(h->store, SPAN("m"), SPAN("m.x"), &e), -1);
	assert_int_equal(
	    store_rename(h->store, SPAN("ab"), SPAN("m.a"), &e), -1);
	assert_int_equal(e.sysno, EEXIST);
	assert_int_equal(
	    store_rename(h->store, SPAN("zz"), SPAN("z"), &e), -1);
	assert_int_equal(e.sysno, ENOENT);
}

static void
renaming_inbox_moves_its_messages(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	struct err e;

	append_text(h, "INBOX", "x: 1\n\nz\n");
	append_text(h, "INBOX", "x: 2\n\nz\n");
	assert_int_equal(
	    store_rename(h->store, SPAN("inbox"), SPAN("old"), &e), 0);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 0);
	mailbox_close(&mb);
	mb = open_box(h, "old");
	assert_int_equal(mailbox_count(mb), 2);
	assert_text(mb, 2, "x: 2\r\n\r\nz\r\n");
	mailbox_close(&mb);
}

static void
subscriptions_are_kept_for_names(void **state)
{
	struct home *h = *state;
	char *text;
	struct err e;

	create(h, "Sent");
	assert_int_equal(
	    store_subscribe(h->store, SPAN("Sent"), true, &e), 0);
	assert_int_equal(
	    store_subscribe(h->store, SPAN("inbox"), true, &e), 0);
	assert_int_equal(
	    store_subscribe(h->store, SPAN("g\xc3\xb6ne"), true, &e), 0);
	assert_list(h, true, "INBOX/s Sent/sS g\xc3\xb6ne/nsx ");
	assert_int_equal(
	    store_subscribe(h->store, SPAN("INBOX"), false, &e), 0);
	assert_int_equal(
	    store_subscribe(h->store, SPAN("never"), false, &e), 0);
	assert_list(h, true, "Sent/sS g\xc3\xb6ne/nsx ");
	text = home_read(h, "Maildir/subscriptions");
	assert_string_equal(text, "Sent\ng&APY-ne\n");
	mem_free(text);
	/* Dovecot's newer form stays one. */
	home_write(h, "Maildir/subscriptions", "V\t2\n\nSent\na\tb\n");
	assert_list(h, true, "Sent/sS a.b/nsx ");
	assert_int_equal(store_subscribe(h->store, SPAN("c.d"), true, &e), 0);
	text = home_read(h, "Maildir/subscriptions");
	assert_string_equal(text, "V\t2\n\nSent\na\tb\nc\td\n");
	mem_free(text);
	assert_int_equal(
	    store_subscribe(h->store, SPAN("../x"), true, &e), -1);
}

static void
mbox_folders_are_files(void **state)
{
	struct home *h = *state;
	struct mailbox_status st;
	struct err e;

	assert_list(h, false, "INBOX/ ");
	create(h, "Sent");
	create(h, "a/b");
	run(h, "mkdir mail/.hidden; touch mail/x.lock; ln -s /etc mail/l");
	assert_list(h, false, "INBOX/ Sent/S a/nc a/b/ ");
	append_text(h, "a/b", "x: y\n\nz\n");
	assert_int_equal(
	    store_rename(h->store, SPAN("a/b"), SPAN("c/d/e"), &e), 0);
	assert_int_equal(store_status(h->store, SPAN("c/d/e"), &st, &e), 0);
	assert_int_equal(st.messages, 1);
	assert_int_equal(st.uid_next, 2);
	assert_int_equal(store_delete(h->store, SPAN("c/d/e"), &e), 0);
	assert_int_equal(store_delete(h->store, SPAN("Sent"), &e), 0);
	/* Directories stay until they are removed. */
	assert_list(h, false, "INBOX/ a/n c/nc c/d/n ");
	assert_int_equal(store_delete(h->store, SPAN("c"), &e), -1);
	assert_int_equal(store_delete(h->store, SPAN("c/d"), &e), 0);
	assert_int_equal(store_delete(h->store, SPAN("c"), &e), 0);
	create(h, "a");
	assert_list(h, false, "INBOX/ a/ ");
	assert_int_equal(
	    store_create(h->store, SPAN("../../evil"), &e), -1);
	assert_int_equal(
	    store_create(h->store, SPAN("l/chappe-evil"), &e), -1);
	assert_int_equal(
	    store_subscribe(h->store, SPAN("a/b"), true, &e), 0);
	assert_list(h, true, "a/b/nsx ");
}

int
main(void)
{
#define T(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)
	const struct CMUnitTest tests[] = {
		T(folders_come_and_go, setup_maildir),
		T(a_removed_name_gets_a_new_validity, setup_maildir),
		T(a_rename_takes_the_children, setup_maildir),
		T(renaming_inbox_moves_its_messages, setup_maildir),
		T(subscriptions_are_kept_for_names, setup_maildir),
		T(mbox_folders_are_files, setup_mbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
