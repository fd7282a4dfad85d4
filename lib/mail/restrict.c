/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"

/*
 * The machine. A stage is a row of phases, most of which run one list; a list
 * that runs is a frame, a class or a list in a table's value one more on top
 * of it. A step says yes, no, nothing, "wait", or that it pushed a frame.
 */

enum phase {
	PHASE_END,
	PHASE_CLIENT,
	PHASE_HELO,
	PHASE_SENDER,
	PHASE_UNLISTED_SENDER,
	PHASE_RELAY_FIRST,
	PHASE_RCPT,
	PHASE_RCPT_FIRST,
	PHASE_RELAY,
	PHASE_DATA,
	PHASE_END_OF_DATA,
	PHASE_ETRN,
	PHASE_DEFERRED, /* what a permit is turned into */
	PHASE_UNLISTED_RCPT,
};

enum subject
list_subject(const struct restrict_session *s)
{
	return s->frames[s->frame_count - 1].subject;
}

/* ---- frames ---- */

static void
push_frame(struct restrict_session *s, const struct restrict_list *list,
    struct restrict_list *own, enum subject subject)
{
	if (s->frame_count == s->frame_max) {
		s->frame_max = s->frame_max == 0 ? 2 : s->frame_max * 2;
		s->frames = mem_resize(
		    s->frames, s->frame_max, sizeof(*s->frames));
	}
	s->frames[s->frame_count++] = (struct frame){
		.list = list,
		.own = own,
		.subject = subject,
	};
}

void
restrict_list_release(struct restrict_list *l)
{
	mem_free(l->steps);
	arena_reset(&l->arena);
	l->steps = NULL;
	l->count = 0;
}

/* Takes the top frame away. */
static struct frame
drop_frame(struct restrict_session *s)
{
	const struct frame f = s->frames[--s->frame_count];

	if (f.own != NULL)
		restrict_list_release(f.own);
	mem_free(f.own);
	/* In case the list ended with warn_if_reject. */
	if (s->warn_if_reject >= s->frame_count)
		s->warn_if_reject = 0;
	return f;
}

enum verdict
step_call(struct restrict_session *s, const struct restrict_list *list,
    struct restrict_list *own)
{
	const struct frame *top = &s->frames[s->frame_count - 1];

	if (s->frame_count >= DEPTH_MAX) {
		log_warning(s->f->log, "restrictions are nested too deeply");
		if (own != NULL)
			restrict_list_release(own);
		mem_free(own);
		return step_config_error(s);
	}
	push_frame(s, list, own, top->subject);
	return V_CALLED;
}

/* ---- phases ---- */

static const struct {
	enum list_id list;
	enum subject subject;
} phase_lists[] = {
	[PHASE_CLIENT] = { LIST_CLIENT, SUBJECT_CLIENT },
	[PHASE_HELO] = { LIST_HELO, SUBJECT_HELO },
	[PHASE_SENDER] = { LIST_SENDER, SUBJECT_SENDER },
	[PHASE_RELAY_FIRST] = { LIST_RELAY, SUBJECT_RCPT },
	[PHASE_RCPT] = { LIST_RCPT, SUBJECT_RCPT },
	[PHASE_RCPT_FIRST] = { LIST_RCPT, SUBJECT_RCPT },
	[PHASE_RELAY] = { LIST_RELAY, SUBJECT_RCPT },
	[PHASE_DATA] = { LIST_DATA, SUBJECT_DATA },
	[PHASE_END_OF_DATA] = { LIST_END, SUBJECT_END },
	[PHASE_ETRN] = { LIST_ETRN, SUBJECT_ETRN },
};

enum subject
phase_subject(const struct restrict_session *s)
{
	return phase_lists[s->phases[s->phase]].subject;
}

