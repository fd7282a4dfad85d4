/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
end(struct session *s, const char *reason)
{
	s->closing = true;
	if (s->end_reason == NULL)
		s->end_reason = reason;
}

/* Waits until the client takes bytes again, for so long and no longer. */
static bool
wait_writable(struct session *s)
{
	struct pollfd p = { .fd = SESSION_CLIENT_FD, .events = POLLOUT };
	const int n = poll(&p, 1, SESSION_WRITE_MS);

	if (n == 1 && (p.revents & POLLOUT) != 0)
		return true;
	if (n < 0 && errno == EINTR)
		return true;
	end(s, n == 0 ? "the client takes no answers" : "connection closed");
	return false;
}

bool
session_send(struct session *s, struct span bytes)
{
	if (!session_flush(s))
		return false;
	while (bytes.n > 0) {
		const ssize_t n = write(SESSION_CLIENT_FD, bytes.p, bytes.n);

		if (n > 0) {
			s->bytes_out += (uint64_t)n;
			bytes = span_skip(bytes, (size_t)n);
		} else if (errno == EAGAIN || errno == EINTR) {
			if (!wait_writable(s))
				return false;
		} else {
			end(s, "connection closed");
			return false;
		}
	}
	return true;
}

bool
session_flush(struct session *s)
{
	if (s->closing && s->end_reason != NULL)
		return false;
	if (!buf_ok(session_out(s))) {
		/* Half a response would be taken for another. */
		end(s, "a response was too large");
		return false;
	}
	for (;;) {
		const struct span out = imap_server_output(s->server);
		ssize_t n;

		if (out.n == 0)
			return true;
		n = write(SESSION_CLIENT_FD, out.p, out.n);
		if (n > 0) {
			s->bytes_out += (uint64_t)n;
			imap_server_sent(s->server, (size_t)n);
		} else if (errno == EAGAIN || errno == EINTR) {
			if (!wait_writable(s))
				return false;
		} else {
			end(s, "connection closed");
			return false;
		}
	}
}

bool
session_flush_some(struct session *s)
{
	if (imap_server_output(s->server).n < SESSION_FLUSH)
		return !s->closing;
	return session_flush(s);
}

struct buf *
session_out(struct session *s)
{
	return imap_server_out(s->server);
}

static void
on_event(struct session *s, const struct imap_event *ev)
{
	switch (ev->type) {
	case IMAP_EV_NONE:
		return;
	case IMAP_EV_COMMAND:
		session_command(s, ev->cmd);
		return;
	case IMAP_EV_LINE:
		session_line(s, ev->bytes);
		return;
	case IMAP_EV_APPEND:
		session_append_begin(s, ev->cmd);
		return;
	case IMAP_EV_DATA:
		session_append_data(s, ev->bytes);
		return;
	case IMAP_EV_APPEND_END:
		session_append_end(s);
		return;
	case IMAP_EV_APPEND_BAD:
		session_append_drop(s);
		return;
	case IMAP_EV_CLOSE:
		session_flush(s);
		end(s, "too many errors");
		return;
	}
}

/* Gives the engine all that was read. */
static void
feed(struct session *s)
{
	size_t used = 0;

	while (!s->closing) {
		struct imap_event ev;
		const size_t n = imap_server_feed(
		    s->server, span_skip(buf_span(&s->in), used), &ev);

		used += n;
		on_event(s, &ev);
		if (n == 0 && ev.type == IMAP_EV_NONE) {
			if (imap_server_output(s->server).n == 0)
				break;
			if (!session_flush(s))
				break;
			if (used == s->in.n)
				break;
		}
	}
	buf_consume(&s->in, used);
	if (s->in.n == 0)
		buf_release(&s->in);
	session_flush(s);
}

