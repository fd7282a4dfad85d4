/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/agents.h"

#include <errno.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/*
 * What is in the directories becomes known: at the start all of active/ and
 * deferred/; when an acceptor's connection ends without a farewell, what its
 * slot has in active/. And what never was answered, in incoming/, goes: of an
 * acceptor that died, of everyone who is not there some time after the start.
 */

enum {
	GRACE_MS = 2000,	 /* for agents of an earlier qmgr to report */
	INCOMING_MS = 15 * 1000, /* for acceptors of an earlier qmgr to come */
};

/* ---- scanning a directory in a thread ---- */
struct found {
	struct queue_id id;
	int64_t mtime_s;
};

struct scan {
	struct work work;
	struct qmgr *q;
	enum queue_dir dir;
	int slot;	    /* -1: all */
	int64_t before_us;  /* incoming/: ids older than this go */
	uint8_t living[32]; /* incoming/, slot -1: slots to leave alone */
	struct found *found;
	size_t count, room;
	unsigned removed;
	struct err e;
	bool failed;
};

static bool
is_meant(const struct scan *s, struct queue_id id)
{
	const unsigned slot = queue_id_slot(id);

	if (s->dir == QUEUE_INCOMING && queue_id_us(id) >= s->before_us)
		return false;
	if (s->slot >= 0)
		return slot == (unsigned)s->slot;
	return (s->living[slot / 8] >> slot % 8 & 1) == 0;
}

static bool
on_entry(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct scan *s = arg;

	if (!is_meant(s, id))
		return true;
	if (s->count == s->room) {
		s->room = s->room == 0 ? 256 : 2 * s->room;
		s->found = mem_resize(s->found, s->room, sizeof(*s->found));
	}
	s->found[s->count++] = (struct found){ id, mtime_s };
	return true;
}

static void
run_scan(struct work *work)
{
	struct scan *s = CONTAINER_OF(work, struct scan, work);

	s->failed = queue_scan(s->q->queue, s->dir, on_entry, s, &s->e) != 0;
	if (s->dir != QUEUE_INCOMING)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (queue_remove(
			s->q->queue, s->found[i].id, QUEUE_INCOMING, NULL) == 0)
			s->removed++;
}

/* Notes were written at the last try: the same rule gives the same time. */
static uint64_t
due_ms(const struct qmgr *q, const struct scan *s, const struct found *f)
{
	if (s->dir != QUEUE_DEFERRED)
		return 0;
	return due_of_wall(q, scheduler_backoff((uint64_t)f->mtime_s * 1000,
				  (uint64_t)queue_id_us(f->id) / 1000,
				  (uint64_t)q->conf->minimal_backoff_time,
				  (uint64_t)q->conf->maximal_backoff_time));
}

static void
scan_done(struct work *work)
{
	struct scan *s = CONTAINER_OF(work, struct scan, work);
	struct qmgr *q = s->q;

	if (s->failed)
		log_error(
		    NULL, "scan of %s/: %s", queue_dir_name(s->dir), s->e.text);
	for (size_t i = 0; s->dir != QUEUE_INCOMING && i < s->count; i++)
		message_add(
		    q, s->found[i].id, s->dir, due_ms(q, s, &s->found[i]));
	if (s->removed > 0)
		log_info(NULL, "%u unfinished messages removed from incoming/",
		    s->removed);
	mem_free(s->found);
	mem_free(s);
	q->scans--;
}

void
qmgr_scan(struct qmgr *q, enum queue_dir dir, int slot)
{
	struct scan *s = MEM_NEW(s);

	s->q = q;
	s->dir = dir;
	s->slot = slot;
	s->before_us = clock_wall_us();
	if (slot < 0 && dir == QUEUE_INCOMING)
		memcpy(s->living, q->slots, sizeof(s->living));
	s->work = (struct work){ .run = run_scan, .done = scan_done };
	q->scans++;
	work_submit(q->loop, WORK_OTHER, &s->work);
}

/* ---- acceptors ---- */
int
on_acceptor(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));
	const uint64_t slot = msg_get_u64(in, F_SLOT);

	(void)arg;
	if (in->bad || slot >= QUEUE_SLOTS)
		return -1;
	c->slot = (int)slot;
	c->q->slots[slot / 8] |= (uint8_t)(1U << slot % 8);
	request_drop(&r);
	return 0;
}

int
on_new(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));
	struct queue_id id;
	struct message *m;

	(void)arg;
	if (!queue_id_parse(msg_need(in, F_QID, QUEUE_ID_TEXT), &id))
		return -1;
	m = message_add(c->q, id, QUEUE_ACTIVE, 0);
	if (m != NULL)
		m->log.trace = in->trace;
	request_ok(&r);
	return 0;
}

int
on_farewell(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));

	(void)in;
	(void)arg;
	c->farewell = true;
	if (c->agent != NULL)
		c->agent->leaving = true;
	request_drop(&r);
	return 0;
}

void
acceptor_lost(struct conn *c)
{
	struct qmgr *q = c->q;

	q->slots[c->slot / 8] &= (uint8_t) ~(1U << c->slot % 8);
	if (c->farewell || q->leaving)
		return;
	qmgr_scan(q, QUEUE_ACTIVE, c->slot);
	qmgr_scan(q, QUEUE_INCOMING, c->slot);
}

/* ---- the start ---- */
static void
start_dispatching(struct qmgr *q)
{
	if (q->dispatching)
		return;
	q->dispatching = true;
	qmgr_pump_soon(q);
}

static void
on_grace(void *arg)
{
	start_dispatching(arg);
}

static void
on_incoming(void *arg)
{
	struct qmgr *q = arg;

	qmgr_scan(q, QUEUE_INCOMING, -1);
}

static struct span
pid_key(const uint32_t *pid)
{
	return span_of(pid, sizeof(*pid));
}

void
qmgr_expect_pids(struct qmgr *q, struct msg_in *in)
{
	struct msg_in g;
	size_t cursor = 0;

	while (msg_next(in, F_SERVICE, &cursor, &g)) {
		const uint32_t pid = msg_get_u32(&g, F_PID);

		if (pid != 0)
			table_put(&q->expected, pid_key(&pid), q);
	}
	q->pids_known = true;
	LIST_EACH(&q->agents, link)
	{
		const struct agent_conn *a =
		    CONTAINER_OF(link, struct agent_conn, link);

		if (a->ready)
			table_remove(&q->expected, pid_key(&a->pid));
	}
	if (q->expected.count == 0)
		start_dispatching(q);
}

void
qmgr_registered(struct qmgr *q, uint32_t pid)
{
	table_remove(&q->expected, pid_key(&pid));
	if (q->pids_known && q->expected.count == 0)
		start_dispatching(q);
}

int
qmgr_recover(struct qmgr *q, struct err *e)
{
	if (queue_lock(q->queue, false, &q->lock_fd, e) != 0) {
		if (e->sysno != EAGAIN)
			return -1;
		log_warning(NULL, "waiting for the lock on the queue "
				  "(pid/qmgr.lock): postsuper is at work?");
		if (queue_lock(q->queue, true, &q->lock_fd, e) != 0)
			return -1;
	}
	q->grace = timer_new(q->loop, on_grace, q);
	q->incoming = timer_new(q->loop, on_incoming, q);
	timer_start(q->grace, GRACE_MS);
	timer_start(q->incoming, INCOMING_MS);
	qmgr_scan(q, QUEUE_ACTIVE, -1);
	qmgr_scan(q, QUEUE_DEFERRED, -1);
	return 0;
}
