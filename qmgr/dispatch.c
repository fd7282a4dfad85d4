/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/agents.h"

/*
 * From the scheduler to the agents. A transport without an agent is touched:
 * a connection to private/TRANSPORT, closed at once, makes master start one,
 * which then connects to us. The services error, retry and discard are
 * answered here.
 */

enum {
	TOUCH_MS = 10 * 1000, /* for a started agent to register */
	RCPT_SPACE = 6000,    /* what one recipient takes at most */
};

static const char unavailable[] = "mail transport unavailable";

struct transport {
	struct qmgr *q;
	struct sched_transport *sched;
	struct timer *touched; /* active: an agent should come soon */
};

/* ---- agents of a transport ---- */
static bool
is_of(const struct agent_conn *a, struct span name)
{
	return a->ready && !a->leaving && span_eq(span_str(a->service), name);
}

/* The one with the most room; NULL: none has any. */
static struct agent_conn *
find_agent(struct qmgr *q, struct span name, bool *out_any)
{
	struct agent_conn *best = NULL;

	*out_any = false;
	LIST_EACH(&q->agents, link)
	{
		struct agent_conn *a =
		    CONTAINER_OF(link, struct agent_conn, link);

		if (!is_of(a, name))
			continue;
		*out_any = true;
		if (a->flying < a->credit &&
		    (best == NULL ||
			a->credit - a->flying > best->credit - best->flying))
			best = a;
	}
	return best;
}

static void
suspend(struct transport *t)
{
	scheduler_suspend(t->q->sched, t->sched,
	    now_ms() + (uint64_t)t->q->conf->transport_retry_time, unavailable);
	qmgr_pump_soon(t->q);
}

static void
on_no_agent(void *arg)
{
	struct transport *t = arg;

	log_warning(NULL, "no delivery agent for transport %s came",
	    log_quote(sched_transport_name(t->sched), 100));
	suspend(t);
}

static struct transport *
transport_of(struct qmgr *q, struct sched_transport *s)
{
	struct transport *t = sched_transport_data(s);

	if (t != NULL)
		return t;
	t = MEM_NEW(t);
	t->q = q;
	t->sched = s;
	t->touched = timer_new(q->loop, on_no_agent, t);
	sched_transport_set(s, t);
	return t;
}

static void
touch(struct transport *t)
{
	char name[64], path[LIMIT_PATH];
	struct err e;
	int fd;

	if (timer_active(t->touched))
		return;
	if (!span_copy(sched_transport_name(t->sched), name, sizeof(name)) ||
	    strchr(name, '/') != NULL) {
		suspend(t);
		return;
	}
	daemon_socket(t->q->daemon, name, false, path);
	if (sock_connect_unix(
		path, SOCK_SEQPACKET | SOCK_NONBLOCK, &fd, &e) == 0) {
		close(fd);
	} else if (e.sysno != EAGAIN) {
		log_warning(NULL, "transport %s: %s", name, e.text);
		suspend(t);
		return;
	} /* else many such calls wait for master, and one will do */
	timer_start(t->touched, TOUCH_MS);
}

void
transport_served(struct qmgr *q, const char *service)
{
	struct sched_transport *s = NULL;

	while ((s = scheduler_next_transport(q->sched, s)) != NULL) {
		struct transport *t = sched_transport_data(s);

		if (t != NULL &&
		    span_eq(sched_transport_name(s), span_str(service)))
			timer_stop(t->touched);
	}
}

/* ---- a batch to an agent ---- */
static void
put_known(struct msg_out *out, enum msg_field f, struct span s)
{
	if (s.n > 0)
		msg_put(out, f, s);
}

