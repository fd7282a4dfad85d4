/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A scripted load generator for line protocols. One process, one epoll loop;
 * it talks to loopback addresses only. See usage() for its arguments and
 * tests/bench/load.py for who calls it. Prints one line "name=value ...".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "tests/bench/lean_tls.h"

enum {
	LINE_MAX_IN = 4096,
	COMMAND_MAX = 1024,
	FAILURES_MAX = 1000, /* then no more is begun */
};

static const char usage_text[] =
    "usage: load [options] ADDRESS PORT STEP...\n"
    "  -s N  sessions at a time (1)\n"
    "  -m N  units of work in all: passes through ( ), or connections (1)\n"
    "  -d N  passes through ( ) per connection (1)\n"
    "  -l N  size of the body in bytes (1024)\n"
    "  -w S  give up after S seconds (120)\n"
    "  -r N  open at most N connections a second\n"
    "  -t    TLS from the first byte\n"
    "  -g A  signature algorithms to offer: chooses the server's key\n"
    "steps: '<220 '  wait for a line that begins so; another final reply is\n"
    "       an error    '>TEXT' send a line, %n is the unit's number\n"
    "       '@' send the body and CRLF.CRLF    '!' TLS handshake\n"
    "       '#' the same, which costs us less and the server nothing less;\n"
    "       not with '@'\n"
    "       '(' ')' the loop    '~' '^' start and stop the latency clock\n"
    "       'hold' keep the connection until standard input ends\n";

struct options {
	long sessions, units, passes, size, wait_s, rate;
	bool tls;
	char *algorithms;
	char **steps;
	int step_count, loop_at; /* -1: no loop */
};

static struct options opt = { 1, 1, 1, 1024, 120, 0, false, NULL, NULL, 0,
	-1 };
static struct sockaddr_in target;
static SSL_CTX *tls_ctx;
static int epoll_fd;
static char *body;
static size_t body_size; /* with the final dot */

static struct {
	long started, done, failed, held, opened, used;
	double *latency;
	size_t latency_count, latency_room;
	char first_error[200];
} stats;

struct conn {
	int fd; /* -1: not in use */
	int step;
	long pass, unit;
	bool connected, handshake, held, overlong, lean;
	bool sent; /* what comes next can't be here yet */
	uint32_t wants; /* what epoll watches for */
	double clock;
	SSL *ssl;
	const char *out;
	size_t out_size, out_at;
	size_t in_size;
	struct lean_tls *lean_tls; /* made once for all that come here */
	char command[COMMAND_MAX];
	char in[LINE_MAX_IN];
};

enum io { IO_DONE, IO_AGAIN, IO_FAILED };

static void
die(const char *what)
{
	perror(what);
	exit(2);
}

static void
usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A header, lines of 76 characters, and the end of data behind it. */
static void
make_body(void)
{
	static const char head[] =
	    "From: Load <load@bench.test>\r\nTo: <sink@bench.test>\r\n"
	    "Subject: a message of a fixed size\r\n"
	    "Date: Mon, 06 Jan 2025 10:00:00 +0000\r\n"
	    "Message-ID: <bench@bench.test>\r\n\r\n";
	const size_t size = (size_t)opt.size;
	size_t at = sizeof(head) - 1, column = 0;

	if (size < at + 2)
		usage();
	body = malloc(size + 8);
	if (body == NULL)
		die("memory");
	memcpy(body, head, at);
	while (at < size - 2) {
		if (column == 76 && at + 4 <= size) {
			body[at++] = '\r';
			body[at++] = '\n';
			column = 0;
			continue;
		}
		body[at] = (char)('a' + (at * 7 + at / 78) % 26);
		at++;
		column++;
	}
	memcpy(body + at, "\r\n.\r\n", 5);
	body_size = at + 5;
}

/* ---- connections ---- */

static void
watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->wants == events)
		return;
	if (epoll_ctl(epoll_fd, c->wants != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		c->fd, &e) != 0)
		die("epoll_ctl");
	c->wants = events;
}

static void
conn_close(struct conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->fd);
	c->fd = -1;
	stats.used--;
	if (c->held)
		stats.held--;
}

