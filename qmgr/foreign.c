/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/agents.h"

#include "lib/base/mem.h"

/*
 * What agents report of requests that an earlier qmgr gave them: recipients
 * in delivery, or delivered with a result that was not written down. They are
 * known before anything is sent out (or the agent comes too late, and the
 * recipient is tried twice). A recipient still in delivery is held by its
 * message until its result comes or the agent dies.
 */

struct foreign {
	struct list link; /* in qmgr.foreign */
	struct agent_conn *agent;
	struct queue_id id;
	uint32_t index;
	struct message *message; /* that holds rcpt */
	struct rcpt *rcpt;
	bool answered; /* the result is known: */
	enum rcpt_action action;
	bool damaged;
	char *dsn, *text, *remote, *diagnostic;
};

static void
foreign_free(struct foreign *f)
{
	list_remove(&f->link);
	mem_free(f->dsn);
	mem_free(f->text);
	mem_free(f->remote);
	mem_free(f->diagnostic);
	mem_free(f);
}

static struct foreign *
find(struct qmgr *q, struct queue_id id, uint32_t index)
{
	LIST_EACH(&q->foreign, link)
	{
		struct foreign *f = CONTAINER_OF(link, struct foreign, link);

		if (f->id.n == id.n && f->index == index)
			return f;
	}
	return NULL;
}

static void
keep(struct foreign *f, const struct rcpt_result *res)
{
	f->answered = true;
	f->action = res->action;
	f->damaged = res->damaged;
	f->dsn = span_dup(res->dsn);
	f->text = span_dup(res->text);
	f->remote = span_dup(res->remote);
	f->diagnostic = span_dup(res->diagnostic);
}

void
foreign_add(struct agent_conn *a, struct msg_in *g)
{
	struct rcpt_result res;
	struct queue_id id;
	struct foreign *f;

	if (!queue_id_parse(msg_need(g, F_QID, QUEUE_ID_TEXT), &id))
		return;
	f = MEM_NEW(f);
	f->agent = a;
	f->id = id;
	f->index = msg_get_u32(g, F_RCPT_INDEX);
	if (msg_has(g, F_ACTION) && result_read(g, &res))
		keep(f, &res);
	list_push(&a->q->foreign, &f->link);
}

static void
apply(struct message *m, struct rcpt *r, const struct foreign *f)
{
	message_result(m, r,
	    &(struct rcpt_result){ .action = f->action,
		.dsn = span_str(f->dsn),
		.text = span_str(f->text),
		.remote = span_str(f->remote),
		.diagnostic = span_str(f->diagnostic),
		.damaged = f->damaged });
}

bool
foreign_claim(struct message *m, struct rcpt *r)
{
	struct foreign *f = list_empty(&m->q->foreign)
				? NULL
				: find(m->q, m->sched.id, r->index);

	if (f == NULL)
		return false;
	if (f->answered) {
		apply(m, r, f);
		foreign_free(f);
		return true;
	}
	f->message = m;
	f->rcpt = r;
	list_push(&m->held, &r->link);
	return true;
}

void
foreign_result(struct agent_conn *a, struct msg_in *in, uint32_t index,
    const struct rcpt_result *res)
{
	struct queue_id id;
	struct foreign *f;
	struct message *m;

	if (!queue_id_parse(msg_get(in, F_QID, QUEUE_ID_TEXT), &id))
		return;
	f = find(a->q, id, index);
	if (f == NULL)
		return;
	if (f->rcpt == NULL) {
		if (!f->answered)
			keep(f, res);
		return;
	}
	m = f->message;
	message_result(m, f->rcpt, res);
	foreign_free(f);
	message_step(m);
}

/* The agent died: its recipients are tried again at once. Results that it
 * has given are as good as before. */
void
foreign_lost(struct agent_conn *a)
{
	LIST_EACH(&a->q->foreign, link)
	{
		struct foreign *f = CONTAINER_OF(link, struct foreign, link);
		struct message *m = f->message;

		if (f->agent != a)
			continue;
		f->agent = NULL;
		if (f->answered)
			continue;
		if (f->rcpt != NULL) {
			m->retry_now = true;
			message_result_own(m, f->rcpt, RCPT_DEFERRED, "4.3.0",
			    "the delivery agent died");
			message_step(m);
		}
		foreign_free(f);
	}
}

void
foreign_release(struct qmgr *q)
{
	struct list *link;

	while ((link = list_first(&q->foreign)) != NULL)
		foreign_free(CONTAINER_OF(link, struct foreign, link));
}
