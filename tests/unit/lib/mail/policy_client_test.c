/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/policy_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

/*
 * A service in the same loop: it answers a request for "X" with "action=C:X",
 * C being the number of the connection; or does not, as the mode says.
 */

enum mode { ANSWER, TWICE, CLOSE, CLOSE_ONCE, SILENT, RUBBISH };

enum { PEERS_MAX = 210 };

struct peer_conn {
	struct world *w;
	int fd, number;
	struct watch *watch;
};

struct world {
	struct loop *loop;
	char dir[64], path[80], endpoint[100];
	int listen_fd;
	struct watch *watch;
	struct timer *deadline;
	struct peer_conn conns[PEERS_MAX];
	int conn_count;
	enum mode mode;
	unsigned requests, held;
	bool hold; /* answers are kept back */
	int hold_fds[PEERS_MAX];
	struct restrict_policy policy;
	struct policy_client *client;
	char answers[400];
	unsigned answered, wanted;
};

static void
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 20 seconds");
}

static void
hang_up(struct peer_conn *c)
{
	watch_free(&c->watch);
	close(c->fd);
	c->fd = -1;
}

static void
on_request(void *arg, int events)
{
	struct peer_conn *c = arg;
	struct world *w = c->w;
	char text[1000] = "", reply[100];
	const ssize_t n = read(c->fd, text, sizeof(text) - 1);

	(void)events;
	if (n <= 0) {
		hang_up(c);
		return;
	}
	w->requests++;
	assert_non_null(strstr(text, "\n\n"));
	if (w->hold) {
		w->hold_fds[w->held++] = c->fd;
		return;
	}
	switch (w->mode) {
	case ANSWER:
		snprintf(reply, sizeof(reply), "action=%d:%.1s\n\n",
		    c->number, text);
		assert_true(write(c->fd, reply, strlen(reply)) > 0);
		return;
	case TWICE:
		snprintf(reply, sizeof(reply), "action=%.1s\n\naction=OK\n\n",
		    text);
		assert_true(write(c->fd, reply, strlen(reply)) > 0);
		return;
	case CLOSE_ONCE:
		w->mode = ANSWER;
		hang_up(c);
		return;
	case CLOSE:
		hang_up(c);
		return;
	case SILENT:
		return;
	case RUBBISH:
		assert_true(write(c->fd, "hello\n\n", 7) > 0);
		return;
	}
}

static void
on_connection(void *arg, int events)
{
	struct world *w = arg;
	struct sockaddr_storage addr;
	struct peer_conn *c;
	int fd;

	(void)events;
	while (sock_accept(w->listen_fd, &fd, &addr, NULL) == 1) {
		assert_true(w->conn_count < PEERS_MAX);
		c = &w->conns[w->conn_count];
		*c = (struct peer_conn){ w, fd, ++w->conn_count, NULL };
		c->watch = watch_new(w->loop, fd, on_request, c);
		watch_set(c->watch, WATCH_READ);
	}
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err e;

	snprintf(w->dir, sizeof(w->dir), "/tmp/policy_client_test.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/policy", w->dir);
	w->loop = loop_new();
	if (sock_listen_unix(w->path, SOCK_STREAM, 0600, &w->listen_fd, &e) !=
	    0)
		return -1;
	w->watch = watch_new(w->loop, w->listen_fd, on_connection, w);
	watch_set(w->watch, WATCH_READ);
	w->deadline = timer_new(w->loop, out_of_time, w);
	timer_start(w->deadline, 20000);
	snprintf(w->endpoint, sizeof(w->endpoint), "unix:policy");
	w->policy = (struct restrict_policy){ .endpoint = w->endpoint,
		.timeout_ms = 5000, .max_idle_ms = 60000,
		.max_ttl_ms = 60000, .retry_delay_ms = 10, .try_limit = 2 };
	w->client = policy_client_new(w->loop, &w->policy, NULL, w->dir);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	policy_client_free(&w->client);
	for (int i = 0; i < w->conn_count; i++)
		if (w->conns[i].fd >= 0)
			hang_up(&w->conns[i]);
	watch_free(&w->watch);
	timer_free(&w->deadline);
	close(w->listen_fd);
	unlink(w->path);
	rmdir(w->dir);
	loop_free(&w->loop);
	free(w);
	return 0;
}

static void
answered(void *arg, const struct span *action)
{
	struct world *w = arg;
	const size_t n = strlen(w->answers);

	if (action != NULL)
		snprintf(w->answers + n, sizeof(w->answers) - n, "%s%.*s",
		    n > 0 ? " " : "", SPAN_FMT(*action));
	else
		snprintf(w->answers + n, sizeof(w->answers) - n, "%s-",
		    n > 0 ? " " : "");
	if (++w->answered == w->wanted)
		loop_stop(w->loop);
}

static struct policy_call *
ask(struct world *w, const char *instance, const char *what)
{
	char request[20];

	snprintf(request, sizeof(request), "%s\n\n", what);
	return policy_client_ask(w->client, instance, span_str(request),
	    answered, w);
}

