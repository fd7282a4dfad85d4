/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/outbound.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/outbound.h"
#include "smtpd/session.h"

/* One of those who are counted. */
struct party {
	enum outbound_party kind;
	char name[LIMIT_ADDRESS]; /* "alice", "uid:1000", "alice@b.test" */
	struct outbound_limit limit;
};

static void
lower_case(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)ascii_lower((uint8_t)*text);
}

static void
hold(struct session *s, const char *text)
{
	s->tx->act.hold = true;
	if (!s->outbound.held)
		session_log_what(s, "hold", "RCPT", span_str(text),
		    s->tx->rcpt);
	s->outbound.held = true;
}

/* False: it has been refused. */
static bool
exceeded(struct session *s, const struct party *p, enum outbound_what what)
{
	char text[LIMIT_ADDRESS + 200];

	outbound_text(p->kind, p->name, what, &p->limit, text, sizeof(text));
	switch (p->limit.action) {
	case OUTBOUND_HOLD:
		hold(s, text);
		return true;
	case OUTBOUND_DEFER:
		stage_reject(s, 450, "4.7.1", "%s", text);
		return false;
	case OUTBOUND_REJECT:
		stage_reject(s, 550, "5.7.1", "%s", text);
		return false;
	}
	return true;
}

/* False: the recipient has been refused. */
static bool
may_send(struct session *s, struct party *p)
{
	struct shared_table *t = s->service->shared;
	const int64_t now_s = clock_wall_us() / 1000000;
	uint64_t key;

	lower_case(p->name);
	if (p->name[0] == '\0' ||
	    !outbound_find(s->service->outbound, p->kind, p->name, &p->limit))
		return true;
	key = outbound_key(t, p->kind, p->name);
	if (!s->outbound.counted &&
	    !outbound_count(t, key, OUTBOUND_MESSAGES, 1, &p->limit, now_s) &&
	    !exceeded(s, p, OUTBOUND_MESSAGES))
		return false;
	return outbound_count(t, key, OUTBOUND_RECIPIENTS, 1, &p->limit,
	    now_s) || exceeded(s, p, OUTBOUND_RECIPIENTS);
}

static void
ask(struct session *s, enum stage stage)
{
	struct party who = { .kind = OUTBOUND_LOGIN };
	struct party sender = { .kind = OUTBOUND_SENDER };

	if (stage != STAGE_RCPT || (!s->local && s->sasl_user == NULL) ||
	    s->tx->route->code != 0) {
		stage_pass(s);
		return;
	}
	if (s->sasl_user != NULL)
		snprintf(who.name, sizeof(who.name), "%s", s->sasl_user);
	else
		snprintf(who.name, sizeof(who.name), "uid:%lu",
		    (unsigned long)s->uid);
	if (!span_copy(s->tx->env.sender, sender.name, sizeof(sender.name)))
		sender.name[0] = '\0';
	if (!may_send(s, &who) || !may_send(s, &sender))
		return;
	s->outbound.counted = true;
	stage_pass(s);
}

static void
reset(struct session *s)
{
	s->outbound = (struct outbound_state){ false, false };
}

const struct gate outbound_gate = { .name = "outbound",
	.ask = ask,
	.reset = reset };
