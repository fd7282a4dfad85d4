/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/os/stream_impl.h"

static size_t
room(const struct stream *s)
{
	return s->in.max - stream_held(s);
}

size_t
stream_pending(const struct stream *s)
{
	return s->out.n - s->out_at;
}

/* ---- the end ---- */
static void
release_io(struct stream *s)
{
	deferred_cancel(&s->due);
	watch_free(&s->watch);
	timer_free(&s->timer);
}

static void
destroy(struct stream *s)
{
	release_io(s);
	tls_close(&s->ssl);
	tls_ctx_free(&s->ctx);
	buf_wipe(&s->in);
	buf_wipe(&s->out);
	mem_free(s->name);
	if (s->fd >= 0)
		close(s->fd);
	mem_free(s);
}

static void
leave(struct stream *s)
{
	if (--s->busy == 0 && s->dead)
		destroy(s);
}

void
stream_end_with(struct stream *s, enum stream_end how, const struct err *e)
{
	static const struct err none;

	if (stream_gone(s))
		return;
	s->ended = true;
	release_io(s);
	s->busy++;
	if (s->finishing)
		s->dead = true;
	else
		s->handler->closed(s->arg, how, e != NULL ? e : &none);
	leave(s);
}

/* ---- what to wait for ---- */
static void
rearm(struct stream *s)
{
	int events = 0;

	if (stream_gone(s))
		return;
	switch (s->security) {
	case SEC_PLAIN:
	case SEC_TLS:
		if (s->finishing ? !s->eof
				 : !s->disturbed && !s->eof && room(s) > 0)
			events |= WATCH_READ;
		break;
	case SEC_ASKED:
		/* What comes next is TLS: leave it in the socket. Mostly it
		 * begins at once, and it is not worth to stop watching. */
		if (s->plain_left == 0 || !s->write_blocked)
			return;
		break;
	case SEC_HANDSHAKE:
		events |= s->tls_wants;
		break;
	}
	if (s->write_blocked)
		events |= WATCH_WRITE;
	watch_set(s->watch, events);
}