static void
conn_fail(struct conn *c, const char *why)
{
	stats.failed++;
	if (stats.first_error[0] == '\0')
		snprintf(stats.first_error, sizeof(stats.first_error), "%s",
		    why);
	conn_close(c);
}

static void
conn_open(struct conn *c)
{
	const int on = 1;

	memset(c, 0, offsetof(struct conn, lean_tls));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (opt.loop_at < 0)
		stats.started++;
	stats.opened++;
	stats.used++;
	c->unit = stats.started;
	if (connect(c->fd, (struct sockaddr *)&target, sizeof(target)) != 0 &&
	    errno != EINPROGRESS)
		conn_fail(c, strerror(errno));
	else
		watch(c, EPOLLOUT);
}

static void
tls_begin(struct conn *c)
{
	c->ssl = SSL_new(tls_ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		die("TLS");
	c->handshake = true;
}

/* SSL's wishes, as epoll events; 0: it failed. */
static uint32_t
tls_wants(struct conn *c, int rc)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return EPOLLIN;
	case SSL_ERROR_WANT_WRITE:
		return EPOLLOUT;
	default:
		return 0;
	}
}

/* ---- lean TLS: what is sent is little, and the socket takes it ---- */

static bool
lean_send(struct conn *c, const uint8_t *p, size_t n, int flags)
{
	return send(c->fd, p, n, MSG_NOSIGNAL | flags) == (ssize_t)n;
}

/* IO_DONE: bytes were received. */
static enum io
lean_receive(struct conn *c)
{
	char some[16384];
	const ssize_t n = recv(c->fd, some, sizeof(some), 0);

	if (n < 0 && errno == EAGAIN)
		return IO_AGAIN;
	return n > 0 && lean_tls_feed(c->lean_tls, some, (size_t)n)
	    ? IO_DONE
	    : IO_FAILED;
}

static enum io
lean_begin(struct conn *c)
{
	const uint8_t *p;
	size_t n;

	if (c->lean_tls == NULL)
		c->lean_tls = lean_tls_new();
	c->lean = c->handshake = true;
	p = lean_tls_begin(c->lean_tls, &n);
	return lean_send(c, p, n, 0) ? IO_DONE : IO_FAILED;
}

/* Our last message goes with the command that follows it. */
static enum io
lean_handshake(struct conn *c)
{
	const uint8_t *p;
	size_t n;

	for (;;) {
		const enum io io = lean_receive(c);
		enum lean r;

		if (io == IO_AGAIN)
			watch(c, EPOLLIN);
		if (io != IO_DONE)
			return io;
		r = lean_tls_handshake(c->lean_tls, &p, &n);
		if (r == LEAN_BAD)
			return IO_FAILED;
		if (r == LEAN_MORE)
			continue;
		c->handshake = false;
		return lean_send(c, p, n, MSG_MORE) ? IO_DONE : IO_FAILED;
	}
}

static ssize_t
lean_put(struct conn *c, const char *p, size_t n)
{
	const uint8_t *record;
	size_t size;

	record = lean_tls_seal(c->lean_tls, p, n, &size);
	return lean_send(c, record, size, 0) ? (ssize_t)n : -1;
}

static ssize_t
lean_get(struct conn *c, char *p, size_t room, bool *again)
{
	for (;;) {
		enum io io;
		size_t n;

		switch (lean_tls_open(c->lean_tls, p, room, &n)) {
		case LEAN_OK:
			return (ssize_t)n;
		case LEAN_BAD:
			*again = false;
			return -1;
		case LEAN_MORE:
			break;
		}
		io = lean_receive(c);
		*again = io == IO_AGAIN;
		if (io != IO_DONE)
			return -1;
	}
}

static enum io
handshake(struct conn *c)
{
	uint32_t events;
	int rc;

	if (c->lean)
		return lean_handshake(c);
	rc = SSL_connect(c->ssl);
	if (rc == 1) {
		c->handshake = false;
		return IO_DONE;
	}
	events = tls_wants(c, rc);
	if (events == 0)
		return IO_FAILED;
	watch(c, events);
	return IO_AGAIN;
}

