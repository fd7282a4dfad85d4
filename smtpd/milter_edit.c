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

/* Printable text in xtext takes the place of what out has; false: it is
 * malformed. */
static bool
take_xtext(struct span in, struct buf *out)
{
	struct buf b;
	bool ok;

	buf_init(&b, LIMIT_ADDRESS);
	ok = xtext_decode(in, &b);
	for (size_t i = 0; i < b.n; i++)
		ok = ok && b.p[i] >= ' ' && b.p[i] < 127;
	if (ok) {
		buf_reset(out);
		buf_add(out, buf_span(&b));
	}
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

/* Of what changes of the sender say, what counts: the last of each. */
struct new_sender {
	struct buf address, id;
	bool given, id_given;
};

static void
take_sender_params(struct session *s, struct span args, struct new_sender *new)
{
	struct queue_envelope *env = queue_writer_envelope(s->tx->writer);
	struct span word;

	while (span_token(&args, " \t", &word)) {
		if (span_ieq(word, SPAN("RET=FULL")))
			env->dsn_ret = DSN_RET_FULL;
		else if (span_ieq(word, SPAN("RET=HDRS")))
			env->dsn_ret = DSN_RET_HDRS;
		else if (span_istarts(word, SPAN("ENVID=")) &&
			 take_xtext(span_skip(word, 6), &new->id))
			new->id_given = true;
		else
			ignore(s, "change the sender", word);
	}
}

static void
take_sender(struct session *s, const struct milter_change *change,
    struct new_sender *new)
{
	const struct span address = without_brackets(change->address);
	struct buf full;

	buf_init(&full, LIMIT_ADDRESS * 2);
	if (address.n > 0 &&
	    !router_qualify(s->service->router, address, &full)) {
		log_warning(&s->log, "milter: \"%s\" is no sender",
		    log_quote(address, 200));
		buf_release(&full);
		return;
	}
	buf_release(&new->address);
	new->address = full;
	new->given = true;
	take_sender_params(s, change->args, new);
}

static void
set_sender(struct session *s, const struct milter_change *change)
{
	struct transaction *tx = s->tx;
	struct queue_envelope *env = queue_writer_envelope(tx->writer);
	struct new_sender new = { .given = false };

	buf_init(&new.address, LIMIT_ADDRESS * 2);
	buf_init(&new.id, LIMIT_ADDRESS);
	for (; change != NULL; change = change->next)
		if (change->edit == MILTER_CHANGE_FROM)
			take_sender(s, change, &new);
	if (new.given) {
		env->sender =
		    queue_writer_keep(tx->writer, buf_span(&new.address));
		tx->env.sender =
		    arena_dup(&tx->arena, buf_span(&new.address));
	}
	if (new.id_given)
		env->dsn_envid =
		    queue_writer_keep(tx->writer, buf_span(&new.id));
	buf_release(&new.address);
	buf_release(&new.id);
}

/* Parameters of the recipients that were added last. */
static void
set_rcpt_params(struct session *s, struct span args)
{
	struct span word, kept;
	uint32_t notify = 0;
	struct buf orcpt;

	buf_init(&orcpt, LIMIT_ADDRESS);
	while (span_token(&args, " \t", &word)) {
		if (!(span_istarts(word, SPAN("NOTIFY=")) &&
			take_notify(span_skip(word, 7), &notify)) &&
		    !(span_istarts(word, SPAN("ORCPT=")) &&
			take_xtext(span_skip(word, 6), &orcpt)))
			ignore(s, "add a recipient", word);
	}
	kept = arena_dup(&s->tx->arena, buf_span(&orcpt));
	buf_release(&orcpt);
	for (struct recipient *one = *s->milter->added; one != NULL;
	     one = one->next) {
		one->rcpt.dsn_notify = notify;
		one->rcpt.dsn_orcpt = kept;
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

/* 0: go on with the next; else as recipients_add. */
static int
apply_one(struct session *s, const struct milter_change *change, struct err *e)
{
	struct milter_session *m = s->milter;
	const struct span address = without_brackets(change->address);
	int r;

	if (change->edit == MILTER_DELETE_RCPT)
		recipients_remove(s, address);
	if (change->edit != MILTER_ADD_RCPT)
		return 0;
	m->added = s->tx->rcpts.end;
	r = recipients_add(s, address, 0, added, e);
	if (r < 0 && e->kind == ERR_PERM)
		r = 0;
	if (r == 0)
		set_rcpt_params(s, change->args);
	return r;
}

/* A filter may add more recipients than the stack could bear one in the
 * other. */
static void
apply(struct session *s)
{
	struct milter_session *m = s->milter;
	struct err e;
	int r = 0;

	while (m->change != NULL && r == 0) {
		r = apply_one(s, m->change, &e);
		if (r == 0)
			m->change = m->change->next;
	}
	if (r <= 0)
		m->done(s, r < 0 ? &e : NULL);
}

void
milter_apply(struct session *s, const struct milter_change *changes,
    void (*done)(struct session *s, const struct err *e))
{
	s->milter->change = changes;
	s->milter->done = done;
	set_sender(s, changes);
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
