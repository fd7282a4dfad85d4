/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void
tell(const char *lines)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n;
	ssize_t put;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	put = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL,
	    (struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)put;
	close(fd);
}

void
notify_ready(const char *status)
{
	char lines[256];

	snprintf(lines, sizeof(lines), "READY=1\nSTATUS=%s\nMAINPID=%d\n",
	    status, (int)getpid());
	tell(lines);
}

void
notify_status(const char *status)
{
	char lines[256];

	snprintf(lines, sizeof(lines), "STATUS=%s\n", status);
	tell(lines);
}

void
notify_reloading(void)
{
	char lines[128];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%lld\n",
	    (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	tell(lines);
}

void
notify_stopping(void)
{
	tell("STOPPING=1\n");
}