static ssize_t
put(struct conn *c, const char *p, size_t n, bool *again)
{
	ssize_t rc;

	*again = false;
	if (c->lean)
		return lean_put(c, p, n);
	if (c->ssl == NULL) {
		rc = send(c->fd, p, n, MSG_NOSIGNAL);
		*again = rc < 0 && errno == EAGAIN;
		return rc;
	}
	rc = SSL_write(c->ssl, p, n > 16384 ? 16384 : (int)n);
	*again = rc <= 0 && tls_wants(c, (int)rc) != 0;
	return rc;
}

static ssize_t
get(struct conn *c, char *p, size_t n, bool *again)
{
	ssize_t rc;

	if (c->lean)
		return lean_get(c, p, n, again);
	if (c->ssl == NULL) {
		rc = recv(c->fd, p, n, 0);
		*again = rc < 0 && errno == EAGAIN;
		return rc;
	}
	rc = SSL_read(c->ssl, p, (int)n);
	*again = rc <= 0 && tls_wants(c, (int)rc) != 0;
	return rc;
}

static enum io
send_out(struct conn *c)
{
	while (c->out_at < c->out_size) {
		bool again;
		const ssize_t n = put(c, c->out + c->out_at,
		    c->out_size - c->out_at, &again);

		if (n > 0) {
			c->out_at += (size_t)n;
			continue;
		}
		if (!again)
			return IO_FAILED;
		watch(c, EPOLLOUT | EPOLLIN);
		return IO_AGAIN;
	}
	c->out_size = c->out_at = 0;
	c->sent = c->ssl == NULL;
	return IO_DONE;
}

static enum io
wait_for_more(struct conn *c)
{
	watch(c, EPOLLIN);
	return IO_AGAIN;
}

/* One line without its end; a longer one is cut. */
static enum io
get_line(struct conn *c, char line[LINE_MAX_IN])
{
	for (;;) {
		const char *end = memchr(c->in, '\n', c->in_size);
		bool again;
		ssize_t n;

		if (end != NULL) {
			const size_t used = (size_t)(end - c->in) + 1;

			memcpy(line, c->in, used - 1);
			line[used - 1] = '\0';
			line[strcspn(line, "\r")] = '\0';
			memmove(c->in, end + 1, c->in_size - used);
			c->in_size -= used;
			return IO_DONE;
		}
		if (c->in_size == sizeof(c->in))
			return IO_FAILED;
		if (c->sent) {
			c->sent = false;
			return wait_for_more(c);
		}
		n = get(c, c->in + c->in_size, sizeof(c->in) - c->in_size,
		    &again);
		if (n > 0) {
			c->in_size += (size_t)n;
			continue;
		}
		return again ? wait_for_more(c) : IO_FAILED;
	}
}

/* ---- the script ---- */

static void
expand(struct conn *c, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n < COMMAND_MAX - 32; text++) {
		if (text[0] == '%' && text[1] == 'n') {
			n += (size_t)snprintf(c->command + n, 24, "%ld",
			    c->unit);
			text++;
		} else {
			c->command[n++] = *text;
		}
	}
	memcpy(c->command + n, "\r\n", 2);
	c->out = c->command;
	c->out_size = n + 2;
	c->out_at = 0;
}

static bool
is_final_reply(const char *line)
{
	return (line[0] >= '1' && line[0] <= '5' && strlen(line) > 3 &&
		   line[3] == ' ') ||
	       strncmp(line, "a ", 2) == 0 || strncmp(line, "* BYE", 5) == 0;
}

/* Waits for the reply; IO_DONE: the step is over. */
static enum io
expect(struct conn *c, const char *prefix)
{
	char line[LINE_MAX_IN];

	for (;;) {
		const enum io io = get_line(c, line);

		if (io == IO_AGAIN)
			return IO_AGAIN;
		if (io == IO_FAILED) {
			conn_fail(c, "the server closed the connection");
			return IO_FAILED;
		}
		if (strncmp(line, prefix, strlen(prefix)) == 0)
			return IO_DONE;
		if (!is_final_reply(line))
			continue;
		conn_fail(c, line);
		return IO_FAILED;
	}
}

