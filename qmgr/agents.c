/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/agents.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/segments.h"

/*
 * Delivery agents: they register, take batches, and give results. A batch is
 * over when the agent says so or its connection ends; the agent is told when
 * the results are on file.
 */

enum { LOST_MAX = 2 /* repetitions for a recipient whose agent died */ };

struct conn *
conn_of(struct server_conn *c)
{
	return server_conn_data(c);
}

/* ---- the end of a delivery ---- */
static void
delivery_check(struct delivery *d)
{
	struct msg_out m;

	if (!d->over || d->unwritten > 0)
		return;
	if (d->agent != NULL) {
		msg_begin(&m, MSG_OK, d->id, d->trace);
		server_conn_send(d->agent->conn, &m);
		msg_out_release(&m);
	}
	list_remove(&d->link);
	mem_free(d);
}

void
delivery_release(struct rcpt *r)
{
	struct delivery *d = r->delivery;

	r->delivery = NULL;
	if (d == NULL)
		return;
	d->unwritten--;
	delivery_check(d);
}

static enum sched_feedback
feedback(const struct delivery *d)
{
	if (d->results == 0)
		return SCHED_NEUTRAL;
	return d->unreached == d->results ? SCHED_FAILED : SCHED_OK;
}

/* No result will come any more: what has none, goes or fails. */
static void
delivery_over(struct delivery *d)
{
	struct qmgr *q = d->q;

	d->over = true;
	scheduler_batch_done(
	    q->sched, &d->batch, feedback(d), d->reason, now_ms());
	mem_free(d->reason);
	d->reason = NULL;
	if (d->agent != NULL)
		d->agent->flying--;
	delivery_check(d);
	qmgr_pump_soon(q);
}

static void
give_up_entries(struct delivery *d, bool again, const char *why)
{
	struct message *m = d->message;
	struct list *link;

	/* With all results given the message may be gone by now. */
	if (list_empty(&d->batch->entries))
		return;
	while ((link = list_first(&d->batch->entries)) != NULL) {
		struct sched_entry *e =
		    CONTAINER_OF(link, struct sched_entry, link);
		struct rcpt *r = CONTAINER_OF(e, struct rcpt, entry);

		if (again && r->lost++ < LOST_MAX) {
			scheduler_entry_again(d->q->sched, d->batch, e);
			continue;
		}
		scheduler_entry_done(d->q->sched, d->batch, e);
		message_result_own(m, r, RCPT_DEFERRED, "4.3.0", why);
	}
	/* An edit waits for the message's end. */
	if (again && m->edit != EDIT_NONE)
		message_withdraw(m);
	message_step(m);
}

/* ---- results ---- */
static struct delivery *
find_delivery(struct agent_conn *a, uint32_t id)
{
	LIST_EACH(&a->deliveries, link)
	{
		struct delivery *d = CONTAINER_OF(link, struct delivery, link);

		if (d->id == id && !d->over)
			return d;
	}
	return NULL;
}

static struct rcpt *
find_rcpt(struct delivery *d, uint32_t index)
{
	LIST_EACH(&d->batch->entries, link)
	{
		struct sched_entry *e =
		    CONTAINER_OF(link, struct sched_entry, link);
		struct rcpt *r = CONTAINER_OF(e, struct rcpt, entry);

		if (r->index == index)
			return r;
	}
	return NULL;
}

bool
result_read(struct msg_in *m, struct rcpt_result *out)
{
	const uint64_t action = msg_get_u64(m, F_ACTION);

	out->dsn = msg_get(m, F_DSN, 11);
	out->text = msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE);
	out->remote = msg_get(m, F_REMOTE, LIMIT_IPC_MESSAGE);
	out->diagnostic = msg_get(m, F_DIAGNOSTIC, LIMIT_IPC_MESSAGE);
	out->passed_on = msg_has(m, F_PASSED_ON);
	out->damaged = msg_has(m, F_DAMAGED);
	if (action < RCPT_SENT || action > RCPT_FAILED || out->dsn.n < 5)
		return false;
	out->action = (enum rcpt_action)action;
	return !m->bad;
}

/* "Not reached" is a network status without a word from the other side. */
static void
note_feedback(struct delivery *d, const struct rcpt_result *res)
{
	d->results++;
	if (res->action != RCPT_DEFERRED || res->diagnostic.n > 0 ||
	    !span_starts(res->dsn, SPAN("4.4.")))
		return;
	d->unreached++;
	mem_free(d->reason);
	d->reason = span_dup(span_slice(res->text, 0, AGENT_TEXT));
}