/* ---- reading ---- */
/* Reads what there is and fits, one chunk at most; true when bytes came. */
static bool
read_some(struct stream *s)
{
	static _Thread_local uint8_t chunk[CHUNK];
	const bool tls = s->security == SEC_TLS;
	size_t want = room(s) < CHUNK ? room(s) : CHUNK, n = 0;
	ssize_t got = 0;

	while (n < want) {
		got = stream_read_bytes(s, chunk + n, want - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		if (!tls)
			break;
	}
	if (got == 0 && want > 0)
		s->eof = true;
	if (n == 0 || s->ended)
		return false;
	buf_consume(&s->in, s->in_at);
	s->in_at = 0;
	buf_add(&s->in, span_of(chunk, n));
	if (tls && n <= SECRET_MAX)
		explicit_bzero(chunk, n);
	return true;
}

/* What came under TLS may be a password, if it is short. */
static void
release_input(struct stream *s)
{
	if (s->security == SEC_TLS && s->in.cap <= SECRET_MAX)
		buf_wipe(&s->in);
	else
		buf_release(&s->in);
	s->in_at = 0;
}

/* Decrypted bytes that no event of the socket will announce. */
static bool
hidden_input(const struct stream *s)
{
	return s->security == SEC_TLS &&
	       (SSL_pending(s->ssl) > 0 ||
		   BIO_pending(SSL_get_rbio(s->ssl)) > 0);
}

static void
take_input(struct stream *s, int events)
{
	bool tell = s->retell;

	if (s->security != SEC_PLAIN && s->security != SEC_TLS)
		return;
	if (s->paused) {
		/* It is there, and can wait: do not wake up for it again. */
		s->disturbed = (events & WATCH_READ) != 0 || s->disturbed;
		return;
	}
	if (!s->eof && room(s) > 0 &&
	    ((events & WATCH_READ) || hidden_input(s)))
		tell |= read_some(s);
	s->retell = false;
	if (tell && stream_held(s) > 0 && stream_alive(s))
		s->handler->input(s->arg);
	/* The owner may have paused, or asked to hear of the rest again. */
	if (stream_alive(s) && s->eof && !s->paused && !s->retell)
		stream_end_with(s, STREAM_EOF, NULL);
}

/* ---- writing ---- */
/* Queued bytes that may go out now: what was queued after TLS was asked for
 * waits for it. */
static size_t
sendable(const struct stream *s)
{
	switch (s->security) {
	case SEC_PLAIN:
	case SEC_TLS:
		return stream_pending(s);
	case SEC_ASKED:
		return s->plain_left;
	case SEC_HANDSHAKE:
		break;
	}
	return 0;
}

/* Hands queued bytes to the kernel as far as it takes them. */
static void
flush(struct stream *s)
{
	s->write_blocked = false;
	while (!stream_gone(s) && sendable(s) > 0) {
		const struct span some = span_slice(
		    buf_span(&s->out), s->out_at, s->out_at + sendable(s));
		const ssize_t put = stream_write_bytes(s, some);

		if (put == IO_AGAIN) {
			s->write_blocked = true;
			return;
		}
		if (put > 0)
			s->out_at += (size_t)put;
		if (put > 0 && s->security == SEC_ASKED)
			s->plain_left -= (size_t)put;
	}
	if (stream_pending(s) == 0) {
		buf_release(&s->out);
		s->out_at = 0;
	}
}

/* Writes, and reads first what a peer may have said before it went: the
 * reason for its going is worth more than our error in writing to it. */
static void
send_output(struct stream *s, int events)
{
	if (s->overflowed) {
		struct err e;

		err_set(&e, ERR_TEMP, "4.4.2", "the peer does not read");
		stream_end_with(s, STREAM_LOST, &e);
		return;
	}
	if (stream_pending(s) > 0 &&
	    (!s->write_blocked || (events & WATCH_WRITE)))
		flush(s);
	if (!stream_alive(s) || stream_pending(s) > 0 || !s->undrained)
		return;
	s->undrained = false;
	if (s->handler->drained != NULL)
		s->handler->drained(s->arg);
}

/* ---- the turning point: everything happens from here ---- */
static void drain_and_close(struct stream *s, int events);

static void
service(struct stream *s, int events)
{
	s->busy++;
	if (s->finishing) {
		drain_and_close(s, events);
		leave(s);
		return;
	}
	if (stream_alive(s) && s->security == SEC_HANDSHAKE)
		stream_handshake(s);
	else if (s->security == SEC_ASKED && s->plain_left == 0)
		stream_begin_tls(s);
	if (stream_alive(s))
		take_input(s, events);
	if (stream_alive(s))
		send_output(s, events);
	if (stream_alive(s) && s->ssl != NULL)
		tls_wire_push(s->ssl);
	if (stream_alive(s) && stream_held(s) == 0)
		release_input(s);
	if (stream_alive(s) &&
	    ((s->security == SEC_ASKED && s->plain_left == 0) ||
		(hidden_input(s) && !s->paused && room(s) > 0)))
		deferred_set(s->loop, &s->due);
	rearm(s);
	leave(s);
}

static void
on_watch(void *arg, int events)
{
	service(arg, events);
}

static void
on_due(void *arg)
{
	service(arg, 0);
}

static void
on_timer(void *arg)
{
	stream_end_with(arg, STREAM_TIMEOUT, NULL);
}

/* Something was asked for: see to it from the loop's top level. */
static void
attend(struct stream *s)
{
	if (!stream_gone(s))
		deferred_set(s->loop, &s->due);
}

/* ---- what owners call ---- */
struct stream *
stream_new(struct loop *loop, int fd, const struct stream_limits *limits,
    const struct stream_handler *handler, void *arg)
{
	struct stream *s = MEM_NEW(s);

	s->loop = loop;
	s->fd = fd;
	s->handler = handler;
	s->arg = arg;
	s->output_max = limits->output_max;
	buf_init(&s->in, limits->input_max);
	buf_init(&s->out, limits->output_max * 2);
	deferred_init(&s->due, on_due, s);
	s->watch = watch_new(loop, fd, on_watch, s);
	rearm(s);
	return s;
}

struct span
stream_input(const struct stream *s)
{
	return span_skip(buf_span(&s->in), s->in_at);
}

void
stream_consume(struct stream *s, size_t n)
{
	BUG_ON(n > stream_held(s));
	s->in_at += n;
	/* service() frees the memory, and reads on. */
	if (n > 0 && s->busy == 0)
		attend(s);
}

void
stream_pause(struct stream *s)
{
	/* Most pauses end before anything comes: the watch stays. */
	s->paused = true;
}

void
stream_resume(struct stream *s)
{
	s->paused = s->disturbed = false;
	s->retell = stream_held(s) > 0;
	if (s->retell || s->eof || hidden_input(s))
		attend(s);
	rearm(s);
}

void
stream_write(struct stream *s, struct span bytes)
{
	if (!stream_alive(s) || bytes.n == 0)
		return;
	if (s->out_at > 0 && s->out_at >= s->out.n / 2) {
		buf_consume(&s->out, s->out_at);
		s->out_at = 0;
	}
	if (bytes.n > s->out.max - s->out.n) {
		buf_consume(&s->out, s->out_at);
		s->out_at = 0;
	}
	buf_add(&s->out, bytes);
	s->overflowed |= !buf_ok(&s->out);
	s->undrained = true;
	if (!s->write_blocked || s->overflowed)
		attend(s);
}

static void
ask_tls(struct stream *s, struct tls_ctx *ctx)
{
	BUG_ON(s->security != SEC_PLAIN);
	s->security = SEC_ASKED;
	s->plain_left = stream_pending(s);
	s->ctx = tls_ctx_ref(ctx);
	attend(s);
	rearm(s);
}

void
stream_tls_server(struct stream *s, struct tls_ctx *ctx, bool buffered_is_tls)
{
	s->buffered_is_tls = buffered_is_tls;
	ask_tls(s, ctx);
}

void
stream_tls_client(struct stream *s, struct tls_ctx *ctx, const char *name)
{
	s->name = mem_strdup(name);
	ask_tls(s, ctx);
}

bool
stream_tls(const struct stream *s)
{
	return s->security == SEC_TLS;
}

bool
stream_tls_facts(const struct stream *s, struct tls_facts *out)
{
	if (s->security != SEC_TLS)
		return false;
	tls_facts_get(s->ssl, out);
	return true;
}

bool
stream_tls_cert(
    const struct stream *s, const char *digest, struct tls_cert *out)
{
	return s->security == SEC_TLS && tls_cert_get(s->ssl, digest, out);
}

bool
stream_tls_covers(const struct stream *s, struct span name)
{
	return s->security == SEC_TLS && tls_cert_covers(s->ssl, name);
}

bool
stream_tls_binding(
    const struct stream *s, enum tls_binding kind, struct buf *out)
{
	return s->security == SEC_TLS && tls_binding_get(s->ssl, kind, out);
}

void
stream_timeout(struct stream *s, uint64_t ms)
{
	if (stream_gone(s))
		return;
	if (s->timer == NULL && ms > 0)
		s->timer = timer_new(s->loop, on_timer, s);
	if (ms > 0)
		timer_start(s->timer, ms);
	else if (s->timer != NULL)
		timer_stop(s->timer);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

void
stream_free(struct stream **ref)
{
	struct stream *s = *ref;

	if (s == NULL)
		return;
	*ref = NULL;
	s->busy++;
	s->dead = true;
	release_io(s);
	leave(s);
}

/* ---- an orderly farewell ---- */
static const struct stream_handler nobody;

/* Reads and drops input, so that closing does not answer it with a reset,
 * which could overtake our last words. */
static void
drop_input(struct stream *s)
{
	char junk[4096];

	for (int i = 0; i < 16 && !s->eof; i++) {
		const ssize_t n = recv(s->fd, junk, sizeof(junk), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			stream_end_with(s, STREAM_EOF, NULL);
		if (n <= 0)
			s->eof = true;
	}
}

static void
drain_and_close(struct stream *s, int events)
{
	if (events & WATCH_READ)
		drop_input(s);
	if (s->security == SEC_TLS)
		tls_wire_more(s->ssl, true); /* the end is behind it */
	if (!stream_gone(s))
		flush(s);
	if (stream_gone(s))
		return;
	if (sendable(s) == 0 && !s->said_all) {
		if (s->security == SEC_TLS)
			SSL_shutdown(s->ssl);
		ERR_clear_error();
		shutdown(s->fd, SHUT_WR);
		s->said_all = true;
	}
	if (s->eof && s->said_all)
		stream_end_with(s, STREAM_EOF, NULL);
	else
		rearm(s);
}

static void
abandon(void *arg)
{
	struct stream *s = arg;

	stream_free(&s);
}

/* Is all sent, and nothing there that closing would answer with a reset? */
static bool
all_said(const struct stream *s)
{
	uint8_t byte;

	return !stream_gone(s) && stream_pending(s) == 0 &&
	       stream_held(s) == 0 &&
	       recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       errno == EAGAIN;
}

static void
farewell(struct stream *s, uint64_t ms, bool peer_is_done)
{
	if (!stream_alive(s) || s->security == SEC_HANDSHAKE) {
		stream_free(&s);
		return;
	}
	deferred_cancel(&s->due);
	s->finishing = true;
	s->handler = &nobody;
	s->busy++;
	if (peer_is_done)
		flush(s);
	if (peer_is_done && all_said(s)) {
		s->dead = true;
		release_io(s);
	} else {
		stream_timeout(s, ms > 0 ? ms : 1);
		loop_orphan(s->loop, &s->due, abandon);
		service(s, 0);
	}
	leave(s);
}

void
stream_finish(struct stream **ref, uint64_t ms)
{
	struct stream *s = *ref;

	*ref = NULL;
	if (s != NULL)
		farewell(s, ms, false);
}

void
stream_conclude(struct stream **ref, uint64_t ms)
{
	struct stream *s = *ref;

	*ref = NULL;
	if (s != NULL)
		farewell(s, ms, s->security == SEC_PLAIN);
}
