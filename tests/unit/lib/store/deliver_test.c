/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/deliver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include "lib/base/buf.h"
#include "lib/base/crc.h"
#include "tests/unit/lib/store/store_test.h"

static const char content[] =
    "Subject: s\r\nDelivered-To: Other@h.test\r\n\r\nFrom the start\r\n";

static struct delivery
make_delivery(void)
{
	struct delivery d = {
		.content = { .fd = memfd_create("queue file", MFD_CLOEXEC),
		    .at = 5,
		    .size = sizeof(content) - 1,
		    .checked = true,
		    .crc = crc32c(0, span_str(content)) },
		.sender = SPAN("a@b.test"),
		.address = SPAN("bob@h.test"),
		.orig_address = SPAN("alias@h.test"),
		.queue_id = "ABCDEF0123456" };

	assert_int_equal(write(d.content.fd, "front", 5), 5);
	assert_int_equal(write(d.content.fd, content, sizeof(content) - 1),
	    sizeof(content) - 1);
	return d;
}

static void
test_lines_in_front(void **state)
{
	struct delivery d = { .sender = SPAN("a\nb@c.test"),
		.address = SPAN("bob@h.test") };
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	delivery_lines(&d, &out);
	assert_string_equal(buf_cstr(&out),
	    "Return-Path: <a?b@c.test>\nX-Original-To: bob@h.test\n"
	    "Delivered-To: bob@h.test\n");
	buf_reset(&out);
	d.sender = SPAN_EMPTY;
	d.orig_address = SPAN("alias@h.test");
	delivery_lines(&d, &out);
	assert_string_equal(buf_cstr(&out),
	    "Return-Path: <>\nX-Original-To: alias@h.test\n"
	    "Delivered-To: bob@h.test\n");
	buf_release(&out);
}

static void
test_loops_are_seen(void **state)
{
	struct delivery d = make_delivery();
	struct err e;

	(void)state;
	assert_int_equal(delivery_loops(&d, &e), 0);
	d.address = SPAN("other@H.TEST");
	assert_int_equal(delivery_loops(&d, &e), 1);
	close(d.content.fd);
	d.content.fd = -1;
	assert_int_equal(delivery_loops(&d, &e), -1);
}

/* times: the same queue id comes so often to the same recipient. */
static void
check_inbox(const char *location, const char *kind, unsigned times,
    const char *check)
{
	struct home *h = home_new(location);
	struct delivery d = make_delivery();
	struct err e;

	assert_string_equal(deliver_kind(h->store), kind);
	while (times-- > 0)
		assert_int_equal(deliver_inbox(h->store, &d, &e), 0);
	run(h, check);
	close(d.content.fd);
	home_free(&h);
}

static void
test_into_a_maildir_once(void **state)
{
	(void)state;
	check_inbox("maildir:~/Maildir", "maildir", 2,
	    "test $(ls Maildir/new | wc -l) = 1 && "
	    "grep -q '^Delivered-To: bob@h.test$' Maildir/new/* && "
	    "grep -q '^From the start$' Maildir/new/*");
}

static void
test_into_an_mbox(void **state)
{
	(void)state;
	check_inbox("mbox:~/mail:INBOX=%h/inbox", "mailbox", 1,
	    "test $(grep -c '^From a@b.test ' inbox) = 1 && "
	    "grep -q '^>From the start$' inbox");
}

/* Nothing of it is left in the mailbox. */
static void
check_damaged(const char *location, const char *check)
{
	struct home *h = home_new(location);
	struct delivery d = make_delivery();
	struct err e;

	assert_int_equal(pwrite(d.content.fd, "f", 1,
			     5 + (off_t)sizeof(content) - 4), 1);
	assert_int_equal(deliver_inbox(h->store, &d, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(e.sysno, EBADMSG);
	run(h, check);
	close(d.content.fd);
	home_free(&h);
}

static void
test_nothing_damaged(void **state)
{
	(void)state;
	check_damaged("maildir:~/Maildir",
	    "test -z \"$(ls Maildir/new Maildir/cur Maildir/tmp | grep ,)\" &&"
	    " ! grep -rq 'From the' Maildir");
	check_damaged(
	    "mbox:~/mail:INBOX=%h/inbox", "! test -s inbox");
}

static void
test_into_a_file(void **state)
{
	struct home *h = home_new("maildir:~/Maildir");
	struct delivery d = make_delivery();
	char *path = mem_printf("%s/file", h->path);
	struct err e;

	(void)state;
	assert_int_equal(deliver_file("/dev/null", &d, 0, &e), 0);
	assert_int_equal(deliver_file(path, &d, 0, &e), 0);
	run(h, "test $(stat -c %a file) = 600 && "
	       "test $(grep -c '^Subject: s$' file) = 1");
	assert_int_equal(deliver_file(path, &d, 100, &e), -1);
	run(h, "test $(grep -c '^Subject: s$' file) = 1");
	close(d.content.fd);
	mem_free(path);
	home_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_in_front),
		cmocka_unit_test(test_loops_are_seen),
		cmocka_unit_test(test_into_a_maildir_once),
		cmocka_unit_test(test_into_an_mbox),
		cmocka_unit_test(test_nothing_damaged),
		cmocka_unit_test(test_into_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
