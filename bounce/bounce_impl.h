/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BOUNCE_BOUNCE_IMPL_H
#define CHAPPE_BOUNCE_BOUNCE_IMPL_H

/*
 * bounce tells senders what became of their mail: it composes a delivery
 * status notification and puts it into the queue as a message from nobody,
 * so that it can never be answered by another one (RFC 5321 4.5.5).
 */

#include "lib/base/arena.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/qmgr_client.h"
#include "lib/mail/router.h"
#include "lib/proto/dsn_report.h"
#include "lib/queue/queue.h"

struct bounce_conf {
	int64_t bounce_size_limit;
	int64_t maximal_queue_lifetime;
};
extern const struct param bounce_params[];

struct bounce {
	struct daemon *daemon;
	struct bounce_conf *conf;
	struct queue *queue;
	struct router *router;
	struct qmgr_client *qmgr;
	struct server *server;
	unsigned notices; /* under way */
};

/* ---- report.c: what is to be said ---- */

/* MSG_BOUNCE, read; all spans live in the arena. */
struct bounce_order {
	struct arena *arena;
	struct range content; /* the original; the caller closes the file */
	struct span sender, qid;
	bool requiretls; /* of the original, so of the notification */
	struct dsn_report report; /* without to, qid, boundary, times of now */
};
/* Reads and checks the message, and leaves out the recipients of whom the
 * sender does not want to hear (RFC 3461 4.1): none may be left. -1:
 * malformed. */
int bounce_order_read(struct msg_in *m, struct arena *arena,
    struct bounce_order *out);
/* The part of the original that goes with the report: all of it, or its
 * header (without the empty line) when that is what the sender wants or it
 * is larger than limit; nothing of one that is damaged. Sets
 * report.headers_only and eight_bit. out has a maximum of at least limit + 1;
 * e is not NULL. */
int bounce_original(struct bounce_order *o, uint64_t limit, struct buf *out,
    struct err *e);
/* "sender non-delivery notification" ... */
const char *bounce_kind_text(enum dsn_kind kind);

/* ---- notice.c ---- */
/* Handler of MSG_BOUNCE; arg: struct bounce. */
int notice_handle(struct request *r, struct msg_in *m, void *arg);

/* Ends the process when it leaves and nothing is under way. */
void bounce_maybe_exit(struct bounce *b);

#endif
