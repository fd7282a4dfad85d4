/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/intake.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/*
 * non_smtpd_milters: what they make of a message, before its recipients are
 * routed.
 */

int
intake_filter_open(struct pickup *p, struct err *e)
{
	if (maps_open(p->conf->milter.milter_header_checks, &p->milter_checks,
		e) != 0)
		return err_wrap(e, "milter_header_checks");
	return milter_list_open(&p->conf->milter,
	    p->conf->milter.non_smtpd_milters,
	    daemon_common(p->daemon)->queue_directory, &p->milters, e);
}

static bool
macro(void *arg, struct span name, struct buf *out)
{
	struct intake *in = arg;

	return milter_run_macro(&in->p->conf->milter,
	    daemon_common(in->p->daemon)->myhostname, in->log.qid, in->sender,
	    SPAN_EMPTY, name, out);
}

static void
on_hit(void *arg, const struct check_hit *hit)
{
	struct intake *in = arg;

	if (hit->action != CHECK_FAILED) {
		intake_hit(in, "milter-header-", hit);
		return;
	}
	log_warning(
	    &in->log, "milter_header_checks: %s", log_quote(hit->text, 300));
	in->unchecked = true;
}

static bool
field_wanted(void *arg, struct span name, struct span value,
    struct buf *instead, struct buf *before)
{
	struct intake *in = arg;

	return checks_filter_field(in->p->milter_checks, name, value, on_hit,
	    in, instead, before);
}

static struct span
without_brackets(struct span s)
{
	s = span_trim(s);
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		return span_slice(s, 1, s.n - 1);
	return s;
}

static bool
same(struct intake *in, struct span a, struct span b)
{
	struct buf x, y;
	bool r;

	buf_init(&x, LIMIT_ADDRESS * 2);
	buf_init(&y, LIMIT_ADDRESS * 2);
	r = router_qualify(in->p->router, a, &x) &&
	    router_qualify(in->p->router, b, &y) &&
	    span_ieq(buf_span(&x), buf_span(&y));
	buf_release(&x);
	buf_release(&y);
	return r;
}

static void
remove_rcpt(struct intake *in, struct span address)
{
	struct intake_rcpt *list = in->list;
	size_t n = 0;

	for (size_t i = 0; i < in->spec.rcpt_count; i++)
		if (!same(in, list[i].address, address))
			list[n++] = list[i];
	in->spec.rcpt_count = n;
}

static void
add_rcpt(struct intake *in, struct span address)
{
	const struct intake_rcpt one = { .address = address,
		.orig_address = address };

	in->list =
	    mem_resize(in->list, in->spec.rcpt_count + 1, sizeof(*in->list));
	in->list[in->spec.rcpt_count++] = one;
}

/* What full has becomes the address; false: it is none, and full is as it
 * was. Nothing stands for the null sender. */
static bool
take_sender(struct intake *in, struct span address, struct buf *full)
{
	struct buf b;

	buf_init(&b, LIMIT_ADDRESS * 2);
	if (address.n > 0 && !router_qualify(in->p->router, address, &b)) {
		log_warning(&in->log, "milter: \"%s\" is no sender",
		    log_quote(address, 200));
		buf_release(&b);
		return false;
	}
	buf_release(full);
	*full = b;
	return true;
}

/* Of several the last one counts. */
static void
set_sender(struct intake *in, const struct milter_change *c)
{
	struct buf full;
	bool given = false;

	buf_init(&full, LIMIT_ADDRESS * 2);
	for (; c != NULL; c = c->next)
		if (c->edit == MILTER_CHANGE_FROM)
			given |= take_sender(
			    in, without_brackets(c->address), &full);
	if (given) {
		in->sender = arena_dup(&in->arena, buf_span(&full));
		queue_writer_envelope(in->w)->sender =
		    queue_writer_keep(in->w, in->sender);
	}
	buf_release(&full);
}

/* Parameters of the new addresses are not kept here. */
static void
change(struct intake *in, const struct milter_change *changes)
{
	for (const struct milter_change *c = changes; c != NULL; c = c->next) {
		const struct span address = without_brackets(c->address);

		if (c->edit == MILTER_ADD_RCPT)
			add_rcpt(in, arena_dup(&in->arena, address));
		else if (c->edit == MILTER_DELETE_RCPT)
			remove_rcpt(in, address);
	}
	set_sender(in, changes);
}

static void
log_action(struct intake *in, const char *action, const char *text)
{
	log_info(&in->log,
	    "%s: END-OF-MESSAGE from localhost[127.0.0.1]: "
	    "%s; from=<%s> to=<%s>",
	    action, text, log_quote(in->sender, 500),
	    in->spec.rcpt_count > 0 ? log_quote(in->list[0].address, 500) : "");
}

static void
answered(void *arg, const struct milter_result *r)
{
	struct intake *in = arg;
	const bool temporary = in->unchecked ||
	    (r->outcome == MILTER_REFUSED && r->code < 500);
	struct err later;
	char text[400];

	snprintf(text, sizeof(text), "%s%s%s", r->dsn,
	    r->dsn[0] != '\0' ? " " : "", log_quote(r->text, 300));
	if (r->hold != NULL) {
		log_action(in, "milter-hold", r->hold);
		in->actions.hold = true;
	}
	switch (r->outcome) {
	case MILTER_PASSED:
		change(in, r->changes);
		in->spec.rcpts = in->list;
		in->actions.discard |= in->spec.rcpt_count == 0;
		break;
	case MILTER_REFUSED:
		log_action(in, "milter-reject", text);
		in->actions.refused = r->code >= 500;
		err_set(in->actions.refused ? &in->refusal : &later,
		    r->code >= 500 ? ERR_PERM : ERR_TEMP,
		    r->dsn[0] != '\0' ? r->dsn
		    : r->code >= 500  ? "5.7.1"
				      : "4.7.1",
		    "%s", log_quote(r->text, 200));
		break;
	case MILTER_DISCARDED:
		log_action(
		    in, "milter-discard", "milter triggers DISCARD action");
		in->actions.discard = true;
		break;
	}
	if (in->unchecked)
		err_set(&later, ERR_TEMP, "4.3.0", "queue file write error");
	milter_run_free(&in->run);
	intake_filtered(in, temporary ? &later : NULL);
}

void
intake_filter_start(struct intake *in)
{
	const struct milter_client_conf conf = {
		.loop = daemon_loop(in->p->daemon),
		.resolver = in->p->resolver,
		.list = in->p->milters,
		.log = &in->log,
		.macro = macro,
		.field = maps_empty(in->p->milter_checks) ? NULL
							  : field_wanted,
		.arg = in,
		.body_max = (uint64_t)daemon_common(in->p->daemon)
				->message_size_limit,
	};
	struct milter_message m = { .sender = in->sender,
		.rcpt_count = in->spec.rcpt_count,
		.mail = in->mail };
	struct span *rcpts = arena_alloc(
	    &in->arena, (m.rcpt_count + 1) * sizeof(*rcpts));

	in->list = mem_resize(NULL, m.rcpt_count + 1, sizeof(*in->list));
	for (size_t i = 0; i < m.rcpt_count; i++) {
		in->list[i] = in->spec.rcpts[i];
		rcpts[i] = in->list[i].address;
	}
	in->spec.rcpts = in->list;
	m.rcpts = rcpts;
	in->run = milter_run_start(&conf, &m, answered, in);
}
