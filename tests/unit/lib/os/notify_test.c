/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *
received(int fd)
{
	static char text[512];
	const ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
tell_all(int fd)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "MAINPID=%d\n", (int)getpid());
	notify_ready("2 services");
	assert_non_null(strstr(received(fd), "READY=1\nSTATUS=2 services\n"));
	notify_ready("x");
	assert_non_null(strstr(received(fd), pid));
	notify_status("busy");
	assert_string_equal(received(fd), "STATUS=busy\n");
	notify_reloading();
	assert_int_equal(
	    strncmp(received(fd), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	notify_stopping();
	assert_string_equal(received(fd), "STOPPING=1\n");
}

static void
tells_the_service_manager(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/chappe-notify-XXXXXX";
	const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	tell_all(fd);
	close(fd);
	/* With nobody there it does no harm. */
	notify_status("unheard");
	unlink(addr.sun_path);
	rmdir(dir);
}

static void
knows_abstract_names(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char name[100];
	int n;

	(void)state;
	n = snprintf(name, sizeof(name), "@chappe-test-%d", (int)getpid());
	memcpy(addr.sun_path + 1, name + 1, (size_t)n - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
			     (socklen_t)(sizeof(sa_family_t) + (size_t)n)),
	    0);
	setenv("NOTIFY_SOCKET", name, 1);
	tell_all(fd);
	unsetenv("NOTIFY_SOCKET");
	notify_stopping();
	assert_string_equal(received(fd), "");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_service_manager),
		cmocka_unit_test(knows_abstract_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
