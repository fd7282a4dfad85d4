/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_SERVER_H
#define CHAPPE_PROTO_SMTP_SERVER_H

/*
 * The server's side of SMTP and LMTP: bytes in, events out, replies out
 * (RFC 5321, 2033, 1870, 2920, 3030, 3207, 4954, 9422). The engine keeps the order of
 * commands, the counts and the limits; it knows no policy, no clock and no
 * descriptor. The driver:
 *
 *	smtp_server_say(s, 220, "", greeting);
 *	loop: n = smtp_server_feed(s, input, &ev); forget n bytes of input;
 *	      act on ev, now or later, with smtp_server_answer;
 *	      send smtp_server_output, tell smtp_server_sent how much went.
 *
 * While an event waits for its answer feed consumes nothing: pipelined
 * commands stay with the driver, which thereby stops reading. Whether input
 * comes whole or byte by byte, events and replies are the same, with one
 * exception that is meant: bytes behind a command that must be the last of
 * its group (RFC 2920 3.1: EHLO, HELO, LHLO, DATA, NOOP, VRFY, AUTH, STARTTLS;
 * any, while PIPELINING was not offered by a reply to EHLO) are noticed only
 * when they are there already.
 *
 * An idle session holds no buffers. Memory is bounded by the limits in
 * lib/base/limits.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"
#include "lib/proto/smtp_cmd.h"
#include "lib/proto/smtp_params.h"

struct smtp_server;

/* What is offered in the reply to EHLO. */
enum smtp_caps {
	SMTP_CAP_PIPELINING = 1 << 0,
	SMTP_CAP_SIZE = 1 << 1,
	SMTP_CAP_VRFY = 1 << 2, /* without it VRFY is refused as disabled */
	SMTP_CAP_ETRN = 1 << 3,
	SMTP_CAP_STARTTLS = 1 << 4,
	SMTP_CAP_AUTH = 1 << 5, /* auth_mechs says which */
	SMTP_CAP_8BITMIME = 1 << 6,
	SMTP_CAP_DSN = 1 << 7,
	SMTP_CAP_SMTPUTF8 = 1 << 8,
	SMTP_CAP_CHUNKING = 1 << 9, /* without it BDAT ends the session */
	SMTP_CAP_BINARYMIME = 1 << 10, /* with CHUNKING and 8BITMIME only */
	SMTP_CAP_REQUIRETLS = 1 << 11, /* under TLS only (RFC 8689 2) */
	SMTP_CAP_LIMITS = 1 << 12,     /* RCPTMAX: rcpt_max */
	SMTP_CAP_FUTURERELEASE = 1 << 13, /* future_s says how far */
	SMTP_CAP_XCLIENT = 1 << 14,
	SMTP_CAP_XFORWARD = 1 << 15,
	SMTP_CAP_ENHANCEDSTATUSCODES = 1 << 16,
	SMTP_CAP_AUTH_OLD = 1 << 17, /* "AUTH=PLAIN LOGIN" too */
};

/* Settings of a listener; must outlive its sessions. */
struct smtp_server_conf {
	const char *hostname; /* begins the reply to EHLO, stands in 421 */
	uint64_t size_max;    /* bytes of a message; 0: no limit */
	unsigned error_max;   /* this many errors end the session */
	unsigned junk_max;    /* NOOP, RSET, VRFY, HELO beyond count as
				 errors */
	unsigned rcpt_max;    /* accepted recipients of one message */
	bool lmtp;	      /* LHLO, one reply per recipient */
	bool helo_required;   /* MAIL needs HELO or EHLO before it */
	bool tls_required;    /* nothing but hello before STARTTLS */
	bool bare_newline_ok; /* let bare CR, LF and NUL in a message pass,
				 and a bare LF end a command; never the
				 message */
	unsigned bare_code;   /* of the refusal otherwise; 0: 550 */
	bool pipelining_ok;   /* do not mind input that comes too early */
	bool strict_envelopes; /* paths in angle brackets, no source route */
	bool strict_smtputf8; /* UTF-8 in an address needs SMTPUTF8 */
	const char *noop_commands; /* words answered 250; NULL: none */
	const char *forbidden_commands; /* unknown words that end the session,
				 as does a header field or what begins with no
				 letter; NULL: none of these */
	uint32_t future_s; /* FUTURERELEASE: how far ahead */
	bool soft; /* say 4xx for 5xx: nothing is refused for good */
};

