/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/delivery_log.h"
#include "lib/os/log.h"
#include "verify/verify_impl.h"

/* Questions of smtpd and answers of qmgr. */

const struct span verify_in_progress = { (const uint8_t *)"Address "
    "verification in progress", sizeof("Address verification in progress") -
    1 };

enum { WAIT_MAX_MS = 3600 * 1000 };

/* One question, for which the answer is being found. */
struct waiter {
	struct list link; /* in its probe */
	struct request *request;
	struct timer *timer;
};

static void
answer(struct request **r, enum verify_status status, struct span text)
{
	struct msg_out m;

	request_begin(*r, &m, MSG_VERIFY_ANSWER);
	msg_put_u64(&m, F_STATUS, status);
	msg_put(&m, F_TEXT, text);
	request_answer(r, &m);
	msg_out_release(&m);
}

void
waiter_answer(struct list *link, enum verify_status status, struct span text)
{
	struct waiter *w = CONTAINER_OF(link, struct waiter, link);

	list_remove(&w->link);
	answer(&w->request, status, text);
	timer_free(&w->timer);
	mem_free(w);
}

static void
on_time(void *arg)
{
	struct waiter *w = arg;

	waiter_answer(&w->link, VERIFY_TODO, verify_in_progress);
}

static void
wait_for(struct verify *v, struct probe *p, struct request *r, uint64_t ms)
{
	struct waiter *w = MEM_NEW(w);

	list_init(&w->link);
	w->request = r;
	w->timer = timer_new(v->loop, on_time, w);
	timer_start(w->timer, ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS);
	probe_wait(p, &w->link);
}

/* What is remembered, if it counts; and a probe if one is due. */
static void
look_up(struct verify *v, struct span key, struct request *r, uint64_t wait_ms)
{
	const uint64_t trace = request_trace(r);
	struct verify_record known;
	bool stale = false, is_new = false;
	const bool found = cache_get(v->cache, key, &known, &stale);
	struct probe *p = NULL;

	if (found)
		answer(&r, known.status, known.text);
	if (!found || stale)
		p = daemon_leaving(v->daemon) ? NULL :
						probe_for(v, key, &is_new);
	if (!found && p != NULL)
		wait_for(v, p, r, wait_ms);
	else if (!found)
		answer(&r, VERIFY_TODO, verify_in_progress);
	if (is_new)
		probe_begin(p, trace);
}

static int
on_verify(struct request *r, struct msg_in *m, void *arg)
{
	const struct span address = msg_need(m, F_ADDRESS, LIMIT_ADDRESS);
	const uint64_t wait_ms = msg_get_u64(m, F_WAIT_MS);
	struct buf key;

	if (m->bad || request_id(r) == 0)
		return -1;
	buf_init(&key, LIMIT_ADDRESS);
	if (probe_key(address, &key))
		look_up(arg, buf_span(&key), r, wait_ms);
	else
		answer(&r, VERIFY_REFUSED, SPAN("bad address syntax"));
	buf_release(&key);
	return 0;
}

static enum verify_status
status_of(uint64_t action)
{
	switch (action) {
	case RCPT_SENT:
		return VERIFY_OK;
	case RCPT_FAILED:
		return VERIFY_REFUSED;
	case RCPT_DEFERRED:
		return VERIFY_DEFERRED;
	}
	return VERIFY_TODO;
}

/* qmgr runs as we do; others of ours only ask. */
static bool
may_tell(const struct request *r)
{
	const uid_t uid = server_conn_peer(request_conn(r))->uid;

	return uid == geteuid() || uid == 0;
}

static int
on_probed(struct request *r, struct msg_in *m, void *arg)
{
	const struct span address = msg_need(m, F_ADDRESS, LIMIT_ADDRESS);
	const uint64_t action = msg_get_u64(m, F_ACTION);
	const struct span text = msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE);

	if (m->bad || request_id(r) == 0 || !may_tell(r))
		return -1;
	const enum verify_status status = status_of(action);

	probe_answered(arg, address, status,
	    status == VERIFY_TODO ? verify_in_progress : text);
	request_ok(&r);
	return 0;
}

const struct server_handler verify_handlers[] = {
	{ MSG_VERIFY, on_verify },
	{ MSG_PROBED, on_probed },
	{ 0, NULL },
};
