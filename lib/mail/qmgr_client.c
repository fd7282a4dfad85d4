/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/qmgr_client.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

enum { ANSWER_MS = 300000, FAREWELL_MS = 2000, SEGMENT_MS = 30000 };

struct qmgr_client {
	struct loop *loop;
	char *path;
	uint8_t slot;
	struct client *client;
	struct queue *queue; /* NULL: each message is sealed by itself */
	struct timer *timer;
	size_t unanswered;
	bool doubt; /* qmgr may not have heard of all */
	qmgr_client_fn done;
	void *arg;
};

static void
say_who(void *arg, struct channel *c)
{
	struct qmgr_client *q = arg;
	struct queue_place held[2];
	struct msg_out m;
	size_t count = 0;

	if (q->queue != NULL)
		count = queue_group_held(q->queue, held);
	msg_begin(&m, MSG_QMGR_ACCEPTOR, 0, 0);
	msg_put_u64(&m, F_SLOT, q->slot);
	for (size_t i = 0; i < count; i++) {
		msg_group_begin(&m, F_HELD);
		msg_put_u64(&m, F_SEGMENT, held[i].segment);
		msg_put_u64(&m, F_GENERATION, held[i].generation);
		msg_group_end(&m);
	}
	channel_send(c, &m);
	msg_out_release(&m);
}

static void
connect_anew(struct qmgr_client *q)
{
	const struct client_options o = { .path = q->path,
		.peer = "qmgr",
		.waiting_max = 100000,
		.connected = say_who,
		.stay = true,
		.arg = q };

	client_free(&q->client);
	/* With it went what was asked for. */
	if (q->queue != NULL)
		queue_group_forget(q->queue);
	q->client = client_new(q->loop, &o);
}

static void
leave(struct qmgr_client *q)
{
	qmgr_client_fn done = q->done;
	struct msg_out m;

	q->done = NULL;
	if (q->unanswered == 0 && !q->doubt) {
		msg_begin(&m, MSG_FAREWELL, 0, 0);
		client_notify(q->client, &m);
		msg_out_release(&m);
	}
	done(q->arg);
}

/* Nothing is in flight, or a farewell has waited long enough. */
static void
on_timer(void *arg)
{
	struct qmgr_client *q = arg;

	if (q->done != NULL) {
		leave(q);
	} else if (q->doubt) {
		q->doubt = false;
		connect_anew(q);
	}
}

static void
take_spares(struct qmgr_client *q, struct msg_in *m)
{
	struct queue_id id;
	struct span text;
	size_t cursor = 0;

	while (msg_next_value(m, F_SPARE, &cursor, &text))
		if (queue_id_parse(text, &id))
			queue_spare_give(q->queue, id);
}

/* A call that failed may be one that qmgr never heard of: then it must look
 * by itself, as it does when a connection ends without a farewell. */
static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct qmgr_client *q = arg;

	if (e == NULL && q->queue != NULL)
		take_spares(q, m);
	q->unanswered--;
	if (e != NULL)
		q->doubt = true;
	if (q->unanswered == 0 && (q->doubt || q->done != NULL))
		timer_start(q->timer, 0);
}

/* ---- journal segments ---- */
/* It may be ours all the same, when the answer comes too late: qmgr takes back
 * what we do not claim on a new connection. */
static void
not_answered(struct qmgr_client *q)
{
	q->doubt = true;
	if (q->unanswered == 0)
		timer_start(q->timer, 0);
}

static void
segment_answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct qmgr_client *q = arg;
	struct queue_segment s = { .fd = -1 };

	if (e != NULL && strcmp(e->dsn, "4.3.1") == 0) {
		queue_group_none(q->queue);
		return;
	}
	if (e == NULL && m->type == MSG_SEGMENT) {
		s.number = msg_get_u32(m, F_SEGMENT);
		s.generation = msg_get_u64(m, F_GENERATION);
		s.size = msg_get_u64(m, F_SIZE);
		queue_set_bound(q->queue, (int64_t)msg_get_u64(m, F_BOUND_US));
		s.fd = msg_take_fd(m);
	}
	if (s.fd < 0 || m->bad || s.generation == 0) {
		if (s.fd >= 0)
			close(s.fd);
		queue_group_forget(q->queue);
		if (e == NULL || e->kind == ERR_TEMP)
			not_answered(q);
		return;
	}
	queue_group_give(q->queue, &s);
}

