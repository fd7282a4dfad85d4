/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_SEGMENT_H
#define CHAPPE_QUEUE_SEGMENT_H

/*
 * Journal segments as files: journal/NUMBER below the queue directory, the
 * bytes are lib/queue/journal.h's. Everything here blocks. One owner: the
 * process that holds qmgr's lock makes, heads, reads and recycles segments; an
 * accepting process has a write-only descriptor of one and appends to it
 * (group.h). Result -1 comes with a temporary err.
 */

#include "lib/queue/journal.h"
#include "lib/queue/queue.h"

struct segment {
	int fd; /* read-write, or -1 */
	struct journal_head head;
};

/* Makes a segment of size bytes (a multiple of JOURNAL_RECORDS), filled with
 * zeros and durable, with no head yet: s->head has only number and size. On
 * an error nothing is left. */
int segment_create(struct queue *q, uint32_t number, uint64_t size,
    struct segment *out, struct err *e);
enum segment_state {
	SEGMENT_HEADED,
	SEGMENT_UNUSED,	 /* no valid head, and no record was ever written */
	SEGMENT_DAMAGED, /* no valid head, but something was */
};
/* Opens one that is there. */
int segment_open(struct queue *q, uint32_t number, struct segment *out,
    enum segment_state *out_state, struct err *e);
void segment_close(struct segment *s);
int segment_remove(struct queue *q, uint32_t number, struct err *e);

/* Writes s->head, with the next sequence number, durably. On an error the old
 * one or the new one counts: both must be right. */
int segment_head(struct segment *s, struct err *e);
/* The same in both places, for a new use: no head of an earlier one is left
 * that could count when a page is lost. */
int segment_begin(struct segment *s, struct err *e);

/* A write-only descriptor, for the process that appends. */
int segment_writer(
    struct queue *q, uint32_t number, int *out_fd, struct err *e);

/* Calls fn for the records from place `from` (where one begins, or would) up
 * to `to` (0: the end); fn returning false ends it. *out_end is behind the
 * last record given. The record's data lives during the call. */
typedef bool (*segment_fn)(
    void *arg, const struct journal_record *r, uint64_t place);
int segment_scan(const struct segment *s, uint64_t from, uint64_t to,
    segment_fn fn, void *arg, uint64_t *out_end, struct err *e);

/* Calls fn for the number of each file in journal/, in no order. No
 * directory is no segments. */
typedef void (*segment_list_fn)(void *arg, uint32_t number);
int segment_list(struct queue *q, segment_list_fn fn, void *arg, struct err *e);

#endif
