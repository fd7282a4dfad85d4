/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MILTER_RUN_H
#define CHAPPE_MAIL_MILTER_RUN_H

/*
 * Shows filters a whole message that no SMTP client brought (Postfix's
 * non_smtpd_milters): all steps from the connection of a client "localhost"
 * to the end of the message, one after the other.
 */

#include "lib/mail/milter_client.h"

struct milter_run;
struct milter_message {
	struct span sender; /* canonical addresses */
	const struct span *rcpts;
	size_t rcpt_count;
	struct milter_mail *mail; /* complete; is changed */
};

/* fn is called once, not before this returns, with what the filters say of
 * the message as a whole; all must live until then. It must free the run. */
struct milter_run *milter_run_start(const struct milter_client_conf *conf,
    const struct milter_message *message, milter_fn fn, void *arg);
void milter_run_free(struct milter_run **r);

/* The macros that are the same for all such messages, and those of the
 * sender and (rcpt: empty for none) recipient; as milter_macro_fn. qid and
 * hostname: macros i and j. */
bool milter_run_macro(const struct milter_settings *settings,
    const char *hostname, const char *qid, struct span sender, struct span rcpt,
    struct span name, struct buf *out);

#endif
