/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_SOCK_H
#define CHAPPE_OS_SOCK_H

/*
 * Sockets: making listeners, connecting to our own services, who is at the
 * other end. All descriptors are close-on-exec; those for loops non-blocking.
 */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* A UNIX listener at path (a stale socket there is replaced, with the final
 * mode before it can be connected to). type: SOCK_STREAM or SOCK_SEQPACKET. */
int sock_listen_unix(const char *path, int type, mode_t mode, int *out_fd,
    struct err *e);

/* A TCP listener on one address (SO_REUSEADDR, IPV6_V6ONLY; never
 * SO_REUSEPORT). What is accepted from it has TCP_NODELAY: streams gather
 * small writes themselves. */
int sock_listen_tcp(const struct sockaddr *addr, socklen_t len, int backlog,
    int *out_fd, struct err *e);

/* Connects to a UNIX socket. type: may have SOCK_NONBLOCK, as it must in a
 * loop: then a listener whose backlog is full is EAGAIN. Else the call waits
 * for it, and the descriptor is blocking. */
int sock_connect_unix(const char *path, int type, int *out_fd, struct err *e);

/* Accepts one connection, non-blocking and close-on-exec. 1 one, 0 none
 * waiting (or it went away), -1 error: EMFILE and ENFILE say 4.3.2. */
int sock_accept(int listen_fd, int *out_fd, struct sockaddr_storage *out_addr,
    struct err *e);

/* A connected pair. */
int sock_pair(int type, int out_fd[2], struct err *e);

struct peer {
	pid_t pid;
	uid_t uid; /* (uid_t)-1: unmapped in our user namespace */
	gid_t gid;
};
/* SO_PEERCRED of a UNIX socket. */
int sock_peer(int fd, struct peer *out, struct err *e);

/* "192.0.2.1" or "2001:db8::1" (an IPv4-mapped address as IPv4), or
 * "unknown"; out has SOCK_ADDR_TEXT bytes. */
enum { SOCK_ADDR_TEXT = 48 };
void sock_addr_text(const struct sockaddr *addr, char *out);
unsigned sock_addr_port(const struct sockaddr *addr);
/* Parses an address literal (no name lookup); false if it is none. */
bool sock_addr_parse(const char *text, unsigned port,
    struct sockaddr_storage *out, socklen_t *out_len);

int sock_set_nonblock(int fd, bool on, struct err *e);

#endif