/* What a session may have beside; each function may be NULL. */
struct smtp_server_hooks {
	/* Another command for the line: true, and *out has it. */
	bool (*rewrite)(void *arg, struct span line, struct buf *out);
	/* Appends what is to stand below a reply of 4xx or 5xx, which is
	 * given whole, without its line end. "\\n" (two characters) begins a
	 * line, "\\c" in front goes on with the reply's last. */
	void (*footer)(void *arg, struct span reply, struct buf *out);
	void *arg;
};

enum smtp_event_type {
	SMTP_EVENT_NONE, /* nothing to do: more input, or output to be sent */

	/* Each of these waits for smtp_server_answer. cmd is valid until then.
	 */
	SMTP_EVENT_HELLO,     /* HELO, EHLO, LHLO: cmd->arg is the name. Any
				 transaction is over. */
	SMTP_EVENT_MAIL,      /* cmd->path, mail */
	SMTP_EVENT_RCPT,      /* cmd->path, rcpt */
	SMTP_EVENT_DATA,      /* answer 354 to get the message. chunked: it
				 comes by BDAT, 354 is not said, and a refusal
				 only behind the first chunk */
	SMTP_EVENT_DATA_END,  /* the message is complete. LMTP: one answer for
				 each accepted recipient, in their order. */
	SMTP_EVENT_VRFY,      /* cmd->arg, cmd->utf8 */
	SMTP_EVENT_ETRN,      /* cmd->arg: a domain or a literal */
	SMTP_EVENT_XCLIENT,   /* cmd->arg; after an answer of 220 the session
				 is as new, see smtp_server_assume */
	SMTP_EVENT_XFORWARD,  /* cmd->arg */
	SMTP_EVENT_STARTTLS,  /* answer 220, send it, shake hands, then call
				 smtp_server_tls_started */
	SMTP_EVENT_AUTH,      /* cmd->mech; cmd->arg is the initial response in
				 base 64, "=" for an empty one, empty if none.
				 334 asks for a line, 235 ends it well. */
	SMTP_EVENT_AUTH_LINE, /* data: the client's line, in base 64 */

	/* These do not wait; what had to be said is in the output. */
	SMTP_EVENT_CHUNK, /* data: more of the message, dots removed, lines
			     ending in CRLF unless BODY=BINARYMIME; points
			     into the input of feed */
	SMTP_EVENT_RSET,  /* the transaction, if any, is over */
	SMTP_EVENT_QUIT,  /* the session is over */
	SMTP_EVENT_BAD,	  /* something was refused: bad, reject */
	SMTP_EVENT_TOO_MANY_ERRORS, /* the session is over */
};

/* Why the engine refused. */
enum smtp_bad {
	SMTP_BAD_SYNTAX,    /* of a known command */
	SMTP_BAD_UNKNOWN,   /* no such command, or not offered */
	SMTP_BAD_STATE,	    /* not now */
	SMTP_BAD_LINE,	    /* too long, or a forbidden byte, in a command */
	SMTP_BAD_SYNC,	    /* data behind a command that must be the last;
			       ends the session */
	SMTP_BAD_FOREIGN,   /* the verb of another protocol: detail is the
			       line; ends the session */
	SMTP_BAD_BARE,	    /* bare LF, CR or NUL in a message; a bare LF
			       ends the session. The transaction is over. */
	SMTP_BAD_SIZE,	    /* message or its declared size too large; after
			       DATA the transaction is over */
	SMTP_BAD_CANCELLED, /* the client gave up AUTH */
};

struct smtp_event {
	enum smtp_event_type type;
	const struct smtp_cmd *cmd; /* NULL where none is named above */
	struct span data;
	uint64_t size; /* DATA_END: bytes of the message */
	bool chunked;  /* DATA, DATA_END: by BDAT */
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	enum smtp_bad bad;	   /* BAD */
	struct smtp_reject reject; /* BAD: what was answered; its detail lives
				      until the next call */
	/* data, for BAD of what is no command: the line, until the next
	 * call */
	bool aborted; /* BAD: the transaction that was open is over */
};