static void
want_segment(void *arg)
{
	struct qmgr_client *q = arg;
	struct msg_out m;

	msg_begin(&m, MSG_SEGMENT_WANT, 0, 0);
	client_call(q->client, &m, SEGMENT_MS, segment_answered, q);
	msg_out_release(&m);
}

/* When qmgr is not there it finds out by itself. */
static void
segment_full(
    void *arg, uint32_t number, uint64_t generation, uint64_t end, bool refused)
{
	struct qmgr_client *q = arg;
	struct msg_out m;

	msg_begin(&m, MSG_SEGMENT_FULL, 0, 0);
	msg_put_u64(&m, F_SEGMENT, number);
	msg_put_u64(&m, F_GENERATION, generation);
	msg_put_u64(&m, F_PLACE, end);
	if (refused)
		msg_put_u64(&m, F_DAMAGED, 1);
	client_notify(q->client, &m);
	msg_out_release(&m);
}

void
qmgr_client_group(struct qmgr_client *q, struct queue *queue)
{
	static const struct queue_group_ops ops = { want_segment,
		segment_full };

	q->queue = queue;
	queue_group(queue, &ops, q);
}

struct qmgr_client *
qmgr_client_new(struct loop *loop, const char *path, uint8_t slot)
{
	struct qmgr_client *q = MEM_NEW(q);

	q->loop = loop;
	q->path = mem_strdup(path);
	q->slot = slot;
	q->timer = timer_new(loop, on_timer, q);
	connect_anew(q);
	return q;
}

void
qmgr_client_free(struct qmgr_client **q)
{
	if (*q == NULL)
		return;
	timer_free(&(*q)->timer);
	client_free(&(*q)->client);
	mem_free((*q)->path);
	mem_free(*q);
	*q = NULL;
}

void
qmgr_client_message(struct qmgr_client *q, struct queue_id id, uint64_t size,
    uint32_t rcpt_count, uint64_t trace)
{
	char text[QUEUE_ID_TEXT];
	struct queue_place place;
	struct span head = SPAN_EMPTY;
	struct queue_id spare;
	struct msg_out m;

	queue_id_text(id, text);
	msg_begin(&m, MSG_QMGR_NEW, 0, trace);
	msg_put_str(&m, F_QID, text);
	msg_put_u64(&m, F_SIZE, size);
	msg_put_u64(&m, F_RCPT_COUNT, rcpt_count);
	if (q->queue != NULL && queue_commit_place(q->queue, id, &place)) {
		msg_put_u64(&m, F_SEGMENT, place.segment);
		msg_put_u64(&m, F_GENERATION, place.generation);
		msg_put_u64(&m, F_PLACE, place.at);
		msg_put_u64(&m, F_PLACE_END, place.end);
		if (place.unfiled)
			msg_put_u64(&m, F_UNFILED, 1);
	}
	if (q->queue != NULL)
		head = queue_commit_head(q->queue);
	if (head.n > 0)
		msg_put(&m, F_HEAD, head);
	while (q->queue != NULL && queue_spare_gone(q->queue, &spare)) {
		queue_id_text(spare, text);
		msg_put_str(&m, F_SPARE, text);
	}
	q->unanswered++;
	client_call(q->client, &m, ANSWER_MS, answered, q);
	msg_out_release(&m);
}

void
qmgr_client_farewell(struct qmgr_client *q, qmgr_client_fn done, void *arg)
{
	q->done = done;
	q->arg = arg;
	timer_start(q->timer, q->unanswered == 0 ? 0 : FAREWELL_MS);
}
