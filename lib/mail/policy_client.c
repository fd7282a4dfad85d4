/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/policy_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "lib/base/limits.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/os/stream.h"
#include "lib/proto/policy.h"

enum {
	CALLS_WAITING_MAX = 10000,
	REQUEST_MAX = 65536,
	INSTANCE_TEXT = 64,
};

struct conn {
	struct list link; /* in client.conns, the one used last first */
	struct policy_client *client;
	struct policy_call *call; /* NULL: idle */
	struct dns_query *query;
	struct connecting *connecting;
	struct stream *stream;
	struct timer *idle;
	char instance[INSTANCE_TEXT]; /* whose it is; "": nobody's */
	unsigned requests;
	uint64_t born_ms;
};

struct policy_call {
	struct list link; /* in client.waiting, or alone */
	struct policy_client *client;
	struct conn *conn;
	struct timer *retry;
	unsigned tries;
	char instance[INSTANCE_TEXT];
	struct buf request;
	restrict_policy_fn fn;
	void *arg;
};

struct policy_client {
	struct loop *loop;
	const struct restrict_policy *p;
	struct client *resolver;
	char *base;
	struct list conns, waiting;
	size_t conn_count, waiting_count;
};

static void call_start(struct policy_call *call);

/* ---- connections ---- */

static void
conn_free(struct conn *c)
{
	c->client->conn_count--;
	list_remove(&c->link);
	dns_cancel(&c->query);
	connect_free(&c->connecting);
	stream_free(&c->stream);
	timer_free(&c->idle);
	mem_free(c);
}

static void
call_free(struct policy_call *call)
{
	list_remove(&call->link);
	timer_free(&call->retry);
	buf_release(&call->request);
	mem_free(call);
}

/* The next of those who wait, now that there is a place. */
static void
serve_waiting(struct policy_client *c)
{
	struct list *first = list_first(&c->waiting);

	if (first == NULL)
		return;
	list_remove(first);
	c->waiting_count--;
	call_start(CONTAINER_OF(first, struct policy_call, link));
}

static void
call_finish(struct policy_call *call, const struct span *action)
{
	const restrict_policy_fn fn = call->fn;
	void *arg = call->arg;

	call_free(call);
	fn(arg, action);
}

static void
on_retry(void *arg)
{
	call_start(arg);
}

/* The connection failed under a call. sysno: 0 or of a lost connection means
 * that asking again may help. */
static void
call_failed(struct policy_call *call, int sysno, const char *why)
{
	struct policy_client *c = call->client;
	const struct restrict_policy *p = c->p;
	const bool may_retry = sysno == 0 || sysno == EPIPE ||
	    sysno == ENOENT || sysno == ECONNRESET;

	call->conn = NULL;
	call->tries++;
	if (may_retry && (p->try_limit == 0 || call->tries < p->try_limit)) {
		call->retry = timer_new(c->loop, on_retry, call);
		timer_start(call->retry, p->retry_delay_ms);
		serve_waiting(c);
		return;
	}
	log_warning(NULL, "problem talking to server %s: %s", p->endpoint,
	    why);
	serve_waiting(c);
	call_finish(call, NULL);
}

static void
conn_failed(struct conn *conn, int sysno, const char *why)
{
	struct policy_call *call = conn->call;

	conn_free(conn);
	if (call != NULL)
		call_failed(call, sysno, why);
}

static void
on_idle(void *arg)
{
	conn_free(arg);
}

/* An answer has come; may the connection be used again? */
static void
conn_rest(struct conn *conn)
{
	struct policy_client *c = conn->client;
	const struct restrict_policy *p = c->p;

	conn->call = NULL;
	stream_timeout(conn->stream, 0);
	/* What came behind the answer would be taken for the next one. */
	if (stream_input(conn->stream).n > 0 || (p->request_limit > 0 &&
	    conn->requests >= p->request_limit) ||
	    loop_now_ms(c->loop) - conn->born_ms >= p->max_ttl_ms) {
		conn_free(conn);
		return;
	}
	list_remove(&conn->link);
	list_unshift(&c->conns, &conn->link);
	if (conn->idle == NULL)
		conn->idle = timer_new(c->loop, on_idle, conn);
	timer_start(conn->idle, p->max_idle_ms);
}

