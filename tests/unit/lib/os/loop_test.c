/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct world {
	struct loop *loop;
	struct timer *timer, *other;
	struct watch *watch;
	int fd, peer;
	char trail[32];
};

static void
mark(struct world *w, char c)
{
	const size_t n = strlen(w->trail);

	assert_true(n + 1 < sizeof(w->trail));
	w->trail[n] = c;
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->loop = loop_new();
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	timer_free(&w->timer);
	timer_free(&w->other);
	watch_free(&w->watch);
	loop_free(&w->loop);
	loop_free(&w->loop);
	free(w);
	return 0;
}

static void
on_first(void *arg)
{
	struct world *w = arg;

	mark(w, 'a');
	assert_false(timer_active(w->timer));
	timer_free(&w->timer);
	assert_null(w->timer);
}

static void
on_second(void *arg)
{
	struct world *w = arg;

	mark(w, 'b');
	loop_stop(w->loop);
}

static void
timers_fire_once_in_order(void **state)
{
	struct world *w = *state;
	const uint64_t start = loop_now_ms(w->loop);

	w->timer = timer_new(w->loop, on_first, w);
	w->other = timer_new(w->loop, on_second, w);
	assert_false(timer_active(w->timer));
	timer_start(w->other, 5);
	timer_start(w->other, 20);
	timer_start(w->timer, UINT64_MAX);
	timer_start(w->timer, 1);
	assert_true(timer_active(w->other));
	loop_run(w->loop);
	assert_string_equal(w->trail, "ab");
	assert_true(loop_now_ms(w->loop) - start >= 20);
	timer_start(w->other, 1);
	timer_stop(w->other);
	assert_false(timer_active(w->other));
}

static void
stop_later(void *arg)
{
	struct world *w = arg;

	mark(w, 's');
	loop_stop(w->loop);
}

static void
later_again(void *arg)
{
	struct world *w = arg;

	mark(w, 'l');
	loop_later(w->loop, stop_later, w);
}

static void
later_runs_from_the_top(void **state)
{
	struct world *w = *state;

	loop_later(w->loop, later_again, w);
	loop_later(w->loop, later_again, w);
	assert_string_equal(w->trail, "");
	loop_run(w->loop);
	assert_string_equal(w->trail, "llss");
	loop_later(w->loop, later_again, w); /* freed with the loop */
}

static void
on_readable(void *arg, int events)
{
	struct world *w = arg;

	mark(w, events == WATCH_READ ? 'r' : '?');
	if (strlen(w->trail) == 3) {
		watch_free(&w->watch);
		loop_stop(w->loop);
	}
}

static void
watches_are_level_triggered(void **state)
{
	struct world *w = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w->watch = watch_new(w->loop, pair[0], on_readable, w);
	watch_set(w->watch, WATCH_READ);
	assert_int_equal(write(pair[1], "x", 1), 1);
	loop_run(w->loop);
	assert_string_equal(w->trail, "rrr");
	close(pair[0]);
	close(pair[1]);
}

static void
say(void *arg)
{
	struct world *w = arg;

	assert_string_equal(w->trail, "f");
	assert_int_equal(write(w->peer, "x", 1), 1);
}

static void
on_new_owner(void *arg, int events)
{
	struct world *w = arg;

	mark(w, events == WATCH_READ ? 's' : '?');
	loop_stop(w->loop);
}

/* In the first one's callback its number goes to another connection. */
static void
on_old_owner(void *arg, int events)
{
	struct world *w = arg;
	int pair[2];

	(void)events;
	mark(w, 'f');
	watch_free(&w->watch);
	close(w->fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pair[0], w->fd);
	w->watch = watch_new(w->loop, w->fd, on_new_owner, w);
	watch_set(w->watch, WATCH_READ);
	close(w->peer);
	w->peer = pair[1];
	loop_later(w->loop, say, w);
}

static void
a_number_may_come_again(void **state)
{
	struct world *w = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w->fd = pair[0];
	w->peer = pair[1];
	w->watch = watch_new(w->loop, w->fd, on_old_owner, w);
	watch_set(w->watch, WATCH_READ | WATCH_WRITE);
	loop_run(w->loop);
	assert_string_equal(w->trail, "fs");
	close(w->peer);
}

