/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/sock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/chappe-sock-XXXXXX";

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* Listens, connects, accepts, checks mode and peer; then does it again over
 * the stale socket. */
static void
round_trip(const char *path)
{
	for (int i = 0; i < 2; i++) {
		struct peer peer;
		struct stat st;
		struct err e;
		int l, c, a;

		assert_int_equal(
		    sock_listen_unix(path, SOCK_SEQPACKET, 0621, &l, &e), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0621);
		assert_int_equal(sock_accept(l, &a, NULL, &e), 0);
		assert_int_equal(
		    sock_connect_unix(path, SOCK_SEQPACKET, &c, &e), 0);
		assert_int_equal(sock_accept(l, &a, NULL, &e), 1);
		assert_int_equal(sock_peer(a, &peer, &e), 0);
		assert_int_equal(peer.pid, getpid());
		assert_int_equal(peer.uid, getuid());
		close(a);
		close(c);
		close(l);
	}
	assert_int_equal(unlink(path), 0);
}

static void
unix_sockets(void **state)
{
	char path[100];
	struct err e;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/s", dir);
	round_trip(path);
	assert_int_equal(sock_connect_unix(path, SOCK_STREAM, &fd, &e), -1);
	assert_int_equal(e.sysno, ENOENT);
	assert_int_equal(e.kind, ERR_TEMP);
}

static void
long_paths(void **state)
{
	char longer[200], path[220];

	(void)state;
	snprintf(longer, sizeof(longer), "%s/%0120d", dir, 7);
	assert_int_equal(mkdir(longer, 0700), 0);
	snprintf(path, sizeof(path), "%s/sock", longer);
	round_trip(path);
	assert_int_equal(rmdir(longer), 0);
}

static void
leaves_other_files_alone(void **state)
{
	char path[100];
	struct err e;
	FILE *f;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(
	    sock_listen_unix(path, SOCK_STREAM, 0600, &fd, &e), -1);
	assert_int_equal(e.sysno, EADDRINUSE);
	assert_int_equal(unlink(path), 0);
}

static void
tcp(void **state)
{
	struct sockaddr_storage addr, from;
	socklen_t len;
	char text[SOCK_ADDR_TEXT];
	struct err e;
	int l, l2, c, a = -1, on = 0;

	(void)state;
	assert_true(sock_addr_parse("127.0.0.1", 0, &addr, &len));
	assert_int_equal(
	    sock_listen_tcp((struct sockaddr *)&addr, len, 5, &l, &e), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&addr, &len), 0);
	assert_true(sock_addr_port((struct sockaddr *)&addr) > 0);
	assert_int_equal(
	    sock_listen_tcp((struct sockaddr *)&addr, len, 5, &l2, &e), -1);
	assert_int_equal(e.sysno, EADDRINUSE);
	assert_non_null(strstr(e.text, "127.0.0.1 port "));
	c = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(
	    poll(&(struct pollfd){ .fd = l, .events = POLLIN }, 1, 5000), 1);
	assert_int_equal(sock_accept(l, &a, &from, &e), 1);
	len = sizeof(on);
	assert_int_equal(
	    getsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_not_equal(on, 0);
	sock_addr_text((struct sockaddr *)&from, text);
	assert_string_equal(text, "127.0.0.1");
	close(a);
	close(c);
	close(l);
}

static void
addresses(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "2001:DB8::1", "2001:db8::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7" },
		{ "::1", "::1" },
		{ "localhost", NULL },
		{ "192.0.2", NULL },
		{ "[::1]", NULL },
		{ "", NULL },
	};
	struct sockaddr_storage a;
	char text[SOCK_ADDR_TEXT];
	socklen_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const bool ok = sock_addr_parse(rows[i].in, 25, &a, &len);

		assert_int_equal(ok, rows[i].out != NULL);
		if (!ok)
			continue;
		sock_addr_text((struct sockaddr *)&a, text);
		assert_string_equal(text, rows[i].out);
		assert_int_equal(sock_addr_port((struct sockaddr *)&a), 25);
	}
	assert_false(sock_addr_parse("::1", 65536, &a, &len));
	a.ss_family = AF_UNIX;
	sock_addr_text((struct sockaddr *)&a, text);
	assert_string_equal(text, "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unix_sockets),
		cmocka_unit_test(long_paths),
		cmocka_unit_test(leaves_other_files_alone),
		cmocka_unit_test(tcp),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
