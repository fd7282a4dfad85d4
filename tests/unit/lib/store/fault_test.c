/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/os/fs.h"
#include "tests/unit/lib/store/store_test.h"

/*
 * Each change of a Maildir is run in a child that is killed (or sees an
 * error) at its first, second, ... durable step, until it gets through. After
 * each, whatever is in the mailbox must be whole, what was there before must
 * be there, no uid may stand for two messages, and a second attempt must
 * succeed with exactly one copy in the end.
 */

#define OLD "a: old\n\nold\n"
#define OLD_CRLF "a: old\r\n\r\nold\r\n"
#define NEW "a: new\n\nnew text of some length\n"
#define NEW_CRLF "a: new\r\n\r\nnew text of some length\r\n"

enum { STEPS_MAX = 200, STATUS_FAILED = 9, STATUS_IGNORED = 10 };

enum met { NOT_MET, MET_FAILED, MET_IGNORED };

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

/* ---- in the child ---- */
static int
add(struct home *h, bool delivery)
{
	const struct append_meta meta = { .delivery = delivery,
		.queue_id = delivery ? "4F00R0" : NULL };
	struct append *a;
	uint32_t uid, validity;
	struct err e;

	if (append_begin(h->store, SPAN("INBOX"), &meta, &a, &e) != 0)
		return STATUS_FAILED;
	if (append_write(a, SPAN(NEW), &e) != 0) {
		append_abort(&a);
		return STATUS_FAILED;
	}
	return append_commit(&a, &uid, &validity, &e) != 0 ? STATUS_FAILED : 0;
}

static int
alter(struct home *h, bool expunge)
{
	const uint32_t one = 1;
	struct mailbox *mb;
	struct err e;
	int rc;

	if (mailbox_open(h->store, SPAN("INBOX"), false, &mb, &e) != 0)
		return STATUS_FAILED;
	if (expunge)
		rc = mailbox_expunge(mb, &one, 1, &e);
	else
		rc = mailbox_set_flags(
		    mb, &one, 1, FLAGS_SET, FLAG_SEEN, 0, &e);
	mailbox_close(&mb);
	return rc != 0 ? STATUS_FAILED : 0;
}

static int
child(const char *path, const char *what, unsigned n)
{
	struct home h = { .store = NULL };
	struct err e;
	int rc = 1;

	snprintf(h.path, sizeof(h.path), "%s", path);
	home_open_store(&h, "maildir:~/Maildir");
	if (strcmp(what, "deliver") == 0)
		rc = add(&h, true);
	else if (strcmp(what, "append") == 0)
		rc = add(&h, false);
	else if (strcmp(what, "flags") == 0)
		rc = alter(&h, false);
	else if (strcmp(what, "expunge") == 0)
		rc = alter(&h, true);
	else if (strcmp(what, "create") == 0)
		rc = store_create(h.store, SPAN("x.y"), &e) != 0 &&
			e.sysno != EEXIST ?
		    STATUS_FAILED :
		    0;
	store_close(&h.store);
	return rc == 0 && n > 0 && fs_steps() >= n ? STATUS_IGNORED : rc;
}