static void
read_client(struct session *s)
{
	uint8_t *room = buf_room(&s->in, SESSION_READ);
	ssize_t n;

	BUG_ON(room == NULL);
	n = read(SESSION_CLIENT_FD, room, SESSION_READ);
	if (n > 0) {
		s->bytes_in += (uint64_t)n;
		buf_grown(&s->in, (size_t)n);
		feed(s);
	} else if (n == 0) {
		/* The client has gone, or imap-login is to leave: then these
		 * are the last words. */
		imap_server_bye(s->server, "Server is going away");
		session_flush(s);
		end(s, "connection closed");
	} else if (errno != EAGAIN && errno != EINTR) {
		end(s, "connection closed");
	}
}

/* How long to wait for the client now. */
static uint64_t
patience(const struct session *s)
{
	return s->idling ? s->user.idle_notify_ms : SESSION_IDLE_MS;
}

static void
on_silence(struct session *s)
{
	if (!s->idling) {
		imap_server_bye(s->server, "Disconnected for inactivity");
		session_flush(s);
		end(s, "inactivity");
		return;
	}
	/* Keeps NATs open, and finds out whether the client is there. */
	buf_str(session_out(s), "* OK Still here\r\n");
	session_sync(s, true);
	session_flush(s);
}

static void
on_change(struct session *s)
{
	s->changed = false;
	if (!s->idling || s->box == NULL)
		return;
	session_sync(s, true);
	session_flush(s);
}

/* In IDLE, and nobody would say what other programs do to the mailbox. */
static bool
blind(const struct session *s)
{
	return s->idling && s->box != NULL && s->watch_fd < 0;
}

/* One wait: the client, the spawner, the watched mailbox. */
static void
turn(struct session *s, uint64_t *deadline)
{
	struct pollfd p[3] = {
		{ .fd = SESSION_CLIENT_FD, .events = POLLIN },
		{ .fd = s->control_lost ? -1 : SESSION_CONTROL_FD,
		    .events = POLLIN },
		{ .fd = s->watch_fd, .events = POLLIN },
	};
	const uint64_t now = now_ms();
	int wait = *deadline > now ? (int)(*deadline - now) : 0;
	int n;

	if (blind(s) && wait > SESSION_LOOK_MS)
		wait = SESSION_LOOK_MS;
	n = poll(p, 3, wait);
	if (n == 0 && now_ms() < *deadline) {
		on_change(s);
		return;
	}
	if (n == 0) {
		on_silence(s);
		*deadline = now_ms() + patience(s);
		return;
	}
	if (p[1].revents != 0)
		session_control_read(s);
	if (p[2].revents != 0) {
		session_idle_drain(s);
		s->changed = true;
	}
	if (s->changed && !s->closing)
		on_change(s);
	if (p[0].revents != 0 && !s->closing) {
		read_client(s);
		*deadline = now_ms() + patience(s);
	}
}

static void
greet(struct session *s)
{
	buf_fmt(session_out(s), "%s OK [CAPABILITY %s] Logged in\r\n",
	    s->user.tag, session_capabilities);
	session_flush(s);
}

int
session_run(struct session *s)
{
	uint64_t deadline;

	s->server = imap_server_new(IMAP_AUTHENTICATED);
	buf_init(&s->in, 2 * SESSION_READ);
	s->watch_fd = -1;
	log_event(&s->log, "begin", "session of %s", s->user.name);
	greet(s);
	deadline = now_ms() + patience(s);
	while (!s->closing)
		turn(s, &deadline);
	session_append_drop(s);
	session_idle_end(s);
	session_unselect(s);
	log_info(&s->log, "%s: user=<%s>, rip=%s, in=%llu out=%llu",
	    s->end_reason != NULL ? s->end_reason : "Logged out", s->user.name,
	    s->user.address, (unsigned long long)s->bytes_in,
	    (unsigned long long)s->bytes_out);
	log_event(&s->log, "end", "session of %s", s->user.name);
	imap_server_free(&s->server);
	buf_release(&s->in);
	return 0;
}
