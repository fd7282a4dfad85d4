/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_SERVER_IMPL_H
#define CHAPPE_PROTO_SMTP_SERVER_IMPL_H

/* What the files of the SMTP server engine share, and nobody else includes. */

#include "lib/base/buf.h"
#include "lib/proto/smtp_server.h"

enum server_state {
	STATE_COMMAND,
	STATE_DATA, /* between 354 and the end of data */
	STATE_BDAT, /* within a chunk */
	STATE_AUTH, /* between 334 and the client's line */
	STATE_TLS,  /* between 220 and the end of the handshake */
	STATE_CLOSED,
};

/* Where in a line of the message the next byte stands. */
enum data_state {
	DATA_LINE_START,
	DATA_MIDDLE,
	DATA_CR,
	DATA_DOT, /* a dot at the line's start, not yet passed on */
	DATA_DOT_CR,
};

enum hello { HELLO_NONE, HELLO_HELO, HELLO_EHLO };

/* How the message that comes by BDAT stands. */
enum bdat_state {
	BDAT_NONE,
	BDAT_GOOD,
	BDAT_BAD, /* refused: chunks are skipped until LAST or RSET */
};

enum data_fault { FAULT_NONE, FAULT_CR, FAULT_LF, FAULT_NUL };

struct verb_count {
	uint32_t ok, total;
};

struct smtp_server {
	const struct smtp_server_conf *conf;
	const char *auth_mechs, *future_until;
	unsigned caps;
	enum server_state state;
	enum hello hello;
	enum smtp_event_type waiting; /* NONE, or the event not yet answered */
	enum smtp_verb last;
	bool any_command, tls, authenticated;
	bool line_skipped; /* the line being read is too long */
	bool line_done;	   /* the line is no longer needed */
	bool in_mail;	   /* MAIL was accepted */
	unsigned rcpt_tried, rcpt_ok, rcpt_answered;
	unsigned errors, junk;
	enum data_state data_state;
	enum data_fault fault; /* the first in the message */
	uint64_t size;	       /* of the message */
	bool bare_ok, saw_bare, badly_piped;
	bool assumed;	       /* while XCLIENT waits */
	bool binary;	       /* BODY=BINARYMIME */
	bool utf8;	       /* replies may have UTF-8 (RFC 6531 3.7.4) */
	enum bdat_state bdat;
	uint64_t chunk_size, chunk_left;
	bool chunk_last, chunk_skip;
	struct smtp_reject chunk_why; /* of a skipped one; code 0: held */
	char chunk_text[80];
	struct buf held; /* the driver's refusal, until the chunk is over */
	const struct smtp_server_hooks *hooks;
	struct smtp_mail_params mail; /* while MAIL waits */
	struct buf line;       /* the command line being read, or in hand */
	struct buf out;
	struct smtp_cmd *cmd; /* while an event waits */
	struct verb_count counts[SMTP_UNKNOWN + 1];
};

/* What the handler of a line gets beside the session. */
struct smtp_turn {
	const struct smtp_cmd *cmd;
	struct span line; /* without its end */
	bool more;	  /* input stands behind the line */
	struct smtp_event *out;
};

enum { SMTP_SERVER_HELD_MAX = 16384 /* one refusal with its footer */ };

/* The reply to EHLO and LHLO. */
void smtp_server_reply_hello(struct smtp_server *s);

/* Adds a reply, of several lines if the text has LF in it, to out. */
void smtp_server_format(struct smtp_server *s, struct buf *out, unsigned code,
    const char *dsn, struct span text);

/* The same to what is sent; may end the session. */
void smtp_server_reply(
    struct smtp_server *s, unsigned code, const char *dsn, struct span text);

/* The same with our host name in front of the text. */
void smtp_server_reply_host(
    struct smtp_server *s, unsigned code, const char *dsn, const char *text);

/* Refuses what was said: a reply, an error counted, a BAD event. */
void smtp_server_refuse(struct smtp_server *s, struct smtp_event *out,
    enum smtp_bad bad, unsigned code, const char *dsn, const char *text);
void smtp_server_refuse_with(struct smtp_server *s, struct smtp_event *out,
    enum smtp_bad bad, const struct smtp_reject *why);

/* Refuses input behind a command that must be the last, and closes. */
void smtp_server_refuse_sync(struct smtp_server *s, struct smtp_event *out);

void smtp_server_forget(struct smtp_server *s);

/* Does what a command line asks for (smtp_server_cmd.c). */
void smtp_server_command(struct smtp_server *s, struct smtp_turn *t);

/* The same for a chunk of BDAT; with none left to read it ends the chunk. */
size_t smtp_server_chunk(
    struct smtp_server *s, struct span in, struct smtp_event *out);

/* BDAT (smtp_server_bdat.c). */
void smtp_server_bdat(struct smtp_server *s, const struct smtp_turn *t);

/* The driver answered the DATA event of a BDAT. */
void smtp_server_bdat_answer(struct smtp_server *s, unsigned code,
    const char *dsn, struct span text);

/* How many bytes from the first on are neither CR nor LF nor NUL; perhaps not
 * all of them. */
size_t smtp_server_plain(struct span in);

/* Is this control byte where it must not be? (smtp_server_data.c) */
void smtp_server_check_byte(struct smtp_server *s, uint8_t c);

/* Refuses the message: in LMTP once for each recipient. */
void smtp_server_refuse_message(struct smtp_server *s, struct smtp_event *out);

/* Reads bytes of the message, at least one piece of them, up to an event
 * (smtp_server_data.c); returns how many it consumed. */
size_t smtp_server_data(
    struct smtp_server *s, struct span in, struct smtp_event *out);

#endif
