/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>

#include "auth/exchange.h"
#include "lib/base/mem.h"

/* An exchange of one of our daemons. It belongs to the connection that began
 * it: a number that another one guesses means nothing. */
struct session {
	struct auth *a;
	uint64_t id;
	struct server_conn *conn;
	struct exchange *exchange;
	struct request *r; /* to be answered; NULL: the client thinks */
	struct timer *timer;
};

static struct span
key_of(const uint64_t *id)
{
	return span_of(id, sizeof(*id));
}

/* The exchange is gone, or goes its way alone. */
static void
session_free(struct session *s)
{
	table_remove(&s->a->sessions, key_of(&s->id));
	exchange_abandon(&s->exchange);
	if (s->r != NULL)
		request_drop(&s->r);
	timer_free(&s->timer);
	mem_free(s);
}

static void
too_slow(void *arg)
{
	session_free(arg);
}

static void
refuse(struct request *r, enum err_kind kind, const char *dsn, const char *text)
{
	struct err e;

	err_set(&e, kind, dsn, "%s", text);
	request_error(&r, &e);
}

/* ---- what the exchange says ---- */

static void
on_challenge(void *arg, struct span data)
{
	struct session *s = arg;
	const char *user;
	const char *why = exchange_refusal(s->exchange, &user);
	struct msg_out m;

	request_begin(s->r, &m, MSG_AUTH_CHALLENGE);
	msg_put_u64(&m, F_SESSION, s->id);
	msg_put(&m, F_DATA, data);
	if (why != NULL) {
		msg_put_str(&m, F_TEXT, why);
		msg_put_str(&m, F_USER, user);
	}
	request_answer(&s->r, &m);
	msg_out_release(&m);
	timer_start(s->timer, AUTH_SESSION_MS);
}

static void
on_failed(void *arg, const struct login_facts *f, const struct err *e)
{
	struct session *s = arg;
	struct msg_out m;

	s->exchange = NULL;
	request_begin(s->r, &m, MSG_AUTH_FAILED);
	msg_put_err(&m, e);
	msg_put_str(&m, F_USER, f->user);
	request_answer(&s->r, &m);
	msg_out_release(&m);
	session_free(s);
}

static void
on_done(void *arg, const struct login_facts *f)
{
	struct session *s = arg;
	uint8_t ticket[TICKET_SIZE];
	struct msg_out m;
	struct err e;

	request_begin(s->r, &m, MSG_AUTH_DONE);
	msg_put_str(&m, F_USER, f->user);
	if (strncmp(f->service, "imap", 4) == 0) {
		if (!tickets_issue(s->a->tickets, f->user, f->pid,
			loop_now_ms(s->a->loop), ticket)) {
			msg_out_release(&m);
			err_set(&e, ERR_TEMP, "4.3.2", "too many tickets");
			on_failed(s, f, &e);
			return;
		}
		msg_put(&m, F_TICKET, span_of(ticket, sizeof(ticket)));
	}
	s->exchange = NULL;
	request_answer(&s->r, &m);
	msg_out_release(&m);
	session_free(s);
}

static const struct exchange_handler handler = { on_challenge, on_done,
	on_failed };

/* ---- requests ---- */

static void
start(struct auth *a, struct request *r, const struct login_facts *f,
    const struct exchange_client *client, const struct span *data)
{
	struct session *s = MEM_NEW(s);

	s->a = a;
	s->id = ++a->last_session;
	s->conn = request_conn(r);
	s->exchange = exchange_new(a, span_str(f->mech), f, client,
	    request_trace(r), &handler, s);
	if (s->exchange == NULL) {
		mem_free(s);
		refuse(r, ERR_PERM, "5.7.4", "no such mechanism");
		return;
	}
	s->r = r;
	s->timer = timer_new(a->loop, too_slow, s);
	table_put(&a->sessions, key_of(&s->id), s);
	exchange_start(
	    s->exchange, data != NULL, data != NULL ? *data : SPAN_EMPTY);
}

int
session_begin(struct request *r, struct msg_in *m, void *arg)
{
	struct auth *a = arg;
	struct login_facts f = { .pid = 0 };
	struct exchange_client client;
	struct err e;

	msg_get_str(m, F_MECH, f.mech, sizeof(f.mech));
	msg_get_str(m, F_SERVICE, f.service, sizeof(f.service));
	msg_get_str(m, F_ADDR, f.addr, sizeof(f.addr));
	f.secured = msg_get_u64(m, F_SECURED) == 1;
	f.pid = server_conn_peer(request_conn(r))->pid;
	client.binding.exporter = msg_get(m, F_TLS_EXPORTER, SASL_BINDING_MAX);
	client.binding.end_point =
	    msg_get(m, F_TLS_END_POINT, SASL_BINDING_MAX);
	client.binding.plus_offered = msg_get_u64(m, F_PLUS_OFFERED) == 1;
	msg_get_str(m, F_DOMAIN, f.domain, sizeof(f.domain));
	client.cert_name = msg_get(m, F_CERT_NAME, AUTH_NAME_MAX);
	client.cert_print = msg_get(m, F_CERT_PRINT, AUTH_NAME_MAX);
	const bool has_data = msg_has(m, F_DATA);
	const struct span data = msg_get(m, F_DATA, LIMIT_SASL_LINE);
	if (msg_done(m, &e) < 0)
		return -1;
	if (a->exchange_count >= AUTH_SESSIONS_MAX)
		refuse(r, ERR_TEMP, "4.3.2", "too many logins");
	else
		start(a, r, &f, &client, has_data ? &data : NULL);
	return 0;
}

static struct session *
find(struct auth *a, uint64_t id, const struct server_conn *conn)
{
	struct session *s = table_get(&a->sessions, key_of(&id));

	return s != NULL && s->conn == conn ? s : NULL;
}

int
session_step(struct request *r, struct msg_in *m, void *arg)
{
	struct auth *a = arg;
	struct err e;

	const uint64_t id = msg_get_u64(m, F_SESSION);
	const struct span data = msg_get(m, F_DATA, LIMIT_SASL_LINE);
	if (msg_done(m, &e) < 0)
		return -1;
	struct session *s = find(a, id, request_conn(r));
	if (s == NULL || s->r != NULL) {
		refuse(r, ERR_TEMP, "4.7.0", "no such exchange");
		return 0;
	}
	s->r = r;
	timer_stop(s->timer);
	exchange_step(s->exchange, data);
	return 0;
}

int
session_cancel(struct request *r, struct msg_in *m, void *arg)
{
	struct session *s =
	    find(arg, msg_get_u64(m, F_SESSION), request_conn(r));

	if (s != NULL)
		session_free(s);
	if (request_id(r) == 0)
		request_drop(&r);
	else
		request_ok(&r);
	return 0;
}

void
session_conn_closed(struct server_conn *conn, void *arg)
{
	struct auth *a = arg;
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&a->sessions, &it);
	while (table_iter_next(&a->sessions, &it, &key, &value)) {
		struct session *s = value;
		if (s->conn == conn)
			session_free(s);
	}
}
