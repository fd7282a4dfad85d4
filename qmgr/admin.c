/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_msg.h"
#include "qmgr/segments.h"

/*
 * The administrator's wishes: delete, hold, release, requeue, expire, flush.
 * An edit waits until its message is idle (what is in delivery comes to its
 * end), takes the message out of the scheduler, does its steps on the file
 * durably, and only then is answered.
 */

enum { GROUPS_MAX = 256 };

enum op {
	OP_DELETE,
	OP_HOLD,
	OP_RELEASE,
	OP_REQUEUE,
	OP_EXPIRE,
	OP_EXPIRE_NOW,
	OP_COUNT
};

static const struct {
	const char *name, *done;
	enum edit_op edit;
} ops[OP_COUNT] = {
	[OP_DELETE] = { QUEUE_OP_DELETE, "removed", EDIT_DELETE },
	[OP_HOLD] = { QUEUE_OP_HOLD, "placed on hold", EDIT_HOLD },
	[OP_RELEASE] = { QUEUE_OP_RELEASE, "released from hold", EDIT_NONE },
	[OP_REQUEUE] = { QUEUE_OP_REQUEUE, "requeued", EDIT_REQUEUE },
	[OP_EXPIRE] = { QUEUE_OP_EXPIRE, "expired", EDIT_NONE },
	[OP_EXPIRE_NOW] = { QUEUE_OP_EXPIRE_NOW, "expired", EDIT_NONE },
};

/* One request: some messages. */
struct edit {
	struct qmgr *q;
	struct request *request;
	enum op op;
	struct msg_out answer;
	uint64_t count;
	size_t open; /* messages not yet done */
};

/* One message of it. */
struct edit_one {
	struct list link; /* in message->edit_waiters */
	struct work work;
	struct journal_step step;
	struct edit *edit;
	struct journal_segment *seg; /* whose record may not go meanwhile */
	uint64_t seg_at, seg_end;
	struct queue_id id;
	bool found;
	bool dir_known;
	enum queue_dir dir; /* where it is, and then where it went */
	bool unsure, unfiled; /* of its file, as in struct message */
	struct span head;     /* its, as there; this one's */
	bool done;
	bool asked; /* OP_REQUEUE: pickup has answered, */
	bool anew;  /* and made a new message */
	struct err e;
};

