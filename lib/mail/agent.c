/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/agent.h"

#include <errno.h>
#include <unistd.h>
#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/mail/agent_msg.h"

enum {
	REQUEST_MAX = 1 << 20, /* arena of one request */
	LEAVE_MS = 5000,       /* for reporting when qmgr is gone too */
	GROUP_SPACE = 4096,    /* what one running recipient takes at most */
};

struct agent {
	struct loop *loop;
	struct client *client;
	struct channel *channel; /* NULL: not connected */
	char *service;
	uint64_t trace;          /* of what is about no message */
	struct agent_options options;
	struct list requests; /* struct request, also done ones that qmgr
				 has not written down yet */
	size_t running;
	bool leaving;
	struct timer *leave;
};

/* A recipient's result, kept until qmgr has written it down. */
struct kept {
	enum rcpt_action action;
	struct span dsn, text, remote, diagnostic;
	bool passed_on, damaged;
};

struct request {
	struct list link;
	struct agent_request pub;
	struct agent *agent;
	struct arena arena;
	uint32_t id; /* on the present connection; 0: from an earlier one */
	bool done;
	struct kept *kept; /* one for each recipient */
};

static void
request_free(struct request *r)
{
	list_remove(&r->link);
	if (r->pub.content.fd >= 0)
		close(r->pub.content.fd);
	arena_reset(&r->arena);
	mem_free(r);
}

static void
check_idle(struct agent *a)
{
	if (a->leaving && a->options.idle != NULL && list_empty(&a->requests))
		timer_start(a->leave, 0);
}

static void
on_leave_timer(void *arg)
{
	struct agent *a = arg;

	if (a->running > 0 || a->options.idle == NULL)
		return;
	if (list_empty(&a->requests) || a->channel == NULL) {
		a->options.idle(a->options.arg);
		return;
	}
	timer_start(a->leave, LEAVE_MS);
}

/* ---- to qmgr ---- */
static void
put_result(struct msg_out *m, const struct request *r, size_t i)
{
	const struct kept *k = &r->kept[i];
	char qid[QUEUE_ID_TEXT];

	queue_id_text(r->pub.id, qid);
	msg_put_str(m, F_QID, qid);
	msg_put_u64(m, F_RCPT_INDEX, r->pub.rcpts[i].index);
	if (!r->pub.rcpts[i].answered)
		return;
	msg_put_u64(m, F_ACTION, k->action);
	msg_put(m, F_DSN, k->dsn);
	msg_put(m, F_TEXT, k->text);
	if (k->remote.n > 0)
		msg_put(m, F_REMOTE, k->remote);
	if (k->diagnostic.n > 0)
		msg_put(m, F_DIAGNOSTIC, k->diagnostic);
	if (k->passed_on)
		msg_put_u64(m, F_PASSED_ON, 1);
	if (k->damaged)
		msg_put_u64(m, F_DAMAGED, 1);
}

static void
send_one(struct agent *a, struct msg_out *m)
{
	channel_send(a->channel, m);
	msg_out_release(m);
}

static void
begin_hello(const struct agent *a, struct msg_out *m)
{
	msg_begin(m, MSG_AGENT, 0, a->trace);
	msg_put_str(m, F_SERVICE, a->service);
	msg_put_u64(m, F_PID, (uint64_t)getpid());
	msg_put_u64(m, F_CREDIT, a->options.credit);
}

static void
report_running(struct agent *a, struct msg_out *m, struct request *r)
{
	for (size_t i = 0; i < r->pub.rcpt_count; i++) {
		if (msg_space(m) < GROUP_SPACE) {
			msg_put_u64(m, F_FLAGS, AGENT_MORE);
			send_one(a, m);
			begin_hello(a, m);
		}
		msg_group_begin(m, F_RUNNING);
		put_result(m, r, i);
		msg_group_end(m);
	}
	r->id = 0;
}

/* First on a connection: who we are, and what an earlier qmgr gave us. */
static void
on_connected(void *arg, struct channel *c)
{
	struct agent *a = arg;
	struct msg_out m;

	a->channel = c;
	begin_hello(a, &m);
	LIST_EACH(&a->requests, link)
	report_running(a, &m, CONTAINER_OF(link, struct request, link));
	send_one(a, &m);
	LIST_EACH(&a->requests, link)
	{
		struct request *r = CONTAINER_OF(link, struct request, link);

		if (r->done)
			request_free(r);
	}
	if (a->leaving) {
		msg_begin(&m, MSG_FAREWELL, 0, a->trace);
		send_one(a, &m);
	}
	check_idle(a);
}

static void
on_lost(void *arg)
{
	struct agent *a = arg;

	a->channel = NULL;
}

/* ---- from qmgr ---- */
static struct span
keep(struct request *r, struct msg_in *m, enum msg_field f, size_t max)
{
	return arena_dup(&r->arena, msg_get(m, f, max));
}

