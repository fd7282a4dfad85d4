/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/stream_impl.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>

static void
lost(struct stream *s, const char *what)
{
	struct err e;

	err_sys(&e, "%s", what);
	memcpy(e.dsn, "4.4.2", 6);
	stream_end_with(s, STREAM_LOST, &e);
}

static void
lost_tls(struct stream *s, int rc, const char *what)
{
	struct err e;

	tls_err(s->ssl, rc, what, &e);
	stream_end_with(s, STREAM_LOST, &e);
}

static ssize_t
read_plain(struct stream *s, uint8_t *to, size_t n)
{
	const ssize_t got = recv(s->fd, to, n, 0);

	if (got >= 0)
		return got;
	if (errno == EAGAIN || errno == EINTR)
		return IO_AGAIN;
	lost(s, "read");
	return IO_FAILED;
}

static ssize_t
read_tls(struct stream *s, uint8_t *to, size_t n)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(s->ssl, to, (int)n);
	if (rc > 0)
		return rc;
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		lost_tls(s, rc, "TLS read");
		return IO_FAILED;
	}
}

static ssize_t
write_plain(struct stream *s, struct span bytes)
{
	/* Our last words go with the end behind them. */
	const ssize_t put = send(s->fd, bytes.p, bytes.n,
	    MSG_NOSIGNAL | (s->finishing ? MSG_MORE : 0));

	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EINTR)
		return IO_AGAIN;
	lost(s, "write");
	return IO_FAILED;
}

static ssize_t
write_tls(struct stream *s, struct span bytes)
{
	int rc, why;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write(s->ssl, bytes.p,
	    (int)(bytes.n < TLS_RECORD ? bytes.n : TLS_RECORD));
	if (rc > 0)
		return rc;
	why = SSL_get_error(s->ssl, rc);
	if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
		return IO_AGAIN;
	lost_tls(s, rc, "TLS write");
	return IO_FAILED;
}

ssize_t
stream_read_bytes(struct stream *s, uint8_t *to, size_t n)
{
	return s->security == SEC_TLS ? read_tls(s, to, n)
				      : read_plain(s, to, n);
}

ssize_t
stream_write_bytes(struct stream *s, struct span bytes)
{
	return s->security == SEC_TLS ? write_tls(s, bytes)
				      : write_plain(s, bytes);
}

/* ---- TLS ---- */
void
stream_begin_tls(struct stream *s)
{
	struct span prefix = stream_input(s);

	if (prefix.n > 0 && !s->buffered_is_tls) {
		struct err e;

		/* RFC 3207 4.2 and its kin: nothing said in plain text may
		 * count as said under TLS. */
		err_set(&e, ERR_PERM, "5.5.1", "plain text before TLS");
		stream_end_with(s, STREAM_LOST, &e);
		return;
	}
	s->ssl = tls_open(s->ctx, s->fd, prefix, s->name);
	tls_ctx_free(&s->ctx);
	s->security = SEC_HANDSHAKE;
	s->tls_wants = WATCH_READ;
	/* A server's turn comes when there is something to read. */
	if (prefix.n > 0 || !SSL_is_server(s->ssl)) {
		stream_consume(s, prefix.n);
		stream_handshake(s);
	}
}

void
stream_handshake(struct stream *s)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(s->ssl);
	tls_wire_more(s->ssl, false);
	if (rc == 1) {
		s->security = SEC_TLS;
		if (s->handler->secured != NULL)
			s->handler->secured(s->arg);
		return;
	}
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->tls_wants = WATCH_READ;
		/* What a server says behind its first words is mostly the
		 * last of the handshake, and a reply follows it. */
		tls_wire_more(s->ssl, true);
		break;
	case SSL_ERROR_WANT_WRITE:
		s->tls_wants = WATCH_WRITE;
		break;
	default:
		lost_tls(s, rc, "TLS handshake");
	}
}
