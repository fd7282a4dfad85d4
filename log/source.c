/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/trace.h"

/*
 * Lines of all processes come out in the order of their times: sources that
 * have something are read together, the oldest record first, and records of
 * the last moment wait for the next round, since another process may just be
 * adding an older one.
 */

enum {
	BATCH_RECORDS = 256,
	BATCH_BYTES = 8 << 20, /* each byte may become six in JSON */
	GRACE_US = 2000,
	SOON_MS = 3,   /* after a wake-up */
	PAUSE_MS = 10, /* while lines come: one batch for many */
	RETRY_MS = 500, /* when nothing can be written */
	LAST_ROUNDS = 1000, /* at the end of a process */
};

struct source {
	struct list link; /* in sinks->awake, or alone */
	struct sinks *sinks;
	struct ring *ring;
	uint64_t pid;
	char tag[64]; /* of the last record, for lines of our own */
	struct watch *watch;
	struct ring_record next; /* if has_next: read, not yet taken */
	bool has_next;
	uint64_t taken; /* place up to which records are in the batch */
	bool took;      /* any at all */
};

struct batch {
	struct buf text, json, trace;
	unsigned records;
};

static void
batch_init(struct batch *b)
{
	b->records = 0;
	buf_init(&b->text, BATCH_BYTES);
	buf_init(&b->json, BATCH_BYTES);
	buf_init(&b->trace, BATCH_BYTES);
}

static void
batch_release(struct batch *b)
{
	buf_release(&b->text);
	buf_release(&b->json);
	buf_release(&b->trace);
}

/* What can't be written is told where somebody may see it: not into the log,
 * which is what fails. */
static void
complain(struct sinks *k, const struct err *e)
{
	if (!k->complained)
		fprintf(stderr, "log: %s\n", e->text);
	k->complained = true;
}

/* ---- the system's log ---- */

static void
syslog_connect(struct sinks *k)
{
	static const struct sockaddr_un addr = { AF_UNIX, "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr,
			   sizeof(addr)) == 0) {
		k->syslog_fd = fd;
		return;
	}
	if (fd >= 0)
		close(fd);
}

/* False when it is to be tried again later. A system without a log daemon
 * has no such lines; the trace store still has them. */
static bool
syslog_send(struct sinks *k, struct span line)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		if (k->syslog_fd < 0)
			syslog_connect(k);
		if (k->syslog_fd < 0)
			return true;
		if (send(k->syslog_fd, line.p, line.n,
			MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		close(k->syslog_fd);
		k->syslog_fd = -1;
	}
	return true;
}

/* ---- one record ---- */

/* Adds the record to the batch; false when it must wait. */
static bool
take(struct source *s, const struct ring_record *r, struct batch *b)
{
	struct sinks *k = s->sinks;
	const struct origin origin = { k->host, s->pid };

	if (k->text != NULL) {
		text_line(&b->text, r, &origin);
	} else if (r->kind == LOG_K_LINE) {
		struct buf line;
		bool sent;

		buf_init(&line, LIMIT_LOG_LINE + 512);
		text_syslog(&line, r, &origin);
		sent = syslog_send(k, buf_span(&line));
		buf_release(&line);
		if (!sent)
			return false;
	}
	if (k->json != NULL)
		text_json(&b->json, r, &origin);
	if (k->store != NULL)
		trace_format(&b->trace, r, s->pid);
	b->records++;
	return true;
}

/* Lost lines are told in the log, lost trace events in the trace. */
static void
take_lost(struct source *s, enum log_kind kind, struct batch *b)
{
	uint32_t lost = ring_lost(s->ring, kind);
	char text[64];
	struct ring_record r = { .kind = kind, .level = LOG_L_WARNING,
		.time_us = clock_wall_us(), .at = UINT64_MAX,
		.what = span_str(kind == LOG_K_EVENT ? "lost" : ""),
		.tag = span_str(s->tag) };

	if (lost == 0)
		return;
	snprintf(text, sizeof(text), "%u %s lost: the log ring was full",
	    (unsigned)lost, kind == LOG_K_EVENT ? "events" : "lines");
	r.text = span_str(text);
	(void)take(s, &r, b);
}

/* ---- reading all sources, oldest record first ---- */

static void
report_damage(struct source *s)
{
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.0", "the ring of process %llu is damaged",
	    (unsigned long long)s->pid);
	complain(s->sinks, &e);
	ring_reset(s->ring);
}

/* Makes s->next the next record, if there is one. */
static void
look_ahead(struct source *s)
{
	int n;

	if (s->has_next)
		return;
	n = ring_next(s->ring, &s->next, NULL);
	if (n < 0)
		report_damage(s);
	s->has_next = n == 1;
}

static struct source *
oldest(struct sinks *k)
{
	struct source *best = NULL;

	LIST_EACH (&k->awake, link) {
		struct source *s = CONTAINER_OF(link, struct source, link);

		look_ahead(s);
		if (s->has_next && (best == NULL ||
		    s->next.time_us < best->next.time_us))
			best = s;
	}
	return best;
}

/* Is it too new? A time far in the future is a wrong clock, not news. */
static bool
must_wait(const struct ring_record *r, int64_t now_us)
{
	return r->time_us > now_us - GRACE_US &&
	    r->time_us < now_us + 1000000;
}

enum collected { COLLECTED_ALL, COLLECTED_MORE, COLLECTED_STUCK };

static enum collected
collect(struct sinks *k, struct batch *b, int64_t now_us)
{
	struct source *s;

	while ((s = oldest(k)) != NULL && !must_wait(&s->next, now_us)) {
		if (b->records == BATCH_RECORDS)
			return COLLECTED_MORE;
		(void)span_copy(s->next.tag, s->tag, sizeof(s->tag));
		if (!take(s, &s->next, b))
			return COLLECTED_STUCK;
		s->has_next = false;
		s->took = true;
		s->taken = ring_place(s->ring);
		/* Sent is sent: not again if the trace fails. */
		if (k->text == NULL)
			ring_commit_to(s->ring, s->taken);
	}
	return COLLECTED_ALL;
}

