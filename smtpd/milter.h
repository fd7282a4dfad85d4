/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_MILTER_H
#define CHAPPE_SMTPD_MILTER_H

/*
 * The gate that asks milters (lib/mail/milter_client.h). While a filter wants
 * to see a message its content is kept in tx->mail instead of being
 * streamed into the queue file; at the end of the data the filters change it,
 * and then it goes there.
 */

#include "lib/base/err.h"
#include "lib/mail/milter_client.h"
#include "lib/proto/smtp_cmd.h"

struct session;
struct service;

/* The lists of filters, at the service's start. */
int milter_service_open(struct service *s, struct err *e);

/* The client said something that is no command. */
void milter_unknown_command(struct session *s, struct span line);

/* A gate has refused a recipient, as s->stage says. True: filters that want
 * to know it are told, then `then` is called; maybe before it returns. */
bool milter_tell_refused(struct session *s, void (*then)(struct session *s));

/* ---- milter_macros.c ---- */
/* What a macro is in this session, appended to out; false: nothing. */
bool milter_macro_value(void *arg, struct span name, struct buf *out);

/* ---- milter_edit.c ---- */
struct milter_change;
/* Makes the filters' changes of the envelope, then calls done, with e when a
 * step failed for now; maybe before it returns. */
void milter_apply(struct session *s, const struct milter_change *changes,
    void (*done)(struct session *s, const struct err *e));
/* Puts tx->mail into the queue file, then calls done likewise. */
void milter_store(
    struct session *s, void (*done)(struct session *s, const struct err *e));

/* What session.h points to. */
struct milter_session {
	struct milter_client *client;	 /* NULL: nobody is to be asked */
	struct milter_list *list;	 /* found in smtpd_milter_maps */
	bool refused_rcpt;		 /* told to those who want it */
	void (*told)(struct session *s); /* then */
	bool refused;			 /* by a filter: nobody else is told */
	bool hold;			 /* is in the log */
	bool over;			 /* a filter discards this message */
	struct span args[1 + SMTP_PARAM_MAX]; /* of MAIL or RCPT */
	struct buf words;		      /* where they point to */
	char host[300], mailer[64]; /* where the sender's own mail goes */
	/* Of milter_edit.c. */
	const struct milter_change *change;
	void (*done)(struct session *s, const struct err *e);
	struct recipient **added;
};

#endif
