/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/sock.h"
#include "tools/common/sendmail.h"

/* RFC 5321 4.5.3.2 asks for more; but a suite that takes longer to greet is
 * not well, and maildrop/ takes the message at once. */
enum { GREETING_MS = 60000, REPLY_MS = 300000, CHUNK = 65536 };

struct talk {
	int fd;
	struct buf in;         /* received, not consumed */
	struct buf out;        /* to be sent */
	unsigned code;         /* of the last reply */
	struct buf text;       /* its text, lines joined by spaces */
	bool dsn, eight_bit;   /* offered */
	struct err *err;
};

static int
talk_failed(struct talk *t, const char *what)
{
	return err_set(t->err, ERR_TEMP, "4.4.2", "%s: %s", what,
	    strerror(errno));
}

static int
wait_for(struct talk *t, short events, int timeout_ms)
{
	struct pollfd p = { .fd = t->fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : talk_failed(t, "mail system");
}

static int
send_out(struct talk *t)
{
	struct span rest = buf_span(&t->out);

	while (rest.n > 0) {
		ssize_t n;

		if (wait_for(t, POLLOUT, REPLY_MS) != 0)
			return -1;
		n = send(t->fd, rest.p, rest.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return talk_failed(t, "mail system");
		if (n > 0)
			rest = span_skip(rest, (size_t)n);
	}
	buf_reset(&t->out);
	return 0;
}

/* The next line without its end, in *out until the next call. */
static int
read_line(struct talk *t, int timeout_ms, struct span *out, size_t *out_used)
{
	for (;;) {
		const size_t lf = span_chr(buf_span(&t->in), '\n');
		uint8_t *room;
		ssize_t n;

		if (lf != SIZE_MAX) {
			*out = span_trim(span_slice(buf_span(&t->in), 0, lf));
			*out_used = lf + 1;
			return 0;
		}
		room = buf_room(&t->in, 1000);
		if (room == NULL)
			return err_set(t->err, ERR_TEMP, "4.5.0",
			    "mail system: the reply is too long");
		if (wait_for(t, POLLIN, timeout_ms) != 0)
			return -1;
		n = recv(t->fd, room, 1000, 0);
		if (n < 0)
			return talk_failed(t, "mail system");
		if (n == 0)
			return err_set(t->err, ERR_TEMP, "4.4.2",
			    "mail system: the connection was closed");
		buf_grown(&t->in, (size_t)n);
	}
}

static void
note_offer(struct talk *t, struct span line)
{
	if (span_ieq(line, SPAN("DSN")))
		t->dsn = true;
	if (span_ieq(line, SPAN("8BITMIME")))
		t->eight_bit = true;
}

/* One reply, of any number of lines. */
static int
read_reply(struct talk *t, int timeout_ms)
{
	bool more;

	buf_reset(&t->text);
	do {
		struct span line;
		size_t used = 0;
		uint64_t code;

		if (read_line(t, timeout_ms, &line, &used) != 0)
			return -1;
		if (line.n < 3 || !span_u64(span_slice(line, 0, 3), 599, &code))
			return err_set(t->err, ERR_TEMP, "4.5.0",
			    "mail system: not an SMTP reply");
		more = line.n > 3 && line.p[3] == '-';
		t->code = (unsigned)code;
		note_offer(t, span_skip(line, 4));
		if (t->text.n > 0)
			buf_byte(&t->text, ' ');
		buf_add(&t->text, line);
		buf_consume(&t->in, used);
	} while (more);
	return 0;
}

/* Sends what is in t->out and takes the reply. */
static int
exchange(struct talk *t)
{
	if (send_out(t) != 0)
		return -1;
	return read_reply(t, REPLY_MS);
}

/* What the reply means when it is not the one wanted. */
static enum sendmail_result
refused(struct talk *t, const char *during)
{
	const bool lasting = t->code >= 500;

	err_set(t->err, lasting ? ERR_PERM : ERR_TEMP,
	    lasting ? "5.0.0" : "4.0.0", "%s: %s", during,
	    buf_cstr(&t->text));
	return lasting ? SENDMAIL_REFUSED : SENDMAIL_DOWN;
}

/* ---- the steps ----------------------------------------------------------------- */

static enum sendmail_result
step_hello(struct talk *t)
{
	if (read_reply(t, GREETING_MS) != 0)
		return SENDMAIL_DOWN;
	if (t->code != 220)
		return refused(t, "greeting");
	buf_str(&t->out, "EHLO localhost\r\n");
	if (exchange(t) != 0)
		return SENDMAIL_DOWN;
	return t->code == 250 ? SENDMAIL_SENT : refused(t, "EHLO");
}

/* RFC 3461 4: xtext. */
static void
put_xtext(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '+' ||
		    s.p[i] == '=')
			buf_fmt(out, "+%02X", s.p[i]);
		else
			buf_byte(out, s.p[i]);
	}
}

static enum sendmail_result
step_mail(struct talk *t, const struct sendmail_message *m)
{
	buf_str(&t->out, "MAIL FROM:<");
	buf_add(&t->out, m->env.sender);
	buf_str(&t->out, ">");
	if (m->env.eight_bit && t->eight_bit)
		buf_str(&t->out, " BODY=8BITMIME");
	if (t->dsn && m->env.dsn_ret != DSN_RET_UNSET)
		buf_fmt(&t->out, " RET=%s",
		    m->env.dsn_ret == DSN_RET_FULL ? "FULL" : "HDRS");
	if (t->dsn && m->env.dsn_envid.n > 0) {
		buf_str(&t->out, " ENVID=");
		put_xtext(&t->out, m->env.dsn_envid);
	}
	buf_str(&t->out, "\r\n");
	if (exchange(t) != 0)
		return SENDMAIL_DOWN;
	return t->code == 250 ? SENDMAIL_SENT : refused(t, "MAIL");
}

