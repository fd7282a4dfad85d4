/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/intake.h"

/*
 * Recipients that tables add to a message, and what it is redirected to.
 */

static enum extra
refuse_extra(struct intake *in, const struct route_result *result)
{
	in->err = result->err;
	log_warning(&in->log, "recipient <%s> not added: %s",
	    log_quote(in->copied, 300), in->err.text);
	if (in->err.kind == ERR_TEMP) {
		intake_finish(in, &in->err);
		return EXTRA_OVER;
	}
	/* Redirected to nowhere: the sender must hear of it. */
	if (in->rcpts == 0) {
		in->refusal = in->err;
		intake_return(in);
		return EXTRA_OVER;
	}
	return EXTRA_TAKEN;
}

static enum extra
take_extra(struct intake *in, const struct route_result *result)
{
	if (result->code != 0)
		return refuse_extra(in, result);
	for (size_t i = 0; i < result->count; i++) {
		const struct route *r = &result->routes[i];
		const struct queue_rcpt rcpt = { .address = r->address,
			.orig_address = in->copied,
			.transport = r->transport,
			.nexthop = r->nexthop,
			.dsn_notify = DSN_NOTIFY_NEVER,
			.flags = r->flags };

		queue_writer_rcpt(in->w, &rcpt);
		in->rcpts++;
	}
	if (!intake_too_many(in))
		return EXTRA_TAKEN;
	intake_finish(in, &in->err);
	return EXTRA_OVER;
}

static void
extra_routed(void *arg, const struct route_result *result)
{
	struct intake *in = arg;
	enum extra *const asked = in->extra;
	enum extra r;

	in->extra = NULL;
	r = take_extra(in, result);
	if (asked != NULL)
		*asked = r;
	else if (r == EXTRA_TAKEN)
		intake_add_extra(in);
}

/* Takes the next one off; false: there is none. */
static bool
next_extra(struct intake *in)
{
	struct check_actions *a = &in->actions;

	if (a->redirect.n > 0) {
		in->copied = a->redirect;
		a->redirect = SPAN_EMPTY;
		queue_writer_clear_rcpts(in->w);
		in->rcpts = 0;
	} else if (a->added != NULL) {
		in->copied = a->added->address;
		a->added = a->added->next;
	} else {
		return false;
	}
	return true;
}

/* The router may answer at once, and in->extra tells this loop what. */
void
intake_add_extra(struct intake *in)
{
	enum extra r = EXTRA_TAKEN;

	while (r == EXTRA_TAKEN && next_extra(in)) {
		r = EXTRA_ASKED;
		in->extra = &r;
		router_resolve(in->p->router, in->copied, 0, in->log.trace,
		    extra_routed, in);
		if (r == EXTRA_ASKED)
			in->extra = NULL;
	}
	if (r == EXTRA_TAKEN)
		intake_commit(in);
}
