/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_SCHEDULER_H
#define CHAPPE_QMGR_SCHEDULER_H

/*
 * What is delivered next. Pure: it sees no file, no socket and no clock (the
 * time is an argument, milliseconds since 1970), so a test runs a million
 * messages through it in seconds. Messages and recipients are embedded in
 * the owner's structs; the scheduler links them and never frees them.
 *
 * A message waits by due time; when due it is loaded (its recipients come in
 * pages) as far as the limits on messages and recipients in memory allow. Its
 * recipients are grouped by destination = (transport, next hop). Each group
 * of a message gets a virtual time: the first the present one, each further
 * one a step more. The group with the least time whose destination may take
 * one more delivery goes next; so a message with ten thousand destinations
 * and one with a single recipient are served in turn, whoever came first.
 * Among equals the destination that waited longest goes first.
 *
 * A destination has a window of deliveries at a time, which grows by one for
 * each delivery that worked, shrinks for each that did not get through, and
 * closes when as many as a whole window failed without a success between: the
 * destination is dead for a while, and what waits for it is deferred.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/span.h"
#include "lib/base/table.h"
#include "lib/queue/queue_id.h"
#include "qmgr/heap.h"

struct scheduler;
struct sched_transport;
struct sched_dest;
struct sched_peer;

enum sched_state {
	SCHED_NONE,    /* not in the scheduler */
	SCHED_WAITING, /* by due time */
	SCHED_LOADING, /* the owner opens it or reads a page */
	SCHED_ACTIVE,  /* recipients are queued or being delivered */
	SCHED_DONE,    /* handed out by scheduler_finished */
};

struct sched_message {
	struct queue_id id;
	enum sched_state state;
	struct heap_node due;	 /* key: time in ms */
	struct list link;	 /* in one of the scheduler's lists */
	struct list peers;	 /* struct sched_peer */
	uint64_t vtime;		 /* of the next group */
	uint32_t queued, flying; /* recipients */
	bool more;		 /* there are pages left */
	bool withdrawn;		 /* load no more pages */
};

struct sched_entry {
	struct list link;
	struct sched_message *message;
	struct sched_peer *peer; /* while queued */
};

/* Recipients of one message that go out together. */
struct sched_batch {
	struct sched_message *message;
	struct sched_dest *dest;
	struct list entries; /* struct sched_entry */
	size_t count;
	void *data; /* the owner's */
};

struct sched_limits {
	uint32_t concurrency_initial; /* 5 */
	uint32_t concurrency_max;     /* 20 */
	uint32_t rcpts;		      /* in a batch; 1: the recipient's address
					 is part of the destination */
};

struct sched_options {
	uint32_t messages_max; /* qmgr_message_active_limit */
	uint32_t rcpts_max;    /* qmgr_message_recipient_limit */
	uint32_t page;	       /* recipients of a message in memory */
	uint64_t dead_ms;      /* minimal_backoff_time */
	/* The limits of a transport, asked once. */
	void (*limits)(
	    void *arg, struct span transport, struct sched_limits *out);
	void *arg;
};

struct scheduler *scheduler_new(const struct sched_options *o);
/* Messages and entries stay the owner's. */
void scheduler_free(struct scheduler **s);

/* ---- messages ---- */
/* A message (its id set, else zeroed) that is due at due_ms. False: the id is
 * already known. */
bool scheduler_add(
    struct scheduler *s, struct sched_message *m, uint64_t due_ms);
struct sched_message *scheduler_find(struct scheduler *s, struct queue_id id);
/* Steps through all messages; NULL at the end. Only scheduler_forget of the
 * one just returned may come between. */
void scheduler_each(const struct scheduler *s, struct table_iter *it);
struct sched_message *scheduler_each_next(
    const struct scheduler *s, struct table_iter *it);
size_t scheduler_count(const struct scheduler *s);
size_t scheduler_active(const struct scheduler *s);

