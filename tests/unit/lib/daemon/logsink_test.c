/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/logsink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/ring.h"

/* A log daemon of sorts: it takes one ring and reads it when asked. */
struct world {
	char queue[64], private[80], path[96];
	int listen_fd, fd;
	struct ring *ring;
	uint64_t pid;
};

static void
listen_at(struct world *w)
{
	assert_int_equal(sock_listen_unix(w->path, SOCK_SEQPACKET, 0600,
	    &w->listen_fd, NULL), 0);
	assert_int_equal(sock_set_nonblock(w->listen_fd, false, NULL), 0);
}

static int
setup(void **state)
{
	struct world *w = MEM_NEW(w);

	snprintf(w->queue, sizeof(w->queue), "/tmp/chappe-sink-XXXXXX");
	assert_non_null(mkdtemp(w->queue));
	snprintf(w->private, sizeof(w->private), "%s/private", w->queue);
	snprintf(w->path, sizeof(w->path), "%s/log", w->private);
	assert_int_equal(mkdir(w->private, 0700), 0);
	w->fd = w->listen_fd = -1;
	log_set_tag("postfix/test");
	*state = w;
	return 0;
}

static void
hang_up(struct world *w)
{
	ring_free(&w->ring);
	if (w->fd >= 0)
		close(w->fd);
	if (w->listen_fd >= 0)
		close(w->listen_fd);
	w->fd = w->listen_fd = -1;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	logsink_stop();
	hang_up(w);
	unlink(w->path);
	rmdir(w->private);
	rmdir(w->queue);
	mem_free(w);
	return 0;
}

/* Takes the next ring that is handed in. */
static void
accept_ring(struct world *w)
{
	struct buf store;
	struct msg_in m;
	int memory, event;

	assert_int_equal(sock_accept(w->listen_fd, &w->fd, NULL, NULL), 1);
	buf_init(&store, LIMIT_IPC_MESSAGE);
	assert_int_equal(sync_receive(w->fd, &store, &m, 5000, NULL), 1);
	assert_int_equal(m.type, MSG_LOG_ATTACH);
	assert_true(span_eq(msg_get(&m, F_SERVICE, 99), SPAN("submission")));
	w->pid = msg_get_u64(&m, F_PID);
	memory = msg_take_fd(&m);
	event = msg_take_fd(&m);
	assert_int_equal(ring_attach(memory, event, &w->ring, NULL), 0);
	buf_release(&store);
}

static void
expect(struct world *w, const char *text)
{
	struct ring_record r;

	assert_int_equal(ring_next(w->ring, &r, NULL), 1);
	assert_true(span_eq(r.text, span_str(text)));
	ring_commit(w->ring);
}

static void
lines_reach_the_log_daemon(void **state)
{
	const struct log_ctx ctx = { .trace = 77, .qid = "ABC" };
	struct world *w = *state;
	struct ring_record r;

	listen_at(w);
	assert_int_equal(logsink_start(w->queue, "submission", NULL), 0);
	log_warning(&ctx, "number %d", 5);
	log_event(&ctx, "accept", "size=%d", 6);
	accept_ring(w);
	assert_int_equal(w->pid, getpid());
	assert_int_equal(ring_next(w->ring, &r, NULL), 1);
	assert_int_equal(r.kind, LOG_K_LINE);
	assert_int_equal(r.level, LOG_L_WARNING);
	assert_int_equal(r.trace, 77);
	assert_true(span_eq(r.qid, SPAN("ABC")));
	assert_true(span_eq(r.tag, SPAN("postfix/test")));
	assert_true(span_eq(r.text, SPAN("number 5")));
	assert_int_equal(ring_next(w->ring, &r, NULL), 1);
	assert_int_equal(r.kind, LOG_K_EVENT);
	assert_true(span_eq(r.what, SPAN("accept")));
}

/* Before there is a log daemon, and while it restarts, lines wait. */
static void
a_restart_loses_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(logsink_start(w->queue, "submission", NULL), 0);
	log_info(NULL, "early");
	listen_at(w);
	log_info(NULL, "attaches");
	accept_ring(w);
	expect(w, "early");
	expect(w, "attaches");
	hang_up(w);
	log_info(NULL, "nobody there");
	listen_at(w);
	log_info(NULL, "again");
	accept_ring(w);
	expect(w, "nobody there");
	expect(w, "again");
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

/* With a loop the connection is watched: no line is needed. */
static void
a_loop_attaches_by_itself(void **state)
{
	struct world *w = *state;
	struct loop *loop = loop_new();
	struct timer *t = timer_new(loop, stop_loop, loop);

	listen_at(w);
	assert_int_equal(logsink_start(w->queue, "submission", NULL), 0);
	logsink_loop(loop);
	log_info(NULL, "one");
	accept_ring(w);
	expect(w, "one");
	hang_up(w);
	listen_at(w);
	log_info(NULL, "two");
	/* Longer than the pause between its attempts. */
	timer_start(t, 500);
	loop_run(loop);
	accept_ring(w);
	expect(w, "two");
	logsink_stop();
	timer_free(&t);
	loop_free(&loop);
}

static void
a_child_has_a_ring_of_its_own(void **state)
{
	struct world *w = *state;
	struct ring_record r;
	int status;
	pid_t pid;

	listen_at(w);
	assert_int_equal(logsink_start(w->queue, "submission", NULL), 0);
	pid = fork();
	if (pid == 0) {
		if (logsink_child(NULL) != 0)
			_exit(1);
		log_info(NULL, "from the child");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	log_info(NULL, "from the parent");
	accept_ring(w);
	expect(w, "from the parent");
	assert_int_equal(ring_next(w->ring, &r, NULL), 0);
	ring_free(&w->ring);
	close(w->fd);
	accept_ring(w);
	assert_int_equal(w->pid, pid);
	expect(w, "from the child");
}

/* As for a program that is executed: the same descriptors, taken anew. */
static void
passes_over_exec(void **state)
{
	struct world *w = *state;
	char text[LOGSINK_TEXT];
	int status;
	pid_t pid;

	listen_at(w);
	assert_int_equal(logsink_start(w->queue, "submission", NULL), 0);
	pid = fork();
	if (pid == 0) {
		logsink_pass(text);
		log_set_sink(NULL, NULL);
		if (logsink_take(text, NULL) != 0)
			_exit(1);
		log_info(NULL, "from the program");
		_exit(logsink_take("x", NULL) == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	accept_ring(w);
	expect(w, "from the program");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lines_reach_the_log_daemon),
		T(a_restart_loses_nothing),
		T(a_loop_attaches_by_itself),
		T(a_child_has_a_ring_of_its_own),
		T(passes_over_exec),
	};

	return cmocka_run_group_tests_name("logsink", tests, NULL, NULL);
}
