/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_OUTBOUND_H
#define CHAPPE_SMTPD_OUTBOUND_H

/*
 * The gate of the limits of what is sent: by whoever is logged in, by users of
 * this host on the submission socket, and by the sender addresses that these
 * use. Against stolen passwords: what is too much is refused, or held for the
 * administrator to look at, with one line in the log for each message.
 */

#include <stdbool.h>

/* What a session keeps for us, of its message. */
struct outbound_state {
	bool counted; /* the message is */
	bool held;    /* that is in the log */
};

#endif
