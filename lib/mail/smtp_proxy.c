/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/smtp_proxy.h"

#include <netinet/in.h>
#include <sys/un.h>

#include "lib/base/mem.h"
#include "lib/mail/dns.h"
#include "lib/os/sock.h"
#include "lib/os/stream.h"
#include "lib/proto/smtp_reply.h"

enum {
	INPUT_MAX = 65536,
	OUTPUT_MAX = 16 << 20,
	OUTPUT_HIGH = 256 << 10,
	FINISH_MS = 5000,
};

struct smtp_proxy_place {
	char *host, *path; /* one of them */
	unsigned port;
};

struct smtp_proxy {
	struct loop *loop;
	const struct smtp_proxy_place *place;
	uint64_t timeout_ms;
	struct connecting *connecting;
	struct dns_query *query;
	struct timer *timer;
	struct stream *stream;
	struct smtp_reply_reader reader;
	smtp_proxy_fn fn; /* NULL: no reply is awaited */
	void *arg;
	struct milter_mail *mail; /* being sent; its end was not */
	bool cut;		  /* and never will be */
	bool blocked;		  /* until output has drained */
	bool line_start;
};

/* ---- where it is ----------------------------------------------------------
 */

int
smtp_proxy_place_open(const char *text, const char *queue_directory,
    struct smtp_proxy_place **out, struct err *e)
{
	struct span s = span_trim(span_str(text)), port;
	struct smtp_proxy_place *p = MEM_NEW(p);
	uint64_t number;
	size_t colon;

