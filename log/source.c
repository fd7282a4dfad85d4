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

enum {
	BATCH_RECORDS = 256,
	BATCH_BYTES = 8 << 20, /* each byte may become six in JSON */
	/* While lines come, look again so soon instead of being woken for
	 * each: one batch for many lines. */
	PAUSE_MS = 10,
	RETRY_MS = 500,     /* when nothing can be written */
	DRAIN_ROUNDS = 100, /* at the end of a process */
};

struct source {
	struct sinks *sinks;
	struct ring *ring;
	uint64_t pid;
	char tag[64]; /* of the last record, for lines of our own */
	struct watch *watch;
	struct timer *again;
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

static void
take_lost(struct source *s, struct batch *b)
{
	uint32_t lost = ring_lost(s->ring);
	char text[64];
	struct ring_record r = { .kind = LOG_K_LINE, .level = LOG_L_WARNING,
		.time_us = clock_wall_us(), .at = UINT64_MAX,
		.tag = span_str(s->tag) };

	if (lost == 0)
		return;
	snprintf(text, sizeof(text), "%u lines lost: the log ring was full",
	    (unsigned)lost);
	r.text = span_str(text);
	(void)take(s, &r, b);
}

/* Collects what is in the ring. False when the ring makes no sense. */
static bool
collect(struct source *s, struct batch *b, bool *out_wait)
{
	struct ring_record r;
	int n = 0;

	*out_wait = false;
	while (b->records < BATCH_RECORDS &&
	    (n = ring_next(s->ring, &r, NULL)) == 1) {
		(void)span_copy(r.tag, s->tag, sizeof(s->tag));
		if (!take(s, &r, b)) {
			*out_wait = true;
			break;
		}
		/* Sent is sent: not again if the file fails. */
		if (s->sinks->text == NULL)
			ring_commit(s->ring);
	}
	if (*out_wait)
		ring_rewind(s->ring);
	if (n == 0)
		take_lost(s, b);
	return n >= 0;
}

/* ---- a batch ---- */

/* Writes the batch; the log file decides whether it counts as written. */
static int
write_out(struct source *s, const struct batch *b)
{
	struct sinks *k = s->sinks;
	struct ring_intent note;
	struct err e;

	if (k->text != NULL && b->text.n > 0) {
		output_prepare(k->text, b->text.n, &note);
		ring_intend(s->ring, &note);
		if (output_write(k->text, buf_span(&b->text), &e) != 0) {
			complain(k, &e);
			return -1;
		}
	}
	ring_commit(s->ring);
	if ((k->json != NULL && b->json.n > 0 &&
		output_write(k->json, buf_span(&b->json), &e) != 0) ||
	    (k->store != NULL && b->trace.n > 0 &&
		store_write(k->store, buf_span(&b->trace), &e) != 0))
		complain(k, &e);
	else
		k->complained = false;
	return 0;
}

enum drained { DRAINED_NOTHING, DRAINED_SOME, DRAINED_WAIT };

static enum drained
drain(struct source *s)
{
	struct batch b;
	bool wait;
	enum drained result = DRAINED_SOME;

	batch_init(&b);
	if (!collect(s, &b, &wait)) {
		struct err e;

		err_set(&e, ERR_TEMP, "4.3.0",
		    "the ring of process %llu is damaged",
		    (unsigned long long)s->pid);
		complain(s->sinks, &e);
		ring_reset(s->ring);
	}
	if (b.records == 0)
		result = wait ? DRAINED_WAIT : DRAINED_NOTHING;
	else if (write_out(s, &b) != 0) {
		ring_rewind(s->ring);
		result = DRAINED_WAIT;
	}
	batch_release(&b);
	return result;
}

/* ---- when ---- */

static void
work_on(struct source *s)
{
	switch (drain(s)) {
	case DRAINED_NOTHING:
		if (ring_sleep(s->ring))
			watch_set(s->watch, WATCH_READ);
		else
			timer_start(s->again, 0);
		return;
	case DRAINED_SOME:
		timer_start(s->again, PAUSE_MS);
		return;
	case DRAINED_WAIT:
		timer_start(s->again, RETRY_MS);
		return;
	}
}

static void
on_again(void *arg)
{
	work_on(arg);
}

static void
on_event(void *arg, int events)
{
	struct source *s = arg;

	(void)events;
	ring_woken(s->ring);
	watch_set(s->watch, 0);
	work_on(s);
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
	s->sinks = sinks;
	s->ring = ring;
	s->pid = pid;
	snprintf(s->tag, sizeof(s->tag), "log");
	s->again = timer_new(sinks->loop, on_again, s);
	s->watch = watch_new(sinks->loop, event_fd, on_event, s);
	resume(s);
	timer_start(s->again, 0);
	return s;
}

void
source_drain(struct source *s)
{
	for (int i = 0; i < DRAIN_ROUNDS; i++)
		if (drain(s) != DRAINED_SOME)
			return;
}

void
source_free(struct source **ref)
{
	struct source *s = *ref;

	*ref = NULL;
	if (s == NULL)
		return;
	source_drain(s);
	watch_free(&s->watch);
	timer_free(&s->again);
	ring_free(&s->ring);
	mem_free(s);
}
