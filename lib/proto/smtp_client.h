/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_CLIENT_H
#define CHAPPE_PROTO_SMTP_CLIENT_H

/*
 * The client's side of SMTP and LMTP, for relaying: bytes in, events out,
 * commands out (RFC 5321, 2033, 2920, 3207, 4954). It knows no clock, no
 * descriptor and no queue. The driver connects, then:
 *
 *	loop: n = smtp_client_feed(c, input, &ev), again and again until it
 *	      consumes nothing and has no event; act on each event;
 *	      send smtp_client_output, tell smtp_client_sent how much went,
 *	      and feed again (perhaps with no input), for sending makes room.
 *
 * A session: [NEED_TLS ... smtp_client_tls_started] READY, then for each
 * message smtp_client_send, any number of RESULT, WANT_BODY if a recipient was
 * accepted, RESULT until each recipient has had exactly one, DONE. After DONE
 * with reusable set the next message may follow, or smtp_client_quit. FAILED
 * ends the session at any point: recipients that had no RESULT are the
 * driver's to defer, with the text of the event. The driver sets its time
 * limits by smtp_client_stage.
 *
 * The server is not trusted: replies are bounded (LIMIT_SMTP_REPLY_LINE,
 * LIMIT_SMTP_REPLY), anything unasked or malformed is FAILED, and the text of a
 *reply holds printable ASCII only. Bodies leave with CRLF line ends and stuffed
 * dots whatever they hold.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/proto/smtp_xattr.h"

struct smtp_client;

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE, /* never STARTTLS (also: TLS is already there) */
	SMTP_CLIENT_TLS_MAY, /* if offered; a refusal means going on in clear */
	SMTP_CLIENT_TLS_MUST, /* or FAILED */
};

/* Must outlive the session. */
struct smtp_client_conf {
	const char *helo_name;
	bool lmtp;
	enum smtp_client_tls tls;
	const char *user; /* NULL: no AUTH. If set and the server offers
			     neither PLAIN nor LOGIN: FAILED */
	const char *password;
};

/* Where a session is: also what a reply answers. */
enum smtp_stage {
	SMTP_STAGE_GREETING,
	SMTP_STAGE_HELLO,
	SMTP_STAGE_STARTTLS,
	SMTP_STAGE_TLS, /* the driver's handshake */
	SMTP_STAGE_AUTH,
	SMTP_STAGE_IDLE, /* READY or DONE; nothing is awaited */
	SMTP_STAGE_XFORWARD,
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA,
	SMTP_STAGE_BODY,     /* the message is being sent */
	SMTP_STAGE_DATA_END, /* waiting for the final reply */
	SMTP_STAGE_RSET,
	SMTP_STAGE_QUIT,
	SMTP_STAGE_CLOSED,
};

/* What a sender wants to hear of a recipient (RFC 3461 4). */
struct smtp_client_dsn {
	unsigned notify;   /* SMTP_NOTIFY_* (lib/proto/smtp_params.h) or 0 */
	struct span orcpt; /* "rfc822;a@b", not xtext; empty: none */
};

/* A message to send. All of it must live until DONE or the session's end. */
struct smtp_client_message {
	struct span sender;	  /* canonical address; empty: null sender */
	const struct span *rcpts; /* canonical addresses, at least one */
	size_t rcpt_count;
	uint64_t size;	/* bytes, for SIZE=; 0: not known */
	bool body_8bit; /* BODY=8BITMIME where offered; sent as it is anyway */
	bool smtputf8;	/* needs SMTPUTF8: 5.6.7 for all where not offered */
	bool binary;	/* by BDAT, with BODY=BINARYMIME: 5.6.1 for all where not
			   offered; size must be right */
	bool requiretls;   /* REQUIRETLS: 5.7.30 for all where not offered */
	bool probe;	   /* a recipient's result is the reply to its RCPT;
			      no DATA, no body */
	bool ret_full, ret_hdrs;
	struct span envid; /* not xtext; empty: none */
	/* Said by XFORWARD where that is offered; a server that refuses it
	 * gets the message all the same. NULL: nothing. */
	const struct smtp_forward *forward;
	/* Of each recipient, or NULL; said where DSN is offered. */
	const struct smtp_client_dsn *dsn;
};

/* What a server said, or our own verdict in the same form. */
struct smtp_reply {
	unsigned code; /* 220, 550, ...; 0: no reply of the server */
	char dsn[12];  /* "5.1.1"; made from the code when the text has none */
	struct span text; /* all lines joined by a space, beginning with the
			     code; without code a phrase of ours. Until the
			     next call. */
};

enum smtp_client_event_type {
	SMTP_CLIENT_NONE,
	SMTP_CLIENT_NEED_TLS, /* do the handshake, then tls_started */
	SMTP_CLIENT_READY,
	SMTP_CLIENT_RESULT,    /* of recipient rcpt: reply, stage. 2xx: sent */
	SMTP_CLIENT_WANT_BODY, /* give it by smtp_client_body */
	SMTP_CLIENT_DONE,      /* all recipients have results; reusable */
	SMTP_CLIENT_FAILED,    /* the session is over: reply, stage */
	SMTP_CLIENT_CLOSED,    /* the answer to QUIT came */
};

struct smtp_client_event {
	enum smtp_client_event_type type;
	size_t rcpt;	       /* RESULT: index in the message's rcpts */
	enum smtp_stage stage; /* RESULT, FAILED: what reply answers */
	struct smtp_reply reply;
	bool reusable; /* DONE: another message may follow */
};

/* A session on a fresh connection: waits for the greeting. */
struct smtp_client *smtp_client_new(const struct smtp_client_conf *conf);
void smtp_client_free(struct smtp_client *c);

/* Consumes input, possibly none of it, until there is an event; returns the
 * number of bytes consumed. */
size_t smtp_client_feed(
    struct smtp_client *c, struct span in, struct smtp_client_event *out);

/* The handshake after NEED_TLS went well; leftover: bytes received in clear
 * that were not consumed (if any, feed gives FAILED next). A handshake that
 * failed ends the session: the driver may try anew without TLS. */
void smtp_client_tls_started(struct smtp_client *c, size_t leftover);

/* Begins a message; only after READY or a reusable DONE. */
void smtp_client_send(
    struct smtp_client *c, const struct smtp_client_message *m);

/* After WANT_BODY: how many bytes smtp_client_body will take now; 0 until some
 * output was sent. Never more than 64 KiB. */
size_t smtp_client_body_room(const struct smtp_client *c);

/* The next bytes of the message, at most the room. binary: they leave as they
 * are. Else lines may end in CRLF or
 * LF; a CR or LF that is neither becomes a space or a line end. */
void smtp_client_body(struct smtp_client *c, struct span bytes);

/* The message is complete. */
void smtp_client_body_end(struct smtp_client *c);

/* Ends the session politely; from READY or DONE only. */
void smtp_client_quit(struct smtp_client *c);

/* What is to be sent; valid until the next call. */
struct span smtp_client_output(const struct smtp_client *c);
void smtp_client_sent(struct smtp_client *c, size_t n);

enum smtp_stage smtp_client_stage(const struct smtp_client *c);

/* "RCPT TO command", "end of DATA command", "initial server greeting", ...:
 * what goes behind "in reply to" or "while". */
const char *smtp_stage_text(enum smtp_stage stage);

/* What the server offered in its last EHLO. size: its limit, 0 for none.  */
bool smtp_client_offers(
    const struct smtp_client *c, const char *keyword, uint64_t *out_size);

#endif