/* ---- in the test ---- */
/* Runs it with the fault at step n (0: without). */
static enum met
faulty(struct home *h, const char *what, int n, const char *fault)
{
	char value[40], number[16];
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		snprintf(value, sizeof(value), "%d:%s", n, fault);
		snprintf(number, sizeof(number), "%d", n);
		if (n > 0)
			setenv("CHAPPE_FAULT", value, 1);
		execl("/proc/self/exe", "fault_test", "child", h->path, what,
		    number, (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return MET_FAILED;
	}
	switch (WEXITSTATUS(status)) {
	case 0:
		return NOT_MET;
	case STATUS_FAILED:
		return MET_FAILED;
	case STATUS_IGNORED:
		return MET_IGNORED;
	}
	fail_msg("%s at step %d: status %d", what, n, status);
	return NOT_MET;
}

/* A mailbox with one message that a session has seen as uid 1. */
static void
remake(struct home *h)
{
	struct mailbox *mb;

	run(h, "rm -rf Maildir");
	append_text(h, "INBOX", OLD);
	mb = open_box(h, "INBOX");
	mailbox_close(&mb);
}

/* What a stale lock would make us wait for. */
static void
unlock_all(struct home *h)
{
	run(h, "rm -f Maildir/*.lock");
}

static uint32_t
count_text(struct mailbox *mb, const char *want)
{
	uint32_t n = 0;

	for (uint32_t seq = 1; seq <= mailbox_count(mb); seq++) {
		struct message_text t;
		struct err e;

		assert_int_equal(mailbox_text(mb, seq, &t, &e), 0);
		n += span_eq(t.bytes, span_str(want));
		message_text_release(&t);
	}
	return n;
}

static void
check_uids(struct mailbox *mb)
{
	struct mailbox_status st;

	mailbox_get_status(mb, &st);
	for (uint32_t seq = 1; seq <= mailbox_count(mb); seq++) {
		const struct message *m = mailbox_message(mb, seq);

		assert_true(m->uid < st.uid_next);
		if (seq > 1)
			assert_true(m->uid > mailbox_message(mb, seq - 1)->uid);
	}
}

/* Adding: never a part of a message, the old one keeps its uid, and a second
 * delivery of the same queue id is not a second copy. */
static void
adding_survives(struct home *h, const char *what, const char *fault)
{
	const bool delivery = strcmp(what, "deliver") == 0;
	enum met met = MET_FAILED;

	for (int n = 1; met != NOT_MET; n++) {
		struct mailbox *mb;
		uint32_t copies;

		assert_true(n < STEPS_MAX);
		remake(h);
		met = faulty(h, what, n, fault);
		unlock_all(h);
		mb = open_box(h, "INBOX");
		copies = count_text(mb, NEW_CRLF);
		assert_true(copies <= 1);
		assert_true(met == MET_FAILED || copies == 1);
		assert_int_equal(mailbox_count(mb), 1 + copies);
		assert_int_equal(count_text(mb, OLD_CRLF), 1);
		assert_int_equal(mailbox_message(mb, 1)->uid, 1);
		check_uids(mb);
		if (delivery) {
			assert_int_equal(faulty(h, what, 0, ""), NOT_MET);
			assert_sync(mb, true, copies == 1 ? "" : "*2/1 ");
			check_uids(mb);
		}
		mailbox_close(&mb);
	}
}

static void
delivery_survives_a_kill(void **state)
{
	adding_survives(*state, "deliver", "kill");
}

static void
delivery_survives_a_full_disk(void **state)
{
	adding_survives(*state, "deliver", "ENOSPC");
}

static void
delivery_survives_a_failing_disk(void **state)
{
	adding_survives(*state, "deliver", "EIO");
}

static void
append_survives_a_kill(void **state)
{
	adding_survives(*state, "append", "kill");
}

static void
append_survives_a_full_disk(void **state)
{
	adding_survives(*state, "append", "ENOSPC");
}

static void
changing_survives(struct home *h, const char *fault)
{
	enum met met = MET_FAILED;

	for (int n = 1; met != NOT_MET; n++) {
		struct mailbox *mb;

		assert_true(n < STEPS_MAX);
		remake(h);
		met = faulty(h, "flags", n, fault);
		unlock_all(h);
		mb = open_box(h, "INBOX");
		assert_int_equal(mailbox_count(mb), 1);
		assert_int_equal(count_text(mb, OLD_CRLF), 1);
		assert_int_equal(mailbox_message(mb, 1)->uid, 1);
		if (met != MET_FAILED)
			assert_int_equal(mailbox_message(mb, 1)->flags,
			    FLAG_SEEN);
		mailbox_close(&mb);
	}
}

static void
flag_changes_survive_a_kill(void **state)
{
	changing_survives(*state, "kill");
}

static void
flag_changes_survive_a_failing_disk(void **state)
{
	changing_survives(*state, "EIO");
}

static void
expunges_survive(void **state)
{
	struct home *h = *state;
	enum met met = MET_FAILED;

	for (int n = 1; met != NOT_MET; n++) {
		struct mailbox *mb;
		uint32_t count;

		assert_true(n < STEPS_MAX);
		remake(h);
		met = faulty(h, "expunge", n, "kill");
		unlock_all(h);
		mb = open_box(h, "INBOX");
		count = mailbox_count(mb);
		assert_true(count == 0 || met == MET_FAILED);
		assert_int_equal(count_text(mb, OLD_CRLF), count);
		mailbox_close(&mb);
		/* uid 1 was seen by a client: nobody gets it again. */
		assert_true(append_text(h, "INBOX", NEW) > 1);
	}
}

static void
folders_are_made_whole(void **state)
{
	struct home *h = *state;
	enum met met = MET_FAILED;

	for (int n = 1; met != NOT_MET; n++) {
		struct mailbox *mb;

		assert_true(n < STEPS_MAX);
		run(h, "rm -rf Maildir");
		met = faulty(h, "create", n, "kill");
		assert_int_equal(faulty(h, "create", 0, ""), NOT_MET);
		append_text(h, "x.y", NEW);
		mb = open_box(h, "x.y");
		assert_text(mb, 1, NEW_CRLF);
		mailbox_close(&mb);
	}
}

/* The clock may be wrong for the length of a boot; a boot is an unclean stop,
 * and what was left of a block is skipped. */
static void
another_boot_skips_the_block(void **state)
{
	struct home *h = *state;
	struct mailbox_status st;
	struct err e;
	char *path = mem_printf("%s/Maildir/chappe.index", h->path);
	uint64_t boot = 42;
	int fd;

	remake(h);
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &st, &e), 0);
	assert_int_equal(st.uid_next, 2);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	/* Another boot's mark, and with it a head that does not verify: the
	 * uidlist's reservation counts. */
	assert_int_equal(pwrite(fd, &boot, 8, 16), 8);
	close(fd);
	assert_int_equal(store_status(h->store, SPAN("INBOX"), &st, &e), 0);
	assert_true(st.uid_next > 100);
	mem_free(path);
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(delivery_survives_a_kill),
		T(delivery_survives_a_full_disk),
		T(delivery_survives_a_failing_disk),
		T(append_survives_a_kill),
		T(append_survives_a_full_disk),
		T(flag_changes_survive_a_kill),
		T(flag_changes_survive_a_failing_disk),
		T(expunges_survive),
		T(folders_are_made_whole),
		T(another_boot_skips_the_block),
	};

	if (argc == 5 && strcmp(argv[1], "child") == 0)
		return child(argv[2], argv[3],
		    (unsigned)strtoul(argv[4], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
