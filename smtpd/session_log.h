/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_SESSION_LOG_H
#define CHAPPE_SMTPD_SESSION_LOG_H

/*
 * The log lines about a client, in the shapes that log readers know. They
 * only read the session (session_log_end takes its queue id away); every byte
 * that a client sent is quoted.
 */

#include "lib/base/span.h"

struct session;
struct smtp_event;

/* "NAME[ADDR]", with ":PORT" if that is wanted; in a ring of four static
 * buffers. */
const char *session_client(const struct session *s);

/* One "NOQUEUE: reject: ..." line, with the envelope as far as known; rcpt:
 * empty, or the recipient in question. what: "reject", "milter-reject". dsn
 * may be "". */
void session_log_reject(struct session *s, const char *what,
    const char *command, unsigned code, const char *dsn, struct span text,
    struct span rcpt);

/* The same with the text of the whole: "WHAT: COMMAND from NAME[ADDR]: TEXT;
 * from=..." */
void session_log_what(struct session *s, const char *what, const char *command,
    struct span text, struct span rcpt);

/* What the engine refused (SMTP_EVENT_BAD): a line where an administrator
 * should know, else only an event of the trace. */
void session_log_bad(struct session *s, const struct smtp_event *ev);

/* How it ended (session.end_note, if any), and "disconnect from" with the
 * counts of commands. */
void session_log_end(struct session *s);

#endif
