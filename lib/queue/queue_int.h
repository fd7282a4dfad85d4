/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_QUEUE_INT_H
#define CHAPPE_QUEUE_QUEUE_INT_H

/* What the files of lib/queue share, and nobody else uses. */

#include "lib/queue/queue.h"

struct group;

enum {
	QUEUE_HEAD_MAX = 4096, /* an envelope that qmgr is told whole */
	QUEUE_SPARES_MAX = 64,
	QUEUE_GONE_MAX = 64,
};

struct queue {
	int fd; /* the queue directory, for names relative to it */
	struct loop *loop;
	struct queue_id_source source;
	bool slot_set;
	int sync_fd; /* for queue_sync_all, or -1 */
	struct group *group; /* NULL: each message is sealed by itself */
	struct queue_id spares[QUEUE_SPARES_MAX]; /* ours, to be used */
	unsigned spare_count;
	struct queue_id gone[QUEUE_GONE_MAX]; /* qmgr is to hear of them */
	unsigned gone_count;
	bool never_refuse;
	struct span committed; /* the file, or its front, in queue_commit_fn */
};

/* "active/3/0005F0...": relative to the queue directory. */
enum { QUEUE_NAME = 48 };
void queue_name(enum queue_dir dir, struct queue_id id, char out[QUEUE_NAME]);

/* fsync of the hashed directory that holds id. */
int queue_sync_dir(
    struct queue *q, enum queue_dir dir, struct queue_id id, struct err *e);

/* ---- spare.c; take on the loop, the others in a thread ---- */
/* One, from now on the caller's; n 0: none. */
struct queue_id queue_spare_take(struct queue *q);
/* It was taken, and does not come back. */
void queue_spare_lost(struct queue *q, struct queue_id spare);
/* Its old bytes are still there. -1: it is of no use, and gone. */
int queue_spare_open(struct queue *q, struct queue_id spare, int *out_fd);
/* Shortens it to the message's size. */
int queue_spare_fit(int fd, uint64_t size, struct err *e);
/* It is the message's file now. */
int queue_spare_done(struct queue *q, struct queue_id spare,
    enum queue_dir dir, struct queue_id id, struct err *e);

/* ---- rebuild.c ---- */
struct segment;
struct buf;
/* Puts it into incoming/; not flushed, since the journal has it. */
int queue_make_anew(
    struct queue *q, struct queue_id id, struct span data, struct err *e);

#endif
