/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ipc/wire.h"

/* A server behind a socket in a directory of its own, and a client of it, on
 * one loop. */
struct world {
	struct loop *loop;
	char dir[64], path[80];
	int listen_fd;
	struct watch *listen_watch;
	struct server *server;
	struct client *client;
	struct timer *deadline;
	/* What the server saw and holds. */
	struct request *held[200];
	unsigned held_count;
	unsigned notices, opened, closed, adopted_results;
	/* What the client saw. */
	unsigned answers, failures, more, connected, lost, client_notices;
	unsigned stop_after; /* ends the loop after so many outcomes */
	unsigned stop_held;  /* or when so many requests are held */
	char last_error[240];
	char last_text[64];
	int last_fd;
	bool hold;
	bool free_in_callback;
};

static void
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 10 seconds");
}

static void
run(struct world *w, unsigned outcomes)
{
	w->stop_after = w->answers + w->failures + outcomes;
	timer_start(w->deadline, 10000);
	loop_run(w->loop);
}

static void
run_until_held(struct world *w, unsigned count)
{
	w->stop_held = count;
	timer_start(w->deadline, 10000);
	loop_run(w->loop);
	w->stop_held = 0;
}

static void
outcome(struct world *w)
{
	if (w->answers + w->failures == w->stop_after)
		loop_stop(w->loop);
}

static void
on_answer(void *arg, struct msg_in *m, const struct err *e)
{
	struct world *w = arg;

	if (m != NULL) {
		w->answers++;
		msg_get_str(m, F_TEXT, w->last_text, sizeof(w->last_text));
		if (m->fd_count > 0)
			w->last_fd = msg_take_fd(m);
	} else {
		w->failures++;
		snprintf(w->last_error, sizeof(w->last_error), "%s", e->text);
	}
	if (w->free_in_callback)
		client_free(&w->client);
	outcome(w);
}

static void
on_more(void *arg, struct msg_in *m, const struct err *e)
{
	struct world *w = arg;

	assert_non_null(m);
	assert_null(e);
	w->more++;
}

