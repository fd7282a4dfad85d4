/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/mbox.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "lib/os/fs.h"
#include "lib/store/deliver.h"
#include "tests/unit/lib/store/store_test.h"

#define TEXT "Subject: hi\n\nline one\nline two\n"
#define TEXT_CRLF "Subject: hi\r\n\r\nline one\r\nline two\r\n"
#define FROM "From a@example.com  Sun Nov 22 14:34:22 2026\n"

static int
setup(void **state)
{
	setenv("TZ", "UTC", 1);
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

/* ---- parsing ---- */
static void
from_lines_are_known(void **state)
{
	static const struct {
		const char *line;
		bool good;
	} rows[] = {
		{ "From a@b Sun Nov 22 14:34:22 2026", true },
		{ "From a@b  Sun Nov  2 14:34:22 2026", true },
		{ "From MAILER-DAEMON Sun Nov 22 14:34 2026", true },
		{ "From a b c Sun Nov 22 14:34:22 2026", true },
		{ "From a@b Sun Nov 22 14:34:22 2026 remote from x", true },
		{ "From here on we go", false },
		{ "From ", false },
		{ "from a@b Sun Nov 22 14:34:22 2026", false },
		{ ">From a@b Sun Nov 22 14:34:22 2026", false },
	};
	int64_t date;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (mbox_from_line(span_str(rows[i].line), &date) !=
		    rows[i].good)
			fail_msg("%s", rows[i].line);
	assert_true(mbox_from_line(span_str(rows[0].line), &date));
	assert_int_equal(date, 1795358062);
}

static void
a_file_is_cut_into_messages(void **state)
{
	static const struct {
		const char *text;
		int count; /* -1: no mailbox */
	} rows[] = {
		{ "", 0 },
		{ "\n\n", 0 },
		{ FROM "a: b\n\nx\n\n" FROM "c: d\n\ny\n\n", 2 },
		{ FROM "a: b\n\nx\n" FROM "c: d\n\ny\n", 1 },
		{ FROM "a: b\n\nx\n\nFrom here on\n\n", 1 },
		{ FROM "a: b\n\n\n" FROM "c: d\n\n", 2 },
		{ FROM "a: b\n\n" FROM "c: d\n\n", 2 },
		{ FROM "\nbody\n\n" FROM, 2 },
		{ FROM, 1 },
		{ FROM "a: b", 1 },
		{ "Subject: x\n\ny\n", -1 },
		{ "x\n" FROM, -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct mbox_list l;
		size_t sum = 0;
		const bool good = mbox_parse(span_str(rows[i].text), &l);

		assert_int_equal(good, rows[i].count >= 0);
		if (!good)
			continue;
		if (l.count != (size_t)rows[i].count)
			fail_msg("row %zu: %zu", i, l.count);
		for (size_t n = 0; n < l.count; n++)
			sum += l.at[n].raw.n;
		if (l.count > 0)
			assert_int_equal(sum, strlen(rows[i].text));
		mbox_list_release(&l);
	}
}

static void
marks_are_read_and_hidden(void **state)
{
	struct mbox_list l;
	struct buf b;

	(void)state;
	assert_true(mbox_parse(SPAN(FROM
	    "X-IMAPbase: 123 0000000045 one two\n"
	    "subject: x\n folded\n"
	    "STATUS: RO\nx-status: AD\nX-Keywords: two\n  one\n"
	    "X-UID: 7\nContent-Length: 9999\nTo: y\n\nbody\n\n"
	    ), &l));
	assert_int_equal(l.count, 1);
	assert_int_equal(l.validity, 123);
	assert_int_equal(l.last_uid, 45);
	assert_int_equal(l.at[0].uid, 7);
	assert_int_equal(
	    l.at[0].flags, FLAG_SEEN | FLAG_ANSWERED | FLAG_DELETED);
	assert_true(l.at[0].old);
	assert_true(l.at[0].ours);
	buf_init(&b, 1000);
	mbox_text(&l.at[0], &b);
	assert_string_equal(buf_cstr(&b),
	    "subject: x\r\n folded\r\nTo: y\r\n\r\nbody\r\n");
	assert_int_equal(l.at[0].size, b.n);
	buf_release(&b);
	mbox_list_release(&l);
}

/* ---- the store ---- */
static void
a_delivery_is_read_back(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	char *text;

	deliver_text(h, TEXT, "4F00");
	deliver_text(h,
	    "Status: RO\nX-UID: 99\nX-IMAPbase: 1 2\n 3\nContent-Length: 5\n"
	    "a: b\n\nFrom x\n>From y\nno end",
	    "4F01");
	/* The note's place is made, and the note is gone. */
	assert_int_equal(home_count(h, "mail/.imap/INBOX", "chappe", NULL), 0);
	text = home_read(h, "inbox");
	assert_memory_equal(text, "From a@example.com  ", 20);
	assert_non_null(strstr(
	    text, "Subject: hi\n\nline one\nline two\n\nFrom a@"));
	assert_non_null(
	    strstr(text, "\na: b\n\n>From x\n>From y\nno end\n\n"));
	assert_null(strstr(text, "X-UID"));
	mem_free(text);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 2);
	assert_int_equal(mailbox_message(mb, 1)->uid, 1);
	assert_int_equal(mailbox_message(mb, 2)->uid, 2);
	assert_int_equal(mailbox_message(mb, 1)->flags, FLAG_RECENT);
	assert_int_equal(mailbox_message(mb, 2)->flags, FLAG_RECENT);
	assert_text(mb, 1, TEXT_CRLF);
	assert_text(
	    mb, 2, "a: b\r\n\r\n>From x\r\n>From y\r\nno end\r\n");
	deliver_text(h, TEXT, "4F02");
	assert_sync(mb, true, "*3/3 ");
	mailbox_close(&mb);
	assert_int_equal(home_count(h, ".", "inbox.lock", NULL), 0);
}

static void
a_repeated_delivery_is_one(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	deliver_text(h, "Received: by x id 4F00\n\na\n", "4F00R0");
	deliver_text(h, "Received: by x id 4F01\n\na\n", "4F01R0");
	deliver_text(h, "Received: by x id 4F00\n\na\n", "4F00R0");
	deliver_text(h, "Received: by x id 4F00\n\na\nb\n", "4F00R1");
	deliver_text(h, "Received: by x id 4F01\n\na\n", NULL);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 4);
	mailbox_close(&mb);
}

