/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/qmgr_client.h"

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

enum { ANSWER_MS = 300000, FAREWELL_MS = 2000 };

struct qmgr_client {
	struct loop *loop;
	char *path;
	uint8_t slot;
	struct client *client;
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
	struct msg_out m;

	msg_begin(&m, MSG_QMGR_ACCEPTOR, 0, 0);
	msg_put_u64(&m, F_SLOT, q->slot);
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

/* A call that failed may be one that qmgr never heard of: then it must look
 * by itself, as it does when a connection ends without a farewell. */
static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	struct qmgr_client *q = arg;

	(void)m;
	q->unanswered--;
	if (e != NULL)
		q->doubt = true;
	if (q->unanswered == 0 && (q->doubt || q->done != NULL))
		timer_start(q->timer, 0);
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
	struct msg_out m;

	queue_id_text(id, text);
	msg_begin(&m, MSG_QMGR_NEW, 0, trace);
	msg_put_str(&m, F_QID, text);
	msg_put_u64(&m, F_SIZE, size);
	msg_put_u64(&m, F_RCPT_COUNT, rcpt_count);
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
