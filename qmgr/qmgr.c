/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "qmgr/agents.h"
#include "qmgr/reserve.h"

/* The queue manager: set-up and connections. */

enum {
	PRIVATE,
	PUBLIC, /* listeners, as master.cf has them */
	CREDIT = 1000,
	PAGE = 1000,	      /* recipients of one message in memory */
	LEAVE_MS = 10 * 1000, /* for deliveries under way */
	FILES_SPARE = 300,
};

static struct qmgr_conf conf;
static struct qmgr the_qmgr;

/* ---- limits of a transport ---- */
static uint32_t
transport_number(struct qmgr *q, struct span transport, const char *suffix,
    int64_t otherwise)
{
	char name[128];
	const char *value;
	uint64_t n;

	snprintf(name, sizeof(name), "%s%s", log_quote(transport, 60), suffix);
	value = conf_value(daemon_conf(q->daemon), name);
	if (value == NULL || !span_u64(span_str(value), 1000000, &n) || n == 0)
		return (uint32_t)otherwise;
	return (uint32_t)n;
}

static void
get_limits(void *arg, struct span transport, struct sched_limits *out)
{
	struct qmgr *q = arg;

	out->concurrency_initial =
	    (uint32_t)conf.initial_destination_concurrency;
	out->concurrency_max =
	    transport_number(q, transport, "_destination_concurrency_limit",
		conf.default_destination_concurrency_limit);
	out->rcpts =
	    transport_number(q, transport, "_destination_recipient_limit",
		conf.default_destination_recipient_limit);
}

/* An active message has two descriptors, and more on the way. */
static uint32_t
messages_max(void)
{
	struct rlimit files;
	int64_t n = conf.qmgr_message_active_limit;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur != RLIM_INFINITY &&
	    n > ((int64_t)files.rlim_cur - FILES_SPARE) / 3)
		n = ((int64_t)files.rlim_cur - FILES_SPARE) / 3;
	return n > 1 ? (uint32_t)n : 1;
}

/* ---- connections ---- */
static void
on_opened(struct server_conn *sc, void *arg)
{
	struct conn *c = MEM_NEW(c);

	c->q = arg;
	c->slot = -1;
	c->admin = c->q->peer_is_admin;
	server_conn_set(sc, c);
}

static void
on_closed(struct server_conn *sc, void *arg)
{
	struct conn *c = conn_of(sc);

	(void)arg;
	if (c->agent != NULL)
		agent_lost(c->agent);
	if (c->slot >= 0)
		acceptor_lost(c);
	list_closed(c);
	mem_free(c);
}

static bool
allow_all(const struct peer *peer, void *arg)
{
	(void)peer;
	(void)arg;
	return true;
}

static void
qmgr_client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	struct qmgr *q = &the_qmgr;

	(void)d;
	if (l->index == PRIVATE) {
		server_client(q->private, fd);
		return;
	}
	q->peer_is_admin = admin_allowed(q, fd);
	server_client(q->public, fd);
	q->peer_is_admin = false;
}

static void
on_due(void *arg)
{
	qmgr_pump_soon(arg);
}

static void
start_servers(struct qmgr *q)
{
	q->private = server_new(
	    q->loop, &(struct server_options){ .handlers = private_handlers,
			 .credit = CREDIT,
			 .connections_max = 5000,
			 .opened = on_opened,
			 .closed = on_closed,
			 .arg = q });
	q->public = server_new(
	    q->loop, &(struct server_options){ .handlers = admin_handlers,
			 .credit = 4,
			 .connections_max = 200,
			 .allow = allow_all,
			 .opened = on_opened,
			 .closed = on_closed,
			 .arg = q });
}

/* ---- callbacks of the skeleton ---- */
static int
qmgr_start(struct daemon *d, struct err *e)
{
	struct qmgr *q = &the_qmgr;

	q->daemon = d;
	q->loop = daemon_loop(d);
	q->conf = &conf;
	clock_start();
	list_init(&q->agents);
	list_init(&q->foreign);
	list_init(&q->segments);
	table_init(&q->expected);
	if (queue_open(
		daemon_common(d)->queue_directory, q->loop, &q->queue, e) != 0)
		return -1;
	q->sched = scheduler_new(&(struct sched_options){
	    .messages_max = messages_max(),
	    .rcpts_max = (uint32_t)conf.qmgr_message_recipient_limit,
	    .page = PAGE,
	    .dead_ms = (uint64_t)conf.minimal_backoff_time,
	    .limits = get_limits,
	    .arg = q,
	});
	q->due = timer_new(q->loop, on_due, q);
	q->stuck = timer_new(q->loop, qmgr_unstick, q);
	q->admin_group_known = !daemon_private(d) &&
			       priv_lookup_group(daemon_common(d)->admin_group,
				   &q->admin_group, NULL) == 0;
	q->bounce = daemon_connect(d, "bounce");
	q->pickup = daemon_connect(d, "pickup");
	start_servers(q);
	if (qmgr_recover(q, e) != 0)
		return -1;
	/* Not before: a recovery may need its room. */
	reserve_start(q);
	return 0;
}

static void
qmgr_control(struct daemon *d, struct msg_in *m)
{
	(void)d;
	if (m->type == MSG_PIDS)
		qmgr_expect_pids(&the_qmgr, m);
}

static bool
deliveries_under_way(struct qmgr *q)
{
	LIST_EACH(&q->agents, link)
	if (CONTAINER_OF(link, struct agent_conn, link)->flying > 0)
		return true;
	return work_pending() > 0 || q->bouncing > 0;
}

static void
on_leave(void *arg)
{
	struct qmgr *q = arg;

	if (deliveries_under_way(q) && now_ms() < q->leave_ms) {
		timer_start(q->due, 50);
		return;
	}
	work_finish(q->loop);
	close(q->lock_fd);
	daemon_exit(q->daemon, 0);
}

/* The agents keep what is still under way then, and tell the successor. */
static void
qmgr_leave(struct daemon *d)
{
	struct qmgr *q = &the_qmgr;

	(void)d;
	q->leaving = true;
	q->leave_ms = now_ms() + LEAVE_MS;
	timer_free(&q->due);
	q->due = timer_new(q->loop, on_leave, q);
	timer_start(q->due, 0);
}

static void
qmgr_sandbox(const struct daemon *d, struct sandbox *s)
{
	sandbox_dir(s, daemon_common(d)->queue_directory,
	    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE);
}

static const struct daemon_spec spec = {
	.name = "qmgr",
	.params = qmgr_params,
	.conf = &conf,
	.sandbox = qmgr_sandbox,
	.start = qmgr_start,
	.client = qmgr_client,
	.leave = qmgr_leave,
	.control = qmgr_control,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