static const char *
wait_for(struct world *w, unsigned count)
{
	w->wanted = count;
	if (w->answered < count)
		loop_run(w->loop);
	w->answered = 0;
	static char copy[400];
	snprintf(copy, sizeof(copy), "%s", w->answers);
	w->answers[0] = '\0';
	return copy;
}

static void
connections_are_used_again(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 5; i++) {
		ask(w, "", "a");
		assert_string_equal(wait_for(w, 1), "1:a");
	}
	assert_int_equal(w->conn_count, 1);
	/* At a time one each. */
	ask(w, "", "b");
	ask(w, "", "c");
	ask(w, "", "d");
	(void)wait_for(w, 3);
	assert_int_equal(w->conn_count, 3);
	assert_int_equal(policy_client_connections(w->client), 3);
}

/* All about one message goes over one connection, until it is released. */
static void
one_message_one_connection(void **state)
{
	struct world *w = *state;

	ask(w, "m1", "a");
	assert_string_equal(wait_for(w, 1), "1:a");
	ask(w, "m2", "b");
	assert_string_equal(wait_for(w, 1), "2:b");
	ask(w, "m1", "c");
	assert_string_equal(wait_for(w, 1), "1:c");
	ask(w, "m3", "d");
	assert_string_equal(wait_for(w, 1), "3:d");
	policy_client_release(w->client, "m2");
	ask(w, "m4", "e");
	assert_string_equal(wait_for(w, 1), "2:e");
}

static void
asked_again(void **state)
{
	struct world *w = *state;

	w->mode = CLOSE_ONCE;
	ask(w, "", "a");
	assert_string_equal(wait_for(w, 1), "2:a");
	w->mode = CLOSE;
	ask(w, "", "b");
	assert_string_equal(wait_for(w, 1), "-");
	assert_int_equal(w->requests, 4);
	w->mode = RUBBISH;
	ask(w, "", "c");
	assert_string_equal(wait_for(w, 1), "-");
	assert_int_equal(w->requests, 6);
}

static void
no_answer(void **state)
{
	struct world *w = *state;

	w->mode = SILENT;
	w->policy.timeout_ms = 50;
	ask(w, "", "a");
	assert_string_equal(wait_for(w, 1), "-");
	assert_int_equal(w->requests, 1);
	/* A socket that is not there is tried again, one that refuses not. */
	unlink(w->path);
	ask(w, "", "b");
	assert_string_equal(wait_for(w, 1), "-");
	snprintf(w->endpoint, sizeof(w->endpoint), "inet:127.0.0.1:1");
	ask(w, "", "c");
	assert_string_equal(wait_for(w, 1), "-");
}

static void
ends_of_connections(void **state)
{
	struct world *w = *state;

	w->policy.request_limit = 2;
	for (int i = 0; i < 4; i++) {
		ask(w, "", "a");
		(void)wait_for(w, 1);
	}
	assert_int_equal(w->conn_count, 2);
	w->policy.request_limit = 0;
	w->policy.max_ttl_ms = 0;
	ask(w, "", "a");
	(void)wait_for(w, 1);
	assert_int_equal(policy_client_connections(w->client), 0);
}

/* What comes behind an answer is nobody's. */
static void
a_second_answer_is_not_the_next_ones(void **state)
{
	struct world *w = *state;

	w->mode = TWICE;
	ask(w, "", "a");
	assert_string_equal(wait_for(w, 1), "a");
	ask(w, "", "b");
	assert_string_equal(wait_for(w, 1), "b");
	assert_int_equal(w->conn_count, 2);
}

static void
cancelled(void **state)
{
	struct world *w = *state;
	struct policy_call *call, *none = NULL;

	policy_call_cancel(&none);
	w->mode = SILENT;
	call = ask(w, "", "a");
	policy_call_cancel(&call);
	assert_null(call);
	assert_int_equal(policy_client_connections(w->client), 0);
	w->mode = ANSWER;
	ask(w, "", "b");
	assert_non_null(strstr(wait_for(w, 1), ":b"));
}

static void
release_held(void *arg)
{
	struct world *w = arg;

	if (w->held < POLICY_CONNECTIONS) {
		loop_later(w->loop, release_held, w);
		return;
	}
	w->hold = false;
	for (unsigned i = 0; i < w->held; i++)
		assert_true(
		    write(w->hold_fds[i], "action=x\n\n", 10) == 10);
}

/* Beyond the most connections requests wait. */
static void
many(void **state)
{
	struct world *w = *state;

	w->hold = true;
	for (int i = 0; i < POLICY_CONNECTIONS + 50; i++)
		ask(w, "", "a");
	assert_int_equal(policy_client_connections(w->client),
	    POLICY_CONNECTIONS);
	loop_later(w->loop, release_held, w);
	(void)wait_for(w, POLICY_CONNECTIONS + 50);
	assert_int_equal(w->conn_count, POLICY_CONNECTIONS);
	assert_int_equal(w->requests, POLICY_CONNECTIONS + 50);
}

int
main(void)
{
#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(connections_are_used_again),
		TEST(one_message_one_connection),
		TEST(asked_again),
		TEST(no_answer),
		TEST(ends_of_connections),
		TEST(a_second_answer_is_not_the_next_ones),
		TEST(cancelled),
		TEST(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
