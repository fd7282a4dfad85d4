/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_STAGE_H
#define CHAPPE_SMTPD_STAGE_H

/*
 * What a command has to pass before it is answered: a row of gates, asked one
 * after the other, each of which has something to say about who may do what
 * (limits, restriction lists, milters, ...). The row is in stage.c; what a
 * gate decides beside yes and no (hold, discard, a content filter, further
 * recipients) it writes into the transaction's `act`.
 *
 *	stage		asked		what is known		after the last gate
 *	CONNECT		before 220	addr, name		the greeting
 *	HELO		HELO, EHLO	stage_cmd()->arg	250
 *	MAIL		MAIL		tx->env, ->params	250
 *	RCPT		RCPT		tx->route, tx->rcpt	250, or the
 *				router's refusal
 *	DATA		DATA, 1st BDAT	all recipients		354
 *	END		end of data	the message		the commit
 *	ETRN, VRFY	these		stage_cmd()->arg	the answer
 *
 * At RCPT gates are asked before the router's own refusal (unknown user) is
 * given: tx->route.code tells them.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/proto/smtp_cmd.h"

struct session;

enum stage {
	STAGE_CONNECT,
	STAGE_HELO,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_END,
	STAGE_ETRN,
	STAGE_VRFY,
};
/* As the log says it: "CONNECT", "RCPT", "END-OF-MESSAGE". */
const char *stage_name(enum stage stage);

/* All functions but ask may be NULL. */
struct gate {
	const char *name; /* for the trace */
	/* Answers with stage_pass or stage_refuse exactly once, from within
	 * the call or later. */
	void (*ask)(struct session *s, enum stage stage);
	/* The answer is not wanted any more: waits for nothing. Called only
	 * while this gate is being asked. */
	void (*cancel)(struct session *s);
	/* The transaction is over, s->tx is still there. A message that was
	 * accepted is on its way to the disk; one that was not is lost. */
	void (*reset)(struct session *s);
	/* The session is over: frees what the gate keeps in it. */
	void (*end)(struct session *s);
};

struct refusal {
	unsigned code;    /* 4xx, 5xx; 421 and 521 end the session */
	const char *dsn;  /* "5.7.1", or "" */
	struct span text; /* of the reply */
	/* How the log calls it: "reject", "milter-reject"; NULL: the gate has
	 * logged it. */
	const char *log_as;
};

/* The gate that is asked has nothing against it. */
void stage_pass(struct session *s);
/* It has: nobody else is asked, and the client is told. r is read during the
 * call. */
void stage_refuse(struct session *s, const struct refusal *r);
/* The same in a line. */
void stage_reject(struct session *s, unsigned code, const char *dsn,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The command that is waiting; NULL at CONNECT and END. */
const struct smtp_cmd *stage_cmd(const struct session *s);

/* ---- for the parts that answer commands ---- */

/* The gates, each in the file that it is named after. */
extern const struct gate screen_gate; /* what was found before 220 */
extern const struct gate limits_gate; /* events per client */
extern const struct gate tls_gate;  /* is a client certificate needed? */
extern const struct gate auth_gate; /* is a login needed? */
extern const struct gate restrict_gate; /* restriction lists */
extern const struct gate greylist_gate; /* is it the first time? */
extern const struct gate outbound_gate; /* how much has the login sent? */
extern const struct gate milter_gate; /* what do filters say? */
extern const struct gate proxy_gate; /* and the proxy? Last. */

typedef void (*stage_fn)(struct session *s);
/* Asks the gates, then calls passed, unless one refuses: then the refusal has
 * been answered (and at MAIL the transaction is over). cmd lives until the
 * event is answered. Both may happen before it returns. */
void stage_begin(struct session *s, enum stage stage,
    const struct smtp_cmd *cmd, stage_fn passed);
/* Is a gate being waited for? */
bool stage_waits(const struct session *s);
/* The session is going: cancels what waits, and frees. */
void stage_end(struct session *s);
/* The transaction is going. */
void stage_reset(struct session *s);

/* What session.h keeps for us. */
struct stage_state {
	enum stage stage;
	const struct smtp_cmd *cmd;
	stage_fn passed;
	unsigned next; /* gate */
	bool asking;   /* the gate before it has not answered yet */
	bool inside;   /* its ask() is on the stack */
	unsigned code; /* it refused; 0: not */
	char dsn[12];
	const char *log_as;
	struct buf text;
};

#endif
