/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SASL_POLICY_H
#define CHAPPE_MAIL_SASL_POLICY_H

/*
 * Which SASL mechanisms a client is offered: those of a list, without what a
 * filter takes out, what the security options forbid, and what can't work on
 * this connection: -PLUS without channel binding, EXTERNAL without a
 * certificate. Options and filter are Postfix's (smtpd_sasl_security_options,
 * smtpd_sasl_mechanism_filter).
 */

#include <stdbool.h>

#include "lib/map/map.h"

enum sasl_option {
	SASL_NOPLAINTEXT = 1, /* no passwords and no tokens as they are */
	SASL_NOACTIVE = 2,    /* withstand somebody in between */
	SASL_NODICTIONARY = 4,
	SASL_NOANONYMOUS = 8,
	SASL_FORWARD_SECRECY = 16,
	SASL_MUTUAL_AUTH = 32,
};

/* Reads "noanonymous, noplaintext" into a set of options. -1: an unknown
 * word. */
int sasl_options_parse(const char *text, unsigned *out, struct err *e);

/* Does the mechanism, in any case, have all that the options ask for? */
bool sasl_options_allow(unsigned options, struct span mechanism);

struct sasl_offer {
	const char *mechanisms;	   /* "PLAIN LOGIN", separated by , or space */
	struct match_list *filter; /* NULL: none */
	unsigned options;
	bool binding, cert; /* the connection has that */
};

/* Appends the mechanisms in upper case, separated by spaces. What a filter's
 * table can't say is not offered. *out_plus: a -PLUS one is among them. */
void sasl_offer_print(
    const struct sasl_offer *o, struct buf *out, bool *out_plus);

/* The mechanism as it stands in an offer ("PLAIN LOGIN"); NULL if it does
 * not, else mem_free. */
char *sasl_offer_find(const char *offer, struct span mechanism);

#endif