/* ---- a batch ---- */

static void
intend_all(struct sinks *k, const struct ring_intent *note)
{
	LIST_EACH (&k->awake, link) {
		struct source *s = CONTAINER_OF(link, struct source, link);

		if (s->took)
			ring_intend(s->ring, s->taken, note);
	}
}

/* Ends the batch: what was taken counts as read, or is to be read again. */
static void
settle_all(struct sinks *k, bool written)
{
	LIST_EACH (&k->awake, link) {
		struct source *s = CONTAINER_OF(link, struct source, link);

		if (s->took && written)
			ring_commit_to(s->ring, s->taken);
		if (!written) {
			ring_rewind(s->ring);
			s->has_next = false;
		}
		s->took = false;
	}
}

/* Writes the batch; the log file decides whether it counts as written. */
static bool
write_out(struct sinks *k, const struct batch *b)
{
	struct ring_intent note;
	struct err e;

	if (k->text != NULL && b->text.n > 0) {
		output_prepare(k->text, b->text.n, &note);
		intend_all(k, &note);
		if (output_write(k->text, buf_span(&b->text), &e) != 0) {
			complain(k, &e);
			settle_all(k, false);
			return false;
		}
	}
	settle_all(k, true);
	if ((k->json != NULL && b->json.n > 0 &&
		output_write(k->json, buf_span(&b->json), &e) != 0) ||
	    (k->store != NULL && b->trace.n > 0 &&
		store_write(k->store, buf_span(&b->trace), &e) != 0))
		complain(k, &e);
	else
		k->complained = false;
	return true;
}

/* ---- when ---- */

/* Sources without anything sleep until they are woken. */
static void
put_to_sleep(struct sinks *k, struct batch *b)
{
	LIST_EACH (&k->awake, link) {
		struct source *s = CONTAINER_OF(link, struct source, link);

		if (s->has_next)
			continue;
		take_lost(s, LOG_K_LINE, b);
		take_lost(s, LOG_K_EVENT, b);
		if (!ring_sleep(s->ring))
			continue;
		list_remove(&s->link);
		watch_set(s->watch, WATCH_READ);
	}
}

/* One look at all. now_us: as of when. */
static enum collected
round_of_all(struct sinks *k, int64_t now_us)
{
	struct batch b;
	enum collected result;

	batch_init(&b);
	result = collect(k, &b, now_us);
	if (!write_out(k, &b))
		result = COLLECTED_STUCK;
	batch_release(&b);
	batch_init(&b);
	put_to_sleep(k, &b);
	if (b.records > 0)
		(void)write_out(k, &b);
	batch_release(&b);
	return result;
}

static void
on_round(void *arg)
{
	struct sinks *k = arg;
	enum collected result = round_of_all(k, clock_wall_us());

	if (list_empty(&k->awake))
		return;
	switch (result) {
	case COLLECTED_ALL:
		timer_start(k->round, PAUSE_MS);
		return;
	case COLLECTED_MORE:
		timer_start(k->round, 0);
		return;
	case COLLECTED_STUCK:
		timer_start(k->round, RETRY_MS);
		return;
	}
}

static void
wake(struct source *s)
{
	struct sinks *k = s->sinks;

	watch_set(s->watch, 0);
	list_remove(&s->link);
	list_push(&k->awake, &s->link);
	if (!timer_active(k->round))
		timer_start(k->round, SOON_MS);
}

static void
on_event(void *arg, int events)
{
	struct source *s = arg;

	(void)events;
	ring_woken(s->ring);
	wake(s);
}

void
sinks_init(struct sinks *k, struct loop *loop)
{
	k->loop = loop;
	list_init(&k->awake);
	k->round = timer_new(loop, on_round, k);
}

void
sinks_release(struct sinks *k)
{
	timer_free(&k->round);
}

/* A log daemon before us may have been killed between writing and counting as
 * read. */
static void
resume(struct source *s)
{
	struct ring_intent note;

	if (s->sinks->text != NULL && ring_intended(s->ring, &note) &&
	    output_has(s->sinks->text, &note))
		ring_skip_intended(s->ring);
}

struct source *
source_new(struct sinks *sinks, int memory_fd, int event_fd, uint64_t pid,
    struct err *e)
{
	struct ring *ring;
	struct source *s;

	if (ring_attach(memory_fd, event_fd, &ring, e) != 0)
		return NULL;
	if (sock_set_nonblock(event_fd, true, e) != 0) {
		ring_free(&ring);
		return NULL;
	}
	s = MEM_NEW(s);
	list_init(&s->link);
	s->sinks = sinks;
	s->ring = ring;
	s->pid = pid;
	snprintf(s->tag, sizeof(s->tag), "log");
	s->watch = watch_new(sinks->loop, event_fd, on_event, s);
	resume(s);
	wake(s);
	return s;
}

/* Its last lines; with those of the others, for the order's sake. */
static void
drain(struct source *s)
{
	wake(s);
	for (int i = 0; i < LAST_ROUNDS && !list_empty(&s->link); i++)
		if (round_of_all(s->sinks, INT64_MAX / 2) == COLLECTED_STUCK)
			return;
}

void
source_free(struct source **ref)
{
	struct source *s = *ref;

	*ref = NULL;
	if (s == NULL)
		return;
	drain(s);
	list_remove(&s->link);
	watch_free(&s->watch);
	ring_free(&s->ring);
	mem_free(s);
}
