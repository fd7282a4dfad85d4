/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_GROUP_H
#define CHAPPE_QUEUE_GROUP_H

/*
 * Group commit: messages that are complete wait here until the flush under
 * way is over; then all of them go to the disk together: into the journal
 * segment that qmgr has given this process, with one write and one flush for
 * all; a longer one into a file of its own (not flushed) too. For lib/queue's
 * writer only; the daemon's side of it is in queue.h (queue_group).
 */

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/os/work.h"
#include "lib/queue/queue.h"

enum { GROUP_FILE_MAX = 320 << 10 /* larger queue files are sealed alone */ };

/* One message; embedded in its writer. */
struct group_entry {
	struct list link;
	struct queue_id id;
	uint64_t size_max; /* bytes of the file at most */
	/* In a thread: fills `whole` with the file's bytes, and writes the file
	 * or sets unfiled; or sets failed and e. Removes the file again. */
	void (*make)(struct group_entry *g);
	void (*undo)(struct group_entry *g);
	/* On the loop, once: durable, or failed, or alone. */
	void (*done)(struct group_entry *g);
	struct buf whole;
	bool unfiled;
	bool failed; /* e says why; nothing is left */
	bool alone;  /* there is no room: it has to be sealed by itself */
	struct err e;
	struct queue_place place;
};

struct group;
struct group *group_new(
    struct loop *loop, const struct queue_group_ops *ops, void *arg);
void group_free(struct group **g);
void group_give(struct group *g, const struct queue_segment *s);
void group_none(struct group *g);
void group_forget(struct group *g);
size_t group_held(const struct group *g, struct queue_place out[2]);

/* A message is on its way: a segment is asked for, if there is none. */
void group_prepare(struct group *g);
/* Takes an entry of at most GROUP_FILE_MAX bytes; false: there is no segment
 * now, it has to be sealed by itself. */
bool group_add(struct group *g, struct group_entry *entry);
/* qmgr has no segment for us: nothing may be accepted (452 4.3.1). */
bool group_refused(const struct group *g);
/* During `done`: where the message is. */
bool group_place(
    const struct group *g, struct queue_id id, struct queue_place *out);

#endif
