/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/wire.h"

enum { LATER_MS = 10 };

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for events on fd (-1: only for time to pass) until the deadline. */
static int
wait_for(int fd, short events, int64_t deadline, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline - now_ms();
	int n;

	if (left <= 0)
		return err_set(e, ERR_TEMP, "4.3.0", "no answer in time");
	if (fd < 0 && left > LATER_MS)
		left = LATER_MS;
	n = poll(&p, 1, (int)left);
	if (n < 0 && errno != EINTR)
		return err_sys(e, "poll");
	return 0;
}

int
sync_send(int fd, struct msg_out *m, int timeout_ms, struct err *e)
{
	const int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		switch (wire_send(fd, m, e)) {
		case WIRE_DONE:
			return 0;
		case WIRE_WAIT:
			if (wait_for(fd, POLLOUT, deadline, e) != 0)
				return -1;
			break;
		case WIRE_LATER:
			if (wait_for(-1, 0, deadline, e) != 0)
				return -1;
			break;
		case WIRE_CLOSED:
			return err_set(e, ERR_TEMP, "4.3.0",
			    "connection closed");
		case WIRE_FAILED:
			return -1;
		}
	}
}

int
sync_receive(int fd, struct buf *store, struct msg_in *out, int timeout_ms,
    struct err *e)
{
	const int64_t deadline = now_ms() + timeout_ms;
	uint8_t *room;

	buf_reset(store);
	room = buf_room(store, LIMIT_IPC_MESSAGE);
	BUG_ON(room == NULL);
	for (;;) {
		switch (wire_receive(fd, room, out, e)) {
		case WIRE_DONE:
			return 1;
		case WIRE_WAIT:
		case WIRE_LATER:
			if (wait_for(fd, POLLIN, deadline, e) != 0)
				return -1;
			break;
		case WIRE_CLOSED:
			return 0;
		case WIRE_FAILED:
			return -1;
		}
	}
}

/* As sync_receive, but the end of the connection is an error. */
static int
receive_one(int fd, struct buf *store, struct msg_in *out, int timeout_ms,
    struct err *e)
{
	int got = sync_receive(fd, store, out, timeout_ms, e);

	if (got == 0)
		return err_set(e, ERR_TEMP, "4.3.0", "connection closed");
	return got < 0 ? -1 : 0;
}

/* A server that lets nobody like us in says nothing. */
static int
greeting(int fd, const char *path, int timeout_ms, struct err *e)
{
	struct msg_in m;
	struct buf store;
	int got, result = -1;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	got = sync_receive(fd, &store, &m, timeout_ms, e);
	if (got == 0)
		err_set(e, ERR_PERM, "5.7.0",
		    "%s: refused: you may not use this service", path);
	else if (got == 1 && m.type != MSG_HELLO)
		err_set(e, ERR_TEMP, "4.3.0", "%s: no greeting", path);
	else if (got == 1)
		result = 0;
	if (got == 1)
		msg_in_release(&m);
	buf_release(&store);
	return result;
}

int
sync_connect(const char *path, int timeout_ms, int *out_fd, struct err *e)
{
	int fd;

	if (sock_connect_unix(path, SOCK_SEQPACKET, &fd, e) != 0)
		return -1;
	if (greeting(fd, path, timeout_ms, e) != 0) {
		close(fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}

int
sync_call(int fd, struct msg_out *m, struct buf *store, struct msg_in *out,
    int timeout_ms, struct err *e)
{
	const int64_t deadline = now_ms() + timeout_ms;
	uint32_t id = wire_get32(m->bytes.p + 4);
	int64_t left;

	if (id == 0) {
		id = 1;
		wire_set_id(m, id);
	}
	if (sync_send(fd, m, timeout_ms, e) != 0)
		return -1;
	for (;;) {
		left = deadline - now_ms();
		if (receive_one(fd, store, out, left > 0 ? (int)left : 0,
			e) != 0)
			return -1;
		if (out->id == id && out->type == MSG_ERROR)
			break;
		if (out->id == id)
			return 0;
		msg_in_release(out);
	}
	if (!msg_get_err(out, e))
		err_set(e, ERR_TEMP, "4.3.0", "failed");
	msg_in_release(out);
	return -1;
}