static void
begin_deliver(
    const struct message *m, const struct delivery *d, struct msg_out *out)
{
	const struct queue_message *q = m->open;
	const struct range content = queue_message_content(q);

	msg_begin(out, MSG_DELIVER, d->id, m->log.trace);
	msg_put_fd(out, m->read_fd);
	msg_put_str(out, F_QID, m->log.qid);
	msg_put(out, F_SENDER, q->env.sender);
	msg_put_u64(out, F_ARRIVAL_US, (uint64_t)queue_id_us(m->sched.id));
	msg_put_u64(out, F_ACTIVE_US, (uint64_t)m->active_us);
	msg_put_range(out, &content);
	msg_put(out, F_TRANSPORT,
	    sched_transport_name(sched_dest_transport(d->batch->dest)));
	msg_put(out, F_NEXTHOP, sched_dest_nexthop(d->batch->dest));
	msg_put(out, F_ENCODING, q->env.encoding);
	put_known(out, F_CLIENT_NAME, q->env.client_name);
	put_known(out, F_CLIENT_ADDR, q->env.client_addr);
	put_known(out, F_HELO, q->env.helo);
	put_known(out, F_PROTOCOL, q->env.protocol);
	if (q->env.smtputf8)
		msg_put_u64(out, F_SMTPUTF8, 1);
	if (q->env.requiretls)
		msg_put_u64(out, F_REQUIRETLS, 1);
	if (q->env.tls_optional)
		msg_put_u64(out, F_TLS_OPTIONAL, 1);
	if (q->env.probe)
		msg_put_u64(out, F_PROBE, 1);
	msg_put(out, F_DSN_ENVID, q->env.dsn_envid);
	msg_put_u64(out, F_DSN_RET, q->env.dsn_ret);
}

static void
put_rcpt(struct msg_out *out, const struct rcpt *r)
{
	msg_group_begin(out, F_RCPT);
	msg_put_u64(out, F_RCPT_INDEX, r->index);
	msg_put(out, F_ADDRESS, r->address);
	msg_put(out, F_ORIG_ADDRESS, r->orig_address);
	msg_put_u64(out, F_FLAGS, r->flags);
	msg_put_u64(out, F_DSN_NOTIFY, r->notify);
	msg_put(out, F_DSN_ORCPT, r->orcpt);
	msg_group_end(out);
}

void
delivery_start(struct agent_conn *a, struct sched_batch *b)
{
	struct qmgr *q = a->q;
	struct delivery *d = MEM_NEW(d);
	struct msg_out out;

	d->q = q;
	d->message = CONTAINER_OF(b->message, struct message, sched);
	d->batch = b;
	d->agent = a;
	d->trace = d->message->log.trace;
	d->id = ++q->last_id != 0 ? q->last_id : ++q->last_id;
	list_push(&a->deliveries, &d->link);
	a->flying++;
	begin_deliver(d->message, d, &out);
	LIST_EACH(&b->entries, link)
	{
		struct sched_entry *e =
		    CONTAINER_OF(link, struct sched_entry, link);

		if (msg_space(&out) < RCPT_SPACE)
			scheduler_entry_again(q->sched, b, e);
		else
			put_rcpt(&out, CONTAINER_OF(e, struct rcpt, entry));
	}
	server_conn_send(a->conn, &out);
	msg_out_release(&out);
}

static void
serve_agents(struct qmgr *q, struct sched_transport *s)
{
	struct agent_conn *a;
	struct sched_batch *b;
	bool any;

	while ((a = find_agent(q, sched_transport_name(s), &any)) != NULL &&
	       (b = scheduler_next(q->sched, s, now_ms())) != NULL)
		delivery_start(a, b);
	if (!any && sched_transport_queued(s) > 0)
		touch(transport_of(q, s));
}

/* ---- what is answered here ---- */
typedef void (*answer_fn)(struct message *m, struct rcpt *r, const char *text);

/* "5.1.1 no such user": the status and the text of a next hop. */
static void
answer_status(struct message *m, struct rcpt *r, enum rcpt_action action,
    const char *dsn, const char *text)
{
	char code[12];
	const size_t n = strcspn(text, " ");

	if (n >= 5 && n < sizeof(code) && ascii_digit((uint8_t)text[0]) &&
	    text[1] == '.') {
		memcpy(code, text, n);
		code[n] = '\0';
		code[0] = dsn[0];
		message_result_own(
		    m, r, action, code, text + n + (text[n] == ' '));
		return;
	}
	message_result_own(m, r, action, dsn, text);
}

