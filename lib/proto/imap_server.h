/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_SERVER_H
#define CHAPPE_PROTO_IMAP_SERVER_H

/*
 * The server's side of an IMAP connection without the connection: bytes in,
 * events out. It finds the end of each command (lines and literals), asks for
 * synchronising literals, parses, refuses what is malformed or out of place,
 * and keeps the answers that wait to be sent. While an event is unanswered
 * feed consumes nothing; so what a client sends behind STARTTLS or behind any
 * other command is still in the driver's buffer, and pipelining and
 * back-pressure need no further care.
 *
 * An APPEND's message is not buffered: it comes as EV_APPEND, then, after
 * imap_server_go, as EV_DATA pieces, then EV_APPEND_END.
 *
 * Owned by the driver, which alone decides what the state is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"
#include "lib/proto/imap_cmd.h"

enum imap_event_type {
	IMAP_EV_NONE,	    /* feed more, or send what waits */
	IMAP_EV_COMMAND,    /* cmd; end it with imap_server_done */
	IMAP_EV_LINE,	    /* bytes: the line asked for by continue */
	IMAP_EV_APPEND,	    /* cmd; say imap_server_go or imap_server_done */
	IMAP_EV_DATA,	    /* bytes of the message; needs no answer */
	IMAP_EV_APPEND_END, /* the message is whole; imap_server_done */
	IMAP_EV_APPEND_BAD, /* drop the message; the client has its answer */
	IMAP_EV_CLOSE,	    /* send what waits, then close */
};

struct imap_event {
	enum imap_event_type type;
	const struct imap_cmd *cmd; /* until imap_server_done */
	struct span bytes;	    /* until the fed bytes go */
};

enum imap_result { IMAP_OK, IMAP_NO, IMAP_BAD };

struct imap_server;

/* A connection in the given state; nothing is greeted. */
struct imap_server *imap_server_new(enum imap_state state);
void imap_server_free(struct imap_server **s);

enum imap_state imap_server_state(const struct imap_server *s);
void imap_server_set_state(struct imap_server *s, enum imap_state state);

/* Takes bytes; returns how many it consumed, with at most one event. Call
 * again while it consumes something or an event came. Never consumes while an
 * event waits for its answer, after EV_CLOSE, or while much output waits. */
size_t imap_server_feed(
    struct imap_server *s, struct span in, struct imap_event *out);

/* The tagged answer that ends the command in hand. code: the text inside the
 * brackets ("READ-WRITE"), or NULL; text is made safe to print. */
void imap_server_done(struct imap_server *s, enum imap_result result,
    const char *code, const char *text);

/* Asks the client to go on: "+ text"; the next line comes as EV_LINE. */
void imap_server_continue(struct imap_server *s, struct span text);

/* After EV_APPEND: takes the message. */
void imap_server_go(struct imap_server *s);

/* "* BYE text", and EV_CLOSE next. */
void imap_server_bye(struct imap_server *s, const char *text);

/* Is a command in hand (unanswered)? IDLE's wait for DONE is one. */
bool imap_server_busy(const struct imap_server *s);

/* The command in hand: valid until imap_server_done. */
const struct imap_cmd *imap_server_cmd(const struct imap_server *s);

/* Where untagged responses are written, and what waits to be sent. */
struct buf *imap_server_out(struct imap_server *s);
struct span imap_server_output(const struct imap_server *s);
void imap_server_sent(struct imap_server *s, size_t n);

#endif