static const uint8_t *
stage_phases(const struct restrict_conf *c, enum restrict_stage stage)
{
	static const uint8_t none[] = { PHASE_END };
	static const uint8_t client[] = { PHASE_CLIENT, PHASE_END };
	static const uint8_t helo[] = { PHASE_HELO, PHASE_END };
	static const uint8_t sender[] = { PHASE_SENDER,
		PHASE_UNLISTED_SENDER, PHASE_END };
	static const uint8_t rcpt[2][2][9] = {
		{ { PHASE_RCPT_FIRST, PHASE_RELAY, PHASE_DEFERRED,
		      PHASE_UNLISTED_RCPT, PHASE_END },
		    { PHASE_RELAY_FIRST, PHASE_RCPT, PHASE_DEFERRED,
			PHASE_UNLISTED_RCPT, PHASE_END } },
		{ { PHASE_CLIENT, PHASE_HELO, PHASE_SENDER,
		      PHASE_UNLISTED_SENDER, PHASE_RCPT_FIRST, PHASE_RELAY,
		      PHASE_DEFERRED, PHASE_UNLISTED_RCPT, PHASE_END },
		    { PHASE_CLIENT, PHASE_HELO, PHASE_SENDER,
			PHASE_UNLISTED_SENDER, PHASE_RELAY_FIRST, PHASE_RCPT,
			PHASE_DEFERRED, PHASE_UNLISTED_RCPT, PHASE_END } },
	};
	static const uint8_t data[] = { PHASE_DATA, PHASE_DEFERRED,
		PHASE_END };
	static const uint8_t end[] = { PHASE_END_OF_DATA, PHASE_DEFERRED,
		PHASE_END };
	static const uint8_t etrn[2][5] = {
		{ PHASE_ETRN, PHASE_DEFERRED, PHASE_END },
		{ PHASE_CLIENT, PHASE_HELO, PHASE_ETRN, PHASE_DEFERRED,
		    PHASE_END },
	};
	const bool delay = c->smtpd_delay_reject;

	switch (stage) {
	case RESTRICT_CONNECT:
		return delay ? none : client;
	case RESTRICT_HELO:
		return delay ? none : helo;
	case RESTRICT_MAIL:
		return delay ? none : sender;
	case RESTRICT_RCPT:
	case RESTRICT_VRFY:
		return rcpt[delay]
			   [c->smtpd_relay_before_recipient_restrictions];
	case RESTRICT_DATA:
		return data;
	case RESTRICT_END:
		return end;
	case RESTRICT_ETRN:
		return etrn[delay];
	}
	return none;
}

bool
restrict_idle(const struct restrict_set *set, enum restrict_stage stage)
{
	const uint8_t *p = stage_phases(set->conf, stage);

	for (; *p != PHASE_END; p++) {
		if (*p == PHASE_UNLISTED_SENDER) {
			if (set->conf->smtpd_reject_unlisted_sender)
				return false;
		} else if (*p == PHASE_UNLISTED_RCPT) {
			if (set->conf->smtpd_reject_unlisted_recipient)
				return false;
		} else if (*p != PHASE_DEFERRED &&
			   set->lists[phase_lists[*p].list].count > 0) {
			return false;
		}
	}
	return true;
}

/* What is kept of earlier stages when a list begins. False: it is not run at
 * all. */
static bool
prepare(struct restrict_session *s, enum phase phase)
{
	const struct restrict_facts *f = s->f;

	switch (phase) {
	case PHASE_CLIENT:
		s->if_permit.active = false;
		break;
	case PHASE_HELO:
		if (f->helo == NULL)
			return false;
		s->if_permit.active = s->permit_client;
		break;
	case PHASE_SENDER:
		if (!f->has_sender)
			return false;
		s->if_permit.active = s->permit_client || s->permit_helo;
		s->sender_checked = false;
		break;
	case PHASE_RELAY_FIRST:
	case PHASE_RCPT_FIRST:
		s->if_permit.active = s->permit_sender;
		s->rcpt_checked = false;
		break;
	case PHASE_DATA:
	case PHASE_END_OF_DATA:
		s->if_permit.active = false;
		break;
	case PHASE_ETRN:
		s->if_permit.active = s->permit_client || s->permit_helo;
		break;
	case PHASE_RCPT:
	case PHASE_RELAY:
		return true; /* goes on where the one before it ended */
	case PHASE_UNLISTED_SENDER:
	case PHASE_UNLISTED_RCPT:
	case PHASE_DEFERRED:
	case PHASE_END:
		return true;
	}
	s->if_reject.active = false;
	s->warn_if_reject = 0;
	s->policy_nesting = 0;
	return true;
}