static void
flags_go_into_the_file(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *other;
	char *text;
	int n;

	deliver_text(h, TEXT, NULL);
	deliver_text(h, TEXT "second\n", NULL);
	mb = open_box(h, "INBOX");
	other = open_box(h, "INBOX");
	n = mailbox_keyword_find(mb, SPAN("later"), true);
	set_flags(mb, 2, FLAGS_ADD, FLAG_SEEN | FLAG_FLAGGED, 1ULL << n);
	assert_sync(mb, true, "");
	assert_sync(other, true, "F2 ");
	assert_int_equal(
	    mailbox_message(other, 2)->flags, FLAG_SEEN | FLAG_FLAGGED);
	assert_string_equal(mailbox_keyword(other, 0), "later");
	assert_int_equal(mailbox_message(other, 2)->keywords, 1);
	text = home_read(h, "inbox");
	assert_non_null(strstr(text, "\nX-IMAPbase: "));
	assert_non_null(strstr(text, "\nStatus: RO\nX-Status: F   \n"
				     "X-Keywords: later "));
	mem_free(text);
	/* The next change is one in place. */
	run(h, "stat -c %s inbox > size");
	set_flags(mb, 1, FLAGS_SET, FLAG_ANSWERED | FLAG_DRAFT, 0);
	run(h, "test $(stat -c %s inbox) = $(cat size)");
	assert_sync(other, true, "F1 ");
	assert_text(mb, 1, TEXT_CRLF);
	assert_text(mb, 2, "Subject: hi\r\n\r\nline one\r\nline two\r\n"
			   "second\r\n");
	mailbox_close(&mb);
	mailbox_close(&other);
}

