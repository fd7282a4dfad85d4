/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_AGENTS_H
#define CHAPPE_QMGR_AGENTS_H

/* Connections on private/qmgr: agents and acceptors, and deliveries. */

#include "lib/ipc/channel.h"
#include "qmgr/qmgr.h"

struct agent_conn {
	struct list link; /* in qmgr.agents */
	struct qmgr *q;
	struct server_conn *conn;
	char *service;
	uint32_t pid, credit, flying;
	bool ready;		/* has reported all */
	bool leaving;		/* takes nothing more */
	struct list deliveries; /* also those over, not yet on file */
};

/* One MSG_DELIVER. It lives until its results are on file. */
struct delivery {
	struct list link;	  /* in agent->deliveries */
	struct agent_conn *agent; /* NULL: gone */
	struct qmgr *q;
	struct message *message; /* valid while a result is missing */
	struct sched_batch *batch;
	uint32_t id;
	uint64_t trace;           /* the message's */
	bool over;
	unsigned unwritten; /* results not yet on file */
	unsigned results, unreached;
	char *reason; /* why it was not reached */
};

/* A connection. */
enum { SPARES_MAX = 16 };

struct conn {
	struct qmgr *q;
	struct agent_conn *agent; /* or NULL */
	int slot;		  /* of an acceptor, or -1 */
	bool farewell;
	/* of an acceptor: its spare files (spares.c) */
	struct queue_id spares[SPARES_MAX];
	unsigned spare_count, spare_told; /* the first of them it knows */
	bool admin;		 /* public: may change the queue */
	struct listing *listing; /* public: where its listing is */
};
struct conn *conn_of(struct server_conn *c);

/* ---- spares.c: files of long messages go back to their makers ---- */
/* May its file, which is about to be finished, become a spare? */
bool spare_wanted(const struct message *m);
/* It has become one. */
void spare_made(struct message *m);
/* MSG_QMGR_NEW: those that its acceptor filled or lost since the last one. */
void spares_gone(struct conn *c, struct msg_in *in);
/* MSG_OK to MSG_QMGR_NEW, with the spares there are for the acceptor. */
void spare_answer(struct request **r);
/* An acceptor is gone, or (slot -1) all of an earlier qmgr's: so are they. */
void spares_clean(struct qmgr *q, int slot);

extern const struct server_handler private_handlers[];
void agent_lost(struct agent_conn *a);
/* A result in a message; false when malformed. */
bool result_read(struct msg_in *m, struct rcpt_result *out);

/* Gives a batch to an agent. */
void delivery_start(struct agent_conn *a, struct sched_batch *b);

/* ---- foreign.c: requests of an earlier qmgr ---- */
void foreign_add(struct agent_conn *a, struct msg_in *group);
void foreign_result(struct agent_conn *a, struct msg_in *m, uint32_t index,
    const struct rcpt_result *res);
void foreign_lost(struct agent_conn *a);

/* ---- dispatch.c ---- */
/* An agent of that service is there. */
void transport_served(struct qmgr *q, const char *service);

/* ---- start.c ---- */
int on_acceptor(struct request *r, struct msg_in *in, void *arg);
int on_new(struct request *r, struct msg_in *in, void *arg);
int on_farewell(struct request *r, struct msg_in *in, void *arg);
void acceptor_lost(struct conn *c);

#endif
