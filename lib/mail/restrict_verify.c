/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/mail/verify_client.h"

/* reject_unverified_sender, reject_unverified_recipient: does a probe get as
 * far as RCPT? */

/* Settings of the sender's or the recipient's. */
struct settings {
	unsigned reject_code, defer_code;
	int tempfail_action;
	const char *reason; /* in place of what the probe was told; "" */
	const char *dsn;
};

static struct settings
settings_of(const struct restrict_session *s)
{
	const struct restrict_conf *c = s->set->conf;

	if (s->work.step->op->subject == SUBJECT_SENDER)
		return (struct settings){
			(unsigned)c->unverified_sender_reject_code,
			(unsigned)c->unverified_sender_defer_code,
			c->unverified_sender_tempfail_action,
			c->unverified_sender_reject_reason, "4.1.7" };
	return (struct settings){
		(unsigned)c->unverified_recipient_reject_code,
		(unsigned)c->unverified_recipient_defer_code,
		c->unverified_recipient_tempfail_action,
		c->unverified_recipient_reject_reason, "4.1.1" };
}

static enum verdict
not_good(struct restrict_session *s, const struct settings *o, unsigned code,
    const char *why)
{
	const enum subject subject = s->work.step->op->subject;
	const struct span name = subject_name(s, subject);
	const char *class = subject_class(subject);

	if (o->reason[0] != '\0')
		why = o->reason;
	if (code < 400)
		return V_DUNNO;
	if (code < 500)
		return step_defer_if_permit(s, o->tempfail_action, code,
		    o->dsn, "<%s>: %s rejected: unverified address: %.250s",
		    shown(name), class, why);
	return step_reject(s, code, o->dsn,
	    "<%s>: %s rejected: undeliverable address: %s", shown(name),
	    class, why);
}

static enum verdict
no_answer(struct restrict_session *s, const struct settings *o)
{
	const enum subject subject = s->work.step->op->subject;

	log_warning(s->f->log, "verify service failure");
	return step_defer_if_permit(s, o->tempfail_action, 450, o->dsn,
	    "<%s>: %s rejected: address verification problem",
	    shown(subject_name(s, subject)), subject_class(subject));
}

static void
answered(void *arg, const struct verify_answer *a)
{
	struct restrict_session *s = arg;
	const struct settings o = settings_of(s);
	enum verdict v = V_DUNNO;

	if (a == NULL) {
		step_done(s, no_answer(s, &o));
		return;
	}
	switch (a->status) {
	case VERIFY_OK:
		break;
	case VERIFY_TODO:
	case VERIFY_DEFERRED:
		v = not_good(s, &o, o.defer_code, shown(a->text));
		break;
	case VERIFY_REFUSED:
		v = not_good(s, &o, o.reject_code, shown(a->text));
		break;
	}
	step_done(s, v);
}

enum verdict
run_unverified(struct restrict_session *s, const struct step *step)
{
	const bool sender = step->op->subject == SUBJECT_SENDER;
	const struct restrict_facts *f = s->f;
	const struct span address = sender ? f->sender : f->rcpt;

	/* Nobody is there to be asked about the null sender. */
	if (!(sender ? f->has_sender : f->has_rcpt) || address.n == 0)
		return V_DUNNO;
	s->work = (struct work){ .step = step };
	s->waiting = true;
	s->world->verify(s->ctx, address, answered, s);
	return V_WAIT;
}
