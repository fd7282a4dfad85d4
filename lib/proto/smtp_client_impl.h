/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_CLIENT_IMPL_H
#define CHAPPE_PROTO_SMTP_CLIENT_IMPL_H

/* What the files of the SMTP client engine share, and nobody else includes. */

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/proto/smtp_client.h"

enum rcpt_state { RCPT_OPEN, RCPT_ACCEPTED, RCPT_FINISHED };

enum auth_step { AUTH_PLAIN, AUTH_LOGIN_USER, AUTH_LOGIN_PASSWORD, AUTH_END };

struct smtp_client {
	const struct smtp_client_conf *conf;
	enum smtp_stage stage; /* which reply is awaited */
	struct buf line;       /* of the reply, so far */
	struct buf text;       /* of the reply, lines joined */
	unsigned code;	       /* of the reply's lines so far; 0: none yet */
	struct buf out;
	struct buf offers; /* lines of the reply to EHLO but the first */
	bool hello_fallback, tls_active, pipelining, secret_out;
	enum auth_step auth_step;

	/* The message in hand; commands are numbered MAIL, each RCPT, DATA. */
	const struct smtp_client_message *m;
	uint8_t *rcpts;	    /* enum rcpt_state of each */
	size_t sent, got;   /* commands sent, replies to them received */
	size_t last;	    /* commands to send in all: fewer after refusals */
	size_t accepted;    /* recipients in state RCPT_ACCEPTED */
	bool mail_ok, dead; /* dead: the connection is of no more use */

	/* One verdict for all recipients that have none yet. */
	bool fan;
	size_t fan_next;
	bool lmtp_final; /* final replies come one by one */
	enum smtp_stage fan_stage;
	struct smtp_reply fan_reply;
	struct buf fan_text;
	bool done_pending; /* DONE follows the last RESULT */
	bool chunk_due;	   /* BDAT was said: WANT_BODY follows */

	bool line_start, cr_pending; /* of the body */
	struct buf forward; /* XFORWARD commands to be sent, by LF */
};

/* What stands behind the keyword in the offer; false if it is not offered. */
bool smtp_client_find_offer(
    const struct smtp_client *c, const char *keyword, struct span *out);

/* Begins to send the message in hand, and goes on with it (the commands that
 * may be sent by now). */
void smtp_client_pump(struct smtp_client *c);

/* A reply came while a message was in hand. */
void smtp_client_on_reply(struct smtp_client *c, const struct smtp_reply *r,
    struct smtp_client_event *out);

/* Gives the next of the events that follow from what is known already; false
 * if there is none. */
bool smtp_client_pending(struct smtp_client *c, struct smtp_client_event *out);

/* Ends the session with a phrase of ours or, text NULL, with the reply. */
void smtp_client_fail(struct smtp_client *c, const struct smtp_reply *r,
    const char *dsn, const char *text, struct smtp_client_event *out);

/* Adds a command and its CRLF. */
void smtp_client_command(struct smtp_client *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
