/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PICKUP_PICKUP_H
#define CHAPPE_PICKUP_PICKUP_H

/*
 * pickup takes mail that no SMTP client brings: what sendmail spooled into
 * maildrop/ while the suite was down, and what local forwards. Both go the
 * same way (intake): recipients are rewritten and routed, the header is
 * completed, content checks have their say about what is new, the message is
 * made durable in the queue, qmgr is told. One process.
 */

#include "lib/daemon/daemon.h"
#include "lib/mail/content.h"
#include "lib/mail/milter_list.h"
#include "lib/mail/outbound.h"
#include "lib/mail/qmgr_client.h"
#include "lib/mail/router.h"
#include "lib/mail/server_memory.h"
#include "lib/os/log.h"
#include "lib/queue/queue.h"

struct pickup_conf {
	int64_t hopcount_limit;
	struct outbound_settings outbound;
	struct milter_settings milter;
	const char *content_filter;
};
extern const struct param pickup_params[];

struct pickup {
	struct daemon *daemon;
	struct pickup_conf *conf;
	struct queue *queue;
	struct router *router;
	struct content_rules *content;
	struct qmgr_client *qmgr;
	struct server_memory *memory; /* what smtpd counts too */
	struct outbound *outbound;
	struct server *server;     /* MSG_FORWARD */
	struct drop_dir *drop_dir;
	struct milter_list *milters; /* non_smtpd_milters */
	struct maps *milter_checks;  /* milter_header_checks */
	struct client *resolver;   /* for their hosts */
	char scratch[4096];        /* where files without a name are made */
	unsigned intakes;          /* messages under way */
};

/* Ends the process when it leaves and nothing is under way. */
void pickup_maybe_exit(struct pickup *p);

/* ---- intake.c: one message into the queue ---- */
struct intake_rcpt {
	struct span address, orig_address;
};

struct intake_spec {
	struct span sender;
	const struct intake_rcpt *rcpts;
	size_t rcpt_count;
	uint32_t dsn_notify;
	enum dsn_ret dsn_ret;
	struct span dsn_envid;
	bool eight_bit, requiretls;
	int64_t uid;        /* the submitter, or -1 */
	uint64_t trace;     /* of the message */
	bool submission;    /* a new message: complete the header, ask the
			       content checks; lines end in LF */
	struct span header; /* goes in front, below Received; CRLF */
	bool count_hops;    /* refuse what has come round too often */
	/* The next bytes of the content: their number, 0 at the end, -1. */
	ssize_t (*read)(void *arg, void *out, size_t size, struct err *e);
	/* Durable in the queue as id (e NULL), or nothing happened. */
	void (*done)(void *arg, struct queue_id id, const struct err *e);
	void *arg;
};

/* Starts it; done comes later, once. Spans of spec, and what arg points to,
 * must live until then. */
void intake_start(struct pickup *p, const struct intake_spec *spec);

/* ---- limits.c: what users of this host may send ---- */
/* Counts the message. False: it is too much (text says why) and must be
 * held: there is nobody to whom it could be refused. text has 1400 bytes. */
bool limits_ask(struct pickup *p, const struct intake_spec *spec,
    char *text);

/* ---- drop.c: the directory maildrop/ ---- */
struct drop_dir *drop_dir_new(struct pickup *p, struct err *e);
void drop_dir_free(struct drop_dir **m);
/* Looks at the directory soon. */
void drop_dir_look(struct drop_dir *m);

/* ---- forward.c: MSG_FORWARD ---- */
struct server *forward_server_new(struct pickup *p);

#endif
