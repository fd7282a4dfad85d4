/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TESTS_UNIT_LIB_MAIL_PEER_THREAD_H
#define CHAPPE_TESTS_UNIT_LIB_MAIL_PEER_THREAD_H

/*
 * The other end of a client that is tested: a thread that blocks, on a UNIX
 * socket in a directory of the test's own. Included after cmocka.h;
 * peer_begin and peer_end are the group's set-up and tear-down.
 */

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/os/loop.h"
#include "lib/os/sock.h"
#include "lib/os/work.h"

static char dir[] = "/tmp/chappe-peer-XXXXXX";
static char path[100]; /* of the socket */
static struct loop *loop;
static int listener = -1;
static pthread_t peer_thread;

/* Listens, and has fn talk in a thread. */
static inline void
peer_start(void *(*fn)(void *arg))
{
	struct err e;

	if (sock_listen_unix(path, SOCK_STREAM, 0600, &listener, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(pthread_create(&peer_thread, NULL, fn, NULL), 0);
}

/* In the thread: the listener does not block, the client may not have come
 * yet. */
static inline int
peer_accept(void)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd;

	while ((fd = accept(listener, NULL, NULL)) < 0)
		poll(&p, 1, 1000);
	return fd;
}

/* Waits for the thread's end. */
static inline void
peer_stop(void)
{
	pthread_join(peer_thread, NULL);
	close(listener);
	unlink(path);
}

static int
peer_begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	loop = loop_new();
	return 0;
}

static int
peer_end(void **state)
{
	(void)state;
	work_finish(loop);
	loop_free(&loop);
	return rmdir(dir);
}

#endif
