/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/channel.h"

#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"

enum {
	CREDIT = 100,
	CONNECTIONS_MAX = 1000,
	TRUSTED_MAX = 32,
};

struct server {
	struct loop *loop;
	struct server_options options;
	struct list conns;
	size_t count;
	size_t open; /* requests not answered, over all connections */
	bool leaving;
};

struct server_conn {
	struct list link;
	struct server *server;
	struct channel *channel;
	struct peer peer;
	struct list requests; /* struct request, those that have an id */
	unsigned open;        /* their number */
	bool adopted;         /* the other end grants, not we */
	struct server_conn **watch; /* set NULL when this is freed */
	void *data;
};

struct request {
	struct list link;
	struct server_conn *conn; /* NULL: gone */
	uint32_t id;
	uint64_t trace;
	enum msg_type type;
	struct request **watch;   /* set NULL when this is freed */
};

/* The users of our own daemons: set once, before the first server. */
static uid_t trusted[TRUSTED_MAX];
static size_t trusted_count;

void
server_allow_uids(const uid_t *uids, size_t count)
{
	BUG_ON(count > TRUSTED_MAX);
	memcpy(trusted, uids, count * sizeof(*uids));
	trusted_count = count;
}

static bool
allowed(const struct server *s, const struct peer *peer)
{
	if (s->options.allow != NULL)
		return s->options.allow(peer, s->options.arg);
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	for (size_t i = 0; i < trusted_count; i++)
		if (peer->uid == trusted[i])
			return true;
	return false;
}

/* ---- requests ---- */

/* What a process has in hand shows in the trace, whatever becomes of it. */
static void
trace_request(const struct request *r, enum msg_type type, const char *what)
{
	const struct log_ctx ctx = { .trace = r->trace };
	const char *name = msg_type_name(type);

	log_event(&ctx, what, "%s", name != NULL ? name : "?");
}

static struct request *
request_new(struct server_conn *conn, const struct msg_in *m)
{
	struct request *r = MEM_NEW(r);

	r->conn = conn;
	r->id = m->id;
	r->trace = m->trace;
	list_push(&conn->requests, &r->link);
	if (r->id != 0) {
		conn->open++;
		conn->server->open++;
		trace_request(r, m->type, "begin");
		r->type = m->type;
	}
	return r;
}

void
request_drop(struct request **r)
{
	struct request *gone = *r;

	*r = NULL;
	if (gone == NULL)
		return;
	if (gone->id != 0)
		trace_request(gone, gone->type, "end");
	if (gone->conn != NULL && gone->id != 0) {
		gone->conn->open--;
		gone->conn->server->open--;
	}
	if (gone->watch != NULL)
		*gone->watch = NULL;
	list_remove(&gone->link);
	mem_free(gone);
}

struct server_conn *
request_conn(const struct request *r)
{
	return r->conn;
}

uint64_t
request_trace(const struct request *r)
{
	return r->trace;
}

uint32_t
request_id(const struct request *r)
{
	return r->id;
}

void
request_begin(const struct request *r, struct msg_out *m, enum msg_type type)
{
	msg_begin(m, type, r->id, r->trace);
}

void
request_send(struct request *r, struct msg_out *m)
{
	if (r->conn != NULL && r->id != 0)
		channel_send(r->conn->channel, m);
}

void
request_answer(struct request **r, struct msg_out *m)
{
	struct err e;

	if (!msg_ok(m)) {
		err_set(&e, ERR_TEMP, "4.3.0", "answer too large");
		request_error(r, &e);
		return;
	}
	request_send(*r, m);
	request_drop(r);
}

void
request_ok(struct request **r)
{
	struct msg_out m;

	request_begin(*r, &m, MSG_OK);
	request_answer(r, &m);
	msg_out_release(&m);
}

void
request_error(struct request **r, const struct err *e)
{
	struct msg_out m;

	request_begin(*r, &m, MSG_ERROR);
	msg_put_err(&m, e);
	request_answer(r, &m);
	msg_out_release(&m);
}

/* ---- connections ---- */

void
server_conn_close(struct server_conn *c)
{
	struct server *s = c->server;

	LIST_EACH (&c->requests, link) {
		CONTAINER_OF(link, struct request, link)->conn = NULL;
		list_remove(link);
	}
	list_remove(&c->link);
	s->count--;
	s->open -= c->open;
	channel_free(&c->channel);
	if (s->options.closed != NULL)
		s->options.closed(c, s->options.arg);
	if (c->watch != NULL)
		*c->watch = NULL;
	mem_free(c);
}

static void
refuse_type(struct request *r, const struct msg_in *m)
{
	struct err e;

	err_set(&e, ERR_PERM, "5.3.0", "request %u is not known here",
	    (unsigned)m->type);
	request_error(&r, &e);
}

/* True for what must never be answered by an error. */
static bool
is_answer(const struct msg_in *m)
{
	return m->id == 0 || m->type == MSG_OK || m->type == MSG_ERROR ||
	    m->type == MSG_HELLO || m->type == MSG_FAREWELL;
}

