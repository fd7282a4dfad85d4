/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bounce/bounce_impl.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/date.h"

enum { ARENA_MAX = 16 * LIMIT_IPC_MESSAGE, BOUNDARY_SIZE = 128 };

/* One notification under way. */
struct notice {
	struct bounce *b;
	struct request *request;
	struct arena arena;
	struct bounce_order order;
	struct log_ctx log;      /* of the original */
	struct log_ctx new_log;  /* of the notification */
	struct buf original;
	struct queue_writer *w;
	uint32_t rcpt_count;
	uint64_t size;
};

/* ---- the end ---- */

static void
notice_free(struct notice *n)
{
	struct bounce *b = n->b;

	queue_writer_abort(&n->w);
	buf_release(&n->original);
	if (n->order.content.fd >= 0)
		close(n->order.content.fd);
	arena_reset(&n->arena);
	mem_free(n);
	b->notices--;
	bounce_maybe_exit(b);
}

static void
give_up(struct notice *n, const struct err *e)
{
	request_error(&n->request, e);
	notice_free(n);
}

/* Nobody is to be told: that is done. */
static void
nothing_to_do(struct notice *n)
{
	request_ok(&n->request);
	notice_free(n);
}

static void
on_commit(void *arg, struct queue_id id, const struct err *e)
{
	struct notice *n = arg;
	struct msg_out m;

	if (e != NULL) {
		give_up(n, e);
		return;
	}
	log_info(&n->log, "%s: %s", bounce_kind_text(n->order.report.kind),
	    n->new_log.qid);
	log_event(&n->log, "notify", "as %s to <%s>", n->new_log.qid,
	    log_quote(n->order.sender, LIMIT_ADDRESS));
	log_event(&n->new_log, "queued", "notification about %s", n->log.qid);
	qmgr_client_message(n->b->qmgr, id, n->size, n->rcpt_count,
	    n->new_log.trace);
	request_begin(n->request, &m, MSG_OK);
	msg_put_str(&m, F_QID, n->new_log.qid);
	request_answer(&n->request, &m);
	msg_out_release(&m);
	notice_free(n);
}

/* ---- content ---- */

static void
to_queue(void *arg, struct span bytes)
{
	struct notice *n = arg;

	queue_writer_body(n->w, bytes);
}

static int
zone_min(time_t t)
{
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}

static void
write_received(struct notice *n, const struct dsn_report *r)
{
	const struct common_conf *c = daemon_common(n->b->daemon);
	struct buf text;

	buf_init(&text, 2000);
	buf_fmt(&text, "Received: by %s (%s)\r\n\tid %s; ", c->myhostname,
	    c->mail_name, n->new_log.qid);
	date_print_rfc5322(&text, r->now_s, r->offset_min, NULL);
	buf_str(&text, "\r\n");
	to_queue(n, buf_span(&text));
	buf_release(&text);
}

static void
message_id(const struct notice *n, char *out, size_t size)
{
	time_t now = (time_t)n->order.report.now_s;
	char stamp[32];
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	snprintf(out, size, "<%s.%s@%s>", stamp, n->new_log.qid,
	    daemon_common(n->b->daemon)->myhostname);
}

/* Nothing in an original can be foreseen to contain it. */
static void
make_boundary(const struct notice *n, char out[BOUNDARY_SIZE])
{
	uint64_t random[2];

	BUG_ON(getrandom(random, sizeof(random), 0) != sizeof(random));
	snprintf(out, BOUNDARY_SIZE, "%s.%016llx%016llx", n->new_log.qid,
	    (unsigned long long)random[0], (unsigned long long)random[1]);
}

