/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTP_FAULT_H
#define CHAPPE_SMTP_FAULT_H

/* Why a session with a target ended before its time, in Postfix's words. */

#include "smtp/smtp.h"

/* The connection is gone: "lost connection with HOST while ...". how: what
 * stands before the host. */
void fault_lost(const struct target *t, enum smtp_stage stage, const char *how,
    struct err *out_why);

enum fault {
	FAULT_REPLY,  /* what the server said, or a breach of the protocol */
	FAULT_NO_TLS, /* TLS is a must and can't be had from it */
};
/* An SMTP_CLIENT_FAILED event. */
enum fault fault_by_reply(const struct target *t,
    const struct smtp_client_event *ev, struct err *out_why);

#endif
