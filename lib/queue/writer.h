/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_WRITER_H
#define CHAPPE_QUEUE_WRITER_H

/*
 * What the two halves of the queue writer share: writer.c, on the loop, and
 * writer_file.c, the steps on its file. Nobody else includes it.
 */

#include "lib/base/limits.h"
#include "lib/os/work.h"
#include "lib/queue/group.h"
#include "lib/queue/queue_int.h"

enum {
	WRITER_CHUNK = 1 << 17,	      /* content bytes worth a write */
	WRITER_WAITING_MAX = 1 << 24, /* a caller that does not pause fails */
	WRITER_ENVELOPE_MAX = LIMIT_RCPT * 8192,
};

struct queue_writer {
	struct queue *q;
	struct queue_id id;
	struct queue_envelope env; /* spans live in arena */
	struct arena arena;
	struct buf front; /* recipient records before the content */
	struct buf more;  /* those that did not fit any more */
	size_t front_max; /* once content is on its way: front's room */
	uint32_t rcpt_count;
	uint32_t crc;
	uint64_t size;	     /* content bytes taken */
	struct buf waiting;  /* of them, not yet being written */
	struct buf writing;  /* being written by the thread */
	uint64_t written;    /* content bytes in the file */
	uint64_t content_at; /* 0: not yet decided */
	int fd;
	struct queue_id taken; /* the spare it got; n 0: none */
	struct queue_id spare; /* the file's name for now; n 0: its own */
	bool failed; /* e says why; nothing more is done */
	struct err e;
	struct work work;
	bool busy; /* work is submitted */
	bool committing, aborting;
	queue_ready_fn ready;
	void *ready_arg;
	queue_commit_fn done;
	void *done_arg;
	struct group_entry entry;
	bool made; /* there is a file, by writer_make */
};

/* ---- writer_file.c: in a thread, or at once without a loop ---- */
/* Writes w->writing; sets failed and e. */
void writer_chunk(struct work *work);
/* Writes the rest and seals the file; sets failed and e, and then nothing is
 * left of it. */
void writer_seal(struct work *work);
void writer_throw_away(struct work *work);
/* For group_entry. */
void writer_make(struct group_entry *g);
void writer_undo(struct group_entry *g);

#endif