static void
read_rcpts(struct request *r, struct msg_in *m)
{
	struct msg_in g;
	size_t cursor = 0, count = 0;

	while (msg_next(m, F_RCPT, &cursor, &g))
		count++;
	r->pub.rcpts =
	    arena_alloc(&r->arena, (count + 1) * sizeof(*r->pub.rcpts));
	r->kept = arena_alloc(&r->arena, (count + 1) * sizeof(*r->kept));
	r->pub.rcpt_count = count;
	cursor = 0;
	for (size_t i = 0; msg_next(m, F_RCPT, &cursor, &g); i++) {
		struct agent_rcpt *rcpt = &r->pub.rcpts[i];

		rcpt->index = msg_get_u32(&g, F_RCPT_INDEX);
		rcpt->address = keep(r, &g, F_ADDRESS, LIMIT_IPC_MESSAGE);
		rcpt->orig_address =
		    msg_has(&g, F_ORIG_ADDRESS)
			? keep(r, &g, F_ORIG_ADDRESS, LIMIT_IPC_MESSAGE)
			: rcpt->address;
		rcpt->dsn_orcpt = keep(r, &g, F_DSN_ORCPT, LIMIT_IPC_MESSAGE);
		rcpt->dsn_notify = msg_get_u32(&g, F_DSN_NOTIFY);
		rcpt->flags = msg_get_u32(&g, F_FLAGS);
		m->bad |= g.bad || rcpt->address.n == 0;
	}
}

static void
read_request(struct request *r, struct msg_in *m)
{
	struct agent_request *p = &r->pub;

	m->bad |= !queue_id_parse(msg_need(m, F_QID, QUEUE_ID_TEXT), &p->id);
	msg_get_range(m, &p->content);
	p->arrival_us = (int64_t)msg_get_u64(m, F_ARRIVAL_US);
	p->active_us = (int64_t)msg_get_u64(m, F_ACTIVE_US);
	p->transport = keep(r, m, F_TRANSPORT, LIMIT_ADDRESS);
	p->nexthop = keep(r, m, F_NEXTHOP, LIMIT_ADDRESS);
	p->sender = keep(r, m, F_SENDER, LIMIT_IPC_MESSAGE);
	p->encoding = keep(r, m, F_ENCODING, LIMIT_ADDRESS);
	p->client_name = keep(r, m, F_CLIENT_NAME, LIMIT_ADDRESS);
	p->client_addr = keep(r, m, F_CLIENT_ADDR, LIMIT_ADDRESS);
	p->helo = keep(r, m, F_HELO, LIMIT_ADDRESS);
	p->protocol = keep(r, m, F_PROTOCOL, LIMIT_ADDRESS);
	p->smtputf8 = msg_has(m, F_SMTPUTF8);
	p->requiretls = msg_has(m, F_REQUIRETLS);
	p->tls_optional = msg_has(m, F_TLS_OPTIONAL);
	p->probe = msg_has(m, F_PROBE);
	p->dsn_envid = keep(r, m, F_DSN_ENVID, LIMIT_IPC_MESSAGE);
	p->dsn_ret = msg_has(m, F_DSN_RET)
			 ? (enum dsn_ret)msg_get_u32(m, F_DSN_RET)
			 : DSN_RET_UNSET;
	p->log.trace = m->trace;
	queue_id_text(p->id, p->log.qid);
	read_rcpts(r, m);
	p->content.fd = msg_take_fd(m);
}

static void
answer(struct agent *a, uint32_t id, uint64_t trace, const struct err *e)
{
	struct msg_out m;

	if (a->channel == NULL)
		return;
	msg_begin(&m, MSG_ERROR, id, trace);
	msg_put_err(&m, e);
	send_one(a, &m);
}

static void
on_deliver(struct agent *a, struct msg_in *m)
{
	struct request *r;
	struct err e;

	if (a->leaving) {
		err_set(&e, ERR_TEMP, "4.3.0", "restarting");
		answer(a, m->id, m->trace, &e);
		return;
	}
	r = MEM_NEW(r);
	r->agent = a;
	r->id = m->id;
	arena_init(&r->arena, REQUEST_MAX);
	list_push(&a->requests, &r->link);
	read_request(r, m);
	if (msg_done(m, &e) != 0 || m->id == 0) {
		request_free(r);
		e.kind = ERR_PERM;
		answer(a, m->id, m->trace, &e);
		return;
	}
	a->running++;
	log_event(&r->pub.log, "deliver", "%zu recipients", r->pub.rcpt_count);
	a->options.deliver(a->options.arg, &r->pub);
}

/* qmgr has written the results of a request down. */
static void
on_written(struct agent *a, uint32_t id)
{
	LIST_EACH(&a->requests, link)
	{
		struct request *r = CONTAINER_OF(link, struct request, link);

		if (r->id != id || !r->done)
			continue;
		request_free(r);
		check_idle(a);
		return;
	}
}

static void
on_notice(void *arg, struct msg_in *m)
{
	struct agent *a = arg;

	if (m->type == MSG_DELIVER)
		on_deliver(a, m);
	else if (m->type == MSG_OK && m->id != 0)
		on_written(a, m->id);
}