/* MSG_USER: answers with the same text and descriptor, or holds. */
static int
handle_user(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;
	struct msg_out out;

	if (w->hold) {
		w->held[w->held_count++] = r;
		if (w->held_count == w->stop_held)
			loop_stop(w->loop);
		return 0;
	}
	request_begin(r, &out, MSG_USER_INFO);
	msg_put(&out, F_TEXT, msg_get(m, F_TEXT, 60));
	if (m->fd_count > 0)
		msg_put_fd(&out, m->fds[0]);
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

/* MSG_DELIVER: three results, then the end. */
static int
handle_deliver(struct request *r, struct msg_in *m, void *arg)
{
	struct msg_out out;

	(void)m;
	(void)arg;
	for (int i = 0; i < 3; i++) {
		request_begin(r, &out, MSG_RESULT);
		request_send(r, &out);
		msg_out_release(&out);
	}
	request_begin(r, &out, MSG_DELIVERED);
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

static int
handle_auth(struct request *r, struct msg_in *m, void *arg)
{
	struct err e;

	(void)m;
	(void)arg;
	err_set(&e, ERR_PERM, "5.7.8", "wrong password");
	request_error(&r, &e);
	return 0;
}

static int
handle_dns(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;

	/* Three ways to leave: untouched, dropped, connection closed. */
	switch (w->closed) {
	case 0:
		break;
	case 1:
		request_drop(&r);
		break;
	default:
		server_conn_close(request_conn(r));
		break;
	}
	msg_need(m, F_NAME, 255);
	return msg_done(m, NULL);
}

static int
handle_notice(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;

	(void)m;
	w->notices++;
	request_drop(&r);
	loop_stop(w->loop);
	return 0;
}

static void
conn_opened(struct server_conn *conn, void *arg)
{
	struct world *w = arg;

	assert_int_equal(server_conn_peer(conn)->pid, getpid());
	server_conn_set(conn, w);
	w->opened++;
}

static void
conn_closed(struct server_conn *conn, void *arg)
{
	struct world *w = arg;

	assert_ptr_equal(server_conn_data(conn), w);
	w->closed++;
}

static void
on_listen(void *arg, int events)
{
	struct world *w = arg;
	int fd;

	(void)events;
	while (sock_accept(w->listen_fd, &fd, NULL, NULL) == 1)
		server_client(w->server, fd);
}

static void
serve(struct world *w, unsigned credit)
{
	static const struct server_handler handlers[] = {
		{ MSG_USER, handle_user },
		{ MSG_DELIVER, handle_deliver },
		{ MSG_AUTH, handle_auth },
		{ MSG_DNS, handle_dns },
		{ MSG_QMGR_NEW, handle_notice },
		{ 0, NULL },
	};
	const struct server_options o = { .handlers = handlers,
		.credit = credit, .opened = conn_opened,
		.closed = conn_closed, .arg = w };
	struct err e;

	assert_int_equal(sock_listen_unix(w->path, SOCK_SEQPACKET, 0600,
	    &w->listen_fd, &e), 0);
	assert_int_equal(sock_set_nonblock(w->listen_fd, true, &e), 0);
	w->server = server_new(w->loop, &o);
	w->listen_watch = watch_new(w->loop, w->listen_fd, on_listen, w);
	watch_set(w->listen_watch, WATCH_READ);
}

static void
unserve(struct world *w)
{
	watch_free(&w->listen_watch);
	if (w->listen_fd >= 0)
		close(w->listen_fd);
	w->listen_fd = -1;
	server_free(&w->server);
}

static void
on_connected(void *arg, struct channel *c)
{
	struct world *w = arg;

	assert_non_null(c);
	w->connected++;
}

static void
on_lost(void *arg)
{
	struct world *w = arg;

	w->lost++;
}

static void
on_notice(void *arg, struct msg_in *m)
{
	struct world *w = arg;

	(void)m;
	w->client_notices++;
}

static void
dial(struct world *w, bool stay, unsigned waiting_max)
{
	const struct client_options o = { .path = w->path, .peer = "auth",
		.waiting_max = waiting_max, .connected = on_connected,
		.notice = on_notice, .lost = on_lost, .stay = stay,
		.arg = w };

	w->client = client_new(w->loop, &o);
}

static int
setup(void **state)
{
	struct world *w = MEM_NEW(w);

	w->loop = loop_new();
	w->listen_fd = w->last_fd = -1;
	snprintf(w->dir, sizeof(w->dir), "/tmp/chappe-ipc-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	w->deadline = timer_new(w->loop, out_of_time, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < w->held_count; i++)
		request_drop(&w->held[i]);
	client_free(&w->client);
	unserve(w);
	assert_int_equal(w->opened, w->closed);
	timer_free(&w->deadline);
	loop_free(&w->loop);
	unlink(w->path);
	rmdir(w->dir);
	if (w->last_fd >= 0)
		close(w->last_fd);
	mem_free(w);
	return 0;
}

static void
call(struct world *w, enum msg_type type, const char *text, uint64_t ms)
{
	struct msg_out m;

	msg_begin(&m, type, 0, 5);
	msg_put_str(&m, F_TEXT, text);
	client_call(w->client, &m, ms, on_answer, w);
	msg_out_release(&m);
}

static void
answers_and_errors_come_back(void **state)
{
	struct world *w = *state;

	serve(w, 10);
	dial(w, false, 0);
	call(w, MSG_USER, "hello", 5000);
	assert_int_equal(w->answers, 0);
	run(w, 1);
	assert_int_equal(w->answers, 1);
	assert_string_equal(w->last_text, "hello");
	call(w, MSG_AUTH, "", 5000);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	assert_string_equal(w->last_error, "wrong password");
	call(w, MSG_TICKET, "", 5000);
	run(w, 1);
	assert_string_equal(w->last_error, "request 76 is not known here");
	assert_int_equal(w->connected, 1);
}

/* With a credit of 2 and no answer, exactly two requests arrive; each answer
 * lets one more through. */
static void
credit_is_kept(void **state)
{
	struct world *w = *state;

	serve(w, 2);
	dial(w, false, 0);
	w->hold = true;
	for (int i = 0; i < 100; i++)
		call(w, MSG_USER, "x", 5000);
	for (unsigned done = 0; done < 100; done++) {
		if (w->held_count < done + 2 && w->held_count < 100) {
			run_until_held(w, done + 2);
		}
		assert_true(w->held_count <= done + 2);
		assert_true(server_open_requests(w->server) <= 2);
		request_ok(&w->held[done]);
	}
	assert_int_equal(w->failures, 0);
	if (w->answers < 100)
		run(w, 100 - w->answers);
	assert_int_equal(w->answers, 100);
}

static void
several_answers_to_one_request(void **state)
{
	struct world *w = *state;
	struct msg_out m;

	serve(w, 2);
	dial(w, false, 0);
	msg_begin(&m, MSG_DELIVER, 0, 5);
	client_call_many(w->client, &m, MSG_DELIVERED, 5000, on_more,
	    on_answer, w);
	msg_out_release(&m);
	run(w, 1);
	assert_int_equal(w->more, 3);
	assert_int_equal(w->answers, 1);
}

static void
descriptors_travel(void **state)
{
	struct world *w = *state;
	struct stat sent, got;
	struct msg_out m;
	int fds[2];

	serve(w, 2);
	dial(w, false, 0);
	assert_int_equal(pipe(fds), 0);
	msg_begin(&m, MSG_USER, 0, 5);
	msg_put_fd(&m, fds[0]);
	client_call(w->client, &m, 5000, on_answer, w);
	msg_out_release(&m);
	assert_int_equal(fstat(fds[0], &sent), 0);
	close(fds[0]);
	run(w, 1);
	assert_true(w->last_fd >= 0);
	assert_int_equal(fstat(w->last_fd, &got), 0);
	assert_int_equal(sent.st_ino, got.st_ino);
	assert_int_equal(fcntl(w->last_fd, F_GETFD), FD_CLOEXEC);
	close(fds[1]);
}

static void
late_answers_fail_and_keep_their_credit(void **state)
{
	struct world *w = *state;

	serve(w, 1);
	dial(w, false, 0);
	w->hold = true;
	call(w, MSG_USER, "x", 50);
	run(w, 1);
	assert_string_equal(w->last_error, "auth: no answer");
	assert_int_equal(w->held_count, 1);
	w->hold = false;
	call(w, MSG_USER, "second", 5000);
	request_ok(&w->held[0]);
	run(w, 1);
	assert_int_equal(w->answers, 1);
	assert_string_equal(w->last_text, "second");
}

static void
nobody_there(void **state)
{
	struct world *w = *state;

	dial(w, false, 0);
	call(w, MSG_USER, "x", 100);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	assert_non_null(strstr(w->last_error, "auth: "));
	assert_non_null(strstr(w->last_error, "No such file"));
}

/* A server that is stopped, and so many that wait for it that the kernel
 * takes no more: the loop goes on. */
static void
nobody_accepts(void **state)
{
	struct world *w = *state;
	int fds[10], count = 0;
	struct err e;

	assert_int_equal(sock_listen_unix(w->path, SOCK_SEQPACKET, 0600,
			     &w->listen_fd, &e), 0);
	assert_int_equal(listen(w->listen_fd, 0), 0);
	while (count < 10 && sock_connect_unix(w->path,
		SOCK_SEQPACKET | SOCK_NONBLOCK, &fds[count], &e) == 0)
		count++;
	assert_int_equal(e.sysno, EAGAIN);
	alarm(20);
	dial(w, false, 0);
	call(w, MSG_USER, "x", 100);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	alarm(0);
	while (count > 0)
		close(fds[--count]);
}

static void
calls_wait_for_a_server_to_come(void **state)
{
	struct world *w = *state;

	dial(w, true, 0);
	call(w, MSG_USER, "x", 300);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	call(w, MSG_USER, "patient", 5000);
	serve(w, 2);
	run(w, 1);
	assert_string_equal(w->last_text, "patient");
}

static void
lost_connection_fails_calls_and_comes_back(void **state)
{
	struct world *w = *state;

	serve(w, 5);
	dial(w, true, 0);
	w->hold = true;
	call(w, MSG_USER, "x", 5000);
	run_until_held(w, 1);
	assert_int_equal(w->held_count, 1);
	server_conn_close(request_conn(w->held[0]));
	assert_null(request_conn(w->held[0]));
	request_ok(&w->held[0]);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	assert_string_equal(w->last_error, "auth: connection closed");
	w->hold = false;
	call(w, MSG_USER, "again", 5000);
	run(w, 1);
	assert_string_equal(w->last_text, "again");
	assert_int_equal(w->lost, 1);
	assert_int_equal(w->connected, 2);
}

static void
questions_are_asked_again(void **state)
{
	struct world *w = *state;
	struct msg_out m;
	unsigned held;

	serve(w, 5);
	dial(w, false, 0);
	w->hold = true;
	for (int i = 0; i < 3; i++) {
		msg_begin(&m, MSG_USER, 0, 5);
		msg_put_str(&m, F_TEXT, i == 2 ? "last" : "not last");
		client_ask(w->client, &m, i == 1 ? 50 : 5000, on_answer, w);
		msg_out_release(&m);
	}
	call(w, MSG_USER, "a request", 5000);
	/* The second is given up; then four are in the server's hands. */
	run(w, 1);
	assert_string_equal(w->last_error, "auth: no answer");
	held = w->held_count;
	assert_int_equal(held, 4);
	server_conn_close(request_conn(w->held[0]));
	w->hold = false;
	run(w, 3);
	assert_int_equal(w->failures, 2);
	assert_string_equal(w->last_error, "auth: connection closed");
	assert_int_equal(w->answers, 2);
	assert_string_equal(w->last_text, "last");
}

static void
successor_is_asked_after_a_farewell(void **state)
{
	struct world *w = *state;
	struct server *old;
	struct watch *old_watch;
	int old_fd;

	serve(w, 5);
	dial(w, true, 0);
	w->hold = true;
	call(w, MSG_USER, "x", 5000);
	run_until_held(w, 1);
	old = w->server;
	old_watch = w->listen_watch;
	old_fd = w->listen_fd;
	watch_free(&old_watch);
	close(old_fd);
	w->listen_watch = NULL;
	w->hold = false;
	serve(w, 5);
	server_leave(old);
	request_ok(&w->held[0]);
	run(w, 1);
	call(w, MSG_USER, "to the next", 5000);
	run(w, 1);
	assert_int_equal(w->failures, 0);
	assert_int_equal(w->answers, 2);
	assert_string_equal(w->last_text, "to the next");
	assert_int_equal(server_conn_count(w->server), 1);
	server_free(&old);
}

static void
a_bad_message_closes_only_that_peer(void **state)
{
	struct world *w = *state;

	serve(w, 5);
	dial(w, false, 0);
	call(w, MSG_USER, "x", 5000);
	run(w, 1);
	for (unsigned i = 1; i <= 3; i++) {
		call(w, MSG_DNS, "no name in it", 5000);
		run(w, 1);
		assert_int_equal(w->failures, i);
		call(w, MSG_USER, "y", 5000);
		run(w, 1);
		assert_string_equal(w->last_text, "y");
		assert_int_equal(w->closed, i);
	}
}

static void
greed_closes_the_connection(void **state)
{
	struct world *w = *state;
	struct msg_out m;
	int fd;

	serve(w, 2);
	dial(w, false, 0);
	assert_int_equal(sock_connect_unix(w->path, SOCK_SEQPACKET, &fd,
	    NULL), 0);
	w->hold = true;
	for (uint32_t id = 1; id <= 3; id++) {
		msg_begin(&m, MSG_USER, id, 0);
		assert_int_equal(sync_send(fd, &m, 1000, NULL), 0);
		msg_out_release(&m);
	}
	call(w, MSG_AUTH, "", 5000);
	run(w, 1);
	assert_int_equal(w->held_count, 2);
	assert_int_equal(w->closed, 1);
	close(fd);
}

static void
too_much_waiting_is_refused(void **state)
{
	struct world *w = *state;

	dial(w, false, 3);
	for (int i = 0; i < 4; i++)
		call(w, MSG_USER, "x", 8000);
	run(w, 1);
	assert_int_equal(w->failures, 1);
	assert_string_equal(w->last_error, "auth: too busy");
}

static void
cancelled_calls_are_forgotten(void **state)
{
	struct world *w = *state;
	struct msg_out m;

	serve(w, 1);
	dial(w, false, 0);
	msg_begin(&m, MSG_USER, 0, 0);
	client_call(w->client, &m, 5000, on_answer, &m);
	client_call(w->client, &m, 5000, on_answer, &m);
	msg_out_release(&m);
	client_cancel(w->client, &m);
	call(w, MSG_USER, "mine", 5000);
	run(w, 1);
	assert_int_equal(w->answers, 1);
	assert_string_equal(w->last_text, "mine");
}

static void
client_freed_in_its_callback(void **state)
{
	struct world *w = *state;

	serve(w, 3);
	dial(w, true, 0);
	w->free_in_callback = true;
	for (int i = 0; i < 5; i++)
		call(w, MSG_USER, "x", 5000);
	run(w, 1);
	assert_int_equal(w->answers, 1);
	assert_null(w->client);
}

static void
notices_pass_both_ways(void **state)
{
	struct world *w = *state;
	struct msg_out m;

	serve(w, 3);
	dial(w, false, 0);
	msg_begin(&m, MSG_QMGR_NEW, 0, 0);
	assert_false(client_notify(w->client, &m));
	w->hold = true;
	call(w, MSG_USER, "x", 5000);
	run_until_held(w, 1);
	assert_true(client_notify(w->client, &m));
	loop_run(w->loop);
	assert_int_equal(w->notices, 1);
	server_conn_send(request_conn(w->held[0]), &m);
	request_ok(&w->held[0]);
	run(w, 1);
	assert_int_equal(w->client_notices, 1);
	msg_out_release(&m);
}

/* A peer that does not read: everything queues up, with the descriptors, and
 * arrives in order when it reads at last. */
struct reader {
	struct world *w;
	uint64_t next;
	unsigned fds;
	struct channel *channel;
	bool closed;
};

static void
on_reader_message(void *arg, struct msg_in *m)
{
	struct reader *r = arg;

	assert_int_equal(msg_get_u64(m, F_COUNT), r->next);
	r->next++;
	r->fds += m->fd_count;
	if (r->next == 1000)
		loop_stop(r->w->loop);
}

static void
on_reader_closed(void *arg, const struct err *e)
{
	struct reader *r = arg;

	snprintf(r->w->last_error, sizeof(r->w->last_error), "%s", e->text);
	r->closed = true;
	channel_free(&r->channel);
	loop_stop(r->w->loop);
}

static void
queues_to_a_slow_reader(void **state)
{
	static const struct channel_handler handler = { on_reader_message,
		on_reader_closed };
	static uint8_t filler[4000];
	struct world *w = *state;
	struct reader a = { .w = w }, b = { .w = w };
	struct msg_out m;
	int fds[2];

	assert_int_equal(sock_pair(SOCK_SEQPACKET, fds, NULL), 0);
	a.channel = channel_new(w->loop, fds[0], &handler, &a);
	for (uint64_t i = 0; i < 1000; i++) {
		msg_begin(&m, MSG_RESULT, 1, 0);
		msg_put_u64(&m, F_COUNT, i);
		msg_put(&m, F_DATA, span_of(filler, sizeof(filler)));
		if (i % 10 == 0)
			msg_put_fd(&m, 0);
		channel_send(a.channel, &m);
		msg_out_release(&m);
	}
	assert_true(channel_backlog(a.channel) > 0);
	b.channel = channel_new(w->loop, fds[1], &handler, &b);
	timer_start(w->deadline, 10000);
	loop_run(w->loop);
	assert_int_equal(b.next, 1000);
	assert_int_equal(b.fds, 100);
	assert_int_equal(channel_backlog(a.channel), 0);
	channel_free(&a.channel);
	loop_run(w->loop);
	assert_true(b.closed);
	assert_string_equal(w->last_error, "connection closed");
}

static void
damage_ends_the_connection(void **state)
{
	static const struct channel_handler handler = { on_reader_message,
		on_reader_closed };
	struct world *w = *state;
	struct reader a = { .w = w };
	int fds[2];

	assert_int_equal(sock_pair(SOCK_SEQPACKET, fds, NULL), 0);
	a.channel = channel_new(w->loop, fds[0], &handler, &a);
	assert_int_equal(write(fds[1], "rubbish", 7), 7);
	close(fds[1]);
	timer_start(w->deadline, 10000);
	loop_run(w->loop);
	assert_true(a.closed);
	assert_string_equal(w->last_error, "damaged IPC message");
	assert_int_equal(a.next, 0);
}

static void
waits_without_a_loop(void **state)
{
	struct world *w = *state;
	struct msg_out m;
	struct msg_in in;
	struct buf store;
	struct err e;
	int fds[2];

	(void)w;
	buf_init(&store, LIMIT_IPC_MESSAGE);
	assert_int_equal(sock_pair(SOCK_SEQPACKET, fds, NULL), 0);
	assert_int_equal(sync_receive(fds[0], &store, &in, 20, &e), -1);
	assert_string_equal(e.text, "no answer in time");
	msg_begin(&m, MSG_OK, 8, 0);
	assert_int_equal(sync_send(fds[1], &m, 100, &e), 0);
	wire_set_id(&m, 9);
	msg_put_str(&m, F_TEXT, "right one");
	assert_int_equal(sync_send(fds[1], &m, 100, &e), 0);
	msg_out_release(&m);
	msg_begin(&m, MSG_USER, 9, 0);
	assert_int_equal(sync_call(fds[0], &m, &store, &in, 1000, &e), 0);
	assert_true(span_eq(msg_get(&in, F_TEXT, 99), SPAN("right one")));
	msg_in_release(&in);
	msg_out_release(&m);

	assert_int_equal(sync_receive(fds[1], &store, &in, 100, &e), 1);
	assert_int_equal(in.type, MSG_USER);
	msg_in_release(&in);
	close(fds[0]);
	assert_int_equal(sync_receive(fds[1], &store, &in, 100, &e), 0);
	close(fds[1]);
	buf_release(&store);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_and_errors_come_back),
		T(credit_is_kept),
		T(several_answers_to_one_request),
		T(descriptors_travel),
		T(late_answers_fail_and_keep_their_credit),
		T(nobody_there),
		T(nobody_accepts),
		T(calls_wait_for_a_server_to_come),
		T(lost_connection_fails_calls_and_comes_back),
		T(questions_are_asked_again),
		T(successor_is_asked_after_a_farewell),
		T(a_bad_message_closes_only_that_peer),
		T(greed_closes_the_connection),
		T(too_much_waiting_is_refused),
		T(cancelled_calls_are_forgotten),
		T(client_freed_in_its_callback),
		T(notices_pass_both_ways),
		T(queues_to_a_slow_reader),
		T(damage_ends_the_connection),
		T(waits_without_a_loop),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