/* Takes a message out for good (WAITING or DONE). */
void scheduler_forget(struct scheduler *s, struct sched_message *m);
/* Sets the time of a WAITING or DONE message, which waits then. */
void scheduler_wait(
    struct scheduler *s, struct sched_message *m, uint64_t due_ms);

/* The next message to be opened and its first page read (state LOADING), or
 * NULL; *out_wake_ms: when to ask again for lack of due ones (UINT64_MAX:
 * none waits). */
struct sched_message *scheduler_load(
    struct scheduler *s, uint64_t now_ms, uint64_t *out_wake_ms);
/* The next message of which another page may be read (state LOADING). */
struct sched_message *scheduler_refill(struct scheduler *s);
/* How many recipients the page may have (at least 1). */
uint32_t scheduler_page(const struct scheduler *s);
/* Adds a recipient of a LOADING message. */
void scheduler_rcpt(struct scheduler *s, struct sched_message *m,
    struct sched_entry *entry, struct span transport, struct span nexthop,
    struct span address);
/* The page is complete; more: there are further ones. */
void scheduler_loaded(struct scheduler *s, struct sched_message *m, bool more);
/* A message none of whose recipients is queued or in delivery any more and
 * that has no page left (state DONE): the owner forgets it or lets it wait.
 * NULL: none. */
struct sched_message *scheduler_finished(struct scheduler *s);
/* Takes one queued recipient back (to be freed), NULL: none is queued. Those
 * in delivery come to their end; no page is loaded any more. */
struct sched_entry *scheduler_withdraw(
    struct scheduler *s, struct sched_message *m);

/* ---- deliveries ---- */
struct sched_transport *scheduler_transport(
    struct scheduler *s, struct span name);
struct sched_transport *scheduler_next_transport(struct scheduler *s,
    struct sched_transport *after); /* NULL: the first, the end */
struct span sched_transport_name(const struct sched_transport *t);
struct span sched_dest_nexthop(const struct sched_dest *d);
struct sched_transport *sched_dest_transport(const struct sched_dest *d);
/* The owner's data of a transport. */
void *sched_transport_data(const struct sched_transport *t);
void sched_transport_set(struct sched_transport *t, void *data);
/* Recipients queued for it (whether or not they could go now). */
size_t sched_transport_queued(const struct sched_transport *t);

/* The next batch for a transport, or NULL. It is in delivery from now on. */
struct sched_batch *scheduler_next(
    struct scheduler *s, struct sched_transport *t, uint64_t now_ms);
/* The next batch that is not to be tried now, of a dead destination or a
 * suspended transport, with the reason; or NULL. */
struct sched_batch *scheduler_next_suspended(
    struct scheduler *s, uint64_t now_ms, const char **out_reason);

/* A recipient of a batch has its result: it is out of the batch and to be
 * freed by the owner. */
void scheduler_entry_done(
    struct scheduler *s, struct sched_batch *b, struct sched_entry *e);
/* Nothing happened to it: back to its queue. */
void scheduler_entry_again(
    struct scheduler *s, struct sched_batch *b, struct sched_entry *e);
enum sched_feedback {
	SCHED_OK,      /* the destination takes mail */
	SCHED_FAILED,  /* it could not be reached */
	SCHED_NEUTRAL, /* says nothing about it */
};
/* The batch is at its end (all entries done or again); frees it. reason: why,
 * for SCHED_FAILED. */
void scheduler_batch_done(struct scheduler *s, struct sched_batch **b,
    enum sched_feedback f, const char *reason, uint64_t now_ms);

/* Nothing goes out by this transport until then; the reason is copied. */
void scheduler_suspend(struct scheduler *s, struct sched_transport *t,
    uint64_t until_ms, const char *reason);
/* Dead destinations and suspended transports live again (a flush). */
void scheduler_revive(struct scheduler *s);

/* When to try again what failed now: now + clamp(age, min, max). */
uint64_t scheduler_backoff(
    uint64_t now_ms, uint64_t arrival_ms, uint64_t min_ms, uint64_t max_ms);

#endif
