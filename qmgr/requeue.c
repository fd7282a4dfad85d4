/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/qmgr.h"

/*
 * Requeueing: what is left to do of a message is handed to pickup, which
 * makes a new message of it, with routes and aliases as they are now. The
 * old one may go when the new one is durable.
 */

enum {
	RCPTS = 100,
	RCPT_SPACE = 3000, /* what one recipient takes at most */
	TIMEOUT_MS = 60 * 1000,
};

struct requeue {
	struct work work;
	struct qmgr *q;
	struct queue_id id;
	enum queue_dir dir;
	struct queue_message *open;
	struct msg_out out;
	bool failed;
	struct err e;
	requeue_fn done;
	void *arg;
};

static void
put_facts(struct requeue *r)
{
	const struct queue_message *m = r->open;
	const struct range content = queue_message_content(m);
	char text[QUEUE_ID_TEXT];

	queue_id_text(r->id, text);
	msg_begin(&r->out, MSG_FORWARD, 0, m->env.trace);
	msg_put_fd(&r->out, m->fd);
	msg_put_str(&r->out, F_QID, text);
	msg_put_range(&r->out, &content);
	msg_put(&r->out, F_SENDER, m->env.sender);
	msg_put(&r->out, F_ENCODING, m->env.encoding);
}

static int
put_rcpts(struct requeue *r)
{
	struct queue_rcpt rcpts[RCPTS];
	struct queue_rcpt_status states[RCPTS];
	uint32_t from = 0;
	int got;

	while ((got = queue_message_rcpts(
		    r->open, from, RCPTS, rcpts, states, &r->e)) > 0) {
		for (int i = 0; i < got; i++) {
			if (states[i].state != RCPT_TODO)
				continue;
			if (msg_space(&r->out) < RCPT_SPACE)
				return err_set(&r->e, ERR_TEMP, "4.3.0",
				    "too many recipients");
			msg_group_begin(&r->out, F_RCPT);
			msg_put(&r->out, F_ADDRESS, rcpts[i].orig_address);
			msg_put(&r->out, F_ORIG_ADDRESS, rcpts[i].orig_address);
			msg_group_end(&r->out);
		}
		from += (uint32_t)got;
	}
	return got;
}

static void
run_read(struct work *work)
{
	struct requeue *r = CONTAINER_OF(work, struct requeue, work);

	r->failed = true;
	if (queue_message_open(r->q->queue, r->dir, r->id, O_RDONLY, true,
		&r->open, &r->e) != 0)
		return;
	if (r->open->env.probe) {
		/* As a new message it would be mail. */
		err_set(&r->e, ERR_PERM, "5.3.0", "it is a probe");
		return;
	}
	put_facts(r);
	r->failed = put_rcpts(r) != 0;
}

static void
finish(struct requeue *r, const struct err *e)
{
	r->done(r->arg, e);
	if (r->open != NULL)
		msg_out_release(&r->out);
	queue_message_close(&r->open);
	mem_free(r);
}

static void
answered(void *arg, struct msg_in *m, const struct err *e)
{
	(void)m;
	finish(arg, e);
}

static void
read_done(struct work *work)
{
	struct requeue *r = CONTAINER_OF(work, struct requeue, work);

	if (r->failed)
		finish(r, &r->e);
	else
		client_call(r->q->pickup, &r->out, TIMEOUT_MS, answered, r);
}

void
requeue_start(struct qmgr *q, struct queue_id id, enum queue_dir dir,
    requeue_fn done, void *arg)
{
	struct requeue *r = MEM_NEW(r);

	r->q = q;
	r->id = id;
	r->dir = dir;
	r->done = done;
	r->arg = arg;
	r->work = (struct work){ .run = run_read, .done = read_done };
	work_submit(q->loop, WORK_OTHER, &r->work);
}
