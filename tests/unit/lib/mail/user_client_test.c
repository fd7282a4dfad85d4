/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/user_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

/* A client, and a server that stands in for auth, on one loop. */
struct world {
	struct loop *loop;
	char dir[64], path[80];
	int listen_fd;
	struct watch *watch;
	struct server *server;
	struct user_client *client;
	struct timer *deadline;
	unsigned asked, answers;
	bool broken, silent;
	struct request *held;
	char last[300];
};

static int
handle_user(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;
	struct msg_out out;
	char name[100];
	struct err e;

	w->asked++;
	msg_get_str(m, F_USER, name, sizeof(name));
	if (w->silent) {
		w->held = r;
		loop_stop(w->loop);
		return 0;
	}
	if (w->broken) {
		err_set(&e, ERR_PERM, "5.1.1", "confused");
		request_error(&r, &e);
		return 0;
	}
	request_begin(r, &out, MSG_USER_INFO);
	msg_put_str(&out, F_USER, name);
	if (strcmp(name, "alice") == 0) {
		msg_put_u64(&out, F_FOUND, 1);
		msg_put_u64(&out, F_UID, 1001);
		msg_put_u64(&out, F_GID, 1002);
		msg_put_str(&out, F_HOME, "/home/alice");
		msg_put_str(&out, F_MAIL, "maildir:~/M");
		msg_put_u64(&out, F_OVER_QUOTA, 1);
	} else {
		msg_put_u64(&out, F_FOUND, 0);
	}
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
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
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 10 seconds");
}

static const struct server_handler handlers[] = { { MSG_USER, handle_user },
	{ 0 } };

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct server_options o = {
		.handlers = handlers, .credit = 100, .arg = w
	};
	struct err e;

	snprintf(w->dir, sizeof(w->dir), "/tmp/user_client.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/auth", w->dir);
	w->loop = loop_new();
	if (sock_listen_unix(w->path, SOCK_SEQPACKET, 0600, &w->listen_fd, &e) <
		0 ||
	    sock_set_nonblock(w->listen_fd, true, &e) < 0)
		return -1;
	w->server = server_new(w->loop, &o);
	w->watch = watch_new(w->loop, w->listen_fd, on_listen, w);
	watch_set(w->watch, WATCH_READ);
	w->deadline = timer_new(w->loop, out_of_time, w);
	w->client = user_client_new(w->loop, w->path);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	user_client_free(&w->client);
	watch_free(&w->watch);
	close(w->listen_fd);
	server_free(&w->server);
	if (w->held != NULL)
		request_drop(&w->held);
	timer_free(&w->deadline);
	loop_free(&w->loop);
	unlink(w->path);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void
note(void *arg, const struct user_info *u, const struct err *e)
{
	struct world *w = arg;

	w->answers++;
	if (u == NULL)
		snprintf(w->last, sizeof(w->last), "%s %s",
		    e->kind == ERR_TEMP ? "temp" : "perm", e->text);
	else if (!u->found)
		snprintf(w->last, sizeof(w->last), "none %d", (int)u->uid);
	else
		snprintf(w->last, sizeof(w->last), "%s %u %u %s %s%s", u->name,
		    u->uid, u->gid, u->home, u->mail,
		    u->over_quota ? " full" : "");
	loop_stop(w->loop);
}

/* Asks, and waits for the answer if it is not there at once. */
static const char *
ask(struct world *w, const char *name)
{
	const unsigned before = w->answers;

	user_client_ask(w->client, span_str(name), 0, note, w);
	timer_start(w->deadline, 10000);
	while (w->answers == before)
		loop_run(w->loop);
	timer_stop(w->deadline);
	assert_int_equal(w->answers, before + 1);
	return w->last;
}

static void
answers_are_remembered(void **state)
{
	struct world *w = *state;
	const char *const alice =
	    "alice 1001 1002 /home/alice maildir:~/M full";

	assert_string_equal(ask(w, "alice"), alice);
	assert_string_equal(ask(w, "alice"), alice);
	assert_int_equal(w->asked, 1);
	assert_string_equal(ask(w, "bob"), "none -1");
	assert_string_equal(ask(w, "bob"), "none -1");
	assert_int_equal(w->asked, 2);
	user_client_forget(w->client, SPAN("alice"));
	assert_string_equal(ask(w, "alice"), alice);
	assert_int_equal(w->asked, 3);
}

static void
nothing_is_remembered_for_ever(void **state)
{
	struct world *w = *state;

	user_client_set_times(w->client, 1000000, 0);
	ask(w, "alice");
	ask(w, "alice");
	assert_int_equal(w->asked, 1);
	ask(w, "bob");
	ask(w, "bob");
	assert_int_equal(w->asked, 3);
}

static void
no_answer_is_never_unknown(void **state)
{
	struct world *w = *state;

	w->broken = true;
	assert_string_equal(
	    ask(w, "alice"), "temp user database is unavailable (confused)");
	w->broken = false;
	assert_true(span_starts(span_str(ask(w, "alice")), SPAN("alice ")));
}

static void
router_note(void *arg, const struct router_user *u, const struct err *e)
{
	struct world *w = arg;

	assert_non_null(u);
	assert_null(e);
	assert_true(u->found && u->over_quota);
	w->answers++;
	loop_stop(w->loop);
}

static void
serves_the_router(void **state)
{
	struct world *w = *state;
	const struct router_users *users = user_client_users(w->client);

	users->lookup(users->ctx, SPAN("alice"), 0, router_note, w);
	timer_start(w->deadline, 10000);
	while (w->answers == 0)
		loop_run(w->loop);
	/* From memory: at once. */
	users->lookup(users->ctx, SPAN("alice"), 0, router_note, w);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->asked, 1);
}

static void
a_cancelled_question_is_silent(void **state)
{
	struct world *w = *state;
	struct err e;

	w->silent = true;
	user_client_ask(w->client, SPAN("alice"), 0, note, w);
	timer_start(w->deadline, 10000);
	loop_run(w->loop);
	assert_non_null(w->held);
	user_client_cancel(w->client, w);
	err_set(&e, ERR_TEMP, "4.3.0", "late");
	request_error(&w->held, &e);
	w->silent = false;
	ask(w, "bob");
	assert_int_equal(w->answers, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_remembered),
		TEST(nothing_is_remembered_for_ever),
		TEST(no_answer_is_never_unknown),
		TEST(serves_the_router),
		TEST(a_cancelled_question_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
