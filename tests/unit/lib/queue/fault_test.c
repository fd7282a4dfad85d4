/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The commit with a fault at each durable step in turn: this program runs
 * itself with CHAPPE_FAULT set, writes one message, and says on stdout
 * whether it was answered. After the start's recovery the message is there,
 * whole, exactly when it was answered; killed after the rename but before the
 * answer it may be there too.
 */
#include "lib/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/work.h"

static char place[] = "/tmp/chappe-fault-XXXXXX";

enum { ANSWERED = 42, REFUSED = 43, SLOT = 3 };

/* ---- the one that gets hurt ---- */
struct victim {
	struct loop *loop;
	int status;
};

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct victim *v = arg;

	(void)id;
	v->status = e == NULL ? ANSWERED : REFUSED;
	loop_stop(v->loop);
}

static int
write_message(const char *queue_directory, size_t size)
{
	const struct queue_envelope env = { .arrival_us = 1,
		.uid = -1,
		.sender = SPAN("s@example.com"),
		.birth = QUEUE_ACTIVE };
	const struct queue_rcpt rcpt = { .address = SPAN("a@b"),
		.orig_address = SPAN("a@b") };
	struct victim v = { .loop = loop_new() };
	struct queue_writer *w;
	struct queue *q;
	uint8_t line[1000];

	if (queue_open(queue_directory, v.loop, &q, NULL) != 0)
		return 1;
	queue_set_slot(q, SLOT);
	w = queue_writer_open(q, &env);
	queue_writer_rcpt(w, &rcpt);
	memset(line, 'x', sizeof(line));
	for (size_t n = 0; n < size; n += sizeof(line))
		queue_writer_body(w, span_of(line, sizeof(line)));
	queue_writer_commit(&w, committed, &v);
	loop_run(v.loop);
	return v.status;
}

/* ---- the one that looks ---- */
/* Runs the victim; its exit status, or 0 when it was killed. */
static int
run_victim(const char *size, const char *fault)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		setenv("CHAPPE_FAULT", fault, 1);
		execl("/proc/self/exe", "victim", place, size, (char *)NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return 0;
	}
	assert_true(
	    WEXITSTATUS(status) == ANSWERED || WEXITSTATUS(status) == REFUSED);
	return WEXITSTATUS(status);
}

struct found {
	struct queue *q;
	unsigned active, incoming;
};

static bool
check_active(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct found *f = arg;
	struct queue_message *m;
	struct err e;

	(void)mtime_s;
	if (queue_message_open(
		f->q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(m->todo_count, 1);
	queue_message_close(&m);
	assert_int_equal(queue_remove(f->q, id, QUEUE_ACTIVE, NULL), 0);
	f->active++;
	return true;
}

static bool
count_incoming(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct found *f = arg;

	(void)id;
	(void)mtime_s;
	f->incoming++;
	return true;
}

/* What a start finds; the queue is empty afterwards. */
static struct found
recover(void)
{
	const uint8_t nobody[32] = { 0 };
	struct found f = { 0 };
	unsigned removed;

	assert_int_equal(queue_open(place, NULL, &f.q, NULL), 0);
	assert_int_equal(
	    queue_scan(f.q, QUEUE_INCOMING, count_incoming, &f, NULL), 0);
	assert_int_equal(
	    queue_recover_incoming(f.q, nobody, &removed, NULL), 0);
	assert_int_equal(removed, f.incoming);
	assert_int_equal(
	    queue_scan(f.q, QUEUE_ACTIVE, check_active, &f, NULL), 0);
	queue_close(&f.q);
	return f;
}

/* Returns how many steps a commit has. */
static unsigned
all_steps(const char *size, const char *what)
{
	for (unsigned n = 1; n < 100; n++) {
		char fault[40];
		struct found f;
		int status;

		snprintf(fault, sizeof(fault), "%u:%s", n, what);
		status = run_victim(size, fault);
		f = recover();
		if (status == ANSWERED) {
			assert_int_equal(f.active, 1);
			return n - 1;
		}
		if (status == REFUSED) {
			assert_int_equal(f.active, 0);
			assert_int_equal(f.incoming, 0);
		}
		assert_true(f.active <= 1);
	}
	fail_msg("a commit without an end");
	return 0;
}

static void
killed_at_every_step(void **state)
{
	(void)state;
	/* create, write, fsync, rename, fsync of the directory */
	assert_int_equal(all_steps("2000", "kill"), 5);
	assert_true(all_steps("200000", "kill") > 5);
}

static void
every_step_fails(void **state)
{
	static const char *const faults[] = { "ENOSPC", "EIO", "EDQUOT",
		"EMFILE", "ENOMEM", "EEXIST" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		assert_int_equal(all_steps("2000", faults[i]), 5);
		assert_true(all_steps("200000", faults[i]) > 5);
	}
}

static int
make_place(void **state)
{
	struct queue *q;

	(void)state;
	if (mkdtemp(place) == NULL || queue_open(place, NULL, &q, NULL) != 0 ||
	    queue_make_dirs(q, NULL) != 0)
		return -1;
	queue_close(&q);
	return 0;
}

static int
remove_place(void **state)
{
	char *command = mem_printf("rm -rf %s", place);
	const int ret = system(command);

	(void)state;
	mem_free(command);
	return ret;
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_step),
		cmocka_unit_test(every_step_fails),
	};

	if (argc == 3)
		_exit(write_message(argv[1], strtoul(argv[2], NULL, 10)));
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