static void
write_content(struct notice *n)
{
	struct dsn_report *r = &n->order.report;
	const struct common_conf *c = daemon_common(n->b->daemon);
	char boundary[BOUNDARY_SIZE], id[512];

	r->now_s = clock_wall_us() / 1000000;
	r->offset_min = zone_min((time_t)r->now_s);
	if (r->kind == DSN_DELAYED)
		r->give_up_s = r->arrival_s +
		    n->b->conf->maximal_queue_lifetime / 1000;
	make_boundary(n, boundary);
	message_id(n, id, sizeof(id));
	r->hostname = c->myhostname;
	r->mail_name = c->mail_name;
	r->to = n->order.sender;
	r->message_id = id;
	r->boundary = boundary;
	r->qid = n->log.qid;
	write_received(n, r);
	dsn_report_begin(r, to_queue, n);
	to_queue(n, buf_span(&n->original));
	dsn_report_end(r, to_queue, n);
	queue_writer_message_id(n->w, span_str(id));
	log_info(&n->new_log, "message-id=%s", id);
	n->size = queue_writer_size(n->w);
	queue_writer_commit(&n->w, on_commit, n);
}

/* ---- recipient ---- */

static void
add_rcpt(struct notice *n, struct span address, struct span transport,
    struct span nexthop, unsigned flags)
{
	const struct queue_rcpt r = { .address = address,
		.orig_address = n->order.sender,
		.transport = transport,
		.nexthop = nexthop,
		.flags = flags };

	queue_writer_rcpt(n->w, &r);
	n->rcpt_count++;
}

/* A sender that is no address of ours, or of nobody: the notification fails
 * like any mail, by the service error, and as it comes from nobody that is
 * its end. */
static void
add_refused(struct notice *n, const struct err *e)
{
	struct buf why;

	buf_init(&why, 300);
	buf_fmt(&why, "%s %s", e->dsn, e->text);
	add_rcpt(n, n->order.sender, SPAN("error"), buf_span(&why), 0);
	buf_release(&why);
}

static void
on_routed(void *arg, const struct route_result *result)
{
	struct notice *n = arg;

	if (result->code != 0 && result->code < 500) {
		give_up(n, &result->err);
		return;
	}
	if (result->code != 0)
		add_refused(n, &result->err);
	else
		for (size_t i = 0; i < result->count; i++)
			add_rcpt(n, result->routes[i].address,
			    result->routes[i].transport,
			    result->routes[i].nexthop,
			    result->routes[i].flags);
	write_content(n);
}

static void
open_writer(struct notice *n)
{
	struct queue_envelope env = { .arrival_us = clock_wall_us(),
		.uid = -1, .birth = QUEUE_ACTIVE,
		.requiretls = n->order.requiretls };

	/* A mail of its own, under the connection that the original's id
	 * does not share with others. */
	n->new_log.trace = log_trace_new() | 1;
	env.trace = n->new_log.trace;
	env.encoding = n->order.report.eight_bit ? SPAN("8BITMIME") :
	    SPAN("7BIT");
	n->w = queue_writer_open(n->b->queue, &env);
	queue_id_text(queue_writer_id(n->w), n->new_log.qid);
}

static void
notice_start(struct notice *n)
{
	uint64_t limit = (uint64_t)n->b->conf->bounce_size_limit;
	struct err e;

	buf_init(&n->original, limit + 1);
	if (n->order.sender.n == 0) {
		log_warning(&n->log, "undeliverable notification discarded");
		nothing_to_do(n);
		return;
	}
	if (n->order.report.rcpt_count == 0) {
		nothing_to_do(n);
		return;
	}
	if (bounce_original(&n->order, limit, &n->original, &e) != 0) {
		give_up(n, &e);
		return;
	}
	open_writer(n);
	router_resolve(n->b->router, n->order.sender, 0, n->log.trace,
	    on_routed, n);
}

int
notice_handle(struct request *r, struct msg_in *m, void *arg)
{
	struct bounce *b = arg;
	struct notice *n = MEM_NEW(n);

	arena_init(&n->arena, ARENA_MAX);
	if (request_id(r) == 0 ||
	    bounce_order_read(m, &n->arena, &n->order) != 0) {
		arena_reset(&n->arena);
		mem_free(n);
		return -1;
	}
	n->b = b;
	n->request = r;
	n->log.trace = request_trace(r);
	(void)span_copy(n->order.qid, n->log.qid, sizeof(n->log.qid));
	b->notices++;
	notice_start(n);
	return 0;
}
