/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_MILTER_H
#define CHAPPE_PROTO_MILTER_H

/*
 * A mail server's side of the milter protocol, versions 2 to 6, as libmilter
 * speaks it: bytes in, values out. One struct milter is one connection to one
 * filter. It knows no clock, no descriptor and no policy. The driver connects
 * and then:
 *
 *	send milter_output, tell milter_sent how much went;
 *	n = milter_feed(m, input, &ev), again and again until it consumes
 *	nothing and has no event.
 *
 * The first event is MILTER_READY (or MILTER_FAILED). From then on each step
 * is one call of milter_connect ... milter_eom, which appends the macros and
 * the command to the output; true means that the filter will answer: exactly
 * one MILTER_VERDICT follows, and no other step may begin before it. False
 * means that the step is over: the filter did not want it, wanted it without
 * an answer, or skips all of its kind. Before the verdict of milter_eom come
 * any number of MILTER_EDIT. MILTER_FAILED ends the connection.
 *
 * The filter is not trusted: a packet longer than MILTER_REPLY_MAX, an
 * unasked or malformed one is MILTER_FAILED. Numbers and letters are those of
 * libmilter's mfdef.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum {
	MILTER_CHUNK = 65535,       /* bytes of a body in one packet */
	MILTER_REPLY_MAX = 1 << 20, /* of one packet from a filter */
	MILTER_MACROS_MAX = 65536,  /* names and values of one step */
};

/* What may happen in the protocol; the filter says what it does not want. */
enum {
	MILTER_NO_CONNECT = 1 << 0,
	MILTER_NO_HELO = 1 << 1,
	MILTER_NO_MAIL = 1 << 2,
	MILTER_NO_RCPT = 1 << 3,
	MILTER_NO_BODY = 1 << 4,
	MILTER_NO_HEADERS = 1 << 5,
	MILTER_NO_EOH = 1 << 6,
	MILTER_NR_HEADER = 1 << 7, /* no reply is sent to it */
	MILTER_NO_UNKNOWN = 1 << 8,
	MILTER_NO_DATA = 1 << 9,
	MILTER_CAN_SKIP = 1 << 10,
	MILTER_RCPT_REJECTED = 1 << 11, /* wants refused recipients too */
	MILTER_NR_CONNECT = 1 << 12,
	MILTER_NR_HELO = 1 << 13,
	MILTER_NR_MAIL = 1 << 14,
	MILTER_NR_RCPT = 1 << 15,
	MILTER_NR_DATA = 1 << 16,
	MILTER_NR_UNKNOWN = 1 << 17,
	MILTER_NR_EOH = 1 << 18,
	MILTER_NR_BODY = 1 << 19,
	MILTER_LEADING_SPACE = 1 << 20, /* header bodies keep their first */
};

/* What a filter may do at the end of a message. */
enum {
	MILTER_MAY_ADD_HEADERS = 1 << 0,
	MILTER_MAY_CHANGE_BODY = 1 << 1,
	MILTER_MAY_ADD_RCPT = 1 << 2,
	MILTER_MAY_DELETE_RCPT = 1 << 3,
	MILTER_MAY_CHANGE_HEADERS = 1 << 4,
	MILTER_MAY_QUARANTINE = 1 << 5,
	MILTER_MAY_CHANGE_FROM = 1 << 6,
	MILTER_MAY_ADD_RCPT_PAR = 1 << 7,
	MILTER_MAY_SET_MACROS = 1 << 8,
};

struct milter_conf {
	unsigned version;     /* 2, 3, 4 or 6 */
	bool no_header_reply; /* offer MILTER_NR_HEADER in any version */
};

enum milter_step {
	MILTER_CONNECT,
	MILTER_HELO,
	MILTER_MAIL,
	MILTER_RCPT,
	MILTER_DATA,
	MILTER_UNKNOWN,
	MILTER_HEADER,
	MILTER_EOH,
	MILTER_BODY,
	MILTER_EOM,
	MILTER_STEPS
};
const char *milter_step_name(enum milter_step step); /* "connect" */

enum milter_event_type {
	MILTER_NONE,
	MILTER_READY,    /* options are negotiated */
	MILTER_VERDICT,  /* verdict; with MILTER_REPLY code, dsn, text */
	MILTER_EDIT,     /* edit, index, name, value */
	MILTER_PROGRESS, /* it is still at work: the time limit starts anew */
	MILTER_FAILED,   /* why */
};

