/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/verify_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* A client, and a server that stands in for verify, on one loop. */
struct world {
	struct loop *loop;
	char dir[64], path[80];
	int listen_fd;
	struct watch *watch;
	struct server *server;
	struct client *client;
	struct timer *deadline;
	uint64_t status; /* to be said */
	char last[300];
};

static int
handle_verify(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;
	struct msg_out out;
	char text[200];

	snprintf(text, sizeof(text), "%.*s for %llu",
	    SPAN_FMT(msg_need(m, F_ADDRESS, 100)),
	    (unsigned long long)msg_get_u64(m, F_WAIT_MS));
	request_begin(r, &out, MSG_VERIFY_ANSWER);
	msg_put_u64(&out, F_STATUS, w->status);
	msg_put_str(&out, F_TEXT, text);
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

static const struct server_handler handlers[] = {
	{ MSG_VERIFY, handle_verify }, { 0, NULL } };

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
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 10 seconds");
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct server_options o = { .handlers = handlers, .arg = w };
	const struct client_options c = { .path = w->path, .peer = "verify" };
	struct err e;

	snprintf(w->dir, sizeof(w->dir), "/tmp/verify_client.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/verify", w->dir);
	w->loop = loop_new();
	if (sock_listen_unix(w->path, SOCK_SEQPACKET, 0600, &w->listen_fd,
		&e) < 0 ||
	    sock_set_nonblock(w->listen_fd, true, &e) < 0)
		return -1;
	w->server = server_new(w->loop, &o);
	w->watch = watch_new(w->loop, w->listen_fd, on_listen, w);
	watch_set(w->watch, WATCH_READ);
	w->deadline = timer_new(w->loop, out_of_time, w);
	timer_start(w->deadline, 10000);
	w->client = client_new(w->loop, &c);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	client_free(&w->client);
	server_free(&w->server);
	watch_free(&w->watch);
	timer_free(&w->deadline);
	close(w->listen_fd);
	loop_free(&w->loop);
	unlink(w->path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct world *w = arg;
	struct verify_answer a;

	if (m == NULL)
		fail_msg("%s", e->text);
	if (verify_answer_read(m, &a))
		snprintf(w->last, sizeof(w->last), "%d %.*s", (int)a.status,
		    SPAN_FMT(a.text));
	else
		snprintf(w->last, sizeof(w->last), "rubbish");
	loop_stop(w->loop);
}

static const char *
ask(struct world *w, uint64_t status)
{
	w->status = status;
	verify_ask(w->client, SPAN("a@x.test"), 6000, 1, answered, w);
	loop_run(w->loop);
	return w->last;
}

static void
answers(void **state)
{
	struct world *w = *state;

	assert_string_equal(ask(w, VERIFY_OK), "0 a@x.test for 6000");
	assert_string_equal(ask(w, VERIFY_REFUSED), "2 a@x.test for 6000");
	assert_string_equal(ask(w, VERIFY_TODO), "3 a@x.test for 6000");
	assert_string_equal(ask(w, 4), "rubbish");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
