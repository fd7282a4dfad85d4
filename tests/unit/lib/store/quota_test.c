/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/quota.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/store/store_test.h"

static const struct quota limit = { .bytes = 1000, .messages = 4 };

static int
set_up(void **state)
{
	*state = home_new("maildir:~/Maildir");
	return 0;
}

static int
tear_down(void **state)
{
	struct home *h = *state;

	home_free(&h);
	return 0;
}

static int
root_of(struct home *h)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/Maildir", h->path);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	return fd;
}

static void
rules_are_dovecots(void **state)
{
	struct quota q;

	(void)state;
	assert_true(quota_parse("*:storage=1G:messages=1000", &q));
	assert_int_equal(q.bytes, 1 << 30);
	assert_int_equal(q.messages, 1000);
	assert_true(quota_parse("*:storage=10", &q));
	assert_int_equal(q.bytes, 10240);
	assert_true(quota_parse("*:bytes=500", &q));
	assert_int_equal(q.bytes, 500);
	assert_true(quota_parse("*:storage=3m", &q));
	assert_int_equal(q.bytes, 3 << 20);
	assert_true(quota_parse("", &q) && !quota_limited(&q));
	assert_true(quota_parse("*:ignore", &q) && !quota_limited(&q));
	assert_false(quota_parse("1G", &q));
	assert_false(quota_parse("*:storage=1X", &q));
	assert_false(quota_parse("*:storage=", &q));
	assert_false(quota_parse("*:storage=99999999999T", &q));
	assert_false(quota_parse("*:colour=red", &q));
}

static void
what_is_there_is_counted(void **state)
{
	struct home *h = *state;
	struct quota u;
	char *text;
	int root;

	run(h, "mkdir -p Maildir/cur Maildir/new Maildir/tmp "
	       "Maildir/.Sent/cur Maildir/.Sent/new; "
	       "printf 12345 > Maildir/new/a; "
	       "printf x > 'Maildir/cur/b,S=100,W=110:2,S'; "
	       "printf 123 > Maildir/.Sent/cur/c:2,S; "
	       "printf 123456789 > Maildir/tmp/d");
	root = root_of(h);
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.bytes, 108);
	assert_int_equal(u.messages, 3);
	text = home_read(h, "Maildir/maildirsize");
	assert_string_equal(text, "1000S,4C\n108 3\n");
	mem_free(text);
	/* Now the file is believed. */
	run(h, "printf 1234 > Maildir/new/e");
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.messages, 3);
	quota_change(root, -8, -2);
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.bytes, 100);
	assert_int_equal(u.messages, 1);
	quota_forget(root);
	quota_change(root, 5, 1);
	assert_int_equal(home_count(h, "Maildir", "maildirsize", NULL), 0);
	close(root);
}

static void
what_cannot_be_believed_is_counted(void **state)
{
	static const char *const files[] = { "1000S\n5 1\n", "1000S,4C\nx 1\n",
		"1000S,4C\n5\n", "1000S,4C\n-5 1\n", "",
		"1000S,4C\n999 1\n1 1\n",
		"1000S,4C\n9223372036854775807 1\n9223372036854775807 1\n" };
	struct home *h = *state;
	struct quota u;
	int root;

	run(h, "mkdir -p Maildir/cur Maildir/new Maildir/tmp; "
	       "printf 12345 > Maildir/new/a");
	root = root_of(h);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		home_write(h, "Maildir/maildirsize", files[i]);
		assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
		assert_int_equal(u.bytes, 5);
		assert_int_equal(u.messages, 1);
	}
	/* An excess of one line is believed while it is fresh. */
	home_write(h, "Maildir/maildirsize", "1000S,4C\n1000 1\n");
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.bytes, 1000);
	run(h, "touch -d '1 hour ago' Maildir/maildirsize");
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.bytes, 5);
	/* Lines add up to more than is read. */
	run(h, "for i in $(seq 1000); do echo 1 0; done >> "
	       "Maildir/maildirsize");
	assert_int_equal(quota_usage(root, &limit, &u, NULL), 0);
	assert_int_equal(u.bytes, 5);
	close(root);
}

static void
limits_are_limits(void **state)
{
	const struct quota bytes = { .bytes = 100 };
	const struct quota used = { .bytes = 90, .messages = 4 };

	(void)state;
	assert_false(quota_exceeds(&bytes, &used, 10, 100));
	assert_true(quota_exceeds(&bytes, &used, 11, 1));
	assert_true(quota_exceeds(&limit, &used, 1, 1));
	assert_false(quota_full(&bytes, &used));
	assert_true(quota_full(&limit, &used));
}

static int
try_delivery(struct home *h, struct err *e)
{
	struct append *a;
	const struct append_meta meta = { .delivery = true };
	uint32_t uid, validity;

	if (append_begin(h->store, SPAN("INBOX"), &meta, &a, e) != 0)
		return -1;
	if (append_write(a, SPAN("a: b\n\n0123456789\n"), e) != 0) {
		append_abort(&a);
		return -1;
	}
	return append_commit(&a, &uid, &validity, e);
}

/* Through the store: refused when full, possible again after an expunge. */
static void
the_store_keeps_to_it(void **state)
{
	struct home *h = *state;
	const struct store_user user = { .name = "u",
		.home = h->path,
		.location = "maildir:~/Maildir",
		.quota_rule = "*:messages=2" };
	struct mailbox *mb;
	bool limited, full;
	uint32_t uid;
	struct err e;

	store_close(&h->store);
	assert_int_equal(store_open(&user, &h->store, &e), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(try_delivery(h, &e), 0);
		assert_int_equal(store_quota(h->store, &limited, &full, &e),
		    0);
		assert_true(limited);
		assert_int_equal(full, i == 1);
	}
	assert_int_equal(try_delivery(h, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_string_equal(e.dsn, "5.2.2");
	assert_int_equal(home_count(h, "Maildir/new", "", NULL), 2);
	assert_int_equal(home_count(h, "Maildir/tmp", "", NULL), 0);
	assert_int_equal(mailbox_open(h->store, SPAN("INBOX"), false, &mb, &e),
	    0);
	uid = mailbox_message(mb, 1)->uid;
	assert_int_equal(mailbox_expunge(mb, &uid, 1, &e), 0);
	mailbox_close(&mb);
	assert_int_equal(store_quota(h->store, &limited, &full, &e), 0);
	assert_false(full);
	assert_int_equal(try_delivery(h, &e), 0);
}

static void
a_bad_rule_is_an_error(void **state)
{
	struct home *h = *state;
	const struct store_user user = { .name = "u", .home = h->path,
		.location = "maildir:~/Maildir", .quota_rule = "much" };
	struct store *s;
	struct err e;

	assert_int_equal(store_open(&user, &s, &e), -1);
	assert_string_equal(e.text, "quota_rule: \"much\" is none");
}

int
main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(rules_are_dovecots),
		T(what_is_there_is_counted),
		T(what_cannot_be_believed_is_counted),
		T(limits_are_limits),
		T(the_store_keeps_to_it),
		T(a_bad_rule_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
