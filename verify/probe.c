/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/mail/delivery_log.h"
#include "lib/mail/probe_sender.h"
#include "lib/os/log.h"
#include "lib/proto/address.h"
#include "lib/proto/date.h"
#include "verify/verify_impl.h"

/*
 * One probe at a time for an address: routed, perhaps answered by that, else
 * put into the queue; at its end when qmgr tells the result, or after a time
 * in which every agent would have given up.
 */

enum {
	TICK_MS = 60 * 1000,
	LIFE_MS = 1000 * 1000, /* as Postfix has it */
};

struct probe {
	struct verify *v;
	struct span key; /* heap */
	struct list waiters;
	struct log_ctx log;
	uint64_t began_ms;
	struct queue_writer *w;
	uint64_t size;
	bool routing;
	bool committing; /* on_commit is to come */
	bool over;	 /* answered: only that is waited for */
};

/* Domains have no case. */
bool
probe_key(struct span address, struct buf *out)
{
	const size_t domain = address.n - address_domain_of(address).n;

	if (address.n == 0 || span_chr(address, '\0') != SIZE_MAX)
		return false;
	for (size_t i = 0; i < address.n; i++)
		buf_byte(out, i < domain ? address.p[i] :
					   ascii_lower(address.p[i]));
	return buf_ok(out);
}

/* ---- the end ---- */

static void
probe_free(struct probe *p)
{
	union {
		const uint8_t *from;
		void *to;
	} key = { .from = p->key.p };

	mem_free(key.to);
	mem_free(p);
}

/* Everybody who waits is told; the address may be asked about again. */
static void
end(struct probe *p, enum verify_status status, struct span text)
{
	struct verify *v = p->v;
	struct list *link;

	while ((link = list_first(&p->waiters)) != NULL)
		waiter_answer(link, status, text);
	if (p->routing)
		router_cancel(v->router, p);
	if (!p->over)
		(void)table_remove(&v->probes, p->key);
	p->over = true;
	if (!p->committing)
		probe_free(p);
}

void
probe_answered(struct verify *v, struct span key, enum verify_status status,
    struct span text)
{
	struct probe *p = table_get(&v->probes, key);

	cache_put(v->cache, key, status, text);
	if (p != NULL)
		end(p, status, text);
}

/* ---- the message ---- */

static void
on_commit(void *arg, struct queue_id id, const struct err *e)
{
	struct probe *p = arg;
	struct verify *v = p->v;

	v->commits--;
	p->committing = false;
	if (e == NULL) {
		log_event(&p->log, "queued", "probe of <%s>",
		    log_quote(p->key, LIMIT_ADDRESS));
		qmgr_client_message(v->qmgr, id, p->size, 1, p->log.trace);
	} else {
		log_warning(&p->log, "probe: %s", e->text);
	}
	if (p->over)
		probe_free(p);
	else if (e != NULL)
		end(p, VERIFY_TODO, verify_in_progress);
	verify_maybe_exit(v);
}

static int
zone_min(time_t t)
{
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}

/* Nobody gets it; but somebody may look into the queue. */
static void
write_content(struct probe *p, struct span sender)
{
	const struct common_conf *c = p->v->common;
	const int64_t now_s = clock_wall_us() / 1000000;
	const int zone = zone_min((time_t)now_s);
	struct buf text;
	char id[512];

	snprintf(id, sizeof(id), "<%s.probe@%s>", p->log.qid, c->myhostname);
	buf_init(&text, 8192);
	buf_fmt(&text, "Received: by %s (%s)\r\n\tid %s; ", c->myhostname,
	    c->mail_name, p->log.qid);
	date_print_rfc5322(&text, now_s, zone, NULL);
	buf_str(&text, "\r\nDate: ");
	date_print_rfc5322(&text, now_s, zone, NULL);
	buf_fmt(&text, "\r\nFrom: <%.*s>\r\nMessage-ID: %s\r\n\r\n",
	    SPAN_FMT(sender), id);
	queue_writer_body(p->w, buf_span(&text));
	buf_release(&text);
	queue_writer_message_id(p->w, span_str(id));
	log_info(&p->log, "message-id=%s", id);
}

static void
send_probe(struct probe *p, const struct route *to)
{
	struct verify *v = p->v;
	const struct common_conf *c = v->common;
	struct queue_envelope env = { .arrival_us = clock_wall_us(),
		.trace = p->log.trace,
		.uid = -1,
		.birth = QUEUE_ACTIVE,
		.encoding = SPAN("7BIT"),
		.probe = true };
	const struct queue_rcpt rcpt = { .address = to->address,
		.orig_address = p->key,
		.transport = to->transport,
		.nexthop = to->nexthop,
		.flags = to->flags,
		.dsn_notify = DSN_NOTIFY_NEVER };
	struct buf bare, sender;

	buf_init(&bare, LIMIT_ADDRESS);
	buf_init(&sender, LIMIT_ADDRESS);
	probe_sender_make(span_str(c->address_verify_sender),
	    (uint64_t)c->address_verify_sender_ttl / 1000,
	    (uint64_t)env.arrival_us / 1000000, &bare);
	if (!router_qualify(v->router, buf_span(&bare), &sender))
		buf_reset(&sender); /* checked at the start */
	env.sender = buf_span(&sender);
	p->w = queue_writer_open(v->queue, &env);
	queue_id_text(queue_writer_id(p->w), p->log.qid);
	queue_writer_rcpt(p->w, &rcpt);
	write_content(p, env.sender);
	p->size = queue_writer_size(p->w);
	p->committing = true;
	v->commits++;
	queue_writer_commit(&p->w, on_commit, p);
	buf_release(&bare);
	buf_release(&sender);
}