static void
loop_begins(struct conn *c)
{
	if (stats.started < opt.units) {
		c->unit = stats.started++;
		return;
	}
	/* Nothing is left to do. */
	while (opt.steps[c->step][0] != ')')
		c->step++;
}

static void
sample(double seconds)
{
	if (stats.latency_count == stats.latency_room) {
		stats.latency_room = stats.latency_room * 2 + 1024;
		stats.latency = realloc(stats.latency,
		    stats.latency_room * sizeof(double));
		if (stats.latency == NULL)
			die("memory");
	}
	stats.latency[stats.latency_count++] = seconds;
}

static enum io
hold(struct conn *c)
{
	char line[LINE_MAX_IN];
	enum io io;

	if (!c->held) {
		c->held = true;
		stats.held++;
	}
	watch(c, EPOLLIN);
	while ((io = get_line(c, line)) == IO_DONE)
		continue;
	if (io == IO_FAILED)
		conn_fail(c, "a held connection was closed");
	return io;
}

/* One step; IO_DONE: go on with the one that c->step says. */
static enum io
do_step(struct conn *c)
{
	const char *step = opt.steps[c->step];
	enum io io;

	switch (step[0]) {
	case '<':
		io = expect(c, step + 1);
		if (io != IO_DONE)
			return io;
		break;
	case '>':
		expand(c, step + 1);
		break;
	case '@':
		c->out = body;
		c->out_size = body_size;
		c->out_at = 0;
		break;
	case '!':
		tls_begin(c);
		break;
	case '#':
		io = lean_begin(c);
		if (io != IO_DONE) {
			conn_fail(c, "write failed");
			return io;
		}
		break;
	case '(':
		loop_begins(c);
		break;
	case ')':
		stats.done++;
		if (++c->pass < opt.passes && stats.started < opt.units)
			c->step = opt.loop_at - 1;
		break;
	case '~':
		c->clock = now();
		break;
	case '^':
		sample(now() - c->clock);
		break;
	case 'h':
		return hold(c);
	default:
		usage();
	}
	c->step++;
	return IO_DONE;
}

static void
run(struct conn *c)
{
	for (;;) {
		enum io io = IO_DONE;

		if (c->handshake)
			io = handshake(c);
		if (io == IO_DONE && c->out_size > 0)
			io = send_out(c);
		if (io == IO_FAILED)
			conn_fail(c, c->handshake ? "TLS handshake failed" :
						    "write failed");
		if (io != IO_DONE)
			return;
		if (c->step >= opt.step_count) {
			if (opt.loop_at < 0)
				stats.done++;
			conn_close(c);
			return;
		}
		if (do_step(c) != IO_DONE)
			return;
	}
}

/* ---- all of them ---- */

static void
on_event(struct conn *c, uint32_t events)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (c->fd < 0)
		return;
	if (!c->connected) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error != 0 || (events & EPOLLHUP)) {
			conn_fail(c, strerror(error));
			return;
		}
		c->connected = true;
		if (opt.tls)
			tls_begin(c);
	}
	run(c);
}

/* Opens what may be open now. */
static void
fill(struct conn *conns, double began)
{
	const double allowed = opt.rate > 0 ?
	    (now() - began) * (double)opt.rate + 1 : 1e18;

	if (stats.used == opt.sessions || stats.failed >= FAILURES_MAX)
		return;
	for (long i = 0; i < opt.sessions; i++)
		if (conns[i].fd < 0 && stats.started < opt.units &&
		    (double)stats.opened < allowed)
			conn_open(&conns[i]);
}

static int
by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
percentile(double p)
{
	const size_t n = stats.latency_count;
	size_t i = (size_t)((double)n * p);

	if (n == 0)
		return 0;
	return stats.latency[i < n ? i : n - 1] * 1000;
}

