/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/outbound.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"

struct outbound {
	const struct outbound_settings *settings;
	struct maps *maps;
	struct match_list *exceptions;
};

static const char *const party_names[] = { "login", "sender" };

static bool
parse_number(struct span text, uint32_t *out)
{
	uint64_t n;

	if (!span_u64(text, SHARED_COUNT_MAX - 1, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

/* "90", "90s", "15m", "12h", "7d". */
static bool
parse_time(struct span text, int64_t *out_s)
{
	static const struct {
		char letter;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
		{ 'w', 7 * 86400 } };
	int64_t unit = 1;
	uint64_t n;

	for (size_t i = 0; text.n > 0 && i < sizeof(units) / sizeof(units[0]);
	    i++)
		if (text.p[text.n - 1] == (uint8_t)units[i].letter) {
			unit = units[i].seconds;
			text = span_slice(text, 0, text.n - 1);
			break;
		}
	if (!span_u64(text, (uint64_t)(SHARED_UNIT_MAX / unit), &n) || n == 0)
		return false;
	*out_s = (int64_t)n * unit;
	return true;
}

static bool
parse_action(struct span text, enum outbound_action *out)
{
	if (span_ieq(text, SPAN("defer")))
		*out = OUTBOUND_DEFER;
	else if (span_ieq(text, SPAN("reject")))
		*out = OUTBOUND_REJECT;
	else if (span_ieq(text, SPAN("hold")))
		*out = OUTBOUND_HOLD;
	else
		return false;
	return true;
}

static bool
parse_word(struct span word, struct outbound_limit *l)
{
	const size_t equals = span_chr(word, '=');
	const struct span name = span_slice(word, 0, equals);
	const struct span value =
	    equals == SIZE_MAX ? SPAN_EMPTY : span_skip(word, equals + 1);

	if (span_ieq(word, SPAN("unlimited"))) {
		l->messages = l->recipients = 0;
		return true;
	}
	if (span_ieq(name, SPAN("messages")))
		return parse_number(value, &l->messages);
	if (span_ieq(name, SPAN("recipients")))
		return parse_number(value, &l->recipients);
	if (span_ieq(name, SPAN("time")))
		return parse_time(value, &l->unit_s);
	if (span_ieq(name, SPAN("action")))
		return parse_action(value, &l->action);
	return false;
}

bool
outbound_parse(struct span text, struct outbound_limit *inout_limit)
{
	struct outbound_limit l = *inout_limit;
	struct span word;
	bool any = false;

	while (span_token(&text, ", \t\r\n", &word)) {
		if (!parse_word(word, &l))
			return false;
		any = true;
	}
	if (any)
		*inout_limit = l;
	return any;
}

bool
outbound_count(struct shared_table *t, uint64_t key, enum outbound_what what,
    uint32_t n, const struct outbound_limit *limit, int64_t now_s)
{
	const uint32_t max = what == OUTBOUND_MESSAGES ? limit->messages :
							 limit->recipients;

	return max == 0 ||
	    shared_table_count(t, SHARED_QUOTA, key, (unsigned)what, n, max,
		now_s, limit->unit_s, NULL);
}

void
outbound_text(enum outbound_party party, const char *name,
    enum outbound_what what, const struct outbound_limit *limit, char *out,
    size_t size)
{
	const bool messages = what == OUTBOUND_MESSAGES;

	snprintf(out, size, "<%s>: Outbound limit exceeded: more than %u %s in "
	    "%llds from this %s", log_quote(span_str(name), 300),
	    messages ? limit->messages : limit->recipients,
	    messages ? "messages" : "recipients", (long long)limit->unit_s,
	    party_names[party]);
}

/* ---- whose limits ---- */
int
outbound_open(const struct outbound_settings *settings,
    struct outbound **out, struct err *e)
{
	struct outbound *o = MEM_NEW(o);

	o->settings = settings;
	if (maps_open(settings->smtpd_outbound_limit_maps, &o->maps, e) != 0)
		err_wrap(e, "smtpd_outbound_limit_maps");
	else if (match_list_open(settings->smtpd_outbound_limit_exceptions,
		&o->exceptions, e) != 0)
		err_wrap(e, "smtpd_outbound_limit_exceptions");
	else {
		*out = o;
		return 0;
	}
	maps_free(&o->maps);
	mem_free(o);
	return -1;
}

/* What the tables say. */
static void
read_tables(struct outbound *o, const char *name, struct outbound_limit *l)
{
	struct buf value;
	struct err e;

	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(o->maps, span_str(name), &value, &e)) {
	case MAP_FOUND:
		if (!outbound_parse(buf_span(&value), l))
			log_warning(NULL, "%s: bad limits of \"%s\": %s",
			    maps_where(o->maps),
			    log_quote(span_str(name), 200),
			    log_quote(buf_span(&value), 200));
		break;
	case MAP_FAILED:
		log_warning(NULL, "smtpd_outbound_limit_maps: %s", e.text);
		break;
	case MAP_ABSENT:
		break;
	}
	buf_release(&value);
}

static struct outbound_limit
defaults(const struct outbound_settings *s, enum outbound_party party)
{
	const bool login = party == OUTBOUND_LOGIN;
	struct outbound_limit l = {
		.messages = (uint32_t)(login ?
		    s->smtpd_outbound_message_limit :
		    s->smtpd_outbound_sender_message_limit),
		.recipients = (uint32_t)(login ?
		    s->smtpd_outbound_recipient_limit :
		    s->smtpd_outbound_sender_recipient_limit),
		.unit_s = s->smtpd_outbound_time_unit / 1000,
		.action = (enum outbound_action)s->smtpd_outbound_action,
	};

	if (l.unit_s < 1)
		l.unit_s = 1;
	if (l.unit_s > SHARED_UNIT_MAX)
		l.unit_s = SHARED_UNIT_MAX;
	return l;
}

bool
outbound_find(struct outbound *o, enum outbound_party party,
    const char *name, struct outbound_limit *out)
{
	struct outbound_limit l = defaults(o->settings, party);
	struct err e;
	int exempt;

	read_tables(o, name, &l);
	if (l.messages == 0 && l.recipients == 0)
		return false;
	exempt = match_list_domain(o->exceptions, span_str(name), &e);
	if (exempt < 0)
		log_warning(NULL, "smtpd_outbound_limit_exceptions: %s",
		    e.text);
	*out = l;
	return exempt <= 0;
}

uint64_t
outbound_key(const struct shared_table *t, enum outbound_party party,
    const char *name)
{
	return shared_table_key(t, party == OUTBOUND_LOGIN ?
	    "outbound login" : "outbound sender", span_str(name));
}
