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
#include "lib/conf/conf.h"
#include "lib/map/map.h"
#include "lib/os/shared_table.h"

enum outbound_action { OUTBOUND_DEFER, OUTBOUND_REJECT, OUTBOUND_HOLD };

struct outbound_limit {
	uint32_t messages, recipients; /* in unit_s; 0: no limit */
	int64_t unit_s;
	enum outbound_action action;
};

/* The parameters, in every program that takes mail from them. */
struct outbound_settings {
	int64_t smtpd_outbound_message_limit, smtpd_outbound_recipient_limit;
	int64_t smtpd_outbound_sender_message_limit;
	int64_t smtpd_outbound_sender_recipient_limit;
	int64_t smtpd_outbound_time_unit;
	int smtpd_outbound_action; /* enum outbound_action */
	const char *smtpd_outbound_limit_maps;
	const char *smtpd_outbound_limit_exceptions;
};

/* Their rows, of the member m (struct outbound_settings) of struct S. */
#define OUTBOUND_AT(S, m, name)                                                \
	(offsetof(S, m) + offsetof(struct outbound_settings, name))
#define OUTBOUND_INT(S, m, name, help)                                         \
	{ #name, PARAM_T_INT, OUTBOUND_AT(S, m, name), "0", 0, 1000000, NULL,  \
	    (help) }
#define OUTBOUND_STR(S, m, name, help)                                         \
	{ #name, PARAM_T_STR, OUTBOUND_AT(S, m, name), "", 0, 0, NULL, (help) }
#define OUTBOUND_ROWS(S, m)                                                    \
	OUTBOUND_INT(S, m, smtpd_outbound_message_limit,                       \
	    "messages that a login, or a user of this host, may send in "      \
	    "smtpd_outbound_time_unit; 0: no limit"),                          \
	OUTBOUND_INT(S, m, smtpd_outbound_recipient_limit,                     \
	    "recipients that these may send to in that time; 0: no limit"),    \
	OUTBOUND_INT(S, m, smtpd_outbound_sender_message_limit,                \
	    "messages that these may send with one sender address in that "    \
	    "time; 0: no limit"),                                              \
	OUTBOUND_INT(S, m, smtpd_outbound_sender_recipient_limit,              \
	    "recipients of one sender address in that time; 0: no limit"),     \
	{ "smtpd_outbound_time_unit", PARAM_T_TIME,                            \
	    OUTBOUND_AT(S, m, smtpd_outbound_time_unit), "1h", 0,              \
	    INT64_MAX / 1000, NULL, "the time in which they are counted" },    \
	{ "smtpd_outbound_action", PARAM_T_ENUM,                               \
	    OUTBOUND_AT(S, m, smtpd_outbound_action), "defer", 0, 0,           \
	    "defer reject hold", "what becomes of more: refused for now "      \
	    "(450) or for good (550), or taken and held; what is found in "    \
	    "maildrop/ is held" },                                             \
	OUTBOUND_STR(S, m, smtpd_outbound_limit_maps,                          \
	    "tables from a login, uid:NUMBER or sender to limits of its own: " \
	    "messages=N recipients=N time=T action=A, or unlimited"),          \
	OUTBOUND_STR(S, m, smtpd_outbound_limit_exceptions,                    \
	    "logins, uid:NUMBER and senders without limits")

struct outbound;
/* Opens the tables; settings must outlive it. */
int outbound_open(const struct outbound_settings *settings,
    struct outbound **out, struct err *e);

/* The limits of a login (or "uid:1000"), or of a sender address; names in
 * lower case. False: there are none. A table that fails is in the log, and
 * says nothing. */
enum outbound_party { OUTBOUND_LOGIN, OUTBOUND_SENDER };
bool outbound_find(struct outbound *o, enum outbound_party party,
    const char *name, struct outbound_limit *out);

/* The key under which they are counted. */
uint64_t outbound_key(const struct shared_table *t,
    enum outbound_party party, const char *name);

/* What a table says: "messages=100 recipients=500 time=1d action=hold", or
 * "unlimited"; what is not named stays. False for anything else, with
 * *inout_limit as it was. */
bool outbound_parse(struct span text, struct outbound_limit *inout_limit);

enum outbound_what { OUTBOUND_MESSAGES, OUTBOUND_RECIPIENTS };

/* Counts n more for the key. False: the limit is passed (and they were not
 * counted). */
bool outbound_count(struct shared_table *t, uint64_t key,
    enum outbound_what what, uint32_t n, const struct outbound_limit *limit,
    int64_t now_s);

/* "<alice>: Outbound limit exceeded: more than 3 messages in 3600s from this
 * login", for reply and log. */
void outbound_text(enum outbound_party party, const char *name,
    enum outbound_what what, const struct outbound_limit *limit, char *out,
    size_t size);

#endif
