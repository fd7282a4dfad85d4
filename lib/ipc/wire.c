/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/mem.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(LIMIT_IPC_FDS * sizeof(int))];
};

static void
control_fill(struct msghdr *h, union control *control,
    const struct msg_out *m)
{
	size_t size = m->fd_count * sizeof(int);
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	h->msg_control = control->bytes;
	h->msg_controllen = CMSG_SPACE(size);
	c = CMSG_FIRSTHDR(h);
	BUG_ON(c == NULL);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), m->fds, size);
}

static enum wire_io
send_errno(struct err *e)
{
	switch (errno) {
	case EAGAIN:
		return WIRE_WAIT;
	case ETOOMANYREFS: /* too many descriptors in flight, system-wide */
	case ENOBUFS:
	case ENOMEM:
		return WIRE_LATER;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return WIRE_CLOSED;
	}
	err_sys(e, "send IPC message");
	return WIRE_FAILED;
}

enum wire_io
wire_send(int fd, const struct msg_out *m, struct err *e)
{
	union control control;
	struct iovec iov = { m->bytes.p, m->bytes.n };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (!msg_ok(m)) {
		err_set(e, ERR_TEMP, "4.3.0", "IPC message too large");
		return WIRE_FAILED;
	}
	if (m->fd_count > 0)
		control_fill(&h, &control, m);
	do {
		n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? send_errno(e) : WIRE_DONE;
}

/* Collects the descriptors that came; more than fit are closed, and that is
 * reported as false. */
static bool
control_take(struct msghdr *h, int fds[LIMIT_IPC_FDS], unsigned *out_count)
{
	struct cmsghdr *c;
	unsigned count = 0;
	bool fits = (h->msg_flags & MSG_CTRUNC) == 0;

	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(fd));
			if (count < LIMIT_IPC_FDS) {
				fds[count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	*out_count = count;
	return fits;
}

static enum wire_io
receive_errno(struct err *e)
{
	if (errno == EAGAIN)
		return WIRE_WAIT;
	if (errno == ECONNRESET || errno == ENOTCONN)
		return WIRE_CLOSED;
	err_sys(e, "receive IPC message");
	return WIRE_FAILED;
}

static int
message_check(const struct msghdr *h, struct span datagram, bool fds_fit,
    struct msg_in *m, struct err *e)
{
	if (h->msg_flags & MSG_TRUNC)
		return err_set(e, ERR_TEMP, "4.3.0", "IPC message too large");
	if (!fds_fit)
		return err_set(e, ERR_TEMP, "4.3.0",
		    "IPC message lost descriptors");
	return msg_parse(m, datagram, e);
}

enum wire_io
wire_receive(int fd, uint8_t *store, struct msg_in *out, struct err *e)
{
	union control control;
	struct iovec iov = { store, LIMIT_IPC_MESSAGE };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct msg_in m = { .fd_count = 0 };
	int fds[LIMIT_IPC_FDS];
	unsigned fd_count;
	bool fits;
	ssize_t n;

	do {
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return receive_errno(e);
	fits = control_take(&h, fds, &fd_count);
	/* Nobody sends empty datagrams: this is the end. */
	if (n == 0 && fd_count == 0)
		return WIRE_CLOSED;
	if (message_check(&h, span_of(store, (size_t)n), fits, &m, e) != 0) {
		for (unsigned i = 0; i < fd_count; i++)
			close(fds[i]);
		return WIRE_FAILED;
	}
	memcpy(m.fds, fds, fd_count * sizeof(int));
	m.fd_count = fd_count;
	*out = m;
	return WIRE_DONE;
}

struct packet *
packet_new(const struct msg_out *m, struct err *e)
{
	struct packet *p;

	if (!msg_ok(m)) {
		err_set(e, ERR_TEMP, "4.3.0", "IPC message too large");
		return NULL;
	}
	p = MEM_NEW(p);
	list_init(&p->link);
	buf_init(&p->msg.bytes, LIMIT_IPC_MESSAGE);
	buf_add(&p->msg.bytes, buf_span(&m->bytes));
	for (unsigned i = 0; i < m->fd_count; i++) {
		int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			err_sys(e, "duplicate descriptor");
			packet_free(&p);
			return NULL;
		}
		p->msg.fds[p->msg.fd_count++] = fd;
	}
	return p;
}

void
packet_free(struct packet **p)
{
	if (*p == NULL)
		return;
	list_remove(&(*p)->link);
	for (unsigned i = 0; i < (*p)->msg.fd_count; i++)
		close((*p)->msg.fds[i]);
	msg_out_release(&(*p)->msg);
	mem_free(*p);
	*p = NULL;
}