/* ---- what routing says ---- */

/* In the words of the agent that would have said it. */
static void
reason_of(const struct route_result *r, struct buf *out)
{
	const struct span text = span_str(r->err.text);
	const struct span whole = r->address;
	const size_t at = span_rchr(whole, '@');

	if (r->code >= 500 && span_starts(text, SPAN("User unknown in ")) &&
	    r->class_known &&
	    (r->class == ROUTE_LOCAL || r->class == ROUTE_VIRTUAL))
		buf_fmt(out, "unknown user: \"%s\"",
		    log_quote(r->class == ROUTE_LOCAL ?
				  span_slice(whole, 0, at) : whole,
			LIMIT_ADDRESS));
	else
		buf_add(out, text);
}

static void
log_result(const struct probe *p, enum rcpt_action action, const char *dsn,
    struct span text)
{
	const int64_t now = clock_wall_us();

	delivery_log(&(struct delivery_facts){ .log = &p->log,
	    .to = p->key,
	    .arrival_us = now,
	    .active_us = now,
	    .now_us = now,
	    .dsn = dsn,
	    .action = action,
	    .status = delivery_log_probe(action),
	    .text = text });
}

/* Not remembered: it costs nothing to ask again, and a user may be made. */
static void
settled_by_route(struct probe *p, const struct route_result *r)
{
	struct buf text;

	buf_init(&text, 2 * LIMIT_ADDRESS);
	if (r->code == 452) {
		/* Full: that is another gate's to say. */
		log_result(p, RCPT_SENT, "2.0.0", SPAN("mailbox exists"));
		end(p, VERIFY_OK, SPAN("mailbox exists"));
	} else if (r->code != 0) {
		reason_of(r, &text);
		log_result(p, r->code >= 500 ? RCPT_FAILED : RCPT_DEFERRED,
		    r->err.dsn, buf_span(&text));
		end(p, r->code >= 500 ? VERIFY_REFUSED : VERIFY_DEFERRED,
		    buf_span(&text));
	} else {
		log_result(p, RCPT_SENT, "2.0.0",
		    SPAN("aliased to multiple recipients"));
		end(p, VERIFY_OK, SPAN("aliased to multiple recipients"));
	}
	buf_release(&text);
}

static void
routed(void *arg, const struct route_result *r)
{
	struct probe *p = arg;

	p->routing = false;
	if (r->code == 0 && r->count == 1)
		send_probe(p, &r->routes[0]);
	else
		settled_by_route(p, r);
}

/* ---- beginning ---- */

struct probe *
probe_for(struct verify *v, struct span key, bool *out_new)
{
	struct probe *p = table_get(&v->probes, key);

	*out_new = false;
	if (p != NULL)
		return p;
	if (v->probes.count >=
	    (size_t)v->conf->address_verify_pending_request_limit) {
		if (!v->said_full)
			log_warning(NULL, "address_verify_pending_request_"
			    "limit: %zu probes are under way",
			    v->probes.count);
		v->said_full = true;
		return NULL;
	}
	v->said_full = false;
	p = MEM_NEW(p);
	p->v = v;
	p->key = span_of(span_dup(key), key.n);
	p->began_ms = loop_now_ms(v->loop);
	list_init(&p->waiters);
	(void)table_put(&v->probes, p->key, p);
	*out_new = true;
	return p;
}

void
probe_wait(struct probe *p, struct list *link)
{
	list_push(&p->waiters, link);
}

void
probe_begin(struct probe *p, uint64_t trace)
{
	/* Of the connection that asked, and a mail of its own. */
	p->log.trace = trace != 0 ? trace | 0xffff : log_trace_new() | 1;
	log_event(&p->log, "verify", "<%s>", log_quote(p->key, LIMIT_ADDRESS));
	p->routing = true;
	router_resolve(p->v->router, p->key, ROUTER_CHECK_USER, p->log.trace,
	    routed, p);
}

/* Ends those that have no result after all that time. */
static void
end_old(struct verify *v, uint64_t life_ms)
{
	const uint64_t now = loop_now_ms(v->loop);
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&v->probes, &it);
	while (table_iter_next(&v->probes, &it, &key, &value)) {
		struct probe *p = value;

		if (now - p->began_ms >= life_ms)
			end(p, VERIFY_TODO, verify_in_progress);
	}
}

static void
on_tick(void *arg)
{
	struct verify *v = arg;

	end_old(v, LIFE_MS);
	timer_start(v->tick, TICK_MS);
}

void
probes_start(struct verify *v)
{
	table_init(&v->probes);
	v->tick = timer_new(v->loop, on_tick, v);
	timer_start(v->tick, TICK_MS);
}

void
probes_leave(struct verify *v)
{
	timer_free(&v->tick);
	end_old(v, 0);
}
