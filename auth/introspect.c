/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/introspect.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"
#include "lib/os/stream.h"
#include "lib/proto/header.h"

/* ---- where ---- */

static bool
is_loopback(const struct sockaddr_storage *addr)
{
	char text[SOCK_ADDR_TEXT];

	sock_addr_text((const struct sockaddr *)addr, text);
	return strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0;
}

/* "host[:port]" into an address. */
static bool
take_host(struct span text, struct introspect_place *out)
{
	const size_t colon = span_rchr(text, ':');
	const bool has_port = colon != SIZE_MAX &&
	    span_chr(span_skip(text, colon), ']') == SIZE_MAX;
	struct span host = has_port ? span_slice(text, 0, colon) : text;
	char literal[SOCK_ADDR_TEXT];
	uint64_t port = 80;

	if (!span_copy(text, out->host, sizeof(out->host)) ||
	    (has_port && !span_u64(span_skip(text, colon + 1), 65535, &port)))
		return false;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_slice(host, 1, host.n - 1);
	if (span_ieq(host, SPAN("localhost")))
		host = SPAN("127.0.0.1");
	return span_copy(host, literal, sizeof(literal)) &&
	    sock_addr_parse(
		literal, (unsigned)port, &out->addr, &out->addr_len) &&
	    is_loopback(&out->addr);
}

static bool
take_socket(struct span path, struct introspect_place *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->addr;

	snprintf(out->host, sizeof(out->host), "localhost");
	un->sun_family = AF_UNIX;
	out->addr_len = sizeof(*un);
	return path.n > 0 && path.p[0] == '/' &&
	    span_copy(path, un->sun_path, sizeof(un->sun_path));
}

/* Nothing that would end the request line. */
static bool
take_path(struct span path, struct introspect_place *out)
{
	if (path.n == 0)
		path = SPAN("/");
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] > '~')
			return false;
	return path.p[0] == '/' &&
	    span_copy(path, out->path, sizeof(out->path));
}

bool
introspect_place_parse(struct span text, struct introspect_place *out)
{
	struct introspect_place p = { .addr_len = 0 };
	struct span rest;
	size_t cut;
	bool ok = false;

	if (span_istarts(text, SPAN("http://"))) {
		rest = span_skip(text, 7);
		cut = span_chr(rest, '/');
		ok = take_host(span_slice(rest, 0, cut), &p) &&
		    take_path(span_skip(rest, cut == SIZE_MAX ? rest.n : cut),
			&p);
	} else if (span_istarts(text, SPAN("unix:"))) {
		rest = span_skip(text, 5);
		cut = span_chr(rest, ':');
		ok = take_socket(span_slice(rest, 0, cut), &p) &&
		    take_path(cut == SIZE_MAX ? SPAN_EMPTY :
						span_skip(rest, cut + 1), &p);
	}
	if (ok)
		*out = p;
	return ok;
}

/* ---- what is said ---- */

static void
put_encoded(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		const uint8_t c = text.p[i];

		if (ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' ||
		    c == '_')
			buf_byte(out, c);
		else
			buf_fmt(out, "%%%02X", c);
	}
}

void
introspect_request(const struct introspect_place *p, struct span token,
    const char *authorization, struct buf *out)
{
	struct buf body;

	buf_init(&body, 3 * token.n + 100);
	buf_str(&body, "token=");
	put_encoded(&body, token);
	buf_str(&body, "&token_type_hint=access_token");
	/* 1.0: the answer ends with the connection, and is not in chunks. */
	buf_fmt(out, "POST %s HTTP/1.0\r\nHost: %s\r\n", p->path, p->host);
	if (authorization[0] != '\0')
		buf_fmt(out, "Authorization: %s\r\n", authorization);
	buf_fmt(out,
	    "Content-Type: application/x-www-form-urlencoded\r\n"
	    "Accept: application/json\r\nContent-Length: %zu\r\n\r\n", body.n);
	buf_add(out, buf_span(&body));
	buf_wipe(&body);
}

/* The number in "HTTP/1.x NNN ...". */
static bool
status_of(struct span line, uint64_t *out)
{
	return span_starts(line, SPAN("HTTP/1.")) && line.n >= 12 &&
	    line.p[8] == ' ' && span_u64(span_slice(line, 9, 12), 999, out);
}

