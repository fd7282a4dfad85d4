/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_SCHEDULER_DEST_H
#define CHAPPE_QMGR_SCHEDULER_DEST_H

/*
 * What the two files of the scheduler share, and nobody else sees: messages
 * (scheduler.c: when one is due, loaded, at its end) and destinations
 * (scheduler_dest.c: who goes next, windows, the dead and the suspended). A
 * message knows its groups of recipients (sched_peer), a destination those
 * that wait for it; whoever takes a recipient away asks
 * scheduler_message_check whether that was the last one.
 */

#include "qmgr/scheduler.h"

struct scheduler {
	struct sched_options options;
	struct table messages; /* by id */
	struct heap waiting;   /* of sched_message.due */
	struct list refill;    /* of sched_message.link */
	struct list finished;  /* of sched_message.link */
	uint32_t active;       /* messages LOADING or ACTIVE */
	uint32_t rcpts;	       /* recipients queued or flying */
	struct list transports;
	struct table by_name;
	struct list suspended; /* of sched_dest.suspended: with recipients */
	struct list dead;      /* of sched_dest.dead */
	uint64_t vtime, seq;
	uint64_t now_ms; /* as last heard */
};

struct sched_transport {
	struct list link;
	struct scheduler *s;
	char *name;
	struct sched_limits limits;
	struct table by_nexthop;
	struct list dests;
	struct heap ready; /* of sched_dest.ready */
	uint64_t until_ms; /* suspended */
	char *reason;
	size_t queued;
	void *data;
};

struct sched_dest {
	struct list link;	/* in transport->dests */
	struct list suspended;	/* in scheduler.suspended */
	struct list dead;	/* in scheduler.dead */
	struct heap_node ready; /* in transport->ready */
	struct sched_transport *transport;
	char *key;
	size_t key_len, nexthop_len; /* the next hop is key's beginning */
	struct heap peers;
	struct sched_peer *recent; /* that a recipient was last added to */
	uint32_t busy, window;
	double fail_cohorts;
	uint64_t served;
	uint64_t until_ms; /* dead */
	char *reason;
};

/* Recipients of one message for one destination. */
struct sched_peer {
	struct heap_node node; /* in dest->peers */
	struct list link;      /* in message->peers */
	struct sched_message *message;
	struct sched_dest *dest;
	struct list entries;
};

/* Something happened to the message's recipients: it may want another page,
 * or be at its end. */
void scheduler_message_check(struct scheduler *s, struct sched_message *m);

/* Frees the transport with its destinations, whatever waits for them; not
 * the owner's entries. */
void scheduler_transport_free(struct sched_transport *t);

#endif
