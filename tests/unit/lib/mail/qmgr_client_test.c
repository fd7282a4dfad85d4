/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/qmgr_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/os/sock.h"

/* A qmgr that writes down what it is told, and answers or refuses. */
struct peer_log {
	struct loop *loop;
	struct server *server;
	struct watch *watch;
	int listen_fd;
	char dir[64], path[80];
	char heard[400];
	unsigned refuse; /* answers that are still to be errors */
	bool lost;
};

static void
hear(struct peer_log *l, const char *what, struct span detail)
{
	size_t n = strlen(l->heard);

	if (detail.n == 0)
		detail = SPAN("");
	snprintf(l->heard + n, sizeof(l->heard) - n, "%s%.*s;", what,
	    SPAN_FMT(detail));
}

static int
on_acceptor(struct request *r, struct msg_in *m, void *arg)
{
	char text[24];

	snprintf(text, sizeof(text), "%u", msg_get_u32(m, F_SLOT));
	hear(arg, "slot ", span_str(text));
	request_drop(&r);
	return 0;
}

static int
on_new(struct request *r, struct msg_in *m, void *arg)
{
	struct peer_log *l = arg;
	struct err e;

	hear(l, "new ", msg_need(m, F_QID, 16));
	if (l->refuse > 0) {
		l->refuse--;
		err_set(&e, ERR_TEMP, "4.3.0", "not now");
		request_error(&r, &e);
	} else {
		request_ok(&r);
	}
	return 0;
}

/* As seen by who did not wait long enough. */
static int
on_want(struct request *r, struct msg_in *m, void *arg)
{
	struct err e;

	(void)m;
	hear(arg, "want", SPAN_EMPTY);
	err_set(&e, ERR_TEMP, "4.3.0", "no answer");
	request_error(&r, &e);
	return 0;
}

static int
on_farewell(struct request *r, struct msg_in *m, void *arg)
{
	(void)m;
	hear(arg, "farewell", SPAN_EMPTY);
	request_drop(&r);
	loop_stop(((struct peer_log *)arg)->loop);
	return 0;
}

static void
on_closed(struct server_conn *conn, void *arg)
{
	(void)conn;
	hear(arg, "closed", SPAN_EMPTY);
}

static void
on_accept(void *arg, int events)
{
	struct peer_log *l = arg;
	struct sockaddr_storage addr;
	struct err e;
	int fd;

	(void)events;
	if (sock_accept(l->listen_fd, &fd, &addr, &e) == 1)
		server_client(l->server, fd);
}

static const struct server_handler handlers[] = {
	{ MSG_QMGR_ACCEPTOR, on_acceptor },
	{ MSG_QMGR_NEW, on_new },
	{ MSG_SEGMENT_WANT, on_want },
	{ MSG_FAREWELL, on_farewell },
	{ MSG_HELLO, NULL },
};

static void
peer_start(struct peer_log *l)
{
	const struct server_options o = { .handlers = handlers,
		.credit = 100,
		.closed = on_closed,
		.arg = l };
	struct err e;

	memset(l, 0, sizeof(*l));
	snprintf(l->dir, sizeof(l->dir), "/tmp/chappe-unit-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	snprintf(l->path, sizeof(l->path), "%s/qmgr", l->dir);
	l->loop = loop_new();
	assert_int_equal(sock_listen_unix(l->path, SOCK_SEQPACKET, 0600,
	    &l->listen_fd, &e), 0);
	assert_int_equal(sock_set_nonblock(l->listen_fd, true, &e), 0);
	l->server = server_new(l->loop, &o);
	l->watch = watch_new(l->loop, l->listen_fd, on_accept, l);
	watch_set(l->watch, WATCH_READ);
}

static void
peer_stop(struct peer_log *l)
{
	watch_free(&l->watch);
	server_free(&l->server);
	close(l->listen_fd);
	loop_free(&l->loop);
	unlink(l->path);
	rmdir(l->dir);
}

static void
stop_late(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 10 s");
}

static void
no_more(void *arg)
{
	(void)arg;
}

static void
test_messages_then_farewell(void **state)
{
	struct peer_log l;
	struct qmgr_client *q;
	struct timer *late;

	(void)state;
	peer_start(&l);
	late = timer_new(l.loop, stop_late, NULL);
	timer_start(late, 10000);
	q = qmgr_client_new(l.loop, l.path, 7);
	qmgr_client_message(q, (struct queue_id){ 0xABCDEF0123407 }, 10, 1, 1);
	qmgr_client_message(q, (struct queue_id){ 0xABCDEF0123507 }, 10, 1, 1);
	qmgr_client_farewell(q, no_more, NULL);
	loop_run(l.loop);
	assert_string_equal(l.heard,
	    "slot 7;new ABCDEF0123407;new ABCDEF0123507;farewell;");
	qmgr_client_free(&q);
	timer_free(&late);
	peer_stop(&l);
}

static void
stop_when_closed(void *arg)
{
	struct peer_log *l = ((void **)arg)[0];
	struct timer **again = ((void **)arg)[1];

	if (strstr(l->heard, "closed;slot 3;") != NULL)
		loop_stop(l->loop);
	else
		timer_start(*again, 5);
}

/* qmgr must not believe that it knows all: the connection ends without a
 * farewell, and a new one begins. */
static void
test_failure_makes_qmgr_look(void **state)
{
	struct peer_log l;
	struct qmgr_client *q;
	struct timer *again, *late;
	void *arg[] = { &l, &again };

	(void)state;
	peer_start(&l);
	l.refuse = 1;
	late = timer_new(l.loop, stop_late, NULL);
	timer_start(late, 10000);
	again = timer_new(l.loop, stop_when_closed, arg);
	timer_start(again, 5);
	q = qmgr_client_new(l.loop, l.path, 3);
	qmgr_client_message(q, (struct queue_id){ 0xABCDEF0123403 }, 10, 1, 1);
	loop_run(l.loop);
	assert_null(strstr(l.heard, "farewell"));
	qmgr_client_free(&q);
	timer_free(&again);
	timer_free(&late);
	peer_stop(&l);
}

/* A segment may come after the answer was given up: it is given back by a
 * connection that does not claim it. */
static void
test_a_segment_without_an_answer_is_given_back(void **state)
{
	const struct queue_envelope env = { .uid = -1 };
	struct queue_writer *w;
	struct peer_log l;
	struct qmgr_client *q;
	struct queue *queue;
	struct timer *again, *late;
	void *arg[] = { &l, &again };

	(void)state;
	peer_start(&l);
	late = timer_new(l.loop, stop_late, NULL);
	timer_start(late, 10000);
	again = timer_new(l.loop, stop_when_closed, arg);
	timer_start(again, 5);
	assert_int_equal(queue_open(l.dir, l.loop, &queue, NULL), 0);
	queue_set_slot(queue, 3);
	q = qmgr_client_new(l.loop, l.path, 3);
	qmgr_client_group(q, queue);
	w = queue_writer_open(queue, &env);
	queue_writer_abort(&w);
	loop_run(l.loop);
	assert_string_equal(l.heard, "slot 3;want;closed;slot 3;");
	qmgr_client_free(&q);
	queue_close(&queue);
	timer_free(&again);
	timer_free(&late);
	peer_stop(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_then_farewell),
		cmocka_unit_test(test_failure_makes_qmgr_look),
		cmocka_unit_test(
		    test_a_segment_without_an_answer_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