static void
expunge_takes_messages_out(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *other;
	char *text;

	deliver_text(h, "a: 1\n\none\n", NULL);
	deliver_text(h, "a: 2\n\ntwo\n", NULL);
	deliver_text(h, "a: 3\n\nthree\n", NULL);
	mb = open_box(h, "INBOX");
	other = open_box(h, "INBOX");
	expunge_uid(mb, 1);
	assert_sync(mb, true, "E1 ");
	assert_text(mb, 1, "a: 2\r\n\r\ntwo\r\n");
	assert_int_equal(mailbox_message(mb, 2)->uid, 3);
	assert_sync(other, true, "E1 ");
	assert_int_equal(append_text(h, "INBOX", "a: 4\n\nfour\n"), 4);
	assert_sync(other, true, "*3/1 ");
	expunge_uid(mb, 2);
	expunge_uid(mb, 3);
	expunge_uid(mb, 4);
	assert_sync(other, true, "E3 E2 E1 ");
	text = home_read(h, "inbox");
	assert_string_equal(text, "");
	mem_free(text);
	assert_int_equal(append_text(h, "INBOX", "a: 5\n\nfive\n"), 5);
	mailbox_close(&mb);
	mailbox_close(&other);
	assert_int_equal(home_count(h, "mail/.imap/INBOX", "repair", NULL), 0);
}

static void
uids_survive_the_loss_of_the_index(void **state)
{
	struct home *h = *state;
	struct mailbox_status before, after;
	struct mailbox *mb;
	struct err e;

	append_text(h, "INBOX", "a: 1\n\none\n");
	append_text(h, "INBOX", "a: 2\n\ntwo\n");
	append_text(h, "INBOX", "a: 3\n\nthree\n");
	mb = open_box(h, "INBOX");
	expunge_uid(mb, 2);
	mailbox_get_status(mb, &before);
	mailbox_close(&mb);
	run(h, "rm -r mail/.imap");
	mb = open_box(h, "INBOX");
	mailbox_get_status(mb, &after);
	assert_int_equal(after.uid_validity, before.uid_validity);
	assert_int_equal(mailbox_count(mb), 2);
	assert_int_equal(mailbox_message(mb, 1)->uid, 1);
	assert_int_equal(mailbox_message(mb, 2)->uid, 3);
	assert_true(append_text(h, "INBOX", "a: 4\n\n4\n") > 3);
	mailbox_close(&mb);
	/* A mailbox that nobody gave uids: new ones under a new validity. */
	run(h, "rm -r mail/.imap inbox");
	deliver_text(h, TEXT, NULL);
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &after, &e), 0);
	assert_int_equal(after.messages, 1);
}

static void
appends_keep_flags_date_and_keywords(void **state)
{
	struct home *h = *state;
	const char *const words[] = { "one", "two", NULL };
	const struct append_meta meta = { .flags = FLAG_SEEN,
		.keywords = words, .internal_s = 1000000000,
		.internal_zone_min = 120 };
	struct mailbox *mb;

	append_with(h, "INBOX", TEXT_CRLF, &meta);
	mb = open_box(h, "INBOX");
	assert_int_equal(
	    mailbox_message(mb, 1)->flags, FLAG_SEEN | FLAG_RECENT);
	assert_int_equal(mailbox_message(mb, 1)->keywords, 3);
	assert_int_equal(mailbox_message(mb, 1)->internal_s, 1000000000);
	assert_int_equal(mailbox_message(mb, 1)->internal_zone_min, 120);
	assert_text(mb, 1, TEXT_CRLF);
	mailbox_close(&mb);
}

static void
foreign_programs_may_do_as_they_like(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;

	deliver_text(h, "a: 1\n\none\n", NULL);
	deliver_text(h, "a: 2\n\ntwo\n", NULL);
	deliver_text(h, "a: 3\n\nthree\n", NULL);
	mb = open_box(h, "INBOX");
	/* mailx deletes the first, marks the second, and another comes. */
	run(h,
	    "awk '/^From /{n++} n>1' inbox | "
	    "sed '0,/^a: 2/s//Status: RO\\na: 2/' > x && cat x > inbox");
	home_write(h, "more", FROM "a: 4\n\nfour\n\n");
	run(h, "cat more >> inbox");
	assert_sync(mb, true, "E1 *3/3 F1 ");
	assert_int_equal(mailbox_message(mb, 1)->uid, 2);
	assert_int_equal(mailbox_message(mb, 2)->uid, 3);
	assert_int_equal(mailbox_message(mb, 3)->uid, 4);
	assert_text(mb, 2, "a: 3\r\n\r\nthree\r\n");
	set_flags(mb, 3, FLAGS_ADD, FLAG_SEEN, 0);
	assert_text(mb, 3, "a: 4\r\n\r\nfour\r\n");
	/* It removes the file when it is empty. */
	run(h, "rm inbox");
	assert_sync(mb, true, "E3 E2 E1 ");
	deliver_text(h, TEXT, NULL);
	assert_sync(mb, true, "*1/1 ");
	assert_int_equal(mailbox_message(mb, 1)->uid, 5);
	/* What is no mailbox is left alone. */
	home_write(h, "inbox", "garbage\n");
	{
		struct err e;

		assert_int_equal(
		    mailbox_sync(mb, true, NULL, NULL, &e), -1);
	}
	mailbox_close(&mb);
}

