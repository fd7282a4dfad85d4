/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_OUTBOUND_H
#define CHAPPE_MAIL_OUTBOUND_H

/*
 * How much a login, a user of this host or a sender may send in a period: the
 * limits, with what a table says of one of them. The counts are in the shared
 * table, kept over a restart.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/os/shared_table.h"

enum outbound_action { OUTBOUND_DEFER, OUTBOUND_REJECT, OUTBOUND_HOLD };

struct outbound_limit {
	uint32_t messages, recipients; /* in unit_s; 0: no limit */
	int64_t unit_s;
	enum outbound_action action;
};

/* What a table says: "messages=100 recipients=500 time=1d action=hold", or
 * "unlimited"; what is not named stays. False for anything else, with
 * *inout_limit as it was. */
bool outbound_parse(struct span text, struct outbound_limit *inout_limit);

enum outbound_what { OUTBOUND_MESSAGES, OUTBOUND_RECIPIENTS };

/* Counts one more for the key. False: the limit is passed (and it was not
 * counted). */
bool outbound_count(struct shared_table *t, uint64_t key,
    enum outbound_what what, const struct outbound_limit *limit,
    int64_t now_s);

#endif