/* ---- who may ---- */
static bool
in_group(int fd, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool
admin_allowed(const struct qmgr *q, int fd)
{
	struct peer peer;

	if (sock_peer(fd, &peer, NULL) != 0)
		return false;
	/* We run as mail_owner, or as the private instance's user. */
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return q->admin_group_known &&
	       (peer.gid == q->admin_group || in_group(fd, q->admin_group));
}

static int
refuse(struct request **r)
{
	struct err e;

	err_set(&e, ERR_PERM, "5.7.1",
	    "permission denied: you may not change the queue");
	request_error(r, &e);
	return 0;
}

/* ---- one message ---- */
static void
edit_close(struct edit *edit)
{
	msg_put_u64(&edit->answer, F_COUNT, edit->count);
	request_answer(&edit->request, &edit->answer);
	msg_out_release(&edit->answer);
	mem_free(edit);
}

static void
one_over(struct edit_one *one, bool done)
{
	struct edit *edit = one->edit;
	struct log_ctx ctx = { .trace = request_trace(edit->request) };

	queue_id_text(one->id, ctx.qid);
	if (done) {
		msg_put_str(&edit->answer, F_QID, ctx.qid);
		edit->count++;
		log_info(&ctx, "%s", ops[edit->op].done);
	}
	list_remove(&one->link);
	if (one->seg != NULL) {
		one->seg->holds--;
		segment_go_on(one->seg);
	}
	mem_free((void *)(uintptr_t)one->head.p);
	mem_free(one);
	if (--edit->open == 0)
		edit_close(edit);
}

static int
do_op(struct edit_one *one)
{
	struct queue *q = one->edit->q->queue;
	const enum queue_dir from = one->dir;

	switch (one->edit->op) {
	case OP_DELETE:
		/* Its record is all, and that it is removed is recorded. */
		return one->unfiled ? 0 :
		    queue_remove_synced(q, one->id, from, &one->e);
	case OP_HOLD:
		one->dir = QUEUE_HOLD;
		break;
	case OP_RELEASE:
		one->dir = QUEUE_ACTIVE;
		break;
	case OP_REQUEUE:
		if (one->anew)
			return queue_remove_synced(q, one->id, from, &one->e);
		if (from != QUEUE_HOLD || !one->asked)
			return 0;
		one->dir = QUEUE_ACTIVE;
		break;
	case OP_EXPIRE:
	case OP_EXPIRE_NOW:
	case OP_COUNT:
		return -1;
	}
	if (queue_move(q, one->id, from, one->dir, &one->e) == 0)
		return 0;
	one->dir = from;
	return -1;
}

static bool
is_in(struct edit_one *one, enum queue_dir dir)
{
	int fd;

	if (queue_open_file(
		one->edit->q->queue, dir, one->id, O_RDONLY, &fd, &one->e) != 0)
		return false;
	close(fd);
	one->dir = dir;
	return true;
}

static bool
locate(struct edit_one *one)
{
	const enum op op = one->edit->op;

	if (one->unfiled)
		return true;
	if (one->dir_known)
		return op != OP_RELEASE && is_in(one, one->dir);
	if (op == OP_HOLD)
		return is_in(one, QUEUE_ACTIVE) || is_in(one, QUEUE_DEFERRED);
	if (op == OP_RELEASE)
		return is_in(one, QUEUE_HOLD);
	return is_in(one, QUEUE_HOLD) || is_in(one, QUEUE_ACTIVE) ||
	       is_in(one, QUEUE_DEFERRED);
}

static int
seal(struct edit_one *one)
{
	struct queue *q = one->edit->q->queue;

	if ((one->unsure || one->unfiled) && one->seg != NULL &&
	    queue_rebuild(q, &one->seg->file, one->seg_at, one->id,
		one->unsure, &one->e) != 0)
		return -1;
	one->unfiled = false;
	one->unsure = queue_flush(q, one->id, QUEUE_INCOMING, &one->e) != 0;
	if (one->unsure ||
	    queue_rename(
		q, one->id, QUEUE_INCOMING, QUEUE_ACTIVE, &one->e) != 0)
		return -1;
	one->dir = QUEUE_ACTIVE;
	return queue_sync(q, QUEUE_ACTIVE, one->id, &one->e);
}

/* Finds it, and seals it first when it is not. */
static void
run_locate(struct work *work)
{
	struct edit_one *one = CONTAINER_OF(work, struct edit_one, work);

	one->e.sysno = ENOENT;
	one->found = locate(one);
	if (!one->found || one->dir != QUEUE_INCOMING ||
	    (one->unfiled && one->edit->op == OP_DELETE))
		return;
	one->found = seal(one) == 0;
}

static void
run_edit(struct work *work)
{
	struct edit_one *one = CONTAINER_OF(work, struct edit_one, work);

	one->done = do_op(one) == 0;
}

static void
step_edit(struct journal_step *s)
{
	run_edit(&CONTAINER_OF(s, struct edit_one, step)->work);
}

static void start_one(struct edit_one *one);
static void edit_done(struct work *work);

static void
step_edit_done(struct journal_step *s)
{
	struct edit_one *one = CONTAINER_OF(s, struct edit_one, step);

	if (s->failed) {
		one->done = false;
		one->e = s->e;
	}
	edit_done(&one->work);
}

/* The message goes for good: first it is recorded that it does. */
static bool
removes(const struct edit_one *one)
{
	return one->edit->op == OP_DELETE ||
	       (one->edit->op == OP_REQUEUE && one->anew);
}

static void
locate_done(struct work *work)
{
	struct edit_one *one = CONTAINER_OF(work, struct edit_one, work);
	struct qmgr *q = one->edit->q;

	if (!one->found) {
		edit_done(work);
	} else if (q->journal != NULL && removes(one)) {
		one->step = (struct journal_step){ .type = JOURNAL_REMOVED,
			.id = one->id,
			.flush = true,
			.run = step_edit,
			.done = step_edit_done };
		buf_init(&one->step.data, 1);
		journal_add(q->journal, &one->step);
	} else {
		one->work =
		    (struct work){ .run = run_edit, .done = edit_done };
		work_submit(q->loop, WORK_NAME, &one->work);
	}
}

static void
requeued(void *arg, const struct err *e)
{
	struct edit_one *one = arg;
	struct log_ctx ctx = { 0 };

	queue_id_text(one->id, ctx.qid);
	if (e != NULL)
		log_warning(&ctx, "requeued with its old routes: %s", e->text);
	one->asked = true;
	one->anew = e == NULL;
	one->dir_known = true;
	start_one(one);
}

static void
edit_done(struct work *work)
{
	struct edit_one *one = CONTAINER_OF(work, struct edit_one, work);
	const enum op op = one->edit->op;
	struct log_ctx ctx = { 0 };
	struct message *m = NULL;

	if (one->done && op == OP_REQUEUE && !one->asked) {
		requeue_start(one->edit->q, one->id, one->dir, requeued, one);
		return;
	}
	queue_id_text(one->id, ctx.qid);
	if (!one->done && one->e.sysno != ENOENT)
		log_warning(&ctx, "%s: %s", ops[op].name, one->e.text);
	/* What is not gone or held is in the scheduler again. */
	if (one->done && !one->anew && (op == OP_RELEASE || op == OP_REQUEUE))
		m = message_add(one->edit->q, one->id, one->dir, 0);
	else if (!one->done && one->dir_known && one->dir != QUEUE_HOLD &&
		 (one->e.sysno != ENOENT || one->seg != NULL))
		m = message_add(one->edit->q, one->id, one->dir, 0);
	if (m != NULL)
		m->forced = true;
	/* Perhaps it is not sealed. */
	if (m != NULL && !one->done && one->seg != NULL) {
		segment_join(one->seg, m, one->seg_at, one->seg_end);
		m->unsure = one->unsure;
		m->unfiled = one->unfiled;
		if (m->unfiled)
			message_head(m, one->head);
	}
	one_over(one, one->done);
}

static void
start_one(struct edit_one *one)
{
	one->done = one->found = false;
	one->work = (struct work){ .run = run_locate, .done = locate_done };
	work_submit(one->edit->q->loop, WORK_NAME, &one->work);
}

void
edit_ready(struct message *m)
{
	struct list *link = list_first(&m->edit_waiters);
	struct edit_one *one;

	m->edit = EDIT_NONE;
	if (link == NULL)
		return;
	one = CONTAINER_OF(link, struct edit_one, link);
	list_remove(link);
	one->dir_known = true;
	one->dir = m->dir;
	one->seg = m->seg;
	one->seg_at = m->seg_at;
	one->seg_end = m->seg_end;
	one->unsure = m->unsure;
	one->unfiled = m->unfiled;
	one->head = message_take_head(m);
	if (one->seg != NULL)
		one->seg->holds++;
	/* One at a time: a second wish finds what the first has left. */
	while ((link = list_first(&m->edit_waiters)) != NULL)
		one_over(CONTAINER_OF(link, struct edit_one, link), false);
	message_forget(m);
	start_one(one);
}

void
edit_gone(struct message *m, bool removed)
{
	struct list *link;

	while ((link = list_first(&m->edit_waiters)) != NULL) {
		struct edit_one *one =
		    CONTAINER_OF(link, struct edit_one, link);

		one_over(one, removed && one->edit->op == OP_DELETE);
	}
}

static bool
expire_one(struct message *m, bool now)
{
	if (m == NULL)
		return false;
	m->expire = true;
	if (now && m->sched.state == SCHED_WAITING) {
		m->forced = true;
		scheduler_wait(m->q->sched, &m->sched, 0);
		qmgr_pump_soon(m->q);
	}
	return true;
}

static void
edit_one(struct edit *edit, struct queue_id id)
{
	struct sched_message *s = scheduler_find(edit->q->sched, id);
	struct message *m =
	    s != NULL ? CONTAINER_OF(s, struct message, sched) : NULL;
	struct edit_one *one = MEM_NEW(one);

	one->edit = edit;
	one->id = id;
	list_init(&one->link);
	edit->open++;
	if (edit->op == OP_EXPIRE || edit->op == OP_EXPIRE_NOW) {
		one_over(one, expire_one(m, edit->op == OP_EXPIRE_NOW));
	} else if (m == NULL) {
		start_one(one);
	} else if (edit->op == OP_RELEASE) {
		one_over(one, false);
	} else {
		list_push(&m->edit_waiters, &one->link);
		m->edit = ops[edit->op].edit;
		if (s->state == SCHED_WAITING) {
			if (!m->busy)
				edit_ready(m);
			return;
		}
		message_withdraw(m);
		message_step(m);
	}
}

static int
on_edit(struct request *r, struct msg_in *in, void *arg)
{
	struct conn *c = conn_of(request_conn(r));
	struct edit *edit;
	struct span value, op = msg_need(in, F_OP, 100);
	struct queue_id id;
	size_t cursor = 0, count = 0;
	enum op n = 0;

	(void)arg;
	if (!c->admin)
		return refuse(&r);
	while (n < OP_COUNT && !span_eq(op, span_str(ops[n].name)))
		n++;
	while (msg_next_value(in, F_QID, &cursor, &value))
		count++;
	if (n == OP_COUNT || in->bad || count > QUEUE_EDIT_MAX)
		return -1;
	edit = MEM_NEW(edit);
	edit->q = c->q;
	edit->request = r;
	edit->op = n;
	edit->open = 1;
	request_begin(r, &edit->answer, MSG_OK);
	cursor = 0;
	while (msg_next_value(in, F_QID, &cursor, &value))
		if (queue_id_parse(value, &id))
			edit_one(edit, id);
	if (--edit->open == 0)
		edit_close(edit);
	return 0;
}

/* ---- flush ---- */
static bool
flush_one(struct sched_message *s)
{
	struct message *m;

	if (s == NULL)
		return false;
	m = CONTAINER_OF(s, struct message, sched);
	/* That it failed is known and on its way to the disk, or waits for
	 * room there: mailq shows it already. */
	if (!list_empty(&m->deferred))
		m->flushed = true;
	if (s->state != SCHED_WAITING)
		return m->flushed;
	m->forced = true;
	scheduler_wait(m->q->sched, s, 0);
	return true;
}

static uint64_t
flush_all(struct qmgr *q)
{
	struct sched_message *s;
	struct table_iter it;
	uint64_t count = 0;

	scheduler_revive(q->sched);
	scheduler_each(q->sched, &it);
	while ((s = scheduler_each_next(q->sched, &it)) != NULL)
		count += flush_one(s);
	return count;
}

static uint64_t
flush_domain(struct qmgr *q, struct span domain)
{
	struct sched_message *s;
	struct table_iter it;
	uint64_t count = 0;

	scheduler_revive(q->sched);
	scheduler_each(q->sched, &it);
	while ((s = scheduler_each_next(q->sched, &it)) != NULL)
		if (message_may_be_for(
			CONTAINER_OF(s, struct message, sched), domain))
			count += flush_one(s);
	return count;
}

int
on_flush(struct request *r, struct msg_in *in, void *arg)
{
	struct qmgr *q = conn_of(request_conn(r))->q;
	const struct span text = msg_get(in, F_QID, QUEUE_ID_TEXT);
	const struct span domain = msg_get(in, F_DOMAIN, LIMIT_DOMAIN + 2);
	struct msg_out out;
	struct queue_id id;
	uint64_t count = 0;

	(void)arg;
	if (in->bad)
		return -1;
	if (domain.n > 0)
		count = flush_domain(q, domain);
	else if (text.n == 0)
		count = flush_all(q);
	else if (queue_id_parse(text, &id))
		count = flush_one(scheduler_find(q->sched, id));
	qmgr_pump_soon(q);
	request_begin(r, &out, MSG_OK);
	msg_put_u64(&out, F_COUNT, count);
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

const struct server_handler admin_handlers[] = {
	{ MSG_QUEUE_LIST, on_list },
	{ MSG_QUEUE_EDIT, on_edit },
	{ MSG_QUEUE_FLUSH, on_flush },
	{ 0, NULL },
};