static void
on_input(void *arg)
{
	struct conn *conn = arg;
	struct policy_client *c = conn->client;
	struct policy_call *call = conn->call;
	struct span action;
	struct buf copy;
	size_t used;

	if (call == NULL) {
		conn_free(conn); /* it speaks unasked */
		return;
	}
	switch (policy_reply_parse(stream_input(conn->stream), &used,
	    &action)) {
	case PARSE_MORE:
		return;
	case PARSE_BAD:
		conn_failed(conn, 0, "malformed reply");
		return;
	case PARSE_OK:
		break;
	}
	buf_init(&copy, POLICY_REPLY_MAX);
	buf_add(&copy, action);
	stream_consume(conn->stream, used);
	conn_rest(conn);
	serve_waiting(c);
	action = buf_span(&copy);
	call_finish(call, &action);
	buf_release(&copy);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct conn *conn = arg;

	switch (end) {
	case STREAM_EOF:
		conn_failed(conn, 0, "connection closed without a reply");
		return;
	case STREAM_LOST:
		conn_failed(conn, e->sysno != 0 ? e->sysno : ECONNRESET,
		    e->text);
		return;
	case STREAM_TIMEOUT:
		conn_failed(conn, ETIMEDOUT, "Connection timed out");
		return;
	}
}

static void
conn_send(struct conn *conn)
{
	timer_stop(conn->idle);
	conn->requests++;
	stream_timeout(conn->stream, conn->client->p->timeout_ms);
	stream_write(conn->stream, buf_span(&conn->call->request));
}

/* ---- connecting ---- */

static void
on_connected(void *arg, int fd, const struct err *e)
{
	static const struct stream_limits limits = { POLICY_REPLY_MAX + 1,
		REQUEST_MAX };
	static const struct stream_handler handler = { on_input, NULL, NULL,
		on_closed };
	struct conn *conn = arg;

	connect_free(&conn->connecting);
	if (fd < 0) {
		conn_failed(conn, e->sysno != 0 ? e->sysno : EIO,
		    strerror(e->sysno != 0 ? e->sysno : EIO));
		return;
	}
	conn->stream = stream_new(conn->client->loop, fd, &limits, &handler,
	    conn);
	conn->idle = timer_new(conn->client->loop, on_idle, conn);
	conn_send(conn);
}

static void
conn_connect(struct conn *conn, const struct sockaddr *to, socklen_t len)
{
	conn->connecting = connect_start(conn->client->loop, to, len, NULL, 0,
	    conn->client->p->timeout_ms, on_connected, conn);
}

static unsigned
inet_port(const struct span endpoint)
{
	uint64_t port = 0;

	(void)span_u64(span_skip(endpoint, span_rchr(endpoint, ':') + 1),
	    65535, &port);
	return (unsigned)port;
}

static void
on_address(void *arg, const struct dns_answer *a)
{
	struct conn *conn = arg;
	char text[SOCK_ADDR_TEXT];
	struct sockaddr_storage to;
	socklen_t len;

	conn->query = NULL;
	if (a->status != DNS_OK) {
		conn_failed(conn, EHOSTUNREACH, a->err.text);
		return;
	}
	sock_addr_text((const struct sockaddr *)&a->addresses[0], text);
	if (sock_addr_parse(text,
		inet_port(span_str(conn->client->p->endpoint)), &to, &len))
		conn_connect(conn, (const struct sockaddr *)&to, len);
}

static void
connect_inet(struct conn *conn, struct span endpoint)
{
	struct span host = span_slice(endpoint, 5, span_rchr(endpoint, ':'));
	struct sockaddr_storage to;
	char text[DNS_NAME_MAX];
	socklen_t len;

	if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_slice(host, 1, host.n - 1);
	if (!span_copy(host, text, sizeof(text)))
		text[0] = '\0';
	if (sock_addr_parse(text, inet_port(endpoint), &to, &len))
		conn_connect(conn, (const struct sockaddr *)&to, len);
	else
		conn->query = dns_query_addresses(conn->client->resolver,
		    text, DNS_INET | DNS_INET6, DNS_HOSTS_FIRST, 0,
		    on_address, conn);
}

static void
connect_unix(struct conn *conn, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *base = path[0] == '/' ? "" : conn->client->base;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s%s%s", base,
	    base[0] != '\0' ? "/" : "", path);
	conn_connect(conn, (const struct sockaddr *)&un, sizeof(un));
}

static struct conn *
conn_new(struct policy_client *c)
{
	struct conn *conn = MEM_NEW(conn);

	conn->client = c;
	conn->born_ms = loop_now_ms(c->loop);
	list_push(&c->conns, &conn->link);
	c->conn_count++;
	return conn;
}

