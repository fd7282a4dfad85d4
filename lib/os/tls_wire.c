/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_ssl.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

/* ---- the transport below an SSL ---- */
/* OpenSSL's own socket BIO would do but for bytes that were read from the
 * socket before TLS began, for SIGPIPE, and for system calls: a record's head
 * and what follows it are read in one. */
enum { AHEAD = 4096 };

struct wire {
	int fd;
	struct buf prefix; /* read, and not yet asked for */
	bool drained;	   /* the socket had less than was asked for */
	bool more;	   /* more is to come behind what is written */
	bool corked;	   /* the kernel waits for it */
};

static ssize_t
receive(struct wire *w, void *to, size_t n)
{
	const ssize_t got = recv(w->fd, to, n, 0);

	w->drained = got > 0 && (size_t)got < n;
	return got;
}

/* Reads more than was asked for, and keeps the rest. */
static ssize_t
receive_ahead(struct wire *w, char *out, size_t n)
{
	static _Thread_local uint8_t chunk[AHEAD];
	const ssize_t got = receive(w, chunk, sizeof(chunk));
	const size_t take = got < (ssize_t)n ? (size_t)got : n;

	if (got <= 0)
		return got;
	memcpy(out, chunk, take);
	buf_add(&w->prefix, span_of(chunk + take, (size_t)got - take));
	return (ssize_t)take;
}

static int
wire_read(BIO *bio, char *out, int n)
{
	struct wire *w = BIO_get_data(bio);
	const struct span prefix = buf_span(&w->prefix);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	if (prefix.n > 0) {
		const size_t take = prefix.n < (size_t)n ? prefix.n : (size_t)n;

		memcpy(out, prefix.p, take);
		buf_consume(&w->prefix, take);
		if (w->prefix.n == 0)
			buf_release(&w->prefix);
		return (int)take;
	}
	if (w->drained) {
		/* Once: the loop tells when there is more. */
		w->drained = false;
		BIO_set_retry_read(bio);
		return -1;
	}
	got = n < AHEAD ? receive_ahead(w, out, (size_t)n)
			: receive(w, out, (size_t)n);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)got;
}

static int
wire_write(BIO *bio, const char *p, int n)
{
	struct wire *w = BIO_get_data(bio);
	ssize_t put;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	put = send(
	    w->fd, p, (size_t)n, MSG_NOSIGNAL | (w->more ? MSG_MORE : 0));
	if (put > 0)
		w->corked = w->more;
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)put;
}

static long
wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct wire *w = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_PENDING)
		return (long)w->prefix.n;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int
wire_destroy(BIO *bio)
{
	struct wire *w = BIO_get_data(bio);

	if (w != NULL)
		buf_wipe(&w->prefix);
	mem_free(w);
	BIO_set_data(bio, NULL);
	return 1;
}

static BIO_METHOD *wire_method;

static void
make_wire_method(void)
{
	BIO_METHOD *m =
	    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");

	BUG_ON(m == NULL);
	BIO_meth_set_read(m, wire_read);
	BIO_meth_set_write(m, wire_write);
	BIO_meth_set_ctrl(m, wire_ctrl);
	BIO_meth_set_destroy(m, wire_destroy);
	wire_method = m;
}

BIO *
tls_wire_new(int fd, struct span prefix)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct wire *w = MEM_NEW(w);
	BIO *bio;

	pthread_once(&once, make_wire_method);
	bio = BIO_new(wire_method);
	BUG_ON(bio == NULL);
	w->fd = fd;
	buf_init(&w->prefix, prefix.n < AHEAD ? AHEAD : prefix.n);
	buf_add(&w->prefix, prefix);
	BIO_set_data(bio, w);
	BIO_set_init(bio, 1);
	return bio;
}

void
tls_wire_more(SSL *ssl, bool more)
{
	struct wire *w = BIO_get_data(SSL_get_wbio(ssl));

	w->more = more;
}

/* Whoever waits for it is woken by this, as tcp(7) has it. */
void
tls_wire_push(SSL *ssl)
{
	struct wire *w = BIO_get_data(SSL_get_wbio(ssl));
	const int on = 1;

	if (w->corked)
		setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	w->corked = false;
}
