/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/milter.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/milter_client.h"
#include "lib/proto/xtext.h"
#include "smtpd/session.h"

/*
 * What filters have changed, into the transaction and the queue file.
 */

/* ---- the envelope ---------------------------------------------------------
 */

static struct span
without_brackets(struct span s)
{
	s = span_trim(s);
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		return span_slice(s, 1, s.n - 1);
	return s;
}

static void
ignore(struct session *s, const char *what, struct span word)
{
	log_warning(&s->log,
	    "milter: ignoring bad ESMTP parameter \"%s\" in "
	    "a request to %s",
	    log_quote(word, 100), what);
}

/* Printable text in xtext, kept for the transaction; false: malformed. */
static bool
take_xtext(struct session *s, struct span in, struct span *out)
{
	struct buf b;
	bool ok;

	buf_init(&b, LIMIT_ADDRESS);
	ok = xtext_decode(in, &b);
	for (size_t i = 0; i < b.n; i++)
		ok = ok && b.p[i] >= ' ' && b.p[i] < 127;
	if (ok)
		*out = arena_dup(&s->tx->arena, buf_span(&b));
	buf_release(&b);
	return ok;
}

static bool
take_notify(struct span value, uint32_t *out)
{
	struct span word;
	uint32_t notify = 0;

	while (span_token(&value, ",", &word)) {
		if (span_ieq(word, SPAN("NEVER")))
			notify |= DSN_NOTIFY_NEVER;
		else if (span_ieq(word, SPAN("SUCCESS")))
			notify |= DSN_NOTIFY_SUCCESS;
		else if (span_ieq(word, SPAN("FAILURE")))
			notify |= DSN_NOTIFY_FAILURE;
		else if (span_ieq(word, SPAN("DELAY")))
			notify |= DSN_NOTIFY_DELAY;
		else
			return false;
	}
	if (notify == 0 ||
	    ((notify & DSN_NOTIFY_NEVER) != 0 && notify != DSN_NOTIFY_NEVER))
		return false;
	*out = notify;
	return true;
}

static void
set_sender(struct session *s, const struct milter_change *change)
{
	struct transaction *tx = s->tx;
	struct queue_envelope *env = queue_writer_envelope(tx->writer);
	const struct span address = without_brackets(change->address);
	struct span word, rest = change->args, id;
	struct buf full;

	buf_init(&full, LIMIT_ADDRESS * 2);
	if (address.n > 0 &&
	    !router_qualify(s->service->router, address, &full)) {
		log_warning(&s->log, "milter: \"%s\" is no sender",
		    log_quote(address, 200));
		buf_release(&full);
		return;
	}
	env->sender = queue_writer_keep(tx->writer, buf_span(&full));
	tx->env.sender = arena_dup(&tx->arena, buf_span(&full));
	buf_release(&full);
	while (span_token(&rest, " \t", &word)) {
		if (span_ieq(word, SPAN("RET=FULL")))
			env->dsn_ret = DSN_RET_FULL;
		else if (span_ieq(word, SPAN("RET=HDRS")))
			env->dsn_ret = DSN_RET_HDRS;
		else if (span_istarts(word, SPAN("ENVID=")) &&
			 take_xtext(s, span_skip(word, 6), &id))
			env->dsn_envid = queue_writer_keep(tx->writer, id);
		else
			ignore(s, "change the sender", word);
	}
}

/* Parameters of the recipients that were added last. */
static void
set_rcpt_params(struct session *s, struct span args)
{
	struct span word, orcpt;
	uint32_t notify;

	while (span_token(&args, " \t", &word)) {
		if (span_istarts(word, SPAN("NOTIFY=")) &&
		    take_notify(span_skip(word, 7), &notify)) {
			for (struct recipient *one = *s->milter->added;
			     one != NULL; one = one->next)
				one->rcpt.dsn_notify = notify;
		} else if (span_istarts(word, SPAN("ORCPT=")) &&
			   take_xtext(s, span_skip(word, 6), &orcpt)) {
			for (struct recipient *one = *s->milter->added;
			     one != NULL; one = one->next)
				one->rcpt.dsn_orcpt = orcpt;
		} else {
			ignore(s, "add a recipient", word);
		}
	}
}

static void apply(struct session *s);

static void
added(struct session *s, const struct err *e)
{
	struct milter_session *m = s->milter;

	/* An address that is none does not hinder the message. */
	if (e != NULL && e->kind == ERR_TEMP) {
		m->done(s, e);
		return;
	}
	set_rcpt_params(s, m->change->args);
	m->change = m->change->next;
	apply(s);
}

static void
apply(struct session *s)
{
	struct milter_session *m = s->milter;

	while (m->change != NULL) {
		const struct span address =
		    without_brackets(m->change->address);

		if (m->change->edit == MILTER_ADD_RCPT) {
			m->added = s->tx->rcpts.end;
			recipients_add(s, address, 0, added);
			return;
		}
		if (m->change->edit == MILTER_DELETE_RCPT)
			recipients_remove(s, address);
		else
			set_sender(s, m->change);
		m->change = m->change->next;
	}
	m->done(s, NULL);
}

void
milter_apply(struct session *s, const struct milter_change *changes,
    void (*done)(struct session *s, const struct err *e))
{
	s->milter->change = changes;
	s->milter->done = done;
	apply(s);
}

/* ---- the content ----------------------------------------------------------
 */

static void
writer_ready(void *arg)
{
	struct session *s = arg;

	milter_mail_go_on(s->tx->mail);
}

static bool
out(void *arg, struct span bytes)
{
	struct session *s = arg;

	queue_writer_body(s->tx->writer, bytes);
	return !queue_writer_busy(s->tx->writer, writer_ready, s);
}

static void
all_out(void *arg, const struct err *e)
{
	struct session *s = arg;

	s->milter->done(s, e);
}

void
milter_store(
    struct session *s, void (*done)(struct session *s, const struct err *e))
{
	s->milter->done = done;
	milter_mail_send(
	    s->tx->mail, &(struct milter_mail_sink){ out, all_out, s });
}