static void
remember(struct restrict_session *s, enum phase phase)
{
	switch (phase) {
	case PHASE_CLIENT:
		s->permit_client = s->if_permit.active;
		break;
	case PHASE_HELO:
		s->permit_helo = s->if_permit.active;
		break;
	case PHASE_SENDER:
		s->permit_sender = s->if_permit.active;
		break;
	case PHASE_END:
	case PHASE_UNLISTED_SENDER:
	case PHASE_RELAY_FIRST:
	case PHASE_RCPT:
	case PHASE_RCPT_FIRST:
	case PHASE_RELAY:
	case PHASE_DATA:
	case PHASE_END_OF_DATA:
	case PHASE_ETRN:
	case PHASE_DEFERRED:
	case PHASE_UNLISTED_RCPT:
		break;
	}
}

/* ---- running ---- */

static void
finish(struct restrict_session *s)
{
	s->ended = true;
	while (s->frame_count > 0)
		drop_frame(s);
}

/* A phase is over with a verdict. */
static void
end_phase(struct restrict_session *s, enum verdict v)
{
	const enum phase phase = s->phases[s->phase];

	while (s->frame_count > 0)
		drop_frame(s);
	s->in_phase = false;
	remember(s, phase);
	if (v == V_REJECT) {
		finish(s);
		return;
	}
	s->phase++;
}

static enum verdict
defer_permitted(struct restrict_session *s)
{
	const struct deferral *d = &s->if_permit;

	return !d->active ? V_DUNNO :
	    step_reject(s, d->code, d->dsn, "%s", d->text);
}

/* The phases that run no list. */
static bool
lone_phase(struct restrict_session *s, enum phase phase, enum verdict *out)
{
	const struct restrict_conf *c = s->set->conf;

	*out = V_DUNNO;
	switch (phase) {
	case PHASE_UNLISTED_SENDER:
		if (c->smtpd_reject_unlisted_sender && !s->sender_checked &&
		    !s->discard && s->f->has_sender && s->f->sender.n > 0)
			*out = check_unlisted_sender(s);
		return true;
	case PHASE_UNLISTED_RCPT:
		if (c->smtpd_reject_unlisted_recipient && !s->rcpt_checked &&
		    !s->discard)
			*out = check_unlisted_rcpt(s);
		return true;
	case PHASE_DEFERRED:
		*out = defer_permitted(s);
		return true;
	case PHASE_END:
	case PHASE_CLIENT:
	case PHASE_HELO:
	case PHASE_SENDER:
	case PHASE_RELAY_FIRST:
	case PHASE_RCPT:
	case PHASE_RCPT_FIRST:
	case PHASE_RELAY:
	case PHASE_DATA:
	case PHASE_END_OF_DATA:
	case PHASE_ETRN:
		break;
	}
	return false;
}

/* A step said what it thinks. */
static void
settle(struct restrict_session *s, enum verdict v)
{
	if (v == V_CALLED)
		return;
	if (s->warn_if_reject >= s->frame_count)
		s->warn_if_reject = 0;
	/* A list ends at its first yes or no, and so does the one that named
	 * it. */
	while (s->frame_count > 0 &&
	       (v != V_DUNNO || s->discard ||
		   (s->if_permit.active && s->if_reject.active) ||
		   s->frames[s->frame_count - 1].next ==
		       s->frames[s->frame_count - 1].list->count)) {
		const struct frame f = drop_frame(s);

		if (v == V_OK && f.suspicious)
			v = V_DUNNO;
		if (v == V_OK && f.forbid_ok && !s->discard) {
			log_warning(s->f->log, "restriction %s returns OK, "
			    "which is not allowed for security reasons; use "
			    "DUNNO to make an exception", f.forbid_name);
			v = step_config_error(s);
		}
	}
	if (s->frame_count == 0)
		end_phase(s, v);
}

