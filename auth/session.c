/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/sasl.h"

/* One SASL exchange, between two steps. It belongs to the connection that
 * began it: a number that another one guesses means nothing. */
struct session {
	struct list link;
	struct auth *a;
	uint64_t id;
	struct server_conn *conn;
	struct sasl *sasl;
	struct login_facts facts;
	struct timer *timer;
};

static void
session_free(struct session *s)
{
	list_remove(&s->link);
	s->a->session_count--;
	sasl_free(&s->sasl);
	timer_free(&s->timer);
	mem_free(s);
}

static void
too_slow(void *arg)
{
	session_free(arg);
}

static struct session *
find(struct auth *a, uint64_t id, const struct server_conn *conn)
{
	LIST_EACH(&a->sessions, link)
	{
		struct session *s = CONTAINER_OF(link, struct session, link);
		if (s->id == id && s->conn == conn)
			return s;
	}
	return NULL;
}

static void
refuse(struct request *r, enum err_kind kind, const char *dsn, const char *text)
{
	struct err e;

	err_set(&e, kind, dsn, "%s", text);
	request_error(&r, &e);
}

static void
send_challenge(struct session *s, struct request *r)
{
	struct msg_out m;

	request_begin(r, &m, MSG_AUTH_CHALLENGE);
	msg_put_u64(&m, F_SESSION, s->id);
	msg_put(&m, F_DATA, sasl_challenge(s->sasl));
	request_answer(&r, &m);
	msg_out_release(&m);
	timer_start(s->timer, AUTH_SESSION_MS);
}

/* The credentials are complete: the exchange ends, the login begins. */
static void
log_in(struct session *s, struct request *r)
{
	struct auth *a = s->a;
	const struct span user = sasl_user(s->sasl);
	char formatted[AUTH_NAME_MAX + 1];

	/* For the log, should the name be refused. */
	snprintf(
	    s->facts.user, sizeof(s->facts.user), "%s", log_quote(user, 100));
	if (!auth_name_format(a->conf->auth_username_format, user, formatted))
		login_refuse(a, r, &s->facts, "not a user name");
	else if (sasl_authzid(s->sasl).n > 0)
		login_refuse(a, r, &s->facts, "wants to act as another user");
	else {
		memcpy(s->facts.user, formatted, sizeof(formatted));
		login_start(a, r, &s->facts, sasl_password(s->sasl));
	}
	session_free(s);
}

static void
advance(struct session *s, struct request *r, enum sasl_result result)
{
	switch (result) {
	case SASL_CHALLENGE:
		send_challenge(s, r);
		break;
	case SASL_DONE:
		log_in(s, r);
		break;
	case SASL_BAD:
		login_refuse(s->a, r, &s->facts, "malformed response");
		session_free(s);
		break;
	}
}

int
session_begin(struct request *r, struct msg_in *m, void *arg)
{
	struct auth *a = arg;
	struct login_facts f = { .pid = 0 };
	struct err e;

	msg_get_str(m, F_MECH, f.mech, sizeof(f.mech));
	msg_get_str(m, F_SERVICE, f.service, sizeof(f.service));
	msg_get_str(m, F_ADDR, f.addr, sizeof(f.addr));
	f.secured = msg_get_u64(m, F_SECURED) == 1;
	const bool has_data = msg_has(m, F_DATA);
	const struct span data = msg_get(m, F_DATA, LIMIT_SASL_LINE);
	if (msg_done(m, &e) < 0)
		return -1;
	struct sasl *sasl = sasl_new(span_str(f.mech));
	if (sasl == NULL) {
		refuse(r, ERR_PERM, "5.7.4", "no such mechanism");
		return 0;
	}
	if (a->session_count >= AUTH_SESSIONS_MAX) {
		sasl_free(&sasl);
		refuse(r, ERR_TEMP, "4.3.2", "too many logins");
		return 0;
	}
	snprintf(f.mech, sizeof(f.mech), "%s", sasl_mechanism(sasl));
	struct session *s = MEM_NEW(s);
	s->a = a;
	s->id = ++a->last_session;
	s->conn = request_conn(r);
	s->sasl = sasl;
	s->facts = f;
	s->facts.pid = server_conn_peer(s->conn)->pid;
	s->timer = timer_new(a->loop, too_slow, s);
	list_init(&s->link);
	list_push(&a->sessions, &s->link);
	a->session_count++;
	advance(s, r, sasl_start(sasl, has_data, data));
	return 0;
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
	if (s == NULL)
		refuse(r, ERR_TEMP, "4.7.0", "no such exchange");
	else
		advance(s, r, sasl_step(s->sasl, data));
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

	LIST_EACH(&a->sessions, link)
	{
		struct session *s = CONTAINER_OF(link, struct session, link);
		if (s->conn == conn)
			session_free(s);
	}
}

void
session_free_all(struct auth *a)
{
	LIST_EACH(&a->sessions, link)
	session_free(CONTAINER_OF(link, struct session, link));
}
