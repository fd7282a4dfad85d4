/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IPC_RING_H
#define CHAPPE_IPC_RING_H

/*
 * The log ring of one process: shared memory (a sealed memfd) that the
 * process fills and the log daemon empties, so that logging is a copy and
 * never waits. Where the reader stands is in the shared memory too: a process
 * that dies leaves its last lines to be read, and a log daemon that dies is
 * replaced by one that reads on at the same place. The reader treats all of
 * the contents as input from a stranger.
 *
 * The writer may be called from any thread; a process that forks makes a new
 * ring in the child. The layout is in docs/FORMATS.md.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/limits.h"
#include "lib/base/span.h"
#include "lib/os/log.h"

enum { RING_SIZE = 256 * 1024 };

struct ring;

struct ring_record {
	enum log_kind kind;
	enum log_level level;
	int64_t time_us;
	uint64_t trace;
	uint64_t at;      /* place in the stream, set by ring_next */
	struct span qid;  /* at most 15 bytes; what: at most 64 */
	struct span what;
	struct span tag;  /* at most 128 */
	struct span text; /* at most LIMIT_LOG_LINE */
};

/* ---- writer ---- */
/* Makes a ring of size bytes (a power of two, 4096 and up). */
int ring_new(size_t size, struct ring **out, struct err *e);
/* Adds a record; parts that are too long are cut. When there is no room it is
 * only counted: the reader then reports that many as lost. The last quarter is
 * for lines alone: no burst of trace events costs one. */
void ring_put(struct ring *r, const struct ring_record *record);
/* What the reader needs: the memory, and the eventfd that is written when the
 * reader sleeps and something was added. They stay the ring's. */
int ring_memory_fd(const struct ring *r);
int ring_event_fd(const struct ring *r);

/* ---- reader ---- */
/* Maps another process's ring; takes over both descriptors in any case.
 * Refuses memory that could be made shorter under our feet. */
int ring_attach(int memory_fd, int event_fd, struct ring **out,
    struct err *e);
/* The next record; its spans live until the next call. 1 one, 0 none now, -1
 * the contents make no sense: then ring_reset or ring_free. */
int ring_next(struct ring *r, struct ring_record *out, struct err *e);
/* The place after the record that ring_next gave last. */
uint64_t ring_place(const struct ring *r);
/* What was taken counts as read only now: all of it, or up to a place. */
void ring_commit(struct ring *r);
void ring_commit_to(struct ring *r, uint64_t place);
/* Puts the taking back to what was committed. */
void ring_rewind(struct ring *r);
/* Forgets all that is in it. */
void ring_reset(struct ring *r);
/* The number of records of that kind lost since the last call. */
uint32_t ring_lost(struct ring *r, enum log_kind kind);
/* True: nothing to be read, and the event will be written when that changes.
 * False: read on. */
bool ring_sleep(struct ring *r);
/* Takes the event's count, so that it shows as not ready again. */
void ring_woken(struct ring *r);

/* Before the records up to a place are written to a file: notes that the file
 * (by inode) will have at least `end` bytes then. A reader that finds the note after a
 * crash can tell whether the writing happened. */
struct ring_intent {
	uint64_t inode, end;
};
void ring_intend(struct ring *r, uint64_t place,
    const struct ring_intent *intent);
/* The note of a writing that was never committed; false: none. */
bool ring_intended(struct ring *r, struct ring_intent *out);
/* Counts what the note is about as read. */
void ring_skip_intended(struct ring *r);

/* ---- both ---- */
void ring_free(struct ring **r);

#endif
