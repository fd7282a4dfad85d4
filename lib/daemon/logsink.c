/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/logsink.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/ring.h"
#include "lib/os/log.h"

enum { RETRY_MS = 100 };

static struct {
	struct ring *ring;
	char path[LIMIT_PATH]; /* of the log daemon's socket */
	char service[64];
	int fd;                /* connection without a loop, or -1 */
	struct loop *loop;
	struct channel *channel;
	struct timer *retry;
} sink = { .fd = -1 };

static void
send_attach(int fd)
{
	struct msg_out m;

	msg_begin(&m, MSG_LOG_ATTACH, 0, 0);
	msg_put_fd(&m, ring_memory_fd(sink.ring));
	msg_put_fd(&m, ring_event_fd(sink.ring));
	msg_put_str(&m, F_SERVICE, sink.service);
	msg_put_u64(&m, F_PID, (uint64_t)getpid());
	/* If it fails the connection is bad, which shows later. */
	(void)sync_send(fd, &m, 0, NULL);
	msg_out_release(&m);
}

static bool
attach(void)
{
	if (sock_connect_unix(sink.path, SOCK_SEQPACKET | SOCK_NONBLOCK,
		&sink.fd, NULL) != 0)
		return false;
	send_attach(sink.fd);
	return true;
}

/* ---- kept by a loop ---- */

static void on_retry(void *arg);

static void
on_message(void *arg, struct msg_in *m)
{
	(void)arg;
	(void)m;
}

static void
on_closed(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
	channel_free(&sink.channel);
	timer_start(sink.retry, RETRY_MS);
}

static void
on_retry(void *arg)
{
	static const struct channel_handler handler = { on_message,
		on_closed };

	(void)arg;
	if (sink.fd < 0 && !attach()) {
		timer_start(sink.retry, RETRY_MS);
		return;
	}
	sink.channel = channel_new(sink.loop, sink.fd, &handler, NULL);
	sink.fd = -1;
}

void
logsink_loop(struct loop *loop)
{
	sink.loop = loop;
	sink.retry = timer_new(loop, on_retry, NULL);
	timer_start(sink.retry, 0);
}

/* ---- without one ---- */

static void
look_after(void)
{
	struct pollfd p = { .fd = sink.fd, .events = 0 };

	if (sink.fd >= 0 && poll(&p, 1, 0) == 1) {
		close(sink.fd);
		sink.fd = -1;
	}
	if (sink.fd < 0)
		(void)attach();
}

static void
put(const struct log_record *record, void *arg)
{
	const struct ring_record r = { .kind = record->kind,
		.level = record->level, .time_us = record->time_us,
		.trace = record->ctx->trace,
		.qid = span_str(record->ctx->qid),
		.what = span_str(record->what), .tag = span_str(log_tag()),
		.text = span_str(record->text) };

	(void)arg;
	ring_put(sink.ring, &r);
	if (sink.loop == NULL)
		look_after();
}

int
logsink_start(const char *queue_directory, const char *service,
    struct err *e)
{
	if (ring_new(RING_SIZE, &sink.ring, e) != 0)
		return -1;
	snprintf(sink.path, sizeof(sink.path), "%s/private/log",
	    queue_directory);
	snprintf(sink.service, sizeof(sink.service), "%s", service);
	(void)attach();
	log_set_sink(put, NULL);
	return 0;
}

int
logsink_child(struct err *e)
{
	/* The parent's ring stays the parent's: two processes must not write
	 * to one. */
	ring_free(&sink.ring);
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = -1;
	/* So does its loop, with what is on it. */
	sink.loop = NULL;
	sink.channel = NULL;
	sink.retry = NULL;
	log_set_sink(NULL, NULL);
	if (ring_new(RING_SIZE, &sink.ring, e) != 0)
		return -1;
	(void)attach();
	log_set_sink(put, NULL);
	return 0;
}

void
logsink_pass(char out[LOGSINK_TEXT])
{
	const int fds[] = { ring_memory_fd(sink.ring),
		ring_event_fd(sink.ring), sink.fd };

	for (size_t i = 0; i < COUNT_OF(fds); i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFD, 0);
	snprintf(out, LOGSINK_TEXT, "%d,%d,%d", fds[0], fds[1], fds[2]);
}

int
logsink_take(const char *text, struct err *e)
{
	int fds[3];

	if (sscanf(text, "%d,%d,%d", &fds[0], &fds[1], &fds[2]) != 3)
		return err_set(e, ERR_PERM, "5.3.0", "log sink %s", text);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	if (ring_attach(fds[0], fds[1], &sink.ring, e) != 0)
		return -1;
	sink.fd = fds[2];
	log_set_sink(put, NULL);
	return 0;
}

void
logsink_stop(void)
{
	log_set_sink(NULL, NULL);
	channel_free(&sink.channel);
	timer_free(&sink.retry);
	sink.loop = NULL;
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = -1;
	ring_free(&sink.ring);
}