static void
answer_error(struct message *m, struct rcpt *r, const char *text)
{
	answer_status(m, r, RCPT_FAILED, "5.0.0",
	    *text != '\0' ? text : "mail is undeliverable");
}

static void
answer_retry(struct message *m, struct rcpt *r, const char *text)
{
	answer_status(m, r, RCPT_DEFERRED, "4.0.0",
	    *text != '\0' ? text : "delivery temporarily suspended");
}

static void
answer_discard(struct message *m, struct rcpt *r, const char *text)
{
	message_result_own(m, r, RCPT_SENT, "2.0.0", text);
}

static void
answer_batch(
    struct qmgr *q, struct sched_batch *b, answer_fn answer, const char *text)
{
	struct message *m = CONTAINER_OF(b->message, struct message, sched);
	struct list *link;

	while ((link = list_first(&b->entries)) != NULL) {
		struct sched_entry *e =
		    CONTAINER_OF(link, struct sched_entry, link);

		scheduler_entry_done(q->sched, b, e);
		answer(m, CONTAINER_OF(e, struct rcpt, entry), text);
	}
	scheduler_batch_done(q->sched, &b, SCHED_NEUTRAL, NULL, now_ms());
	message_step(m);
}

static answer_fn
builtin(struct span transport)
{
	static const struct {
		const char *name;
		answer_fn answer;
	} rows[] = {
		{ "error", answer_error },
		{ "retry", answer_retry },
		{ "discard", answer_discard },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (span_eq(transport, span_str(rows[i].name)))
			return rows[i].answer;
	return NULL;
}

static void
serve_transport(struct qmgr *q, struct sched_transport *s)
{
	const answer_fn answer = builtin(sched_transport_name(s));
	struct sched_batch *b;
	char *text;

	if (answer == NULL) {
		serve_agents(q, s);
		return;
	}
	while ((b = scheduler_next(q->sched, s, now_ms())) != NULL) {
		text = span_dup(sched_dest_nexthop(b->dest));
		answer_batch(q, b, answer, text);
		mem_free(text);
	}
}

static void
answer_suspended(struct message *m, struct rcpt *r, const char *text)
{
	char *why;

	if (text == unavailable) {
		message_result_own(m, r, RCPT_DEFERRED, "4.3.0", text);
		return;
	}
	why = mem_printf("delivery temporarily suspended: %s", text);
	message_result_own(m, r, RCPT_DEFERRED, "4.4.1", why);
	mem_free(why);
}

static void
serve_suspended(struct qmgr *q)
{
	struct sched_batch *b;
	const char *reason;
	char *copy;

	while ((b = scheduler_next_suspended(q->sched, now_ms(), &reason)) !=
	       NULL) {
		if (strcmp(reason, unavailable) == 0) {
			answer_batch(q, b, answer_suspended, unavailable);
			continue;
		}
		copy = mem_strdup(reason);
		answer_batch(q, b, answer_suspended, copy);
		mem_free(copy);
	}
}

/* ---- the pump ---- */
static void
load_due(struct qmgr *q)
{
	struct sched_message *m;
	uint64_t wake_ms, now = now_ms();

	while ((m = scheduler_load(q->sched, now, &wake_ms)) != NULL ||
	       (m = scheduler_refill(q->sched)) != NULL)
		message_load(CONTAINER_OF(m, struct message, sched));
	if (wake_ms == UINT64_MAX)
		timer_stop(q->due);
	else
		timer_start(q->due, wake_ms > now ? wake_ms - now : 1000);
}

static void
pump(void *arg)
{
	struct qmgr *q = arg;
	struct sched_transport *s = NULL;
	struct sched_message *m;

	q->pump_planned = false;
	if (!q->dispatching || q->leaving)
		return;
	load_due(q);
	while ((s = scheduler_next_transport(q->sched, s)) != NULL)
		serve_transport(q, s);
	serve_suspended(q);
	while ((m = scheduler_finished(q->sched)) != NULL)
		message_step(CONTAINER_OF(m, struct message, sched));
}

void
qmgr_pump_soon(void *arg)
{
	struct qmgr *q = arg;

	if (q->pump_planned)
		return;
	q->pump_planned = true;
	loop_later(q->loop, pump, q);
}