static void
copies_go_to_folders(void **state)
{
	struct home *h = *state;
	struct mailbox *mb, *to;
	const uint32_t seqs[] = { 2, 1 };
	uint32_t uids[2], validity;
	struct err e;

	deliver_text(h, TEXT, NULL);
	deliver_text(h, "b: b\n\nb\n", NULL);
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_copy(mb, seqs, 2, SPAN("a/b"), false, uids,
			     &validity, &e),
	    -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(store_create(h->store, SPAN("a/b"), &e), 0);
	assert_int_equal(mailbox_copy(mb, seqs, 2, SPAN("a/b"), true, uids,
			     &validity, &e),
	    0);
	assert_int_equal(uids[0], 1);
	assert_int_equal(uids[1], 2);
	assert_sync(mb, true, "E2 E1 ");
	to = open_box(h, "a/b");
	assert_text(to, 1, "b: b\r\n\r\nb\r\n");
	assert_text(to, 2, TEXT_CRLF);
	mailbox_close(&to);
	mailbox_close(&mb);
	assert_int_equal(
	    store_rename(h->store, SPAN("a/b"), SPAN("c"), &e), 0);
	to = open_box(h, "c");
	assert_int_equal(mailbox_message(to, 2)->uid, 2);
	mailbox_close(&to);
	assert_int_equal(store_delete(h->store, SPAN("c"), &e), 0);
	assert_int_equal(
	    mailbox_open(h->store, SPAN("c"), false, &to, &e), -1);
	assert_int_equal(e.sysno, ENOENT);
}

static int
try_delivery(struct home *h, struct err *e)
{
	const struct append_meta meta = { .delivery = true };
	struct append *a;
	uint32_t uid, validity;

	if (append_begin(h->store, SPAN("INBOX"), &meta, &a, e) != 0)
		return -1;
	if (append_write(a, SPAN(TEXT), e) != 0) {
		append_abort(&a);
		return -1;
	}
	return append_commit(&a, &uid, &validity, e);
}

