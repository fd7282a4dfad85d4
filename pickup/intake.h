/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PICKUP_INTAKE_H
#define CHAPPE_PICKUP_INTAKE_H

/*
 * What intake.c and filter.c share; nobody else includes it.
 */

#include "lib/mail/fixup.h"
#include "lib/mail/milter_run.h"
#include "pickup/actions.h"
#include "pickup/pickup.h"

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
	struct actions actions;
	struct span sender;      /* rewritten */
	struct span copied;      /* recipient being added */
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
	struct intake_rcpt *list; /* the recipients that are left */
};

/* ---- filter.c ---- */
int intake_filter_open(struct pickup *p, struct err *e);
/* Shows in->mail; then intake_filtered. */
void intake_filter_start(struct intake *in);

/* ---- intake.c ---- */
/* The filters let it through, or actions says what is to be done; e: it can't
 * be taken now. */
void intake_filtered(struct intake *in, const struct err *e);

#endif
