/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PICKUP_INTAKE_H
#define CHAPPE_PICKUP_INTAKE_H

/*
 * What intake.c, filter.c and extra.c share; nobody else includes it.
 */

#include "lib/base/arena.h"
#include "lib/mail/check_actions.h"
#include "lib/mail/fixup.h"
#include "lib/mail/milter_run.h"
#include "pickup/pickup.h"

/* What has become of a recipient that tables add. OVER: so has the message. */
enum extra { EXTRA_ASKED, EXTRA_TAKEN, EXTRA_OVER };

/* A message on its way into the queue: recipients are routed, then its
 * content is read; with filters its content first. */
struct intake {
	struct pickup *p;
	struct intake_spec spec;
	struct log_ctx log;
	struct queue_writer *w;
	size_t next;           /* recipient to be routed */
	uint32_t rcpts;        /* written */
	uint64_t size;         /* of the content, complete */
	bool routing;          /* inside the loop of route_next */
	struct content *content; /* NULL: no table asks */
	struct arena arena;
	struct check_actions actions;
	struct err refusal;      /* why it comes back, if it is refused */
	struct span sender;      /* rewritten */
	struct span copied;      /* recipient being added */
	enum extra *extra;       /* of add_extra, while it is on the stack */
	struct fixup *fixup;
	struct fixup_conf fixup_conf;
	struct buf received;
	bool pending_cr;
	uint8_t *chunk;
	struct queue_id id;
	struct err err;
	/* Filters. */
	struct milter_mail *mail; /* the content; NULL: nobody wants it */
	bool stored;              /* it is in the queue file now */
	struct milter_run *run;
	bool unchecked;           /* milter_header_checks could not be asked */
	struct intake_rcpt *list; /* the recipients that are left */
};

/* ---- filter.c ---- */
int intake_filter_open(struct pickup *p, struct err *e);
/* Shows in->mail; then intake_filtered. */
void intake_filter_start(struct intake *in);

/* ---- intake.c ---- */
/* What a check says; whose: "", or "milter-header-". */
void intake_hit(struct intake *in, const char *whose,
    const struct check_hit *hit);
/* The filters let it through, or actions says what is to be done; e: it can't
 * be taken now. */
void intake_filtered(struct intake *in, const struct err *e);
/* The message is in the queue, or is not: e says why. Frees in. */
void intake_finish(struct intake *in, const struct err *e);
/* It goes to the disk. */
void intake_commit(struct intake *in);
/* It comes back to its sender, with in->refusal: the service error bounces
 * it. */
void intake_return(struct intake *in);
/* More recipients than a queue file has room for: then in->err says so. */
bool intake_too_many(struct intake *in);

/* ---- extra.c ---- */
/* Routes what tables add, one after the other; then the message goes to the
 * disk. */
void intake_add_extra(struct intake *in);

#endif
