/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_RESERVE_H
#define CHAPPE_QMGR_RESERVE_H

/*
 * A file that only takes room (journal/reserve). When the disk is full it is
 * emptied, so that what is in the queue can be deferred, returned and
 * removed; what comes in has to wait (smtpd leaves that much free, and no
 * segment of the journal is made for it). It is filled again when there is
 * room enough.
 */

#include "qmgr/qmgr.h"

struct reserve;

void reserve_start(struct qmgr *q);

/* Was it for want of room? */
bool reserve_wanted(const struct err *e);

/* How often it was emptied. */
uint32_t reserve_emptied(const struct qmgr *q);

/* A step failed with e that began when reserve_emptied was `since`. True: it
 * was for want of room, and there is some since then, or will be soon:
 * qmgr_unstick is called. */
bool reserve_use(struct qmgr *q, const struct err *e, uint32_t since);

/* Is it there, or being made? What is not in the queue yet may take room only
 * then. */
bool reserve_whole(const struct qmgr *q);

#endif
