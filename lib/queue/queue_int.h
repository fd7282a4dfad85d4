/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_QUEUE_INT_H
#define CHAPPE_QUEUE_QUEUE_INT_H

/* What the files of lib/queue share, and nobody else uses. */

#include "lib/queue/queue.h"

struct group;

struct queue {
	int fd; /* the queue directory, for names relative to it */
	struct loop *loop;
	struct queue_id_source source;
	bool slot_set;
	int sync_fd; /* for queue_sync_all, or -1 */
	struct group *group; /* NULL: each message is sealed by itself */
	struct span committed; /* the file, or its front, in queue_commit_fn */
};

/* "active/3/0005F0...": relative to the queue directory. */
enum { QUEUE_NAME = 48 };
void queue_name(enum queue_dir dir, struct queue_id id, char out[QUEUE_NAME]);

/* fsync of the hashed directory that holds id. */
int queue_sync_dir(
    struct queue *q, enum queue_dir dir, struct queue_id id, struct err *e);

#endif