static void
report(double seconds)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	if (stats.latency_count > 0)
		qsort(stats.latency, stats.latency_count, sizeof(double),
		    by_size);
	printf("done=%ld failed=%ld seconds=%.4f p50_ms=%.3f p90_ms=%.3f "
	       "p99_ms=%.3f max_ms=%.3f own_cpu_s=%.3f\n",
	    stats.done, stats.failed, seconds, percentile(0.5),
	    percentile(0.9), percentile(0.99), percentile(1),
	    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	if (stats.first_error[0] != '\0')
		fprintf(stderr, "load: first error: %s\n", stats.first_error);
}

/* Standard input ended: whoever called us has seen enough. */
static bool
told_to_end(void)
{
	char c;

	return read(STDIN_FILENO, &c, 1) == 0;
}

static void
serve(struct conn *conns)
{
	struct epoll_event events[512];
	const double began = now();
	bool holding = false;

	for (;;) {
		int n;

		fill(conns, began);
		if (stats.used == 0 || now() - began > (double)opt.wait_s)
			break;
		if (stats.held > 0 && stats.held == stats.used && !holding &&
		    stats.started >= opt.units) {
			holding = true;
			printf("held=%ld failed=%ld seconds=%.3f\n",
			    stats.held, stats.failed, now() - began);
			fflush(stdout);
		}
		n = epoll_wait(epoll_fd, events, 512, opt.rate > 0 ? 1 : 100);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL && told_to_end())
				return;
			if (events[i].data.ptr != NULL)
				on_event(events[i].data.ptr,
				    events[i].events);
		}
	}
	report(now() - began);
}

static long
number(const char *text)
{
	char *end;
	const long n = strtol(text, &end, 10);

	if (*end != '\0' || end == text || n < 0)
		usage();
	return n;
}

static void
parse_options(int argc, char *argv[])
{
	int o;

	while ((o = getopt(argc, argv, "+s:m:d:l:w:r:g:t")) != -1) {
		if (o == 's')
			opt.sessions = number(optarg);
		else if (o == 'm')
			opt.units = number(optarg);
		else if (o == 'd')
			opt.passes = number(optarg);
		else if (o == 'l')
			opt.size = number(optarg);
		else if (o == 'w')
			opt.wait_s = number(optarg);
		else if (o == 'r')
			opt.rate = number(optarg);
		else if (o == 'g')
			opt.algorithms = optarg;
		else if (o == 't')
			opt.tls = true;
		else
			usage();
	}
	if (argc - optind < 3)
		usage();
	target.sin_family = AF_INET;
	target.sin_port = htons((uint16_t)number(argv[optind + 1]));
	if (inet_pton(AF_INET, argv[optind], &target.sin_addr) != 1 ||
	    ntohl(target.sin_addr.s_addr) >> 24 != 127) {
		fprintf(stderr, "load: %s is no loopback address\n",
		    argv[optind]);
		exit(2);
	}
	opt.steps = argv + optind + 2;
	opt.step_count = argc - optind - 2;
	for (int i = 0; i < opt.step_count; i++)
		if (opt.steps[i][0] == '(')
			opt.loop_at = i;
}

static void
set_up(void)
{
	struct epoll_event input = { .events = EPOLLIN };
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	tls_ctx = SSL_CTX_new(TLS_client_method());
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (tls_ctx == NULL || epoll_fd < 0)
		die("set-up");
	/* Each connection is a full handshake: no tickets are kept. */
	SSL_CTX_set_session_cache_mode(tls_ctx, SSL_SESS_CACHE_OFF);
	if (opt.algorithms != NULL &&
	    SSL_CTX_set1_sigalgs_list(tls_ctx, opt.algorithms) != 1)
		usage();
	lean_tls_setup(opt.algorithms != NULL &&
	    strncmp(opt.algorithms, "RSA", 3) == 0);
	/* Not a pipe, but a file or /dev/null: nothing to wait for. */
	(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input);
}

int
main(int argc, char *argv[])
{
	struct conn *conns;

	parse_options(argc, argv);
	set_up();
	make_body();
	conns = calloc((size_t)opt.sessions, sizeof(*conns));
	if (conns == NULL)
		die("memory");
	for (long i = 0; i < opt.sessions; i++)
		conns[i].fd = -1;
	serve(conns);
	return stats.failed > 0 ? 1 : 0;
}
