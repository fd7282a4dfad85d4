/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MILTER_CLIENT_H
#define CHAPPE_MAIL_MILTER_CLIENT_H

/*
 * Asks a row of filters about one client's session and its messages: one
 * connection to each filter, all in the loop. Each step goes to one filter
 * after the other until one refuses; the message at its end goes to each in
 * turn, which sees what those before it made of it. A filter that can't be
 * reached or breaks the protocol is replaced by its default action for the
 * rest of the session; one line in the log says why.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/ipc/channel.h"
#include "lib/mail/milter_mail.h"
#include "lib/mail/milter_list.h"
#include "lib/os/log.h"
#include "lib/os/loop.h"

/* The value of a macro, by its name without braces, appended to out; false if
 * it has none. */
typedef bool (*milter_macro_fn)(void *arg, struct span name, struct buf *out);
/* A field that a filter puts into the header; false: it is left out. What is
 * appended to instead, "Name: value", comes in its place, what is appended to
 * before, in front of it. */
typedef bool (*milter_field_fn)(void *arg, struct span name, struct span value,
    struct buf *instead, struct buf *before);

struct milter_client_conf {
	struct loop *loop;
	struct client *resolver; /* for names of hosts */
	const struct milter_list *list;
	const struct log_ctx *log; /* as it is when a line is written */
	milter_macro_fn macro;
	milter_field_fn field; /* NULL: all are wanted */
	void *arg;	       /* of both */
	uint64_t body_max;     /* bytes of a new body; 0: any. With more the
				  filter has failed */
};

enum milter_outcome {
	MILTER_PASSED,
	MILTER_REFUSED,	  /* code, dsn, text */
	MILTER_DISCARDED, /* the message is to be taken and lost */
};

/* A change of the envelope. */
struct milter_change {
	struct milter_change *next;
	enum milter_edit edit; /* ADD_RCPT, DELETE_RCPT or CHANGE_FROM */
	struct span address;   /* as the filter wrote it */
	struct span args;      /* ESMTP parameters, or empty */
};

/* Lives during the call. */
struct milter_result {
	enum milter_outcome outcome;
	unsigned code;
	const char *dsn;
	struct span text;
	const char *by;	  /* the filter that refused or discards */
	const char *hold; /* the message is to be held, and why; or NULL */
	const struct milter_change *changes; /* of milter_client_message */
};
/* Called once for each step, maybe before it returns; may free the client. */
typedef void (*milter_fn)(void *arg, const struct milter_result *r);

struct milter_client;
/* conf is copied; what it points to must live as long. */
struct milter_client *milter_client_new(const struct milter_client_conf *conf);
/* Takes leave of the filters; a step under way is forgotten. */
void milter_client_free(struct milter_client **c);

/* Spans given to a step must live until fn is called; fn gets the arg here. */
void milter_client_connect(struct milter_client *c, struct span name,
    enum milter_family family, unsigned port, struct span addr, milter_fn fn,
    void *arg);
void milter_client_helo(
    struct milter_client *c, struct span name, milter_fn fn, void *arg);
void milter_client_mail(struct milter_client *c, const struct span *args,
    size_t count, milter_fn fn, void *arg);
/* refused: we do; only filters that asked for such hear of it, and what they
 * say does not matter. */
void milter_client_rcpt(struct milter_client *c, const struct span *args,
    size_t count, bool refused, milter_fn fn, void *arg);
void milter_client_data(struct milter_client *c, milter_fn fn, void *arg);
/* From the header to the end of the message; changes content. */
void milter_client_message(
    struct milter_client *c, struct milter_mail *mail, milter_fn fn, void *arg);

/* The client said something that is no command: the filters are told before
 * the next step, and their answers do not matter. */
void milter_client_unknown(struct milter_client *c, struct span line);

/* The message is over or was given up; what waits is forgotten. */
void milter_client_abort(struct milter_client *c);

/* Does a filter want to hear of recipients that are refused? */
bool milter_client_wants_refused(const struct milter_client *c);
/* Does a filter want to see this message? */
bool milter_client_wants_message(const struct milter_client *c);

#endif
