/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/agents.h"
#include "qmgr/settle_steps.h"

/*
 * What the results of a round do to a message. Sent and bounced recipients
 * are marked in the file; when the round is over the failures become a
 * bounce, the deferred ones notes, and the file is removed, or moved to where
 * it waits. Here it is decided; settle_steps.c does it.
 */

enum {
	BOUNCE_EARLY = 500, /* failures that need not wait for the rest */
};

/* ---- results ---- */
static char *
keep(struct span s)
{
	return span_dup(span_slice(s, 0, AGENT_TEXT));
}

void
message_result(struct message *m, struct rcpt *r, const struct rcpt_result *res)
{
	list_remove(&r->link);
	r->action = res->action;
	r->dsn = keep(res->dsn);
	r->text = keep(res->text);
	r->remote = keep(res->remote);
	r->diagnostic = keep(res->diagnostic);
	r->at_us = clock_wall_us();
	m->suspect |= res->damaged;
	if (m->open->env.probe) {
		/* It has had its one try: nobody is told but verify. */
		probe_result(m, r);
		list_push(&m->sent, &r->link);
		return;
	}
	switch (r->action) {
	case RCPT_SENT:
		if (wants_success(m, r) && !res->passed_on) {
			list_push(&m->told, &r->link);
			m->told_count++;
			return;
		}
		list_push(&m->sent, &r->link);
		return;
	case RCPT_DEFERRED:
		list_push(&m->deferred, &r->link);
		/* Losing it costs but an early try: nobody waits for it. */
		delivery_release(r);
		return;
	case RCPT_FAILED:
		list_push(&m->failed, &r->link);
		m->failed_count++;
		return;
	}
	BUG_ON(true);
}

static void
log_own(const struct message *m, const struct rcpt *r, const char *status)
{
	delivery_log(&(struct delivery_facts){
	    .log = &m->log,
	    .to = r->address,
	    .orig_to = r->orig_address,
	    .arrival_us = queue_id_us(m->sched.id),
	    .active_us = m->active_us,
	    .now_us = clock_wall_us(),
	    .dsn = r->dsn,
	    .action = r->action,
	    .status = status,
	    .text = span_str(r->text),
	});
}

static bool
soft_bounce(const struct message *m)
{
	return daemon_common(m->q->daemon)->soft_bounce;
}

void
message_result_own(struct message *m, struct rcpt *r, enum rcpt_action action,
    const char *dsn, const char *text)
{
	const bool soft = action == RCPT_FAILED && soft_bounce(m) &&
	    !m->open->env.probe;

	message_result(m, r,
	    &(struct rcpt_result){ .action = soft ? RCPT_DEFERRED : action,
		.dsn = span_str(dsn),
		.text = span_str(text) });
	log_own(m, r, m->open->env.probe ? delivery_log_probe(action) :
	    soft ? DELIVERY_SOFT : NULL);
	if (soft && r->dsn[0] == '5')
		r->dsn[0] = '4';
}

void
rcpt_written(struct rcpt *r)
{
	delivery_release(r);
	rcpt_free(r);
}

/* ---- the end of a round ---- */
int64_t
message_begin_us(const struct message *m)
{
	const int64_t released_us = m->open->env.release_at_s * 1000000;
	const int64_t arrived_us = queue_id_us(m->sched.id);

	return arrived_us > released_us ? arrived_us : released_us;
}

static bool
too_old(const struct message *m)
{
	const struct qmgr_conf *c = m->q->conf;
	const int64_t age_ms = (clock_wall_us() - message_begin_us(m)) / 1000;

	return age_ms > (m->open->env.sender.n > 0 ? c->maximal_queue_lifetime
						   : c->bounce_queue_lifetime);
}

/* What was deferred once more, after its time, fails. */
static void
expire(struct message *m)
{
	struct list *link;

	log_info(&m->log, "from=<%s>, status=%s, returned to sender",
	    log_quote(m->open->env.sender, LIMIT_ADDRESS),
	    m->expire ? "force-expired" : "expired");
	while ((link = list_first(&m->deferred)) != NULL) {
		struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		list_remove(link);
		r->action = RCPT_FAILED;
		if (r->dsn[0] == '4')
			r->dsn[0] = '5';
		list_push(&m->failed, link);
		m->failed_count++;
	}
}

static bool
can_rebuild(const struct message *m)
{
	return m->dir == QUEUE_INCOMING && m->seg != NULL && !m->rebuilt &&
	       m->edit == EDIT_NONE;
}

/* All recipients have their results, the failed ones their bounce. */
static void
finish(struct message *m)
{
	const bool whole =
	    m->open != NULL && m->edit == EDIT_NONE &&
	    list_empty(&m->deferred) &&
	    m->done_count + settle_count(&m->sent) == m->open->rcpt_count;

	switch (m->verdict) {
	case VERDICT_NONE:
	case VERDICT_RETRY:
		break;
	case VERDICT_GONE:
		if (can_rebuild(m)) {
			settle_rebuild(m);
			return;
		}
		edit_gone(m, true);
		message_forget(m);
		return;
	case VERDICT_CORRUPT:
		/* Whoever gets at it should see who has it already. */
		if (m->open != NULL && !list_empty(&m->sent))
			settle_marks(m);
		else if (can_rebuild(m))
			settle_rebuild(m);
		else
			settle_corrupt(m);
		return;
	case VERDICT_LATER:
		if (m->dir != QUEUE_DEFERRED && message_unreleased(m)) {
			settle_defer(m);
			return;
		}
		settle_wait(
		    m, due_of_wall(m->q, (uint64_t)(message_unreleased(m)
				? m->open->env.release_at_s
				: m->open->next_try_s) * 1000));
		return;
	}
	if (m->open == NULL)
		settle_wait(m, now_ms() + (m->no_room ? SETTLE_AGAIN_MS :
		    (uint64_t)m->q->conf->minimal_backoff_time));
	else if (whole || m->edit == EDIT_DELETE)
		settle_remove(m);
	else if (m->q->journal != NULL && !list_empty(&m->sent))
		settle_marks(m); /* their record comes first */
	else
		settle_defer(m);
}

void
message_step(struct message *m)
{
	const bool over = m->sched.state == SCHED_DONE && list_empty(&m->held);
	const bool whole = over && m->edit == EDIT_NONE &&
			   m->verdict != VERDICT_CORRUPT;

	if (m->busy || m->stuck)
		return;
	if (over && m->suspect) {
		settle_check(m);
		return;
	}
	if ((m->failed_count > 0 || m->told_count > 0) &&
	    (over || m->failed_count + m->told_count >= BOUNCE_EARLY)) {
		message_bounce(m);
		return;
	}
	if (whole && !m->untold && !list_empty(&m->deferred) &&
	    (m->expire || too_old(m)) && !soft_bounce(m)) {
		expire(m);
		message_bounce(m);
		return;
	}
	if (whole && message_warning_due(m)) {
		message_warn(m);
		return;
	}
	if (over) {
		finish(m);
	} else if (!list_empty(&m->sent)) {
		settle_marks(m);
	}
}
