/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/*
 * What is in the directories becomes known: at the start what the journal
 * says, and all of active/ and deferred/; when an acceptor's connection ends
 * without a farewell, what its slot has in active/ and in the journal. And
 * what never was answered, in incoming/, goes: of an acceptor that died, of
 * everyone who is not there some time after the start.
 */

enum {
	GRACE_MS = 2000,	 /* for agents of an earlier qmgr to report */
	INCOMING_MS = 15 * 1000, /* for acceptors of an earlier qmgr to come */
};

/* ---- who lives ---- */
void
slots_living(struct qmgr *q, uint8_t out[32])
{
	char *path = mem_printf(
	    "%s/pid/slots", daemon_common(q->daemon)->queue_directory);
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	mem_free(path);
	/* When it can't be read all may live: nothing is taken from them. */
	memset(out, fd < 0 && errno != ENOENT ? 0xff : 0, 32);
	for (int i = 0; fd >= 0 && i < QUEUE_SLOTS; i++) {
		struct flock lock = {
			.l_type = F_WRLCK,
			.l_whence = SEEK_SET,
			.l_start = i,
			.l_len = 1,
		};

		if (fcntl(fd, F_OFD_GETLK, &lock) != 0 ||
		    lock.l_type != F_UNLCK)
			out[i / 8] |= (uint8_t)(1U << i % 8);
	}
	if (fd >= 0)
		close(fd);
}

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
	uint8_t living[32]; /* incoming/: slots to leave alone */
	struct found *found;
	size_t count, room;
	struct err e;
	bool failed;
};

static bool
is_meant(const struct scan *s, struct queue_id id)
{
	const unsigned slot = queue_id_slot(id);

	if (s->dir == QUEUE_INCOMING && queue_id_us(id) >= s->before_us)
		return false;
	if (s->slot >= 0 && slot != (unsigned)s->slot)
		return false;
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
}

/* ---- what goes from incoming/ ---- */
static void
run_clean(struct work *work)
{
	const struct scan *s = CONTAINER_OF(work, struct scan, work);

	for (size_t i = 0; i < s->count; i++)
		queue_remove(
		    s->q->queue, s->found[i].id, QUEUE_INCOMING, NULL);
}

static void
clean_done(struct work *work)
{
	struct scan *s = CONTAINER_OF(work, struct scan, work);

	log_info(NULL, "%zu unfinished messages removed from incoming/",
	    s->count);
	s->q->scans--;
	mem_free(s->found);
	mem_free(s);
}

/* Of what was found only that which nobody knows: the others were accepted.
 * False when that is not certain yet. */
static bool
leave_unknown(struct scan *s)
{
	size_t n = 0;
	bool certain = true;

	for (size_t i = 0; i < s->count; i++) {
		const struct queue_id id = s->found[i].id;

		if (scheduler_find(s->q->sched, id) != NULL)
			continue;
		if (segments_settled(s->q, queue_id_slot(id)))
			s->found[n++] = s->found[i];
		else
			certain = false;
	}
	s->count = n;
	return certain;
}

static void
clean_incoming(struct scan *s)
{
	if (!leave_unknown(s))
		s->q->sweep_again = true;
	if (s->count == 0) {
		s->q->scans--;
		mem_free(s->found);
		mem_free(s);
		return;
	}
	s->work = (struct work){ .run = run_clean, .done = clean_done };
	work_submit(s->q->loop, WORK_NAME, &s->work);
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
	if (s->dir == QUEUE_INCOMING) {
		clean_incoming(s);
		return;
	}
	for (size_t i = 0; i < s->count; i++)
		message_add(
		    q, s->found[i].id, s->dir, due_ms(q, s, &s->found[i]));
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
	if (dir == QUEUE_INCOMING)
		slots_living(q, s->living);
	for (size_t i = 0; dir == QUEUE_INCOMING && i < sizeof(q->slots); i++)
		s->living[i] |= q->slots[i];
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
	c->q->acceptors[slot] = c;
	segments_claim(c, in);
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
	spares_gone(c, in);
	if (msg_has(in, F_SEGMENT))
		return segments_new(c, r, in, id);
	m = message_add(c->q, id, QUEUE_ACTIVE, 0);
	if (m != NULL)
		m->log.trace = in->trace;
	if (m != NULL)
		message_head(m, msg_get(in, F_HEAD, LIMIT_IPC_MESSAGE));
	spare_answer(&r);
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

	/* The next process with this slot may be there already. */
	if (q->acceptors[c->slot] == c) {
		q->slots[c->slot / 8] &= (uint8_t) ~(1U << c->slot % 8);
		q->acceptors[c->slot] = NULL;
	}
	segments_lost(c);
	if (!q->leaving && q->journal != NULL)
		spares_clean(q, c->slot);
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

static void
log_recovery(const struct queue_recovery *r)
{
	char old_id[QUEUE_ID_TEXT], new_id[QUEUE_ID_TEXT];

	for (size_t i = 0; i < r->twin_count; i++) {
		queue_id_text(r->twins[i].old_id, old_id);
		queue_id_text(r->twins[i].new_id, new_id);
		log_warning(NULL, "two messages had the id %s: one is %s now",
		    old_id, new_id);
	}
	if (r->damaged > 0)
		log_error(NULL,
		    "journal: %u segments with records have no valid head "
		    "(journal/%08lu) and are left alone; %u files in "
		    "incoming/ may be of their mail, and are delivered",
		    r->damaged, (unsigned long)r->damaged_number, r->rescued);
	if (r->segment_count > 0)
		log_info(NULL,
		    "journal: %zu messages, %u of them made anew; %u removed, "
		    "%u never answered",
		    r->live_count, r->rebuilt, r->removed, r->discarded);
}

/* Before the loop runs: nobody is served yet. */
static int
recover_journal(struct qmgr *q, struct err *e)
{
	struct queue_recovery r;
	uint8_t living[32];
	bool used;

	slots_living(q, living);
	if (queue_recover(q->queue, living, &r, e) != 0)
		return err_wrap(e, "recovery");
	log_recovery(&r);
	used = r.segment_count > 0;
	segments_start(q, &r);
	queue_recovery_release(&r);
	if (used ||
	    daemon_common(q->daemon)->queue_commit == QUEUE_COMMIT_GROUP)
		journal_start(q);
	return 0;
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
	if (recover_journal(q, e) != 0)
		return -1;
	q->grace = timer_new(q->loop, on_grace, q);
	q->incoming = timer_new(q->loop, on_incoming, q);
	timer_start(q->grace, GRACE_MS);
	timer_start(q->incoming, INCOMING_MS);
	qmgr_scan(q, QUEUE_ACTIVE, -1);
	qmgr_scan(q, QUEUE_DEFERRED, -1);
	spares_clean(q, -1);
	return 0;
}
