/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "lib/base/limits.h"
#include "pickup/pickup.h"

enum { TEXT_SIZE = 1400 };

/* False: too much, and text says why. */
static bool
may_send(struct pickup *p, enum outbound_party party, const char *name,
    size_t rcpt_count, char *text)
{
	struct shared_table *t = server_memory_table(p->memory);
	const int64_t now_s = clock_wall_us() / 1000000;
	const uint64_t key = outbound_key(t, party, name);
	struct outbound_limit limit;
	enum outbound_what what = OUTBOUND_MESSAGES;

	if (!outbound_find(p->outbound, party, name, &limit))
		return true;
	if (outbound_count(t, key, what, 1, &limit, now_s)) {
		what = OUTBOUND_RECIPIENTS;
		if (outbound_count(t, key, what, (uint32_t)rcpt_count, &limit,
			now_s))
			return true;
	}
	outbound_text(party, name, what, &limit, text, TEXT_SIZE);
	return false;
}

bool
limits_ask(struct pickup *p, const struct intake_spec *spec, char *text)
{
	char uid[32], sender[LIMIT_ADDRESS];

	if (spec->uid < 0)
		return true; /* forwarded: it has been counted */
	snprintf(uid, sizeof(uid), "uid:%lld", (long long)spec->uid);
	if (!may_send(p, OUTBOUND_LOGIN, uid, spec->rcpt_count, text))
		return false;
	if (spec->sender.n == 0 ||
	    !span_copy(spec->sender, sender, sizeof(sender)))
		return true;
	for (char *c = sender; *c != '\0'; c++)
		*c = (char)ascii_lower((uint8_t)*c);
	return may_send(p, OUTBOUND_SENDER, sender, spec->rcpt_count, text);
}