static void
begin_phase(struct restrict_session *s)
{
	const enum phase phase = s->phases[s->phase];
	const struct restrict_list *list;
	enum verdict v;

	if (phase == PHASE_END) {
		s->verdict.code = 0; /* there may have been a warning */
		finish(s);
		return;
	}
	s->in_phase = true;
	if (!prepare(s, phase)) {
		s->in_phase = false;
		s->phase++;
		return;
	}
	if (lone_phase(s, phase, &v)) {
		if (v != V_WAIT)
			end_phase(s, v);
		return;
	}
	list = &s->set->lists[phase_lists[phase].list];
	if (list->count == 0 || s->discard)
		end_phase(s, V_DUNNO);
	else
		push_frame(s, list, NULL, phase_lists[phase].subject);
}

static void
one_step(struct restrict_session *s)
{
	struct frame *f;
	const struct step *step;
	enum verdict v;

	if (!s->in_phase) {
		begin_phase(s);
		return;
	}
	if (s->frame_count == 0)
		return; /* a lone phase that waits */
	f = &s->frames[s->frame_count - 1];
	if (f->next == f->list->count) {
		settle(s, V_DUNNO);
		return;
	}
	step = &f->list->steps[f->next++];
	v = step->op->run(s, step);
	if (v != V_WAIT)
		settle(s, v);
}

static void
answer(struct restrict_session *s)
{
	const restrict_fn fn = s->fn;

	s->fn = NULL;
	fn(s->arg, &s->verdict);
}

static void
run(struct restrict_session *s)
{
	if (s->running)
		return;
	s->running = true;
	while (!s->ended && !s->waiting) {
		one_step(s);
		if (s->waiting && s->early) {
			s->waiting = s->early = false;
			settle(s, s->early_verdict);
		}
	}
	s->running = false;
	if (s->ended)
		answer(s);
}

void
step_done(struct restrict_session *s, enum verdict v)
{
	BUG_ON(!s->waiting || v == V_WAIT);
	if (s->running) {
		s->early = true;
		s->early_verdict = v;
		return;
	}
	s->waiting = false;
	/* Frames and ends must not answer from within. */
	s->running = true;
	settle(s, v);
	s->running = false;
	run(s);
}

/* ---- sessions ---- */

struct restrict_session *
restrict_session_new(struct restrict_set *set,
    const struct restrict_world *world, void *ctx)
{
	struct restrict_session *s = MEM_NEW(s);

	s->set = set;
	s->world = world;
	s->ctx = ctx;
	buf_init(&s->text, TEXT_MAX);
	return s;
}

void
restrict_cancel(struct restrict_session *s)
{
	if (s->fn == NULL)
		return;
	BUG_ON(s->running);
	s->world->cancel(s->ctx);
	finish(s);
	s->fn = NULL;
	s->waiting = false;
	mem_free(s->work.hosts);
	s->work.hosts = NULL;
}

void
restrict_session_free(struct restrict_session **ref)
{
	struct restrict_session *s = *ref;

	if (s == NULL)
		return;
	restrict_cancel(s);
	rbl_free_all(s);
	mem_free(s->if_permit.text);
	mem_free(s->if_reject.text);
	mem_free(s->frames);
	buf_release(&s->text);
	mem_free(s);
	*ref = NULL;
}

void
restrict_ask(struct restrict_session *s, enum restrict_stage stage,
    const struct restrict_facts *facts, restrict_fn fn, void *arg)
{
	BUG_ON(s->fn != NULL);
	s->f = facts;
	s->fn = fn;
	s->arg = arg;
	s->stage = stage;
	s->phases = stage_phases(s->set->conf, stage);
	s->phase = 0;
	s->in_phase = s->ended = s->waiting = s->early = false;
	s->verdict = (struct restrict_verdict){ .code = 0 };
	run(s);
}

void
restrict_reset(struct restrict_session *s)
{
	restrict_cancel(s);
	s->discard = false;
}
