/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/outbound.h"

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
    const struct outbound_limit *limit, int64_t now_s)
{
	const uint32_t max = what == OUTBOUND_MESSAGES ? limit->messages :
							 limit->recipients;

	return max == 0 ||
	    shared_table_count(t, SHARED_QUOTA, key, (unsigned)what, 1, max,
		now_s, limit->unit_s, NULL);
}
