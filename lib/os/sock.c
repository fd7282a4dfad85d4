/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/limits.h"

enum { UNIX_BACKLOG = 1024 };

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Fills in the address of path. A path that is too long for it is reached
 * through a descriptor of its directory, *out_dir (else -1). */
static int
unix_addr(
    const char *path, struct sockaddr_un *out, int *out_dir, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[LIMIT_PATH];
	int fd, n;

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*out_dir = -1;
	if (strlen(path) < sizeof(out->sun_path)) {
		snprintf(out->sun_path, sizeof(out->sun_path), "%s", path);
		return 0;
	}
	errno = ENAMETOOLONG;
	if (slash == NULL || (size_t)(slash - path) >= sizeof(dir) - 1)
		return err_sys(e, "socket %s", path);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open directory %s", dir);
	n = snprintf(out->sun_path, sizeof(out->sun_path),
	    "/proc/self/fd/%d/%s", fd, slash + 1);
	if (n < 0 || (size_t)n >= sizeof(out->sun_path)) {
		close(fd);
		errno = ENAMETOOLONG;
		return err_sys(e, "socket %s", path);
	}
	*out_dir = fd;
	return 0;
}

/* Removes a socket that an earlier process left; anything else stays, and
 * bind then says so. */
static void
remove_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

int
sock_listen_unix(
    const char *path, int type, mode_t mode, int *out_fd, struct err *e)
{
	struct sockaddr_un addr;
	int dir = -1, fd = -1, ret = -1;

	if (unix_addr(path, &addr, &dir, e) != 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err_sys(e, "socket");
		goto out;
	}
	remove_stale(path);
	/* Nobody can connect before listen, so nobody sees the first mode. */
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    chmod(path, mode) != 0 || listen(fd, UNIX_BACKLOG) != 0) {
		err_sys(e, "listen on %s", path);
		goto out;
	}
	*out_fd = fd;
	fd = -1;
	ret = 0;
out:
	close_fd(fd);
	close_fd(dir);
	return ret;
}

int
sock_listen_tcp(const struct sockaddr *addr, socklen_t len, int backlog,
    int *out_fd, struct err *e)
{
	char text[SOCK_ADDR_TEXT];
	const int on = 1;
	int fd;

	sock_addr_text(addr, text);
	fd = socket(
	    addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket for %s", text);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (addr->sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) !=
		    0) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    bind(fd, addr, len) != 0 || listen(fd, backlog) != 0) {
		err_sys(e, "listen on %s port %u", text, sock_addr_port(addr));
		close(fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}

int
sock_connect_unix(const char *path, int type, int *out_fd, struct err *e)
{
	struct sockaddr_un addr;
	int dir = -1, fd, rc;

	if (unix_addr(path, &addr, &dir, e) != 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err_sys(e, "socket");
		close_fd(dir);
		return -1;
	}
	do
		rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	while (rc != 0 && errno == EINTR);
	if (rc != 0) {
		err_sys(e, "connect to %s", path);
		close_fd(fd);
		close_fd(dir);
		return -1;
	}
	close_fd(dir);
	*out_fd = fd;
	return 0;
}

/* Errors of accept(2) that concern the connection which was waiting, not the
 * listener: it went away. */
static bool
went_away(int sysno)
{
	static const int list[] = { EAGAIN, EINTR, ECONNABORTED, EPROTO,
		ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
		ENETUNREACH, ETIMEDOUT, EPERM };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (sysno == list[i])
			return true;
	return false;
}

int
sock_accept(int listen_fd, int *out_fd, struct sockaddr_storage *out_addr,
    struct err *e)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	const int fd = accept4(listen_fd, (struct sockaddr *)&addr, &len,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && went_away(errno))
		return 0;
	if (fd < 0) {
		const bool full = errno == EMFILE || errno == ENFILE;

		err_sys(e, "accept");
		if (full && e != NULL)
			snprintf(e->dsn, sizeof(e->dsn), "4.3.2");
		return -1;
	}
	if (out_addr != NULL)
		*out_addr = addr;
	*out_fd = fd;
	return 1;
}

int
sock_pair(int type, int out_fd[2], struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys(e, "socketpair");
	out_fd[0] = pair[0];
	out_fd[1] = pair[1];
	return 0;
}

int
sock_peer(int fd, struct peer *out, struct err *e)
{
	/* The user id that the kernel shows for one it cannot map. */
	enum { OVERFLOW_ID = 65534 };
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return err_sys(e, "peer credentials");
	*out =
	    (struct peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
	if (out->uid == OVERFLOW_ID)
		out->uid = (uid_t)-1;
	return 0;
}

void
sock_addr_text(const struct sockaddr *addr, char *out)
{
	const struct sockaddr_in *in4 = (const void *)addr;
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const char *text = NULL;

	if (addr->sa_family == AF_INET)
		text = inet_ntop(AF_INET, &in4->sin_addr, out, SOCK_ADDR_TEXT);
	else if (addr->sa_family == AF_INET6 &&
		 IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		text = inet_ntop(
		    AF_INET, &in6->sin6_addr.s6_addr[12], out, SOCK_ADDR_TEXT);
	else if (addr->sa_family == AF_INET6)
		text =
		    inet_ntop(AF_INET6, &in6->sin6_addr, out, SOCK_ADDR_TEXT);
	if (text == NULL)
		snprintf(out, SOCK_ADDR_TEXT, "unknown");
}

unsigned
sock_addr_port(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET)
		return ntohs(
		    ((const struct sockaddr_in *)(const void *)addr)->sin_port);
	if (addr->sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)addr)
				 ->sin6_port);
	return 0;
}

bool
sock_addr_parse(const char *text, unsigned port, struct sockaddr_storage *out,
    socklen_t *out_len)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)port) };

	if (port > 65535)
		return false;
	if (inet_pton(AF_INET, text, &in4.sin_addr) == 1) {
		memset(out, 0, sizeof(*out));
		memcpy(out, &in4, sizeof(in4));
		*out_len = sizeof(in4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memset(out, 0, sizeof(*out));
		memcpy(out, &in6, sizeof(in6));
		*out_len = sizeof(in6);
		return true;
	}
	return false;
}

int
sock_set_nonblock(int fd, bool on, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return err_sys(e, "fcntl");
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(fd, F_SETFL, flags) != 0)
		return err_sys(e, "fcntl");
	return 0;
}
