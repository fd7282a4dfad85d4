/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MILTER_CLIENT_IMPL_H
#define CHAPPE_MAIL_MILTER_CLIENT_IMPL_H

/*
 * What milter_client.c (steps), milter_message.c (the message) and
 * milter_conn.c (one connection) share; nobody else includes it.
 */

#include "lib/base/arena.h"
#include "lib/mail/dns.h"
#include "lib/mail/milter_client.h"
#include "lib/os/stream.h"

/* Bytes of what filters want done to a message's envelope; some 15,000
 * recipients. */
enum { MILTER_CHANGES_MAX = 4 << 20 };

/* Of a filter, for the whole session. */
enum filter_state {
	FILTER_NEW, /* not connected yet */
	FILTER_OPENING,
	FILTER_OPEN,
	FILTER_DONE, /* it has accepted the client: asked no more */
	FILTER_SET,  /* it has failed, or refused the client: `sticky` */
};

struct answer {
	enum milter_outcome outcome;
	unsigned code;
	char dsn[12];
	struct buf text;
	bool hold;
};

enum phase { PHASE_HEADER, PHASE_EOH, PHASE_BODY, PHASE_EOM };

struct filter {
	struct milter_client *client;
	const struct milter_spec *spec;
	enum filter_state state;
	struct milter *engine;
	struct stream *stream;
	struct connecting *connecting;
	struct dns_query *query;
	struct timer *timer; /* of the look-up */
	bool accepted;	     /* this message */
	bool in_message;     /* MAIL was sent, and its end was not */
	bool waiting;	     /* for its answer to a step */
	bool blocked;	     /* until its output is sent */
	struct answer sticky;
	/* The message on its way to this filter. */
	enum phase phase;
	size_t field;
	uint64_t body_at;
};

struct milter_client {
	struct milter_client_conf conf;
	struct filter *filters;
	size_t count;
	/* The step under way. */
	enum milter_step step;
	bool active;
	size_t at; /* filter */
	milter_fn fn;
	void *arg;
	struct span name, addr;
	enum milter_family family;
	unsigned port;
	const struct span *args;
	size_t arg_count;
	bool refused; /* RCPT */
	struct milter_mail *mail;
	/* A line to be told before that. */
	struct buf unknown;
	bool tell_unknown;
	enum milter_step after;
	/* Of the message. */
	struct answer answer;
	char hold[120];
	struct arena arena;
	struct milter_change *changes, **changes_end;
};

/* ---- milter_conn.c ---- */
/* Connects and negotiates; then filter_ready or filter_fail. */
void filter_open(struct filter *f);
/* Sends what the engine has. */
void filter_flush(struct filter *f);
/* The same, and the filter has to answer in time. */
void filter_wait(struct filter *f);
void filter_close(struct filter *f, bool polite);
/* "SMFIC_MAIL" */
const char *filter_step_name(enum milter_step step);

/* ---- milter_client.c ---- */
void filter_ready(struct filter *f);
/* It can't be used any more: its default action stands in for it. */
void filter_fail(struct filter *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void filter_verdict(struct filter *f, const struct milter_event *ev);
/* It has nothing (more) against this step: ask the next one. */
void filter_passed(struct filter *f);
/* The message is to be held. */
void filter_hold(struct milter_client *c, struct span why);
/* The macros of a step, in the wire's form. */
void filter_macros(struct filter *f, enum milter_step step, struct buf *out);

/* ---- milter_message.c ---- */
void message_begin(struct filter *f);
/* Sends the next piece; after an answer that lets it go on, and when output
 * has drained. */
void message_go(struct filter *f);
/* False: the filter has failed, since it wants too much. */
bool message_edit(struct filter *f, const struct milter_event *ev);
/* Our own fault: the message can't be taken now. */
void message_broken(struct filter *f, const struct err *e);

#endif