enum milter_verdict {
	MILTER_CONTINUE,
	MILTER_ACCEPT,   /* no more of this message (connect, helo: of this
			    connection) */
	MILTER_REJECT,
	MILTER_DISCARD,
	MILTER_TEMPFAIL,
	MILTER_REPLY,    /* refuse with this code and text */
	MILTER_SKIP,     /* go on; milter_wants knows what is skipped */
	MILTER_SHUTDOWN, /* end the client's connection with 421 */
	MILTER_CONNFAIL, /* the filter can't do its work */
};

enum milter_edit {
	MILTER_ADD_HEADER,    /* name, value: at the end of the header */
	MILTER_INSERT_HEADER, /* index from 0: before that field */
	MILTER_CHANGE_HEADER, /* index from 1 among those of that name; an
				 empty value deletes */
	MILTER_REPLACE_BODY,  /* value: the next piece of the new body */
	MILTER_ADD_RCPT,      /* name: address in angle brackets or not;
				 value: ESMTP parameters, may be empty */
	MILTER_DELETE_RCPT,   /* name */
	MILTER_CHANGE_FROM,   /* name, value as ADD_RCPT */
	MILTER_QUARANTINE,    /* value: why */
};

struct milter_event {
	enum milter_event_type type;
	enum milter_verdict verdict;
	enum milter_edit edit;
	uint32_t index;
	struct span name, value; /* until the next call */
	unsigned code;           /* 400 to 599 */
	char dsn[12];            /* "5.7.1", or "" */
	struct span text;        /* lines joined by LF; until the next call */
	const char *why;         /* a literal */
};

struct milter;

/* The offer is in the output at once. */
struct milter *milter_new(const struct milter_conf *conf);
void milter_free(struct milter **m);

size_t milter_feed(struct milter *m, struct span in, struct milter_event *out);
struct span milter_output(const struct milter *m);
void milter_sent(struct milter *m, size_t n);

/* Does a step wait for its verdict? */
bool milter_waiting(const struct milter *m);

/* Would a step of this kind be sent? Not when the filter said so, nor when the
 * protocol version lacks it, nor while it skips. MILTER_EOM: always. */
bool milter_wants(const struct milter *m, enum milter_step step);

/* What was negotiated: of MILTER_NO_..., MILTER_MAY_...; 0 before. */
uint32_t milter_protocol(const struct milter *m);
uint32_t milter_actions(const struct milter *m);

/* The macros that the filter asked for at this step, as it wrote them, or
 * NULL when it left the choice to the server. */
const char *milter_macro_list(struct milter *m, enum milter_step step);

/* Appends one macro to a step's; bytes that the wire can't carry become
 * spaces. name: "i" or "{client_addr}". */
void milter_macro(struct buf *macros, const char *name, struct span value);

/* ---- steps; macros: made by milter_macro, may be empty ---- */
enum milter_family {
	MILTER_FAMILY_UNKNOWN = 'U',
	MILTER_FAMILY_UNIX = 'L',
	MILTER_FAMILY_INET = '4',
	MILTER_FAMILY_INET6 = '6',
};
bool milter_connect(struct milter *m, struct span macros, struct span name,
    enum milter_family family, unsigned port, struct span addr);
bool milter_helo(struct milter *m, struct span macros, struct span name);
/* args: "<address>" and the ESMTP parameters. */
bool milter_mail(struct milter *m, struct span macros,
    const struct span *args, size_t count);
bool milter_rcpt(struct milter *m, struct span macros,
    const struct span *args, size_t count);
bool milter_data(struct milter *m, struct span macros);
bool milter_unknown(struct milter *m, struct span macros, struct span line);
/* body: as it stands behind the colon; folds are sent as LF alone, the first
 * space is left out unless the filter wants it, and what is beyond one packet
 * is not shown. */
bool milter_header(struct milter *m, struct span name, struct span body);
bool milter_eoh(struct milter *m, struct span macros);
/* At most MILTER_CHUNK bytes. */
bool milter_body(struct milter *m, struct span bytes);
bool milter_eom(struct milter *m, struct span macros);

/* Ends the message under way; only when nothing is waited for. */
void milter_abort(struct milter *m);
/* The last words on a connection; quit_nc: before another client's. */
void milter_quit(struct milter *m);
void milter_quit_nc(struct milter *m);

#endif
