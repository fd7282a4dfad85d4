/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/mail/delivery_log.h"
#include "local/forker.h"
#include "local/pool.h"

#define TEXT "Subject: hi\r\n\r\nhello\r\n"

/* A forker with workers, and a pool in front of it. */
struct world {
	char home[40], spool[60];
	struct common_conf common;
	struct local_setting setting;
	struct loop *loop;
	struct pool *pool;
	bool lost;
	/* The last answer. */
	unsigned answers;
	enum rcpt_action action;
	char text[400], addresses[1000];
	uint64_t flags;
};

static void
on_lost(void *arg)
{
	struct world *w = arg;

	w->lost = true;
	loop_stop(w->loop);
}

static int
setup(void **state)
{
	struct world *w = MEM_NEW(w);
	struct pool_options o = { .workers_max = 2, .idle_ms = 60000,
		.lost = on_lost, .arg = w };
	struct err e;

	snprintf(w->home, sizeof(w->home), "/tmp/chappe-worker-XXXXXX");
	assert_non_null(mkdtemp(w->home));
	snprintf(w->spool, sizeof(w->spool), "%s/spool", w->home);
	assert_int_equal(mkdir(w->spool, 0700), 0);
	w->common = (struct common_conf){ .mail_spool_directory = w->spool,
		.home_mailbox = "Maildir/", .mail_location = "",
		.recipient_delimiter = "+", .default_privs = "nobody",
		.alias_maps = "inline:{{all = a, b@c}, {cmd = |/bin/x}}" };
	w->setting = (struct local_setting){ .common = &w->common,
		.service = "local", .private_instance = true };
	w->loop = loop_new();
	assert_int_equal(
	    forker_start(&w->setting, worker_run, &o.forker_fd, &e), 0);
	w->pool = pool_new(w->loop, &o);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char *command = mem_printf("rm -rf %s", w->home);

	pool_free(&w->pool);
	loop_free(&w->loop);
	assert_int_equal(system(command), 0);
	mem_free(command);
	mem_free(w);
	return 0;
}

static void
on_done(void *arg, struct msg_in *m, bool more, const struct err *e)
{
	struct world *w = arg;
	size_t cursor = 0, n = 0;
	struct span s;

	assert_false(more);
	w->answers++;
	if (m == NULL) {
		w->action = RCPT_DEFERRED;
		snprintf(w->text, sizeof(w->text), "%s", e->text);
		loop_stop(w->loop);
		return;
	}
	w->action = (enum rcpt_action)msg_get_u64(m, F_ACTION);
	w->flags = msg_get_u64(m, F_FLAGS);
	msg_get_str(m, F_TEXT, w->text, sizeof(w->text));
	w->addresses[0] = '\0';
	while (msg_next_value(m, F_ADDRESS, &cursor, &s))
		n += (size_t)snprintf(w->addresses + n,
		    sizeof(w->addresses) - n, "%.*s ", SPAN_FMT(s));
	loop_stop(w->loop);
}

