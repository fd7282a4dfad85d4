/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/reserve.h"
#include "qmgr/settle_steps.h"

/*
 * Failed recipients become a notification, made by the bounce service, which
 * answers when it is durable; then they may be marked. So do those about
 * whose success the sender wants to hear.
 */

enum {
	BOUNCE_TIMEOUT_MS = 120 * 1000,
	RCPT_SPACE = 8192, /* what one recipient takes at most */
};

/* RFC 3461 4.1, and nobody is told about mail from the null sender
 * (RFC 5321 4.5.5). */
static bool
wants_notice(const struct message *m, const struct rcpt *r)
{
	if (m->open->env.sender.n == 0)
		return false;
	return r->notify == 0 || (r->notify & DSN_NOTIFY_FAILURE) != 0;
}

bool
wants_success(const struct message *m, const struct rcpt *r)
{
	return m->open->env.sender.n > 0 &&
	       (r->notify & DSN_NOTIFY_SUCCESS) != 0;
}

static void
to_be_marked(struct message *m, struct rcpt *r)
{
	list_remove(&r->link);
	list_push(&m->sent, &r->link);
}

/* There was no room for it. The notification is tried again, not the
 * delivery. */
static void
again(struct message *m, const struct err *e)
{
	struct list *link;

	while ((link = list_first(&m->writing)) != NULL) {
		const struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);
		const bool failed = r->action == RCPT_FAILED;

		list_remove(link);
		list_push(failed ? &m->failed : &m->told, link);
		m->failed_count += failed;
		m->told_count += !failed;
	}
	message_stick(m, e);
}

static void
answered(void *arg, struct msg_in *in, const struct err *e)
{
	struct message *m = arg;
	struct list *link;

	(void)in;
	m->q->bouncing--;
	if (e != NULL)
		log_warning(&m->log, "no notification: %s", e->text);
	if (e != NULL && reserve_wanted(e))
		again(m, e);
	while ((link = list_first(&m->writing)) != NULL) {
		struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		if (e == NULL || r->action == RCPT_SENT) {
			to_be_marked(m, r);
			continue;
		}
		/* The whole delivery again, later: a repeated failure is
		 * better than one that nobody hears of. */
		m->untold = true;
		list_remove(link);
		r->action = RCPT_DEFERRED;
		list_push(&m->deferred, link);
		delivery_release(r);
	}
	message_idle(m);
}

static void
put_rcpt(struct msg_out *out, const struct rcpt *r)
{
	msg_group_begin(out, F_RCPT);
	msg_put_u64(out, F_RCPT_INDEX, r->index);
	msg_put(out, F_ADDRESS, r->address);
	msg_put(out, F_ORIG_ADDRESS, r->orig_address);
	msg_put_str(out, F_DSN, r->dsn);
	msg_put_str(out, F_TEXT, r->text);
	if (r->remote[0] != '\0')
		msg_put_str(out, F_REMOTE, r->remote);
	if (r->diagnostic[0] != '\0')
		msg_put_str(out, F_DIAGNOSTIC, r->diagnostic);
	if (r->orcpt.n > 0)
		msg_put(out, F_DSN_ORCPT, r->orcpt);
	msg_put_u64(out, F_DSN_NOTIFY, r->notify);
	msg_put(out, F_TRANSPORT, r->transport);
	msg_group_end(out);
}

static void
begin(const struct message *m, enum rcpt_action action, struct msg_out *out)
{
	const struct queue_message *q = m->open;
	const struct range content = queue_message_content(q);

	msg_begin(out, MSG_BOUNCE, 0, m->log.trace);
	msg_put_fd(out, m->read_fd);
	msg_put_str(out, F_QID, m->log.qid);
	msg_put(out, F_SENDER, q->env.sender);
	msg_put_u64(out, F_ARRIVAL_US, (uint64_t)q->env.arrival_us);
	msg_put_range(out, &content);
	if (q->env.encoding.n > 0)
		msg_put(out, F_ENCODING, q->env.encoding);
	if (q->env.dsn_envid.n > 0)
		msg_put(out, F_DSN_ENVID, q->env.dsn_envid);
	msg_put_u64(out, F_DSN_RET, q->env.dsn_ret);
	if (q->env.requiretls)
		msg_put_u64(out, F_REQUIRETLS, 1);
	msg_put_u64(out, F_ACTION, action);
}