	if (span_istarts(s, SPAN("unix:"))) {
		s = span_skip(s, 5);
		p->path =
		    s.n > 0 && s.p[0] == '/'
			? span_dup(s)
			: mem_printf("%s/%.*s", queue_directory, SPAN_FMT(s));
		*out = p;
		return 0;
	}
	if (span_istarts(s, SPAN("inet:")))
		s = span_skip(s, 5);
	colon = span_rchr(s, ':');
	port = colon == SIZE_MAX ? s : span_skip(s, colon + 1);
	s = colon == SIZE_MAX ? SPAN_EMPTY : span_slice(s, 0, colon);
	if (!span_u64(port, 65535, &number) || number == 0) {
		smtp_proxy_place_free(&p);
		return err_set(e, ERR_PERM, "5.3.5",
		    "\"%s\" is no HOST:PORT with a number", text);
	}
	if (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = span_slice(s, 1, s.n - 1);
	p->host = s.n > 0 ? span_dup(s) : mem_strdup("localhost");
	p->port = (unsigned)number;
	*out = p;
	return 0;
}

void
smtp_proxy_place_free(struct smtp_proxy_place **ref)
{
	struct smtp_proxy_place *p = *ref;

	if (p == NULL)
		return;
	mem_free(p->host);
	mem_free(p->path);
	mem_free(p);
	*ref = NULL;
}

/* ---- replies --------------------------------------------------------------
 */

/* The message is the caller's again. */
static void
stop_sending(struct smtp_proxy *p)
{
	if (p->mail == NULL)
		return;
	milter_mail_read_cancel(p->mail);
	p->mail = NULL;
	p->cut = true;
}

/* May free p: comes last. */
static void
tell(struct smtp_proxy *p, unsigned code, struct span text)
{
	const smtp_proxy_fn fn = p->fn;

	p->fn = NULL;
	stop_sending(p);
	if (p->stream != NULL)
		stream_timeout(p->stream, 0);
	if (fn != NULL)
		fn(p->arg, code, text);
}

static void
broken(struct smtp_proxy *p, const char *why)
{
	stream_free(&p->stream);
	tell(p, 0, span_str(why));
}

static void
on_input(void *arg)
{
	struct smtp_proxy *p = arg;
	const struct span all = stream_input(p->stream);
	struct span in = all, text;
	unsigned code;
	enum parse got;

	if (p->fn == NULL) {
		broken(p, "it speaks unasked");
		return;
	}
	got = smtp_reply_read(&p->reader, &in, &code, &text);
	stream_consume(p->stream, all.n - in.n);
	switch (got) {
	case PARSE_OK:
		if (p->mail != NULL && code < 400)
			broken(p, "it answers before the end of the message");
		else
			tell(p, code, text);
		break;
	case PARSE_MORE:
		break;
	case PARSE_BAD:
		broken(p, "received garbage");
		break;
	}
}

static void
on_drained(void *arg)
{
	struct smtp_proxy *p = arg;

	if (!p->blocked)
		return;
	p->blocked = false;
	if (p->mail == NULL)
		return;
	stream_timeout(p->stream, p->timeout_ms);
	milter_mail_go_on(p->mail);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	(void)e;
	broken(arg, end == STREAM_TIMEOUT ? "timeout" : "lost connection");
}

/* ---- connecting -----------------------------------------------------------
 */

static void
connected(void *arg, int fd, const struct err *e)
{
	static const struct stream_limits limits = { INPUT_MAX, OUTPUT_MAX };
	static const struct stream_handler handler = { on_input, on_drained,
		NULL, on_closed };
	struct smtp_proxy *p = arg;

	connect_free(&p->connecting);
	if (e != NULL) {
		tell(p, 0, span_str(e->text));
		return;
	}
	p->stream = stream_new(p->loop, fd, &limits, &handler, p);
	stream_timeout(p->stream, p->timeout_ms);
}

static void
connect_to(struct smtp_proxy *p, const struct sockaddr *to, socklen_t len)
{
	p->connecting = connect_start(
	    p->loop, to, len, NULL, 0, p->timeout_ms, connected, p);
}

static void
looked_up(void *arg, const struct dns_answer *answer)
{
	struct smtp_proxy *p = arg;
	struct sockaddr_storage to;
	socklen_t len = sizeof(struct sockaddr_in);

	p->query = NULL;
	timer_free(&p->timer);
	if (answer->status != DNS_OK) {
		tell(p, 0, span_str(answer->err.text));
		return;
	}
	to = answer->addresses[0];
	for (size_t i = 0; i < answer->address_count; i++)
		if (answer->addresses[i].ss_family == AF_INET)
			to = answer->addresses[i];
	if (to.ss_family == AF_INET6) {
		len = sizeof(struct sockaddr_in6);
		((struct sockaddr_in6 *)&to)->sin6_port =
		    htons((uint16_t)p->place->port);
	} else {
		((struct sockaddr_in *)&to)->sin_port =
		    htons((uint16_t)p->place->port);
	}
	connect_to(p, (struct sockaddr *)&to, len);
}

static void
too_late(void *arg)
{
	tell(arg, 0, SPAN("Connection timed out"));
}

struct smtp_proxy *
smtp_proxy_open(struct loop *loop, struct client *resolver,
    const struct smtp_proxy_place *place, uint64_t timeout_ms, uint64_t trace,
    smtp_proxy_fn fn, void *arg)
{
	struct smtp_proxy *p = MEM_NEW(p);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage to;
	socklen_t len;

	p->loop = loop;
	p->place = place;
	p->timeout_ms = timeout_ms;
	p->fn = fn;
	p->arg = arg;
	smtp_reply_init(&p->reader);
	if (place->path != NULL) {
		/* One that is too long is cut, and not there. */
		span_copy(span_slice(span_str(place->path), 0,
			      sizeof(un.sun_path) - 1),
		    un.sun_path, sizeof(un.sun_path));
		connect_to(p, (struct sockaddr *)&un, sizeof(un));
	} else if (sock_addr_parse(place->host, place->port, &to, &len)) {
		connect_to(p, (struct sockaddr *)&to, len);
	} else {
		p->timer = timer_new(loop, too_late, p);
		timer_start(p->timer, timeout_ms);
		p->query = dns_query_addresses(resolver, place->host,
		    DNS_INET | DNS_INET6, DNS_HOSTS_FIRST, trace, looked_up, p);
	}
	return p;
}

void
smtp_proxy_free(struct smtp_proxy **ref)
{
	struct smtp_proxy *p = *ref;

	if (p == NULL)
		return;
	stop_sending(p);
	dns_cancel(&p->query);
	timer_free(&p->timer);
	connect_free(&p->connecting);
	stream_free(&p->stream);
	smtp_reply_release(&p->reader);
	mem_free(p);
	*ref = NULL;
}

/* ---- talking --------------------------------------------------------------
 */

static void
await(struct smtp_proxy *p, smtp_proxy_fn fn, void *arg)
{
	BUG_ON(p->fn != NULL);
	p->fn = fn;
	p->arg = arg;
}

void
smtp_proxy_say(
    struct smtp_proxy *p, struct span command, smtp_proxy_fn fn, void *arg)
{
	await(p, fn, arg);
	if (p->stream == NULL) {
		tell(p, 0, SPAN("lost connection"));
		return;
	}
	stream_write(p->stream, command);
	stream_write(p->stream, SPAN("\r\n"));
	stream_timeout(p->stream, p->timeout_ms);
}

/* A dot at the beginning of a line becomes two (RFC 5321 4.5.2). */
static bool
send_piece(void *arg, struct span bytes)
{
	struct smtp_proxy *p = arg;
	size_t from = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		if (p->line_start && bytes.p[i] == '.') {
			stream_write(p->stream, span_slice(bytes, from, i));
			stream_write(p->stream, SPAN("."));
			from = i;
		}
		p->line_start = bytes.p[i] == '\n';
	}
	stream_write(p->stream, span_skip(bytes, from));
	if (stream_pending(p->stream) <= OUTPUT_HIGH)
		return true;
	p->blocked = true;
	stream_timeout(p->stream, p->timeout_ms);
	return false;
}

static void
sent(void *arg, const struct err *e)
{
	struct smtp_proxy *p = arg;

	if (e != NULL) {
		broken(p, e->text);
		return;
	}
	p->mail = NULL;
	stream_write(
	    p->stream, p->line_start ? SPAN(".\r\n") : SPAN("\r\n.\r\n"));
	stream_timeout(p->stream, p->timeout_ms);
}

void
smtp_proxy_send(
    struct smtp_proxy *p, struct milter_mail *mail, smtp_proxy_fn fn, void *arg)
{
	await(p, fn, arg);
	if (p->stream == NULL) {
		tell(p, 0, SPAN("lost connection"));
		return;
	}
	p->mail = mail;
	p->line_start = true;
	milter_mail_send(
	    mail, &(struct milter_mail_sink){ send_piece, sent, p });
}

void
smtp_proxy_quit(struct smtp_proxy **ref)
{
	struct smtp_proxy *p = *ref;

	/* In the midst of a message it would be a line of it. */
	if (p != NULL && p->stream != NULL && p->fn == NULL && !p->cut) {
		stream_write(p->stream, SPAN("QUIT\r\n"));
		stream_finish(&p->stream, FINISH_MS);
	}
	smtp_proxy_free(ref);
}