/* A queue file: ten bytes, then the content. */
static int
message(const char *text)
{
	const int fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(
	    write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void
submit(struct world *w, const char *name, const char *address, int fd,
    uint64_t size, uint64_t flags)
{
	struct msg_out m;

	msg_begin(&m, MSG_WORK, 1, 0);
	msg_put_fd(&m, fd);
	msg_put_str(&m, F_QID, "4F00AA11BB22");
	msg_put_u64(&m, F_SIZE, size);
	msg_put_u64(&m, F_CONTENT_AT, 10);
	msg_put_str(&m, F_SENDER, "s@example.org");
	msg_put_str(&m, F_ADDRESS, address);
	msg_put_u64(&m, F_FLAGS, flags);
	msg_put_str(&m, F_USER, name);
	msg_put_str(&m, F_HOME, w->home);
	pool_submit(w->pool, getuid(), getgid(), name, &m, on_done, w);
}

static void
work(struct world *w, const char *address, const char *text, uint64_t flags)
{
	const int fd = message(text);

	submit(w, "bob", address, fd, strlen(text), flags);
	loop_run(w->loop);
	close(fd);
}

static char *
shell(const struct world *w, const char *script)
{
	char *command = mem_printf("cd %s && %s", w->home, script);
	char *out = mem_zalloc(10000);
	FILE *f = popen(command, "r");

	assert_non_null(f);
	out[fread(out, 1, 9999, f)] = '\0';
	pclose(f);
	mem_free(command);
	return out;
}

static void
assert_shell(const struct world *w, const char *script, const char *want)
{
	char *got = shell(w, script);

	assert_string_equal(got, want);
	mem_free(got);
}

static void
a_message_is_delivered(void **state)
{
	struct world *w = *state;

	work(w, "bob@example.com", TEXT, 0);
	assert_string_equal(w->text, "delivered to maildir");
	assert_int_equal(w->action, RCPT_SENT);
	assert_int_equal(w->flags, DONE_DELIVERED);
	assert_shell(w, "cat Maildir/new/*",
	    "Return-Path: <s@example.org>\n"
	    "X-Original-To: bob@example.com\n"
	    "Delivered-To: bob@example.com\n"
	    "Subject: hi\n\nhello\n");
	/* Again, as after a lost answer. */
	work(w, "bob@example.com", TEXT, 0);
	assert_string_equal(w->text, "delivered to maildir");
	assert_shell(w, "ls Maildir/new | wc -l", "1\n");
}

static void
a_forward_is_followed(void **state)
{
	struct world *w = *state;

	mem_free(shell(w, "printf 'x@y, \\\\bob\\n' > .forward"));
	work(w, "bob@example.com", TEXT, 0);
	assert_int_equal(w->action, RCPT_SENT);
	assert_string_equal(w->addresses, "x@y ");
	assert_int_equal(w->flags, DONE_DELIVERED);
	work(w, "bob@example.com", TEXT "2\r\n", WORK_NO_FORWARD);
	assert_string_equal(w->addresses, "");
	assert_shell(w, "ls Maildir/new | wc -l", "2\n");
	mem_free(shell(w, "printf 'x@y, |/bin/x\\n' > .forward"));
	work(w, "bob@example.com", TEXT, 0);
	assert_int_equal(w->action, RCPT_DEFERRED);
	assert_string_equal(w->addresses, "");
	assert_non_null(strstr(w->text, "command"));
	mem_free(shell(w, "echo x@y > .forward"));
	work(w, "bob@example.com", TEXT, 0);
	assert_int_equal(w->flags, 0);
	assert_string_equal(w->addresses, "x@y ");
}

static void
files_are_appended_to(void **state)
{
	struct world *w = *state;
	char *script = mem_printf(
	    "printf '%s/file\\n/dev/null\\n' > .forward", w->home);

	mem_free(shell(w, script));
	mem_free(script);
	work(w, "bob@example.com", TEXT, 0);
	assert_int_equal(w->action, RCPT_SENT);
	assert_int_equal(w->flags, DONE_DELIVERED);
	work(w, "bob@example.com", TEXT, 0);
	assert_shell(w, "grep -c '^From s@example.org ' file", "2\n");
	assert_shell(w, "tail -n 3 file", "\nhello\n\n");
	assert_shell(w, "stat -c %a file", "600\n");
	mem_free(shell(w, "echo /no/such/dir/file > .forward"));
	work(w, "bob@example.com", TEXT, 0);
	assert_int_equal(w->action, RCPT_DEFERRED);
	assert_shell(w, "ls -d Maildir 2>&1 | grep -c cannot", "1\n");
}

static void
a_loop_ends(void **state)
{
	struct world *w = *state;

	work(w, "bob@example.com",
	    "Delivered-To: Bob@example.com\r\nSubject: a\r\n\r\nx\r\n", 0);
	assert_int_equal(w->action, RCPT_FAILED);
	assert_string_equal(
	    w->text, "mail forwarding loop for bob@example.com");
	work(w, "bob@example.com",
	    "Subject: a\r\n\r\nDelivered-To: bob@example.com\r\n", 0);
	assert_int_equal(w->action, RCPT_SENT);
}

static void
an_alias_is_expanded(void **state)
{
	struct world *w = *state;

	work(w, "all@example.com", TEXT, WORK_ALIAS);
	assert_int_equal(w->action, RCPT_SENT);
	assert_string_equal(w->addresses, "a b@c ");
	work(w, "none@example.com", TEXT, WORK_ALIAS);
	assert_int_equal(w->flags, DONE_ABSENT);
	work(w, "cmd@example.com", TEXT, WORK_ALIAS);
	assert_int_equal(w->action, RCPT_DEFERRED);
	assert_shell(w, "ls", "spool\n");
}

static void
a_message_cut_short_is_no_message(void **state)
{
	struct world *w = *state;
	const int fd = message(TEXT);

	submit(w, "bob", "bob@example.com", fd, 5000, 0);
	loop_run(w->loop);
	close(fd);
	assert_int_equal(w->action, RCPT_DEFERRED);
	assert_shell(w, "ls Maildir/new Maildir/tmp | grep -c P", "0\n");
}

static void
a_worker_that_dies_is_replaced(void **state)
{
	struct world *w = *state;
	const int fd = message(TEXT);
	struct msg_out m;

	/* No address: the worker takes that for rubbish and ends. */
	msg_begin(&m, MSG_WORK, 1, 0);
	pool_submit(w->pool, getuid(), getgid(), "bob", &m, on_done, w);
	loop_run(w->loop);
	assert_int_equal(w->action, RCPT_DEFERRED);
	assert_non_null(strstr(w->text, "delivery process ended"));
	submit(w, "bob", "bob@example.com", fd, strlen(TEXT), 0);
	loop_run(w->loop);
	close(fd);
	assert_int_equal(w->action, RCPT_SENT);
}

static void
more_users_than_workers_wait(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	struct world *w = *state;
	const int fd = message(TEXT);

	for (size_t i = 0; i < COUNT_OF(names); i++)
		submit(w, names[i], "bob@example.com", fd, strlen(TEXT), 0);
	assert_int_equal(pool_pending(w->pool), COUNT_OF(names));
	while (w->answers < COUNT_OF(names))
		loop_run(w->loop);
	assert_int_equal(pool_pending(w->pool), 0);
	assert_int_equal(w->action, RCPT_SENT);
	close(fd);
}

static void
lock_files_have_the_users_name_only(void **state)
{
	struct world *w = *state;
	const uid_t uid = getuid();
	const pid_t pid = getpid();
	struct stat st;
	char *path = mem_printf("%s/bob", w->spool);

	assert_int_equal(forker_lockfile(w->spool, "make", "bob", uid, pid),
	    0);
	assert_shell(w, "ls spool", "bob.lock\n");
	assert_int_equal(forker_lockfile(w->spool, "make", "bob", uid, pid),
	    EEXIST);
	assert_int_equal(forker_lockfile(w->spool, "touch", "bob", uid, pid),
	    0);
	assert_int_equal(forker_lockfile(w->spool, "remove", "bob", uid, pid),
	    0);
	/* One that is gone already is as good. */
	assert_int_equal(forker_lockfile(w->spool, "remove", "bob", uid, pid),
	    0);
	assert_int_equal(
	    forker_lockfile(w->spool, "make", "../bob", uid, pid), EINVAL);
	assert_int_equal(forker_lockfile(w->spool, "make", "", uid, pid),
	    EINVAL);
	assert_int_equal(forker_lockfile(w->spool, "x", "bob", uid, pid),
	    EINVAL);
	assert_int_equal(forker_lockfile(w->spool, "create", "bob", uid, pid),
	    0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(forker_lockfile(w->spool, "create", "bob", uid, pid),
	    EEXIST);
	if (uid == 0) {
		/* Made by the user, as nothing else could make it his. */
		assert_int_equal(unlink(path), 0);
		assert_int_equal(chown(w->spool, 0, 8), 0);
		assert_int_equal(chmod(w->spool, 02775), 0);
		assert_int_equal(chmod(w->home, 0755), 0);
		assert_int_equal(
		    forker_lockfile(w->spool, "create", "bob", 1234, pid),
		    0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(geteuid(), 0);
		assert_int_equal(getegid(), 0);
	}
	mem_free(path);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_message_is_delivered),
		T(a_forward_is_followed),
		T(files_are_appended_to),
		T(a_loop_ends),
		T(an_alias_is_expanded),
		T(a_message_cut_short_is_no_message),
		T(a_worker_that_dies_is_replaced),
		T(more_users_than_workers_wait),
		T(lock_files_have_the_users_name_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
