/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/outbound.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/outbound.h"
#include "smtpd/session.h"

/* One of those who are counted. */
struct party {
	const char *what; /* "login", "sender" */
	char name[LIMIT_ADDRESS]; /* "alice", "uid:1000", "alice@b.test" */
	struct outbound_limit limit;
};

/* ---- limits ---- */
static void
lower_case(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)ascii_lower((uint8_t)*text);
}

/* What the tables say of the party. */
static void
read_tables(struct session *s, struct party *p)
{
	struct buf value;
	struct err e;

	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(s->service->outbound_maps, span_str(p->name), &value,
		&e)) {
	case MAP_FOUND:
		if (!outbound_parse(buf_span(&value), &p->limit))
			log_warning(&s->log, "%s: bad limits of \"%s\": %s",
			    maps_where(s->service->outbound_maps),
			    log_quote(span_str(p->name), 200),
			    log_quote(buf_span(&value), 200));
		break;
	case MAP_FAILED:
		log_warning(&s->log, "smtpd_outbound_limit_maps: %s", e.text);
		break;
	case MAP_ABSENT:
		break;
	}
	buf_release(&value);
}

/* False: there is no limit for the party. */
static bool
find_limits(struct session *s, struct party *p)
{
	const struct smtpd_conf *c = s->service->conf;
	const bool login = p->what[0] == 'l';
	struct err e;

	p->limit = (struct outbound_limit){
		.messages = (uint32_t)(login ?
		    c->smtpd_outbound_message_limit :
		    c->smtpd_outbound_sender_message_limit),
		.recipients = (uint32_t)(login ?
		    c->smtpd_outbound_recipient_limit :
		    c->smtpd_outbound_sender_recipient_limit),
		.unit_s = c->smtpd_outbound_time_unit / 1000,
		.action = (enum outbound_action)c->smtpd_outbound_action,
	};
	if (p->limit.unit_s < 1)
		p->limit.unit_s = 1;
	if (p->limit.unit_s > SHARED_UNIT_MAX)
		p->limit.unit_s = SHARED_UNIT_MAX;
	read_tables(s, p);
	if (p->limit.messages == 0 && p->limit.recipients == 0)
		return false;
	switch (match_list_domain(s->service->outbound_exceptions,
	    span_str(p->name), &e)) {
	case 0:
		return true;
	case 1:
		return false;
	}
	log_warning(&s->log, "smtpd_outbound_limit_exceptions: %s", e.text);
	return true;
}

/* ---- the gate ---- */
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
	const bool messages = what == OUTBOUND_MESSAGES;
	char text[LIMIT_ADDRESS + 200];

	snprintf(text, sizeof(text), "<%s>: Outbound limit exceeded: more "
	    "than %u %s in %llds from this %s",
	    log_quote(span_str(p->name), 300),
	    messages ? p->limit.messages : p->limit.recipients,
	    messages ? "messages" : "recipients", (long long)p->limit.unit_s,
	    p->what);
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
	char what[32];

	lower_case(p->name);
	if (p->name[0] == '\0' || !find_limits(s, p))
		return true;
	snprintf(what, sizeof(what), "outbound %s", p->what);
	key = shared_table_key(t, what, span_str(p->name));
	if (!s->outbound.counted &&
	    !outbound_count(t, key, OUTBOUND_MESSAGES, &p->limit, now_s) &&
	    !exceeded(s, p, OUTBOUND_MESSAGES))
		return false;
	return outbound_count(t, key, OUTBOUND_RECIPIENTS, &p->limit,
	    now_s) || exceeded(s, p, OUTBOUND_RECIPIENTS);
}

static void
ask(struct session *s, enum stage stage)
{
	struct party who = { .what = "login" }, sender = { .what = "sender" };

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

int
outbound_start(struct service *s, struct err *e)
{
	if (maps_open(s->conf->smtpd_outbound_limit_maps, &s->outbound_maps,
		e) != 0)
		return err_wrap(e, "smtpd_outbound_limit_maps");
	if (match_list_open(s->conf->smtpd_outbound_limit_exceptions,
		&s->outbound_exceptions, e) != 0)
		return err_wrap(e, "smtpd_outbound_limit_exceptions");
	return 0;
}
