/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_CURSOR_H
#define CHAPPE_QUEUE_CURSOR_H

/*
 * A window on a queue file that slides over the records of one section. The
 * file's first bytes may be at hand already; what lies behind them is read.
 * For lib/queue only; blocks. buf_release(&c.win) ends it.
 */

#include "lib/queue/record.h"

struct cursor {
	int fd;
	struct span head; /* the file's first bytes: not read again */
	uint64_t at, end; /* where to read on, and the section's end */
	struct buf win;	  /* bytes read and not consumed */
};

void cursor_init(struct cursor *c, int fd, struct span head, uint64_t at,
    uint64_t end);

/* The place in the file of the window's first byte. */
uint64_t cursor_place(const struct cursor *c);

/* Reads more; 1 some, 0 the section's end, -1 error. */
int cursor_fill(struct cursor *c, struct err *e);

/* The next record, which begins the window and stays there until its *out_used
 * bytes are consumed. 1 one, 0 the end, -1 error. */
int cursor_record(struct cursor *c, size_t data_max, struct record *out,
    size_t *out_used, struct err *e);

/* "damaged queue file: what", permanent. Always -1. */
int queue_damaged(struct err *e, const char *what);

#endif