enum parse
introspect_answer(struct span answer, bool ended, struct span *out_body,
    const char **out_why)
{
	const size_t lf = span_chr(answer, '\n');
	struct header_field field;
	uint64_t status, length;
	struct span head, body;
	size_t end;

	*out_why = "no HTTP answer";
	if (lf == SIZE_MAX)
		return ended ? PARSE_BAD : PARSE_MORE;
	if (!status_of(span_slice(answer, 0, lf), &status))
		return PARSE_BAD;
	*out_why = "the answer is cut off";
	head = span_skip(answer, lf + 1);
	if (header_end(head, &end) != PARSE_OK)
		return ended ? PARSE_BAD : PARSE_MORE;
	*out_why = "the answer is an error";
	if (status != 200)
		return PARSE_BAD;
	*out_why = "the answer is cut off";
	body = span_skip(head, end);
	if (header_find(head, SPAN("Content-Length"), &field)) {
		if (!span_u64(span_trim(field.body), INTROSPECT_ANSWER_MAX,
			&length))
			return PARSE_BAD;
		if (body.n < length)
			return ended ? PARSE_BAD : PARSE_MORE;
		body = span_slice(body, 0, (size_t)length);
	} else if (!ended) {
		return PARSE_MORE;
	}
	*out_body = body;
	return PARSE_OK;
}

/* ---- one question ---- */

struct question {
	struct loop *loop;
	struct connecting *connecting;
	struct stream *stream;
	struct buf request;
	introspect_fn fn;
	void *arg;
};

static unsigned waiting; /* questions of this process */

static void
finish(struct question *q, struct span body, const struct err *e)
{
	waiting--;
	q->fn(q->arg, body, e);
	connect_free(&q->connecting);
	stream_free(&q->stream);
	buf_wipe(&q->request);
	mem_free(q);
}

static void
fail(struct question *q, const char *why)
{
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.0", "introspection: %s", why);
	finish(q, SPAN_EMPTY, &e);
}

static void
look(struct question *q, bool ended)
{
	const char *why;
	struct span body;

	switch (introspect_answer(
	    stream_input(q->stream), ended, &body, &why)) {
	case PARSE_OK:
		finish(q, body, NULL);
		break;
	case PARSE_MORE:
		break;
	case PARSE_BAD:
		fail(q, why);
		break;
	}
}

static void
on_input(void *arg)
{
	look(arg, false);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	switch (end) {
	case STREAM_EOF:
		look(arg, true);
		break;
	case STREAM_LOST:
		fail(arg, e->text);
		break;
	case STREAM_TIMEOUT:
		fail(arg, "no answer in time");
		break;
	}
}

static void
on_connected(void *arg, int fd, const struct err *e)
{
	static const struct stream_limits limits = {
		INTROSPECT_ANSWER_MAX + 8192, 65536
	};
	static const struct stream_handler handler = { .input = on_input,
		.closed = on_closed };
	struct question *q = arg;

	if (fd < 0) {
		fail(q, e->text);
		return;
	}
	connect_free(&q->connecting);
	q->stream = stream_new(q->loop, fd, &limits, &handler, q);
	stream_timeout(q->stream, INTROSPECT_MS);
	stream_write(q->stream, buf_span(&q->request));
}

static void
refuse_later(void *arg)
{
	fail(arg, "too many questions are waiting");
}

void
introspect_ask(struct loop *loop, const struct introspect_place *p,
    struct span token, const char *authorization, introspect_fn fn, void *arg)
{
	struct question *q = MEM_NEW(q);

	q->loop = loop;
	q->fn = fn;
	q->arg = arg;
	buf_init(&q->request, 65536);
	introspect_request(p, token, authorization, &q->request);
	if (++waiting > INTROSPECT_WAITING_MAX || !buf_ok(&q->request)) {
		loop_later(loop, refuse_later, q);
		return;
	}
	q->connecting = connect_start(loop, (const struct sockaddr *)&p->addr,
	    p->addr_len, NULL, 0, INTROSPECT_MS, on_connected, q);
}