static void
put_notify(struct buf *out, uint32_t notify)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} words[] = { { DSN_NOTIFY_NEVER, "NEVER" },
		{ DSN_NOTIFY_SUCCESS, "SUCCESS" },
		{ DSN_NOTIFY_FAILURE, "FAILURE" },
		{ DSN_NOTIFY_DELAY, "DELAY" } };
	const char *between = " NOTIFY=";

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if ((notify & words[i].bit) != 0) {
			buf_fmt(out, "%s%s", between, words[i].word);
			between = ",";
		}
	}
}

static enum sendmail_result
step_rcpt(struct talk *t, const struct sendmail_message *m, size_t i)
{
	buf_str(&t->out, "RCPT TO:<");
	buf_add(&t->out, m->env.rcpts[i]);
	buf_str(&t->out, ">");
	if (t->dsn)
		put_notify(&t->out, m->env.dsn_notify);
	buf_str(&t->out, "\r\n");
	if (exchange(t) != 0)
		return SENDMAIL_DOWN;
	return t->code / 10 == 25 ? SENDMAIL_SENT : refused(t, "RCPT");
}

/* Lines end in CRLF, a dot in front is doubled (RFC 5321 4.5.2). */
static int
send_content(struct talk *t, struct span content)
{
	while (content.n > 0) {
		const size_t lf = span_chr(content, '\n');
		struct span line = span_slice(content, 0, lf);

		if (line.n > 0 && line.p[0] == '.')
			buf_byte(&t->out, '.');
		while (line.n > CHUNK) {
			buf_add(&t->out, span_slice(line, 0, CHUNK));
			line = span_skip(line, CHUNK);
			content = span_skip(content, CHUNK);
			if (send_out(t) != 0)
				return -1;
		}
		buf_add(&t->out, line);
		buf_str(&t->out, "\r\n");
		content = span_skip(content, line.n + 1);
		if (t->out.n >= CHUNK && send_out(t) != 0)
			return -1;
	}
	buf_str(&t->out, ".\r\n");
	return exchange(t);
}

static enum sendmail_result
step_data(struct talk *t, const struct sendmail_message *m)
{
	void *bytes;
	int sent;

	buf_str(&t->out, "DATA\r\n");
	if (exchange(t) != 0)
		return SENDMAIL_DOWN;
	if (t->code != 354)
		return refused(t, "DATA");
	bytes = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, m->fd, 0);
	if (bytes == MAP_FAILED) {
		err_sys(t->err, "map the message");
		return SENDMAIL_DOWN;
	}
	sent = send_content(t, span_of(bytes, m->size));
	munmap(bytes, m->size);
	if (sent != 0)
		return SENDMAIL_DOWN;
	return t->code == 250 ? SENDMAIL_SENT : refused(t, "end of data");
}

static enum sendmail_result
converse(struct talk *t, const struct sendmail_message *m)
{
	enum sendmail_result result = step_hello(t);

	if (result == SENDMAIL_SENT)
		result = step_mail(t, m);
	for (size_t i = 0;
	    result == SENDMAIL_SENT && i < m->env.rcpt_count; i++)
		result = step_rcpt(t, m, i);
	if (result == SENDMAIL_SENT)
		result = step_data(t, m);
	buf_reset(&t->out);
	buf_str(&t->out, "QUIT\r\n");
	/* A farewell that nobody hears changes nothing. */
	send(t->fd, t->out.p, t->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return result;
}

enum sendmail_result
sendmail_submit(const char *path, const struct sendmail_message *m,
    struct err *e)
{
	struct talk t = { .err = e };
	enum sendmail_result result;

	if (sock_connect_unix(path, SOCK_STREAM, &t.fd, e) != 0)
		return SENDMAIL_DOWN;
	buf_init(&t.in, LIMIT_SMTP_REPLY);
	buf_init(&t.out, 4 * CHUNK);
	buf_init(&t.text, LIMIT_SMTP_REPLY);
	result = converse(&t, m);
	buf_release(&t.in);
	buf_release(&t.out);
	buf_release(&t.text);
	close(t.fd);
	return result;
}

/* ---- -bs -------------------------------------------------------------------------- */

/* Moves what there is. 1 moved, 0 the end, -1 the other side is gone. */
static int
move_bytes(int from, int to)
{
	uint8_t bytes[8192];
	ssize_t n = read(from, bytes, sizeof(bytes));
	size_t at = 0;

	if (n <= 0)
		return 0;
	while (at < (size_t)n) {
		const ssize_t done = write(to, bytes + at, (size_t)n - at);

		if (done <= 0)
			return -1;
		at += (size_t)done;
	}
	return 1;
}

int
sendmail_join(const char *path, struct err *e)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
		{ .events = POLLIN } };
	int fd;

	if (sock_connect_unix(path, SOCK_STREAM, &fd, e) != 0)
		return -1;
	p[1].fd = fd;
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents != 0 && move_bytes(fd, STDOUT_FILENO) <= 0)
			break;
		if (p[0].fd >= 0 && p[0].revents != 0 &&
		    move_bytes(STDIN_FILENO, fd) <= 0) {
			shutdown(fd, SHUT_WR);
			p[0].fd = -1;
		}
	}
	close(fd);
	return 0;
}
