/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_SEAL_H
#define CHAPPE_QMGR_SEAL_H

/*
 * Sealing unsealed messages, many in one step: their files are flushed and
 * moved to active/, then each directory is flushed once. A message is busy
 * meanwhile, and leaves its journal segment when it is sealed.
 */

#include "qmgr/qmgr.h"

struct seal_batch;

/* Adds an idle message (dir incoming/, or moved before without the flush) to
 * *b, which begins as NULL; a full batch is started at once. */
void seal_add(struct qmgr *q, struct seal_batch **b, struct message *m);
/* Starts what is in *b, if anything. */
void seal_start(struct seal_batch **b);

#endif
