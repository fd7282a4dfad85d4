/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An agent against a stand-in for qmgr at the other end of the socket. */
#include "lib/mail/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/agent_msg.h"

#define QID "660E0EBA74AF001"

struct world {
	struct loop *loop;
	char dir[32], path[48];
	int listener;
	struct watch *accepting;
	struct server *server;
	struct server_conn *conn; /* the agent's */
	struct agent *agent;
	struct agent_request *request; /* delivered and not done */
	struct buf said;	       /* what qmgr heard, as text */
	const char *until;	       /* stop when this was said */
	unsigned idle;
	struct timer *late;
};

static void heard(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
heard(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(&w->said, fmt, ap);
	va_end(ap);
	if (w->until != NULL && strstr(buf_cstr(&w->said), w->until) != NULL)
		loop_stop(w->loop);
}

/* ---- qmgr ---- */
static void
put_result(struct world *w, struct msg_in *m)
{
	char qid[32], dsn[12], text[100];

	msg_get_str(m, F_QID, qid, sizeof(qid));
	msg_get_str(m, F_DSN, dsn, sizeof(dsn));
	msg_get_str(m, F_TEXT, text, sizeof(text));
	assert_string_equal(qid, QID);
	heard(w, " %u:%u:%s:%s%s", msg_get_u32(m, F_RCPT_INDEX),
	    msg_get_u32(m, F_ACTION), dsn, text,
	    msg_has(m, F_DAMAGED) ? ":damaged" : "");
}

static int
on_agent(struct request *r, struct msg_in *in, void *arg)
{
	struct world *w = arg;
	struct msg_in g;
	size_t cursor = 0;

	w->conn = request_conn(r);
	assert_int_equal(msg_get_u32(in, F_PID), getpid());
	heard(w, "agent %u", msg_get_u32(in, F_CREDIT));
	while (msg_next(in, F_RUNNING, &cursor, &g))
		put_result(w, &g);
	heard(w, ".\n");
	request_drop(&r);
	return 0;
}

static int
on_result(struct request *r, struct msg_in *in, void *arg)
{
	struct world *w = arg;

	heard(w, "result %u", in->id);
	put_result(w, in);
	heard(w, ".\n");
	request_drop(&r);
	return 0;
}

static int
on_other(struct request *r, struct msg_in *in, void *arg)
{
	heard(arg, "%s %u.\n", msg_type_name(in->type), in->id);
	request_drop(&r);
	return 0;
}

static const struct server_handler handlers[] = {
	{ MSG_AGENT, on_agent },
	{ MSG_RESULT, on_result },
	{ MSG_DELIVERED, on_other },
	{ MSG_ERROR, on_other },
	{ MSG_FAREWELL, on_other },
	{ 0, NULL },
};

static void
on_accept(void *arg, int events)
{
	struct world *w = arg;
	int fd;

	(void)events;
	if (sock_accept(w->listener, &fd, NULL, NULL) == 1)
		server_client(w->server, fd);
}

static void
start_qmgr(struct world *w)
{
	assert_int_equal(
	    sock_listen_unix(w->path, SOCK_SEQPACKET, 0600, &w->listener, NULL),
	    0);
	w->server = server_new(w->loop,
	    &(struct server_options){ .handlers = handlers, .arg = w });
	w->accepting = watch_new(w->loop, w->listener, on_accept, w);
	watch_set(w->accepting, WATCH_READ);
}

static void
stop_qmgr(struct world *w)
{
	watch_free(&w->accepting);
	close(w->listener);
	unlink(w->path);
	server_free(&w->server);
	w->conn = NULL;
}

static void
deliver(struct world *w, uint32_t id, unsigned rcpts)
{
	const int fd = open("/dev/null", O_RDONLY);
	struct msg_out m;

	msg_begin(&m, MSG_DELIVER, id, 77);
	msg_put_fd(&m, fd);
	msg_put_str(&m, F_QID, QID);
	msg_put_str(&m, F_SENDER, "s@a");
	msg_put_range(&m,
	    &(struct range){ .size = 5, .checked = true, .crc = 99 });
	msg_put_str(&m, F_NEXTHOP, "b");
	for (unsigned i = 0; i < rcpts; i++) {
		msg_group_begin(&m, F_RCPT);
		msg_put_u64(&m, F_RCPT_INDEX, 10 + i);
		msg_put_str(&m, F_ADDRESS, "r@b");
		msg_group_end(&m);
	}
	server_conn_send(w->conn, &m);
	msg_out_release(&m);
	close(fd);
}

/* ---- the agent's owner ---- */
static void
on_deliver(void *arg, struct agent_request *r)
{
	struct world *w = arg;

	w->request = r;
	loop_stop(w->loop);
}

static void
on_idle(void *arg)
{
	struct world *w = arg;

	w->idle++;
	loop_stop(w->loop);
}

static void
too_late(void *arg)
{
	struct world *w = arg;

	fail_msg("waited in vain for \"%s\"; heard: %s", w->until,
	    buf_cstr(&w->said));
}

static void
run_until(struct world *w, const char *what)
{
	w->until = what;
	if (what == NULL || strstr(buf_cstr(&w->said), what) == NULL)
		loop_run(w->loop);
	w->until = NULL;
}

static void
answer(struct world *w, size_t i, enum rcpt_action action, const char *dsn)
{
	agent_result(w->request, i,
	    &(struct agent_result){ .action = action,
		.dsn = dsn,
		.text = SPAN("said so"),
		.relay = SPAN("b[::1]:25") });
}

static struct world *
open_world_with(bool soft_bounce)
{
	struct world *w = MEM_NEW(w);

	w->loop = loop_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/chappe-agent-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/qmgr", w->dir);
	buf_init(&w->said, 100000);
	w->late = timer_new(w->loop, too_late, w);
	timer_start(w->late, 20000);
	start_qmgr(w);
	w->agent =
	    agent_new(w->loop, &(struct agent_options){ .qmgr_path = w->path,
				   .service = "smtp",
				   .credit = 7,
				   .soft_bounce = soft_bounce,
				   .deliver = on_deliver,
				   .idle = on_idle,
				   .arg = w });
	run_until(w, "agent 7.\n");
	return w;
}

static struct world *
open_world(void)
{
	return open_world_with(false);
}

static void
close_world(struct world *w)
{
	agent_free(&w->agent);
	stop_qmgr(w);
	timer_free(&w->late);
	loop_free(&w->loop);
	rmdir(w->dir);
	buf_release(&w->said);
	mem_free(w);
}

/* ---- tests ---- */
static void
results_and_the_end(void **state)
{
	struct world *w = open_world();

	(void)state;
	deliver(w, 5, 3);
	run_until(w, NULL);
	assert_int_equal(w->request->rcpt_count, 3);
	assert_int_equal(w->request->rcpts[1].index, 11);
	assert_true(span_eq(w->request->sender, SPAN("s@a")));
	assert_true(span_eq(w->request->nexthop, SPAN("b")));
	assert_string_equal(w->request->log.qid, QID);
	answer(w, 0, RCPT_SENT, "2.0.0");
	answer(w, 2, RCPT_FAILED, "5.1.1");
	assert_int_equal(agent_running(w->agent), 1);
	agent_done(&w->request);
	assert_null(w->request);
	assert_int_equal(agent_running(w->agent), 0);
	run_until(w, "MSG_DELIVERED 5.\n");
	assert_string_equal(buf_cstr(&w->said),
	    "agent 7.\n"
	    "result 5 10:1:2.0.0:said so.\n"
	    "result 5 12:3:5.1.1:said so.\n"
	    "result 5 11:2:4.3.0:delivery was not completed.\n"
	    "MSG_DELIVERED 5.\n");
	close_world(w);
}

/* The content is not what the checksum says: qmgr hears it. */
static void
damage_is_reported(void **state)
{
	struct world *w = open_world();
	struct range_reader r;
	struct err e;
	char byte;

	(void)state;
	deliver(w, 5, 2);
	run_until(w, NULL);
	w->request->content.size = 0;
	assert_true(w->request->content.checked);
	assert_int_equal(w->request->content.crc, 99);
	range_begin(&r, &w->request->content);
	assert_int_equal(range_read(&r, &byte, 1, &e), -1);
	agent_result_err(w->request, 0, SPAN_EMPTY, &e);
	err_set(&e, ERR_TEMP, "4.2.1", "another");
	agent_result_err(w->request, 1, SPAN_EMPTY, &e);
	agent_done(&w->request);
	run_until(w, "MSG_DELIVERED 5.\n");
	assert_string_equal(buf_cstr(&w->said),
	    "agent 7.\n"
	    "result 5 10:2:4.3.0:the message is damaged: its content does not "
	    "fit its checksum:damaged.\n"
	    "result 5 11:2:4.2.1:another.\n"
	    "MSG_DELIVERED 5.\n");
	close_world(w);
}

static void
soft_bounce_defers(void **state)
{
	struct world *w = open_world_with(true);

	(void)state;
	deliver(w, 5, 3);
	run_until(w, NULL);
	answer(w, 0, RCPT_SENT, "2.0.0");
	answer(w, 1, RCPT_FAILED, "5.1.1");
	answer(w, 2, RCPT_DEFERRED, "4.2.0");
	agent_done(&w->request);
	run_until(w, "MSG_DELIVERED 5.\n");
	assert_string_equal(buf_cstr(&w->said),
	    "agent 7.\n"
	    "result 5 10:1:2.0.0:said so.\n"
	    "result 5 11:2:4.1.1:said so.\n"
	    "result 5 12:2:4.2.0:said so.\n"
	    "MSG_DELIVERED 5.\n");
	close_world(w);
}

static void
results_outlive_qmgr(void **state)
{
	struct world *w = open_world();

	(void)state;
	deliver(w, 5, 3);
	run_until(w, NULL);
	answer(w, 0, RCPT_SENT, "2.0.0");
	run_until(w, "result 5 10");
	stop_qmgr(w);
	buf_reset(&w->said);
	start_qmgr(w);
	/* What was said before is said again: nobody wrote it down. */
	run_until(w, "agent 7 10:1:2.0.0:said so 11:0:: 12:0::.\n");
	answer(w, 1, RCPT_SENT, "2.0.0");
	answer(w, 2, RCPT_DEFERRED, "4.2.0");
	agent_done(&w->request);
	run_until(w, "MSG_DELIVERED 0.\n");
	assert_string_equal(buf_cstr(&w->said),
	    "agent 7 10:1:2.0.0:said so 11:0:: 12:0::.\n"
	    "result 0 11:1:2.0.0:said so.\n"
	    "result 0 12:2:4.2.0:said so.\n"
	    "MSG_DELIVERED 0.\n");
	close_world(w);
}

static void
what_is_written_down_is_forgotten(void **state)
{
	struct world *w = open_world();
	struct msg_out m;

	(void)state;
	for (uint32_t id = 1; id <= 2; id++) {
		deliver(w, id, 1);
		run_until(w, NULL);
		answer(w, 0, RCPT_SENT, id == 1 ? "2.0.0" : "2.1.5");
		agent_done(&w->request);
	}
	run_until(w, "MSG_DELIVERED 2.\n");
	msg_begin(&m, MSG_OK, 1, 0);
	server_conn_send(w->conn, &m);
	msg_out_release(&m);
	/* Another request shows that the notice has been read. */
	deliver(w, 3, 1);
	run_until(w, NULL);
	stop_qmgr(w);
	buf_reset(&w->said);
	start_qmgr(w);
	run_until(w, "agent 7 10:1:2.1.5:said so 10:0::.\n");
	agent_done(&w->request);
	close_world(w);
}

static void
leaves_when_all_is_reported(void **state)
{
	struct world *w = open_world();
	struct msg_out m;

	(void)state;
	deliver(w, 9, 1);
	run_until(w, NULL);
	agent_leave(w->agent);
	run_until(w, "MSG_FAREWELL 0.\n");
	/* One that crossed the farewell is not taken. */
	deliver(w, 10, 1);
	run_until(w, "MSG_ERROR 10.\n");
	assert_int_equal(w->idle, 0);
	answer(w, 0, RCPT_SENT, "2.0.0");
	agent_done(&w->request);
	run_until(w, "MSG_DELIVERED 9.\n");
	assert_int_equal(w->idle, 0);
	msg_begin(&m, MSG_OK, 9, 0);
	server_conn_send(w->conn, &m);
	msg_out_release(&m);
	run_until(w, NULL);
	assert_int_equal(w->idle, 1);
	close_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_and_the_end),
		cmocka_unit_test(damage_is_reported),
		cmocka_unit_test(soft_bounce_defers),
		cmocka_unit_test(results_outlive_qmgr),
		cmocka_unit_test(what_is_written_down_is_forgotten),
		cmocka_unit_test(leaves_when_all_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