/* ---- calls ---- */

/* An idle connection: of this instance; else nobody's; else anyone's, if
 * taken is set. */
static struct conn *
find_idle(struct policy_client *c, const char *instance, bool taken)
{
	struct conn *best = NULL;

	LIST_EACH (&c->conns, link) {
		struct conn *conn = CONTAINER_OF(link, struct conn, link);

		if (conn->call != NULL)
			continue;
		if (instance[0] != '\0' &&
		    strcmp(conn->instance, instance) == 0)
			return conn;
		if (taken || (best == NULL && conn->instance[0] == '\0'))
			best = conn;
	}
	return best;
}

static void
call_start(struct policy_call *call)
{
	struct policy_client *c = call->client;
	const char *endpoint = c->p->endpoint;
	struct conn *conn = find_idle(c, call->instance, false);
	const bool fresh = conn == NULL && c->conn_count < POLICY_CONNECTIONS;

	timer_free(&call->retry);
	if (conn == NULL && !fresh)
		conn = find_idle(c, call->instance, true);
	if (conn == NULL && !fresh) {
		list_push(&c->waiting, &call->link);
		c->waiting_count++;
		return;
	}
	if (fresh)
		conn = conn_new(c);
	conn->call = call;
	call->conn = conn;
	memcpy(conn->instance, call->instance, sizeof(conn->instance));
	if (!fresh)
		conn_send(conn);
	else if (strncmp(endpoint, "unix:", 5) == 0)
		connect_unix(conn, endpoint + 5);
	else
		connect_inet(conn, span_str(endpoint));
}

static void
too_many(void *arg)
{
	struct policy_call *call = arg;

	log_warning(NULL, "problem talking to server %s: too many requests "
	    "are waiting", call->client->p->endpoint);
	call_finish(call, NULL);
}

struct policy_call *
policy_client_ask(struct policy_client *c, const char *instance,
    struct span request, restrict_policy_fn fn, void *arg)
{
	struct policy_call *call = MEM_NEW(call);

	call->client = c;
	call->fn = fn;
	call->arg = arg;
	list_init(&call->link);
	snprintf(call->instance, sizeof(call->instance), "%s", instance);
	buf_init(&call->request, REQUEST_MAX);
	buf_add(&call->request, request);
	if (c->waiting_count >= CALLS_WAITING_MAX) {
		call->retry = timer_new(c->loop, too_many, call);
		timer_start(call->retry, 0);
	} else {
		call_start(call);
	}
	return call;
}

void
policy_call_cancel(struct policy_call **ref)
{
	struct policy_call *call = *ref;
	struct policy_client *c;

	*ref = NULL;
	if (call == NULL)
		return;
	c = call->client;
	/* Its answer would come: the connection is of no use. */
	if (call->conn != NULL)
		conn_free(call->conn);
	else if (!list_empty(&call->link))
		c->waiting_count--;
	call_free(call);
	serve_waiting(c);
}

void
policy_client_release(struct policy_client *c, const char *instance)
{
	if (instance[0] == '\0')
		return;
	LIST_EACH (&c->conns, link) {
		struct conn *conn = CONTAINER_OF(link, struct conn, link);

		if (strcmp(conn->instance, instance) == 0)
			conn->instance[0] = '\0';
	}
}

size_t
policy_client_connections(const struct policy_client *c)
{
	return c->conn_count;
}

struct policy_client *
policy_client_new(struct loop *loop, const struct restrict_policy *p,
    struct client *resolver, const char *base)
{
	struct policy_client *c = MEM_NEW(c);

	c->loop = loop;
	c->p = p;
	c->resolver = resolver;
	c->base = mem_strdup(base);
	list_init(&c->conns);
	list_init(&c->waiting);
	return c;
}

void
policy_client_free(struct policy_client **ref)
{
	struct policy_client *c = *ref;

	if (c == NULL)
		return;
	LIST_EACH (&c->waiting, link)
		call_free(CONTAINER_OF(link, struct policy_call, link));
	LIST_EACH (&c->conns, link) {
		struct conn *conn = CONTAINER_OF(link, struct conn, link);
		struct policy_call *call = conn->call;

		conn_free(conn);
		if (call != NULL)
			call_free(call);
	}
	mem_free(c->base);
	mem_free(c);
	*ref = NULL;
}