static void
on_both(void *arg, int events)
{
	struct world *w = arg;

	mark(w, events == (WATCH_READ | WATCH_WRITE) ? 'e' : '?');
	loop_stop(w->loop);
}

static void
a_hang_up_is_seen(void **state)
{
	struct world *w = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	w->watch = watch_new(w->loop, pair[0], on_both, w);
	watch_set(w->watch, WATCH_READ | WATCH_WRITE);
	loop_run(w->loop);
	assert_string_equal(w->trail, "e");
	watch_free(&w->watch);
	close(pair[0]);
}

static void
on_signal(int signo, void *arg)
{
	struct world *w = arg;

	mark(w, signo == SIGUSR1 ? 'u' : '?');
	loop_stop(w->loop);
}

static void
signals_come_to_the_loop(void **state)
{
	struct world *w = *state;

	loop_signal(w->loop, SIGUSR1, on_signal, w);
	raise(SIGUSR1);
	raise(SIGPIPE);
	loop_run(w->loop);
	assert_string_equal(w->trail, "u");
}

static void
the_wall_clock_can_be_shifted(void **state)
{
	int status;
	const time_t now = time(NULL);
	const pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		setenv("CHAPPE_CLOCK_OFFSET_S", "-86400", 1);
		_exit(llabs(clock_wall_us() / 1000000 - (now - 86400)) > 5);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(llabs(clock_wall_us() / 1000000 - now) <= 5);
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* ---- a listener of several processes ---- */
enum { PROCESSES = 3, CLIENTS = 60 };

struct acceptor {
	struct watch *watch;
	int listener, report, number;
};

/* Tells for each wake-up who had it, and whether a client was there. */
static void
on_shared(void *arg, int events)
{
	struct acceptor *a = arg;
	const int fd = accept(a->listener, NULL, NULL);
	const char tell = (char)(a->number * 2 + (fd >= 0));

	(void)events;
	if (fd >= 0)
		close(fd);
	watch_yield(a->watch);
	assert_int_equal(write(a->report, &tell, 1), 1);
}

static pid_t
start_acceptor(int listener, int report, int number)
{
	const pid_t pid = fork();
	struct acceptor a = { .listener = listener, .report = report,
		.number = number };
	struct loop *loop;

	if (pid != 0)
		return pid;
	alarm(60);
	loop = loop_new();
	a.watch = watch_new(loop, listener, on_shared, &a);
	watch_shared(a.watch);
	watch_set(a.watch, WATCH_READ);
	loop_run(loop);
	_exit(1);
}

static int
connect_to(const struct sockaddr_in *addr)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
	    connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), 0);
	return fd;
}

static bool
all_had(const int *had)
{
	for (int i = 0; i < PROCESSES; i++)
		if (had[i] == 0)
			return false;
	return true;
}

/* One client after the other: each wakes one process, and all have a share.
 * At first a few may wake two: libuv has waited for the listener until then. */
static void
shared_watch(void **state)
{
	const int listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(addr);
	int in_vain = 0, clients = 0, had[PROCESSES] = { 0 }, report[2];
	pid_t pids[PROCESSES];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, size), 0);
	assert_int_equal(listen(listener, 10), 0);
	getsockname(listener, (struct sockaddr *)&addr, &size);
	assert_int_equal(pipe(report), 0);
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = start_acceptor(listener, report[1], i);
	for (; clients < CLIENTS || !all_had(had); clients++) {
		const int fd = connect_to(&addr);
		char tell;

		/* A process that starts late gets its share later. */
		assert_true(clients < 100000);

		do {
			assert_int_equal(read(report[0], &tell, 1), 1);
			in_vain += tell % 2 == 0;
		} while (tell % 2 == 0);
		had[tell / 2]++;
		close(fd);
	}
	for (int i = 0; i < PROCESSES; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	assert_true(in_vain <= clients / 6);
	close(listener);
	close(report[0]);
	close(report[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(the_wall_clock_can_be_shifted),
		LOOP_TEST(timers_fire_once_in_order),
		LOOP_TEST(later_runs_from_the_top),
		LOOP_TEST(watches_are_level_triggered),
		LOOP_TEST(a_number_may_come_again),
		LOOP_TEST(a_hang_up_is_seen),
		LOOP_TEST(signals_come_to_the_loop),
		cmocka_unit_test(shared_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
