/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_AGENT_H
#define CHAPPE_MAIL_AGENT_H

/*
 * The delivery agent's side of the protocol with qmgr (docs/DESIGN.md, IPC).
 * An agent connects to private/qmgr, says which service it is and how many
 * requests it takes at a time, and gets messages as read-only descriptors
 * with a batch of recipients. For each recipient it gives one result, which
 * becomes the log line here and the mark, the note or the bounce at qmgr.
 *
 * When qmgr goes away the agent finishes what runs, keeps the results,
 * reconnects, and reports them first. Nothing of that is visible outside.
 */

#include "lib/ipc/channel.h"
#include "lib/mail/delivery_log.h"
#include "lib/os/range.h"
#include "lib/queue/queue.h"

struct agent;

struct agent_rcpt {
	uint32_t index; /* in the queue file */
	struct span address;
	struct span orig_address;
	struct span dsn_orcpt;
	uint32_t dsn_notify; /* DSN_NOTIFY_* */
	uint32_t flags;	     /* RCPT_* */
	void *data;	     /* the owner's */
	bool answered;	     /* agent_result was called */
};

/* One message to deliver. Spans live as long as the request. */
struct agent_request {
	struct queue_id id;
	struct log_ctx log; /* trace and queue id, for all its lines */
	/* The message, in the queue file (read-only). It goes nowhere whole
	 * before its last byte has been read and its checksum fits. */
	struct range content;
	int64_t arrival_us, active_us;
	struct span transport, nexthop;
	struct span sender; /* empty: null */
	struct span encoding, dsn_envid;
	enum dsn_ret dsn_ret;
	/* Where it came from, as far as known (XFORWARD). */
	struct span client_name, client_addr, helo, protocol;
	bool smtputf8, requiretls, tls_optional; /* as its sender asked */
	/* Not to be delivered: only whether it could be. RCPT_SENT: yes. */
	bool probe;
	struct agent_rcpt *rcpts;
	size_t rcpt_count;
	void *data; /* the owner's */
};

struct agent_options {
	const char *qmgr_path; /* private/qmgr */
	const char *service;   /* name in master.cf: "smtp" */
	unsigned credit;       /* requests taken at a time */
	bool soft_bounce;      /* what fails for good is deferred */
	/* A message to deliver: the owner answers now or later, then calls
	 * agent_done. */
	void (*deliver)(void *arg, struct agent_request *r);
	/* After agent_leave: the last request is done and reported. */
	void (*idle)(void *arg);
	void *arg;
};

/* Connects, and stays connected. */
struct agent *agent_new(struct loop *loop, const struct agent_options *o);
void agent_free(struct agent **a);

struct agent_result {
	enum rcpt_action action;
	const char *dsn;   /* "2.0.0" */
	struct span text;  /* for the log and the DSN */
	struct span relay; /* "local", "host[addr]:25"; empty: none */
	unsigned conn_use; /* messages on this connection so far */
	int64_t setup_us, transmit_us; /* durations */
	struct span remote;	       /* remote MTA's name, or empty */
	struct span diagnostic;	       /* its reply, or empty */
	bool passed_on; /* RCPT_SENT: a wish to hear of it went along */
	bool damaged;	/* RCPT_DEFERRED: the content does not fit */
};
/* The fate of recipient i of the request (once each): logs and reports it;
 * with soft_bounce a failure as one that may pass, "status=SOFTBOUNCE".
 * A failure of this host must be RCPT_DEFERRED. */
void agent_result(
    struct agent_request *r, size_t i, const struct agent_result *result);
/* The same from an err; that of range_read says whether it is damaged. */
void agent_result_err(
    struct agent_request *r, size_t i, struct span relay, const struct err *e);

/* The request is finished: recipients without a result are reported as
 * deferred. Closes the descriptor and frees *r. */
void agent_done(struct agent_request **r);

/* Requests in hand. */
size_t agent_running(const struct agent *a);

/* Takes nothing more; idle is called (from the loop) when all is done. */
void agent_leave(struct agent *a);

#endif
