/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_STREAM_IMPL_H
#define CHAPPE_OS_STREAM_IMPL_H

/*
 * The inside of a stream, for stream.c (what owners see, and when what is
 * done) and stream_io.c (bytes in and out, plain or TLS).
 */

#include "lib/base/buf.h"
#include "lib/os/loop_uv.h"
#include "lib/os/stream.h"
#include "lib/os/tls_ssl.h"

enum {
	CHUNK = 65536,	    /* bytes read in one go */
	SECRET_MAX = 4096,  /* what is longer is no password */
	TLS_RECORD = 16384, /* RFC 8446 5.1 */
};

enum security {
	SEC_PLAIN,
	SEC_ASKED, /* TLS begins when the plain output is gone */
	SEC_HANDSHAKE,
	SEC_TLS,
};

struct stream {
	struct loop *loop;
	int fd;
	struct watch *watch;
	struct timer *timer; /* made when first needed */
	const struct stream_handler *handler;
	void *arg;
	size_t output_max;
	struct buf in, out;
	size_t in_at, out_at; /* bytes at the front that are done with */

	enum security security;
	struct tls_ctx *ctx; /* borrowed until the handshake begins */
	char *name;
	SSL *ssl;
	int tls_wants; /* WATCH_* that the handshake waits for */
	bool buffered_is_tls;
	size_t plain_left; /* output that goes out before TLS */

	struct deferred due; /* a call of `service` */
	unsigned busy;	     /* depth of our calls on the stack */
	bool paused;
	bool disturbed; /* input came while it was paused */
	bool retell; /* call input though nothing new came */
	bool eof;
	bool write_blocked;
	bool overflowed;
	bool undrained; /* `drained` is owed */
	bool ended;	/* `closed` was called, or is not to be */
	bool finishing;
	bool said_all; /* while finishing: our side is shut */
	bool dead;     /* stream_free was called */
};

static inline size_t
stream_held(const struct stream *s)
{
	return s->in.n - s->in_at;
}

static inline bool
stream_gone(const struct stream *s)
{
	return s->ended || s->dead;
}

/* True while there is an owner who may be called. */
static inline bool
stream_alive(const struct stream *s)
{
	return !stream_gone(s) && !s->finishing;
}

/* Tells the owner of the end, once. A stream without an owner goes. */
void stream_end_with(
    struct stream *s, enum stream_end how, const struct err *e);

/* Bytes read (0 at the end) or written; IO_AGAIN; or IO_FAILED after ending
 * s. */
enum { IO_AGAIN = -1, IO_FAILED = -2 };
ssize_t stream_read_bytes(struct stream *s, uint8_t *to, size_t n);
ssize_t stream_write_bytes(struct stream *s, struct span bytes);

void stream_begin_tls(struct stream *s);
void stream_handshake(struct stream *s);

#endif