static void
conn_refused(struct server_conn *c, const char *why)
{
	log_warning(NULL, "IPC peer pid %ld uid %ld: %s, connection closed",
	    (long)c->peer.pid, (long)c->peer.uid, why);
	server_conn_close(c);
}

/* The handler may end the request, and close the connection, before it says
 * that the message was malformed. */
static void
dispatch(struct server_conn *c, const struct server_handler *h,
    struct msg_in *m, void *arg)
{
	struct request *r = request_new(c, m);
	struct request *alive = r;
	int rc;

	r->watch = &alive;
	c->watch = &c;
	rc = h->handle(r, m, arg);
	if (alive != NULL)
		alive->watch = NULL;
	if (c != NULL)
		c->watch = NULL;
	if (rc == 0)
		return;
	request_drop(&alive);
	if (c != NULL)
		conn_refused(c, "malformed message");
}

static void
on_message(void *arg, struct msg_in *m)
{
	struct server_conn *c = arg;
	const struct server_options *o = &c->server->options;
	const struct server_handler *h = o->handlers;

	while (h->handle != NULL && h->type != m->type)
		h++;
	if (h->handle == NULL && is_answer(m))
		return;
	if (!c->adopted && m->id != 0 && c->open >= o->credit) {
		conn_refused(c, "more requests than it has credit for");
		return;
	}
	if (h->handle == NULL)
		refuse_type(request_new(c, m), m);
	else
		dispatch(c, h, m, o->arg);
}

static void
on_closed(void *arg, const struct err *e)
{
	struct server_conn *c = arg;

	log_debug(NULL, "ipc", "peer pid %ld: %s", (long)c->peer.pid, e->text);
	server_conn_close(c);
}

static void
conn_notice(struct server_conn *c, enum msg_type type, unsigned credit)
{
	struct msg_out m;

	msg_begin(&m, type, 0, 0);
	if (credit != 0)
		msg_put_u64(&m, F_CREDIT, credit);
	channel_send(c->channel, &m);
	msg_out_release(&m);
}

static struct server_conn *
conn_new(struct server *s, int fd, const struct peer *peer, bool adopted)
{
	static const struct channel_handler handler = { on_message,
		on_closed };
	struct server_conn *c = MEM_NEW(c);

	c->server = s;
	c->peer = *peer;
	c->adopted = adopted;
	list_init(&c->requests);
	list_push(&s->conns, &c->link);
	s->count++;
	c->channel = channel_new(s->loop, fd, &handler, c);
	if (!adopted)
		conn_notice(c, MSG_HELLO, s->options.credit);
	if (s->leaving)
		conn_notice(c, MSG_FAREWELL, 0);
	if (s->options.opened != NULL)
		s->options.opened(c, s->options.arg);
	return c;
}

void
server_client(struct server *s, int fd)
{
	struct peer peer;
	struct err e;

	if (sock_peer(fd, &peer, &e) != 0) {
		log_warning(NULL, "IPC client: %s", e.text);
	} else if (!allowed(s, &peer)) {
		log_warning(NULL, "IPC client pid %ld uid %ld refused",
		    (long)peer.pid, (long)peer.uid);
	} else if (s->count >= s->options.connections_max) {
		log_warning(NULL, "too many IPC clients: pid %ld refused",
		    (long)peer.pid);
	} else {
		conn_new(s, fd, &peer, false);
		return;
	}
	close(fd);
}

struct server_conn *
server_adopt(struct server *s, int fd)
{
	struct peer peer = { 0, (uid_t)-1, (gid_t)-1 };

	(void)sock_peer(fd, &peer, NULL);
	return conn_new(s, fd, &peer, true);
}

/* ---- server ---- */

struct server *
server_new(struct loop *loop, const struct server_options *o)
{
	struct server *s = MEM_NEW(s);

	s->loop = loop;
	s->options = *o;
	if (s->options.credit == 0)
		s->options.credit = CREDIT;
	if (s->options.connections_max == 0)
		s->options.connections_max = CONNECTIONS_MAX;
	list_init(&s->conns);
	return s;
}

void
server_free(struct server **s)
{
	struct server *gone = *s;
	struct list *link;

	*s = NULL;
	if (gone == NULL)
		return;
	while ((link = list_first(&gone->conns)) != NULL)
		server_conn_close(
		    CONTAINER_OF(link, struct server_conn, link));
	mem_free(gone);
}

void
server_leave(struct server *s)
{
	s->leaving = true;
	LIST_EACH (&s->conns, link)
		conn_notice(CONTAINER_OF(link, struct server_conn, link),
		    MSG_FAREWELL, 0);
}

size_t
server_open_requests(const struct server *s)
{
	return s->open;
}

size_t
server_conn_count(const struct server *s)
{
	return s->count;
}

void
server_conn_set(struct server_conn *c, void *data)
{
	c->data = data;
}

void *
server_conn_data(const struct server_conn *c)
{
	return c->data;
}

const struct peer *
server_conn_peer(const struct server_conn *c)
{
	return &c->peer;
}

void
server_conn_send(struct server_conn *c, struct msg_out *m)
{
	channel_send(c->channel, m);
}