static void
only_the_users_own_file_is_written(void **state)
{
	struct home *h = *state;
	struct err e;

	run(h, "echo secret > victim; ln -s victim inbox");
	assert_int_equal(try_delivery(h, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	run(h, "rm inbox; ln victim inbox");
	assert_int_equal(try_delivery(h, &e), -1);
	assert_string_equal(e.dsn, "4.2.0");
	run(h, "rm inbox; mkdir inbox");
	assert_int_equal(try_delivery(h, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	run(h, "rmdir inbox; mkfifo inbox");
	assert_int_equal(try_delivery(h, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	if (getuid() == 0) {
		run(h, "rm inbox; touch inbox; chown 1234 inbox");
		assert_int_equal(try_delivery(h, &e), -1);
		assert_string_equal(e.dsn, "4.2.0");
	}
	run(h, "test \"$(cat victim)\" = secret");
}

static void
the_limit_holds(void **state)
{
	struct home *h = *state;
	const struct store_user user = { .name = "bob", .home = h->path,
		.location = "mbox:~/mail:INBOX=~/inbox", .size_max = 300 };
	struct err e;
	int n = 0;

	store_close(&h->store);
	assert_int_equal(store_open(&user, &h->store, &e), 0);
	while (try_delivery(h, &e) == 0)
		assert_true(++n < 10);
	assert_true(n > 0);
	assert_int_equal(e.kind, ERR_PERM);
	assert_string_equal(e.dsn, "5.2.2");
}

/* ---- crashes ---- */
/* Runs the change in a child that is killed at its n-th durable step. */
static bool
dies_at(struct home *h, const char *what, int n)
{
	char fault[32];
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		snprintf(fault, sizeof(fault), "%d:kill", n);
		setenv("CHAPPE_FAULT", fault, 1);
		execl("/proc/self/exe", "mbox_test", "change", h->path, what,
		    (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

/* The message that comes; large: more than a megabyte. */
static char *
fourth(bool large)
{
	const size_t n = large ? 1200000 : 0;
	char *text = mem_alloc(n + 20);

	memcpy(text, "a: 4\n\n", 6);
	for (size_t i = 0; i < n; i++)
		text[6 + i] = i % 64 == 63 ? '\n' : 'x';
	memcpy(text + 6 + n, "four\n", 6);
	return text;
}

/* In the child. */
static int
change(const char *path, const char *what)
{
	struct home h = { .store = NULL };
	const uint32_t seq = 2, uid = 2;
	struct mailbox *mb;
	struct err e;
	int rc;

	snprintf(h.path, sizeof(h.path), "%s", path);
	home_open_store(&h, "mbox:~/mail:INBOX=~/inbox");
	if (strcmp(what, "deliver") == 0 || strcmp(what, "large") == 0) {
		char *text = fourth(strcmp(what, "large") == 0);

		deliver_text(&h, text, NULL);
		mem_free(text);
		store_close(&h.store);
		return 0;
	}
	if (mailbox_open(h.store, SPAN("INBOX"), false, &mb, &e) != 0)
		return 2;
	if (strcmp(what, "flags") == 0)
		rc = mailbox_set_flags(
		    mb, &seq, 1, FLAGS_SET, FLAG_SEEN, 0, &e);
	else
		rc = mailbox_expunge(mb, &uid, 1, &e);
	mailbox_close(&mb);
	store_close(&h.store);
	return rc != 0;
}

static void
remake(struct home *h)
{
	run(h, "rm -rf mail inbox inbox.lock");
	deliver_text(h, "a: 1\n\none\n", NULL);
	deliver_text(h, "a: 2\n\ntwo\n", NULL);
	deliver_text(h, "a: 3\n\nthree\n", NULL);
}

static void
nothing_is_lost_by_a_kill(struct home *h, bool expunge)
{
	bool died = true;

	for (int n = 1; died; n++) {
		struct mailbox *mb;
		uint32_t count;

		assert_true(n < 200);
		remake(h);
		died = dies_at(h, expunge ? "expunge" : "flags", n);
		run(h, "rm -f inbox.lock");
		mb = open_box(h, "INBOX");
		count = mailbox_count(mb);
		if (expunge && count == 2) {
			assert_text(mb, 2, "a: 3\r\n\r\nthree\r\n");
		} else {
			assert_int_equal(count, 3);
			assert_text(mb, 2, "a: 2\r\n\r\ntwo\r\n");
			assert_text(mb, 3, "a: 3\r\n\r\nthree\r\n");
		}
		assert_text(mb, 1, "a: 1\r\n\r\none\r\n");
		for (uint32_t i = 2; i <= count; i++)
			assert_true(mailbox_message(mb, i - 1)->uid <
			    mailbox_message(mb, i)->uid);
		mailbox_close(&mb);
	}
}

static void
a_kill_while_flags_change_loses_nothing(void **state)
{
	nothing_is_lost_by_a_kill(*state, false);
}

static void
a_kill_while_messages_go_loses_nothing(void **state)
{
	nothing_is_lost_by_a_kill(*state, true);
}

/* Leaves an interrupted change behind: killed when the repair file was there
 * and the mailbox half written. */
static void
interrupt(struct home *h)
{
	for (int n = 1;; n++) {
		assert_true(n < 200);
		remake(h);
		run(h, "cp inbox before");
		assert_true(dies_at(h, "expunge", n));
		if (home_count(h, "mail/.imap/INBOX", "chappe.repair", NULL) >
		    0) {
			char *now = home_read(h, "inbox");
			char *was = home_read(h, "before");
			const bool differs = strcmp(now, was) != 0;

			mem_free(now);
			mem_free(was);
			if (differs)
				break;
		}
	}
	run(h, "rm -f inbox.lock");
}

/* A delivery that dies leaves the whole message or nothing, to the next one
 * who looks: a session, or the delivery that is tried again. */
static void
leaves_no_half(struct home *h, bool large)
{
	char *four = fourth(large);
	bool died = true;

	for (int n = 1; died; n++) {
		struct mailbox *mb;
		uint32_t count;

		assert_true(n < 200);
		remake(h);
		died = dies_at(h, large ? "large" : "deliver", n);
		run(h, "rm -f inbox.lock");
		mb = open_box(h, "INBOX");
		count = mailbox_count(mb);
		assert_true(count == 3 || count == 4);
		assert_text(mb, 3, "a: 3\r\n\r\nthree\r\n");
		assert_true(died || count == 4);
		mailbox_close(&mb);
		run(h, "tail -n 2 inbox | grep -qx -e four -e three");
	}
	mem_free(four);
}

static void
a_kill_while_mail_comes_leaves_no_half(void **state)
{
	leaves_no_half(*state, false);
}

static void
nor_does_one_of_a_large_message(void **state)
{
	leaves_no_half(*state, true);
}

static void
begin_note(int index, int fd)
{
	const int added = memfd_create("added", MFD_CLOEXEC);
	struct err e;

	assert_true(added >= 0);
	assert_int_equal(fs_write(added, SPAN(FROM "x: ours\n"), &e), 0);
	assert_int_equal(mbox_note_begin(index, fd, added, &e), 0);
	close(added);
}

/* Nothing had been written when we died; then another program delivers. */
static void
another_programs_mail_is_not_cut(void **state)
{
	struct home *h = *state;
	struct mailbox *mb;
	int index, fd;
	char *path;

	remake(h);
	mb = open_box(h, "INBOX");
	mailbox_close(&mb);
	path = mem_printf("%s/mail/.imap/INBOX", h->path);
	index = open(path, O_RDONLY | O_DIRECTORY);
	mem_free(path);
	path = mem_printf("%s/inbox", h->path);
	fd = open(path, O_RDWR);
	mem_free(path);
	assert_true(index >= 0 && fd >= 0);
	begin_note(index, fd);
	home_write(h, "more", FROM "x: theirs\n\nfour\n\n");
	run(h, "cat more >> inbox");
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 4);
	mailbox_close(&mb);
	assert_false(mbox_note_there(index));
	/* Ours, cut off in the From_ line and later. */
	begin_note(index, fd);
	run(h, "printf 'From a@ex' >> inbox; cp inbox half");
	mb = open_box(h, "INBOX");
	assert_int_equal(mailbox_count(mb), 4);
	mailbox_close(&mb);
	run(h, "! grep -q '^From a@ex$' inbox");
	close(index);
	close(fd);
}

static void
another_programs_work_is_not_undone(void **state)
{
	struct home *h = *state;
	char *text;

	interrupt(h);
	home_write(h, "more", "\n" FROM "a: 4\n\nfour\n\n");
	run(h, "cat more >> inbox; cat more more more more >> inbox");
	/* A delivery takes the lock next: it repairs nothing. */
	deliver_text(h, "a: 5\n\nfive\n", NULL);
	assert_int_equal(home_count(h, "mail/.imap/INBOX", "chappe.repair.kept",
			     NULL),
	    1);
	text = home_read(h, "inbox");
	assert_non_null(strstr(text, "a: 4\n\nfour\n"));
	assert_non_null(strstr(text, "a: 5\n\nfive\n"));
	mem_free(text);
	/* Untouched, it does. */
	interrupt(h);
	deliver_text(h, "a: 5\n\nfive\n", NULL);
	assert_int_equal(
	    home_count(h, "mail/.imap/INBOX", "chappe.repair", NULL), 0);
	text = home_read(h, "inbox");
	assert_null(strstr(text, "two"));
	assert_non_null(strstr(text, "three\n\nFrom a@example.com  "));
	mem_free(text);
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_lines_are_known),
		cmocka_unit_test(a_file_is_cut_into_messages),
		cmocka_unit_test(marks_are_read_and_hidden),
		T(a_delivery_is_read_back),
		T(a_repeated_delivery_is_one),
		T(flags_go_into_the_file),
		T(expunge_takes_messages_out),
		T(uids_survive_the_loss_of_the_index),
		T(appends_keep_flags_date_and_keywords),
		T(foreign_programs_may_do_as_they_like),
		T(copies_go_to_folders),
		T(only_the_users_own_file_is_written),
		T(the_limit_holds),
		T(a_kill_while_flags_change_loses_nothing),
		T(a_kill_while_messages_go_loses_nothing),
		T(a_kill_while_mail_comes_leaves_no_half),
		T(nor_does_one_of_a_large_message),
		T(another_programs_mail_is_not_cut),
		T(another_programs_work_is_not_undone),
	};

	if (argc == 4 && strcmp(argv[1], "change") == 0)
		return change(argv[2], argv[3]);
	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