/* ---- for the owner ---- */
struct agent *
agent_new(struct loop *loop, const struct agent_options *o)
{
	struct agent *a = MEM_NEW(a);
	const struct client_options c = {
		.path = o->qmgr_path,
		.peer = "queue manager",
		.connected = on_connected,
		.notice = on_notice,
		.lost = on_lost,
		.stay = true,
		.arg = a,
	};

	a->loop = loop;
	a->options = *o;
	a->service = mem_strdup(o->service);
	a->trace = log_trace_new();
	list_init(&a->requests);
	a->leave = timer_new(loop, on_leave_timer, a);
	a->client = client_new(loop, &c);
	return a;
}

void
agent_free(struct agent **agent)
{
	struct agent *a = *agent;
	struct list *link;

	if (a == NULL)
		return;
	*agent = NULL;
	client_free(&a->client);
	while ((link = list_first(&a->requests)) != NULL)
		request_free(CONTAINER_OF(link, struct request, link));
	timer_free(&a->leave);
	mem_free(a->service);
	mem_free(a);
}

static void
log_result(const struct request *r, size_t i, const struct agent_result *res,
    bool soft)
{
	delivery_log(&(struct delivery_facts){
	    .log = &r->pub.log,
	    .to = r->pub.rcpts[i].address,
	    .orig_to = r->pub.rcpts[i].orig_address,
	    .relay = res->relay,
	    .conn_use = res->conn_use,
	    .arrival_us = r->pub.arrival_us,
	    .active_us = r->pub.active_us,
	    .now_us = clock_wall_us(),
	    .setup_us = res->setup_us,
	    .transmit_us = res->transmit_us,
	    .dsn = res->dsn,
	    .action = res->action,
	    .status = r->pub.probe ? delivery_log_probe(res->action) :
		soft ? DELIVERY_SOFT : NULL,
	    .text = res->text,
	});
}

static struct span
status_of(struct arena *a, const char *dsn, bool soft)
{
	char text[12];

	snprintf(text, sizeof(text), "%s", dsn);
	if (soft && text[0] == '5')
		text[0] = '4';
	return arena_dup(a, span_str(text));
}

void
agent_result(
    struct agent_request *pub, size_t i, const struct agent_result *res)
{
	struct request *r = CONTAINER_OF(pub, struct request, pub);
	const bool soft = r->agent->options.soft_bounce && !pub->probe &&
	    res->action == RCPT_FAILED;
	struct msg_out m;

	BUG_ON(i >= pub->rcpt_count || pub->rcpts[i].answered);
	pub->rcpts[i].answered = true;
	r->kept[i] = (struct kept){
		.action = soft ? RCPT_DEFERRED : res->action,
		.dsn = status_of(&r->arena, res->dsn, soft),
		.text =
		    arena_dup(&r->arena, span_slice(res->text, 0, AGENT_TEXT)),
		.remote = arena_dup(
		    &r->arena, span_slice(res->remote, 0, LIMIT_DOMAIN)),
		.diagnostic = arena_dup(
		    &r->arena, span_slice(res->diagnostic, 0, AGENT_TEXT)),
		.passed_on = res->passed_on,
		.damaged = res->damaged,
	};
	log_result(r, i, res, soft);
	if (r->agent->channel == NULL)
		return;
	msg_begin(&m, MSG_RESULT, r->id, pub->log.trace);
	put_result(&m, r, i);
	send_one(r->agent, &m);
}

void
agent_result_err(
    struct agent_request *r, size_t i, struct span relay, const struct err *e)
{
	agent_result(r, i,
	    &(struct agent_result){
		.action = e->kind == ERR_PERM ? RCPT_FAILED : RCPT_DEFERRED,
		.dsn = e->dsn,
		.text = span_str(e->text),
		.relay = relay,
		.damaged = e->sysno == EBADMSG,
	    });
}

void
agent_done(struct agent_request **pub)
{
	struct request *r = CONTAINER_OF(*pub, struct request, pub);
	struct agent *a = r->agent;
	struct err e;
	struct msg_out m;

	*pub = NULL;
	err_set(&e, ERR_TEMP, "4.3.0", "delivery was not completed");
	for (size_t i = 0; i < r->pub.rcpt_count; i++)
		if (!r->pub.rcpts[i].answered)
			agent_result_err(&r->pub, i, SPAN_EMPTY, &e);
	close(r->pub.content.fd);
	r->pub.content.fd = -1;
	r->done = true;
	a->running--;
	if (a->channel != NULL) {
		char qid[QUEUE_ID_TEXT];

		queue_id_text(r->pub.id, qid);
		msg_begin(&m, MSG_DELIVERED, r->id, r->pub.log.trace);
		msg_put_str(&m, F_QID, qid);
		send_one(a, &m);
		if (r->id == 0)
			request_free(r);
	}
	check_idle(a);
}

size_t
agent_running(const struct agent *a)
{
	return a->running;
}

void
agent_leave(struct agent *a)
{
	struct msg_out m;

	if (a->leaving)
		return;
	a->leaving = true;
	if (a->channel != NULL) {
		msg_begin(&m, MSG_FAREWELL, 0, a->trace);
		send_one(a, &m);
	}
	timer_start(a->leave, LEAVE_MS);
	check_idle(a);
}