static int
on_result(struct request *r, struct msg_in *in, void *arg)
{
	struct agent_conn *a = conn_of(request_conn(r))->agent;
	struct rcpt_result res;
	struct delivery *d;
	struct rcpt *rcpt;
	const uint32_t index = msg_get_u32(in, F_RCPT_INDEX);

	(void)arg;
	if (a == NULL || !result_read(in, &res))
		return -1;
	if (in->id == 0) {
		foreign_result(a, in, index, &res);
		request_drop(&r);
		return 0;
	}
	d = find_delivery(a, in->id);
	rcpt = d != NULL ? find_rcpt(d, index) : NULL;
	request_drop(&r);
	if (rcpt == NULL)
		return 0;
	note_feedback(d, &res);
	rcpt->delivery = d;
	d->unwritten++;
	scheduler_entry_done(d->q->sched, d->batch, &rcpt->entry);
	message_result(d->message, rcpt, &res);
	message_step(d->message);
	return 0;
}

static int
on_delivered(struct request *r, struct msg_in *in, void *arg)
{
	struct agent_conn *a = conn_of(request_conn(r))->agent;
	struct delivery *d;

	(void)arg;
	if (a == NULL)
		return -1;
	request_drop(&r);
	d = in->id != 0 ? find_delivery(a, in->id) : NULL;
	if (d == NULL)
		return 0;
	give_up_entries(d, false, "the delivery agent gave no result");
	delivery_over(d);
	return 0;
}

/* The agent did not take it. */
static int
on_error(struct request *r, struct msg_in *in, void *arg)
{
	struct agent_conn *a = conn_of(request_conn(r))->agent;
	struct delivery *d;
	struct err e;

	(void)arg;
	if (a == NULL)
		return -1;
	request_drop(&r);
	d = in->id != 0 ? find_delivery(a, in->id) : NULL;
	if (d == NULL)
		return 0;
	if (!msg_get_err(in, &e))
		err_set(&e, ERR_PERM, "4.3.0", "refused without a reason");
	if (e.kind == ERR_TEMP)
		a->leaving = true;
	else
		log_warning(&d->message->log, "delivery agent %s: %s",
		    a->service, e.text);
	give_up_entries(d, e.kind == ERR_TEMP, e.text);
	delivery_over(d);
	return 0;
}

/* ---- coming and going ---- */
static struct agent_conn *
agent_register(struct conn *c, struct server_conn *sc, struct msg_in *in)
{
	struct qmgr *q = c->q;
	struct agent_conn *a = MEM_NEW(a);
	char service[64];

	msg_get_str(in, F_SERVICE, service, sizeof(service));
	a->q = q;
	a->conn = sc;
	a->service = mem_strdup(service);
	a->pid = msg_get_u32(in, F_PID);
	a->credit = msg_get_u32(in, F_CREDIT);
	list_init(&a->deliveries);
	list_push(&q->agents, &a->link);
	c->agent = a;
	return a;
}

static int
on_agent(struct request *r, struct msg_in *in, void *arg)
{
	struct server_conn *sc = request_conn(r);
	struct conn *c = conn_of(sc);
	struct agent_conn *a = c->agent;
	struct msg_in g;
	size_t cursor = 0;

	(void)arg;
	if (a == NULL)
		a = agent_register(c, sc, in);
	while (msg_next(in, F_RUNNING, &cursor, &g))
		foreign_add(a, &g);
	if (in->bad || a->service[0] == '\0')
		return -1;
	if ((msg_get_u64(in, F_FLAGS) & AGENT_MORE) == 0) {
		log_debug(NULL, "ipc", "agent %s, process %u, registered",
		    a->service, a->pid);
		a->ready = true;
		transport_served(a->q, a->service);
		qmgr_registered(a->q, a->pid);
		qmgr_pump_soon(a->q);
	}
	request_drop(&r);
	return 0;
}

void
agent_lost(struct agent_conn *a)
{
	struct list *link;

	list_remove(&a->link);
	if (a->flying > 0)
		log_warning(NULL,
		    "delivery agent %s, process %u: gone with "
		    "%u deliveries under way",
		    a->service, a->pid, a->flying);
	while ((link = list_first(&a->deliveries)) != NULL) {
		struct delivery *d = CONTAINER_OF(link, struct delivery, link);

		list_remove(link);
		d->agent = NULL;
		if (d->over)
			continue;
		give_up_entries(d, true, "the delivery agent died");
		delivery_over(d);
	}
	foreign_lost(a);
	mem_free(a->service);
	mem_free(a);
}

const struct server_handler private_handlers[] = {
	{ MSG_AGENT, on_agent },
	{ MSG_RESULT, on_result },
	{ MSG_DELIVERED, on_delivered },
	{ MSG_ERROR, on_error },
	{ MSG_QMGR_ACCEPTOR, on_acceptor },
	{ MSG_QMGR_NEW, on_new },
	{ MSG_SEGMENT_WANT, on_segment_want },
	{ MSG_SEGMENT_FULL, on_segment_full },
	{ MSG_FAREWELL, on_farewell },
	{ MSG_QUEUE_FLUSH, on_flush }, /* ETRN */
	{ 0, NULL },
};
