/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_STREAM_H
#define CHAPPE_OS_STREAM_H

/*
 * A connected byte stream on the loop, plain or TLS, with limits: it reads
 * into a bounded buffer that the owner consumes from, and writes what the
 * owner queued. When its input buffer is full it stops reading; when output
 * passes output_max it still takes more (the owner asks stream_pending and
 * stops producing) up to twice that, beyond which the stream fails with
 * 4.4.2. Memory for buffers is held only while there are bytes in them. A
 * paused stream does not read, so it tells of no end either; any other tells
 * of the peer's end right after the `input` call for its last bytes, even if
 * the owner left some: who is busy with an earlier request pauses.
 * Exactly one of the end callbacks (`closed`) is called, once; the owner then
 * calls stream_free. Freeing inside any callback is legal.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/os/loop.h"
#include "lib/os/tls.h"

struct stream;

enum stream_end {
	STREAM_EOF,	/* the peer closed cleanly (and all input was seen) */
	STREAM_LOST,	/* reset, TLS error, write error: see err */
	STREAM_TIMEOUT, /* nothing happened for the time set */
};

struct stream_handler {
	/* New bytes are in stream_input; also called again from the loop when
	 * bytes are left over after stream_resume. The owner consumes what it
	 * can; unconsumed bytes stay and do not cause another call until more
	 * arrive or stream_resume is called. */
	void (*input)(void *arg);
	/* All queued output was handed to the kernel. Optional. */
	void (*drained)(void *arg);
	/* The TLS handshake that was asked for is complete. Optional. */
	void (*secured)(void *arg);
	/* The end; e is set for STREAM_LOST. Not called for stream_free. */
	void (*closed)(void *arg, enum stream_end end, const struct err *e);
};

struct stream_limits {
	size_t input_max;  /* bytes read and not consumed */
	size_t output_max; /* see above */
};

/* Takes over a connected, non-blocking socket (closed by stream_free). */
struct stream *stream_new(struct loop *loop, int fd,
    const struct stream_limits *limits, const struct stream_handler *handler,
    void *arg);

/* Starts a connection to an address (from an own address, or NULL). fn is
 * called once with 0, or -1 and err after timeout_ms or a refusal; on success
 * the descriptor is the caller's, for stream_new. The caller frees it with
 * connect_free, which cancels; legal at any time, also inside fn. */
struct connecting;
typedef void (*connect_fn)(void *arg, int fd, const struct err *e);
struct connecting *connect_start(struct loop *loop, const struct sockaddr *to,
    socklen_t to_len, const struct sockaddr *from, socklen_t from_len,
    uint64_t timeout_ms, connect_fn fn, void *arg);
void connect_free(struct connecting **c);

/* The bytes read and not consumed. */
struct span stream_input(const struct stream *s);
void stream_consume(struct stream *s, size_t n);

/* Stops (starts again) reading from the socket. A new stream reads. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Queues bytes; written from the loop's next idle moment at the latest, so
 * several small writes become one system call. */
void stream_write(struct stream *s, struct span bytes);
/* Bytes queued and not yet taken by the kernel. */
size_t stream_pending(const struct stream *s);

/* Turns to TLS as a server (a client; name: SNI and, where the context
 * verifies, the name to be found; may be NULL). Output queued before goes out in plain text first. Bytes already
 * in the input buffer are NOT taken as TLS unless `buffered_is_tls`: a caller
 * of STARTTLS passes false and must have refused a peer that sent more. */
void stream_tls_server(
    struct stream *s, struct tls_ctx *ctx, bool buffered_is_tls);
void stream_tls_client(struct stream *s, struct tls_ctx *ctx, const char *name);
/* Is it encrypted (the handshake complete)? */
bool stream_tls(const struct stream *s);
/* False when the stream is not (yet) encrypted. Not for each command: it
 * looks at keys and names. */
bool stream_tls_facts(const struct stream *s, struct tls_facts *out);
/* The peer's certificate, with fingerprints by this digest ("sha256"). False
 * when there is none. */
bool stream_tls_cert(
    const struct stream *s, const char *digest, struct tls_cert *out);
/* Is the peer's certificate, whoever vouches for it, one for this host name or
 * address? ".example.com": for a name below it. As RFC 6125 6.4 compares. */
bool stream_tls_covers(const struct stream *s, struct span name);
/* Appends the channel binding data of this connection. False, and nothing is
 * appended, when the stream is not (yet) encrypted or has none of this kind:
 * RFC 9266 4.2 (TLS 1.2 without extended master secret). */
bool stream_tls_binding(
    const struct stream *s, enum tls_binding kind, struct buf *out);

/* `closed` with STREAM_TIMEOUT after ms without the timer being set again;
 * 0: no limit. Reading and writing do not move it: the owner says when. */
void stream_timeout(struct stream *s, uint64_t ms);

/* Sends what is queued (TLS: close_notify too), for at most ms, then closes;
 * input is ignored, no callback is called any more. *s is NULL at once. */
void stream_finish(struct stream **s, uint64_t ms);
/* The same for a peer that has announced its last word (QUIT): a plain stream
 * is closed at once when all is sent and nothing else came. What that peer says
 * after all is answered with a reset. */
void stream_conclude(struct stream **s, uint64_t ms);

/* Closes at once. */
void stream_free(struct stream **s);

int stream_fd(const struct stream *s);

#endif