/* Moves recipients into the notification until it is full. */
static void
fill(struct message *m, struct list *from, size_t *count, struct msg_out *out)
{
	struct list *link;

	while ((link = list_first(from)) != NULL) {
		struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		if (r->action == RCPT_FAILED && !wants_notice(m, r)) {
			--*count;
			to_be_marked(m, r);
			continue;
		}
		if (msg_space(out) < RCPT_SPACE)
			break;
		--*count;
		list_remove(link);
		list_push(&m->writing, link);
		put_rcpt(out, r);
	}
}

/* ---- delays ---- */

/* How old the message was at its last try, from the time of this one that was
 * noted then: the rule of scheduler_backoff, read backwards. */
static int64_t
age_at_last_try_ms(const struct message *m)
{
	const int64_t min = m->q->conf->minimal_backoff_time;
	const int64_t max = m->q->conf->maximal_backoff_time;
	const int64_t age =
	    m->open->next_try_s * 1000 - queue_id_us(m->sched.id) / 1000;

	return age < 2 * min ? age - min : age > 2 * max ? age - max : age / 2;
}

static bool
wants_delay(const struct rcpt *r)
{
	return r->notify == 0 || (r->notify & DSN_NOTIFY_DELAY) != 0;
}

bool
message_warning_due(struct message *m)
{
	const int64_t limit = m->q->conf->delay_warning_time;

	if (limit == 0 || m->open == NULL || m->open->env.sender.n == 0 ||
	    list_empty(&m->deferred))
		return false;
	/* Of an earlier qmgr's mail: it was told at the try after that time;
	 * the note has whole seconds. */
	if (!m->warned_known && m->open->tries > 0)
		m->warned = age_at_last_try_ms(m) + 1000 > limit;
	m->warned_known = true;
	return !m->warned &&
	       (clock_wall_us() - message_begin_us(m)) / 1000 > limit;
}

static void
warned(void *arg, struct msg_in *in, const struct err *e)
{
	struct message *m = arg;

	(void)in;
	m->q->bouncing--;
	/* It is but a courtesy, and waits only for the reserve. */
	if (e != NULL)
		log_warning(&m->log, "no delay notification: %s", e->text);
	if (e != NULL && reserve_use(m->q, e, m->emptied)) {
		m->warned = false;
		m->stuck = true;
	}
	message_idle(m);
}

void
message_warn(struct message *m)
{
	struct msg_out out;
	bool any = false;

	m->warned = true;
	begin(m, RCPT_DEFERRED, &out);
	LIST_EACH(&m->deferred, link)
	{
		const struct rcpt *r = CONTAINER_OF(link, struct rcpt, link);

		if (!wants_delay(r) || msg_space(&out) < RCPT_SPACE)
			continue;
		put_rcpt(&out, r);
		any = true;
	}
	if (any) {
		m->busy = true;
		m->emptied = reserve_emptied(m->q);
		m->q->bouncing++;
		client_call(m->q->bounce, &out, BOUNCE_TIMEOUT_MS, warned, m);
	} else {
		message_step(m);
	}
	msg_out_release(&out);
}

void
message_bounce(struct message *m)
{
	struct msg_out out;

	if (m->failed_count > 0) {
		begin(m, RCPT_FAILED, &out);
		fill(m, &m->failed, &m->failed_count, &out);
	} else {
		begin(m, RCPT_SENT, &out);
		fill(m, &m->told, &m->told_count, &out);
	}
	if (list_empty(&m->writing)) {
		message_step(m);
	} else {
		m->busy = true;
		m->emptied = reserve_emptied(m->q);
		m->q->bouncing++;
		client_call(m->q->bounce, &out, BOUNCE_TIMEOUT_MS, answered, m);
	}
	msg_out_release(&out);
}
