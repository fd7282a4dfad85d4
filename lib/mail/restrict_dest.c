/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"

/* Where mail may go, and whether the addresses of our own exist. */

bool
auth_destination(const struct restrict_session *s)
{
	const struct route_result *r = s->f->route;

	return r != NULL && r->class_known && r->ours;
}

/* A destination that nobody could find out is refused for now, not
 * permitted. */
static bool
undecided(const struct restrict_session *s)
{
	return s->f->route == NULL || !s->f->route->class_known;
}

enum verdict
run_auth_destination(struct restrict_session *s, const struct step *step)
{
	const unsigned code =
	    (unsigned)s->set->conf->relay_domains_reject_code;

	if (!s->f->has_rcpt)
		return V_DUNNO;
	if (undecided(s))
		return step_reject_hard(s, 451, "4.3.0",
		    "<%s>: Temporary lookup failure", shown(s->f->rcpt));
	if (step->op->detail == DEST_PERMIT)
		return !auth_destination(s) ? V_DUNNO :
		    step_permit(s, step->name, SUBJECT_RCPT, NULL);
	if (auth_destination(s))
		return V_DUNNO;
	if (step->op->detail == DEST_DEFER)
		return step_reject(s, code - 100, "4.7.1",
		    "<%s>: Relay access denied", shown(s->f->rcpt));
	return step_reject(s, code, "5.7.1", "<%s>: Relay access denied",
	    shown(s->f->rcpt));
}

/* ---- do they exist? ---- */

static unsigned
class_code(const struct restrict_conf *c, enum route_class class)
{
	switch (class) {
	case ROUTE_LOCAL:
		return (unsigned)c->unknown_local_recipient_reject_code;
	case ROUTE_ALIAS:
		return (unsigned)c->unknown_virtual_alias_reject_code;
	case ROUTE_VIRTUAL:
		return (unsigned)c->unknown_virtual_mailbox_reject_code;
	case ROUTE_RELAY:
		return (unsigned)c->unknown_relay_recipient_reject_code;
	case ROUTE_DEFAULT:
		break;
	}
	return 550;
}

/* "User unknown in ... table", with or without the table. */
static struct span
unknown_text(const struct restrict_conf *c, const char *text)
{
	const struct span whole = span_str(text), start = SPAN("User unknown");

	return c->show_user_unknown_table_name ||
		!span_starts(whole, SPAN("User unknown in ")) ? whole : start;
}

/* The router's word on an address, in the words of the reply. */
static enum verdict
judge(struct restrict_session *s, enum subject subject, struct span address,
    const struct route_result *r)
{
	const struct restrict_conf *c = s->set->conf;
	const bool sender = subject == SUBJECT_SENDER;
	struct span text;
	const char *dsn = r->err.dsn;
	unsigned code = r->code;
	bool is_unknown;

	if (r->code == 0 || r->code == 452)
		return V_DUNNO; /* quota is looked at after all of us */
	if (r->code == 451)
		return step_reject_hard(s, 451, "4.3.0",
		    "<%s>: Temporary lookup failure", shown(address));
	text = unknown_text(c, r->err.text);
	is_unknown = span_starts(text, SPAN("User unknown"));
	if (is_unknown)
		code = class_code(c, r->class);
	if (is_unknown && sender)
		dsn = "5.1.0";
	/* An error: transport without a code of its own. */
	if (strcmp(dsn + 1, ".0.0") == 0)
		dsn = sender ? "5.1.0" : "5.1.1";
	return step_reject(s, code, dsn, "<%s>: %s rejected: %s",
	    shown(address), subject_class(subject), shown(text));
}

static void
sender_routed(void *arg, const struct route_result *r)
{
	struct restrict_session *s = arg;

	step_done(s, judge(s, SUBJECT_SENDER, s->f->sender, r));
}

enum verdict
check_unlisted_sender(struct restrict_session *s)
{
	if (s->warn_if_reject == 0)
		s->sender_checked = true;
	s->waiting = true;
	s->world->route(s->ctx, s->f->sender, ROUTER_CHECK_USER,
	    sender_routed, s);
	return V_WAIT;
}

enum verdict
check_unlisted_rcpt(struct restrict_session *s)
{
	if (s->warn_if_reject == 0)
		s->rcpt_checked = true;
	return s->f->route == NULL ? V_DUNNO :
	    judge(s, SUBJECT_RCPT, s->f->rcpt, s->f->route);
}

enum verdict
run_unlisted(struct restrict_session *s, const struct step *step)
{
	const struct restrict_facts *f = s->f;

	if (step->op->subject == SUBJECT_SENDER)
		return !f->has_sender || f->sender.n == 0 ||
			s->sender_checked ? V_DUNNO :
		    check_unlisted_sender(s);
	return !f->has_rcpt || s->rcpt_checked ? V_DUNNO :
	    check_unlisted_rcpt(s);
}