/* A new session; auth_mechs as below. conf must outlive it. */
struct smtp_server *smtp_server_new(const struct smtp_server_conf *conf);
void smtp_server_free(struct smtp_server *s);

/* What is offered from now on: caps, and with SMTP_CAP_AUTH the mechanisms as
 * they stand in the reply ("PLAIN LOGIN"; must live until the next call, or
 * outlive the session). */
void smtp_server_offer(
    struct smtp_server *s, unsigned caps, const char *auth_mechs);

/* Beside what conf says of bare_newline_ok, for this client. */
void smtp_server_bare_newline(struct smtp_server *s, bool ok);

/* hooks must outlive the session; NULL: none. */
void smtp_server_hook(
    struct smtp_server *s, const struct smtp_server_hooks *hooks);

/* The latest date that HOLDUNTIL may have, for the offer of FUTURERELEASE
 * ("2026-11-29T19:00:00Z"); must outlive the session or be set anew. */
void smtp_server_future_until(struct smtp_server *s, const char *text);

/* While XCLIENT waits for its answer: hello counts as said, by EHLO if extended; the client counts
 * as logged in. */
void smtp_server_assume(
    struct smtp_server *s, bool hello, bool extended, bool login);

/* Consumes input, possibly none of it, until there is an event; returns the
 * number of bytes consumed. Must also be called, with whatever there is, after
 * an answer and after output was sent. */
size_t smtp_server_feed(
    struct smtp_server *s, struct span in, struct smtp_event *out);

/* Answers the event that waits. dsn "" omits the enhanced code. A text with
 * LF in it makes a reply of several lines; other control bytes become '?'.
 * 2xx (3xx) lets the session go on accordingly, 4xx and 5xx refuse and count
 * as an error, 421, 521 and 221 also end the session. 250 to EHLO: text is ignored,
 * the engine says what is offered. */
void smtp_server_answer(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text);

/* Says something unasked: the greeting, or 421, which ends the session. */
void smtp_server_say(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text);

/* The handshake after STARTTLS is done, or TLS came before the greeting
 * (implicit): all that the client said before is forgotten (RFC 3207 4.2).
 * leftover: bytes received in clear that nobody has consumed; if there are
 * any, the session is over, false is returned, and nothing more is read. */
bool smtp_server_tls_started(struct smtp_server *s, size_t leftover);

/* What is to be sent; valid until the next call. */
struct span smtp_server_output(const struct smtp_server *s);

/* The first n bytes of the output were sent. */
void smtp_server_sent(struct smtp_server *s, size_t n);

/* Does an event wait for its answer? */
bool smtp_server_waiting(const struct smtp_server *s);

/* Is the session over, so that the connection ends once the output is sent? */
bool smtp_server_closing(const struct smtp_server *s);

/* Is a message being received (between 354 and the end of data)? */
bool smtp_server_in_data(const struct smtp_server *s);

/* The last command, for "lost connection after RCPT"; SMTP_UNKNOWN with
 * *out_any false before the first. */
enum smtp_verb smtp_server_last(const struct smtp_server *s, bool *out_any);

/* Bytes of the message received so far, or of the last one. */
uint64_t smtp_server_data_size(const struct smtp_server *s);

/* Errors so far (beyond a soft limit the driver delays its replies). A
 * message taken sets them back to 0. */
unsigned smtp_server_errors(const struct smtp_server *s);

/* How often a verb was said and how often with success; SMTP_UNKNOWN counts
 * what is no command. */
void smtp_server_count(const struct smtp_server *s, enum smtp_verb verb,
    unsigned *out_ok, unsigned *out_total);

/* Did a line end in LF alone? */
bool smtp_server_saw_bare_newline(const struct smtp_server *s);

/* Did input come earlier than it may (RFC 2920 3.1)? */
bool smtp_server_pipelined_badly(const struct smtp_server *s);

/* Did EHLO (or LHLO) open the session, rather than HELO? */
bool smtp_server_extended(const struct smtp_server *s);

#endif
