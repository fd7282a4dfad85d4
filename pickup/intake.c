/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/intake.h"

#include <time.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"

enum { CHUNK = 65536, RECEIVED_MAX = 1024 };

static void pump(void *arg);
static void route_next(struct intake *in);
static void add_refused(struct intake *in, const struct err *e);

static void
said_farewell(void *arg)
{
	struct pickup *p = arg;

	server_memory_close(&p->memory);
	daemon_exit(p->daemon, 0);
}

void
pickup_maybe_exit(struct pickup *p)
{
	if (daemon_leaving(p->daemon) && p->intakes == 0)
		qmgr_client_farewell(p->qmgr, said_farewell, p);
}

/* ---- the end -------------------------------------------------------------- */

void
intake_finish(struct intake *in, const struct err *e)
{
	struct pickup *p = in->p;

	if (e != NULL)
		queue_writer_abort(&in->w);
	log_event(&in->log, "end", "%s", e != NULL ? e->text : "taken");
	in->spec.done(in->spec.arg, in->id, e);
	fixup_free(&in->fixup);
	content_free(&in->content);
	arena_reset(&in->arena);
	buf_release(&in->received);
	mem_free(in->chunk);
	mem_free(in->list);
	milter_mail_free(&in->mail);
	mem_free(in);
	p->intakes--;
	pickup_maybe_exit(p);
}

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct intake *in = arg;

	if (e == NULL) {
		log_event(&in->log, "queued", "%u recipients",
		    (unsigned)in->rcpts);
		qmgr_client_message(in->p->qmgr, id, in->size, in->rcpts,
		    in->log.trace);
	}
	intake_finish(in, e);
}

/* ---- content ---------------------------------------------------------------- */

static void
to_queue(void *arg, struct span bytes)
{
	struct intake *in = arg;

	if (in->mail != NULL)
		milter_mail_feed(in->mail, bytes);
	else
		queue_writer_body(in->w, bytes);
}

/* LF becomes CRLF. */
static void
feed_lines(struct intake *in, struct span bytes)
{
	while (bytes.n > 0) {
		const size_t lf = span_chr(bytes, '\n');

		if (lf == SIZE_MAX) {
			fixup_feed(in->fixup, bytes);
			return;
		}
		fixup_feed(in->fixup, span_slice(bytes, 0, lf));
		fixup_feed(in->fixup, SPAN("\r\n"));
		bytes = span_skip(bytes, lf + 1);
	}
}

/* ---- what filters have left of it ---- */

static void
writer_ready(void *arg)
{
	struct intake *in = arg;

	milter_mail_go_on(in->mail);
}

static bool
filtered_out(void *arg, struct span bytes)
{
	struct intake *in = arg;

	queue_writer_body(in->w, bytes);
	return !queue_writer_busy(in->w, writer_ready, in);
}

static void
filtered_done(void *arg, const struct err *e)
{
	struct intake *in = arg;

	if (e != NULL) {
		in->err = *e;
		intake_finish(in, &in->err);
		return;
	}
	in->stored = true;
	intake_commit(in);
}

/* ---- the end of the content ---- */

void
intake_commit(struct intake *in)
{
	struct queue_envelope *env = queue_writer_envelope(in->w);

	if (in->mail != NULL && !in->stored) {
		milter_mail_send(in->mail, &(struct milter_mail_sink){
		    filtered_out, filtered_done, in });
		return;
	}
	if (in->spec.submission && !in->actions.refused)
		env->filter = span_str(in->p->conf->content_filter);
	if (in->actions.hold)
		env->birth = QUEUE_HOLD;
	if (in->actions.filter.n > 0)
		env->filter = queue_writer_keep(in->w, in->actions.filter);
	in->size = queue_writer_size(in->w);
	queue_writer_commit(&in->w, committed, in);
}

void
intake_return(struct intake *in)
{
	queue_writer_clear_rcpts(in->w);
	in->rcpts = 0;
	for (in->next = 0; in->next < in->spec.rcpt_count; in->next++)
		add_refused(in, &in->refusal);
	in->actions.filter = SPAN_EMPTY;
	intake_commit(in);
}

static void
discard(struct intake *in)
{
	queue_writer_abort(&in->w);
	intake_finish(in, NULL);
}

/* What was decided about the message, which is whole now. */
static void
decide(struct intake *in)
{
	const struct common_conf *c = daemon_common(in->p->daemon);

	if (in->actions.discard) {
		discard(in);
	} else if (in->actions.refused) {
		intake_return(in);
	} else {
		if (in->spec.submission && c->always_bcc[0] != '\0')
			check_actions_add(&in->actions, span_str(c->always_bcc));
		intake_add_extra(in);
	}
}

static void
filter_or_decide(struct intake *in)
{
	if (in->mail != NULL) {
		milter_mail_end(in->mail);
		if (milter_mail_too_many(in->mail)) {
			in->actions.refused = true;
			err_set(&in->refusal, ERR_PERM, "5.3.4",
			    "too many header fields");
		}
	}
	if (in->mail == NULL || in->actions.discard || in->actions.refused)
		decide(in);
	else
		intake_filter_start(in);
}

void
intake_filtered(struct intake *in, const struct err *e)
{
	if (e != NULL) {
		in->err = *e;
		intake_finish(in, &in->err);
	} else if (in->actions.discard || in->actions.refused) {
		decide(in);
	} else {
		route_next(in);
	}
}

static void
content_complete(struct intake *in)
{
	const struct err *fault = NULL;
	const char *message_id;

	fixup_end(in->fixup);
	if (in->content != NULL) {
		content_end(in->content);
		fault = content_fault(in->content);
	}
	message_id = fixup_message_id(in->fixup);
	if (fault != NULL) {
		intake_finish(in, fault);
		return;
	}
	if (in->spec.count_hops &&
	    fixup_hops(in->fixup) > in->p->conf->hopcount_limit) {
		err_set(&in->err, ERR_PERM, "5.4.6", "too many hops");
		intake_finish(in, &in->err);
		return;
	}
	queue_writer_message_id(in->w, span_str(message_id));
	queue_writer_envelope(in->w)->tls_optional =
	    daemon_common(in->p->daemon)->tls_required_enable &&
	    !in->spec.requiretls && fixup_tls_optional(in->fixup);
	log_info(&in->log, "message-id=%s", message_id);
	filter_or_decide(in);
}

/* Reads a piece at a time, so that one message does not hold up all. */
static void
pump(void *arg)
{
	struct intake *in = arg;
	ssize_t n;

	if (in->mail != NULL ? milter_mail_busy(in->mail, pump, in) :
			       queue_writer_busy(in->w, pump, in))
		return;
	n = in->spec.read(in->spec.arg, in->chunk, CHUNK, &in->err);
	if (n < 0) {
		intake_finish(in, &in->err);
		return;
	}
	if (n == 0) {
		content_complete(in);
		return;
	}
	if (in->spec.submission)
		feed_lines(in, span_of(in->chunk, (size_t)n));
	else
		fixup_feed(in->fixup, span_of(in->chunk, (size_t)n));
	loop_later(daemon_loop(in->p->daemon), pump, in);
}

static int
zone_min(int64_t time_s)
{
	const time_t t = (time_t)time_s;
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}

/* Postfix's shapes of a local submission and of a message made here. */
static void
make_received(struct intake *in, int64_t time_s, int offset_min)
{
	const struct common_conf *c = daemon_common(in->p->daemon);
	struct buf *b = &in->received;

	buf_init(b, RECEIVED_MAX + in->spec.header.n);
	buf_fmt(b, "Received: by %s (%s", c->myhostname, c->mail_name);
	if (in->spec.uid >= 0)
		buf_fmt(b, ", from userid %lld", (long long)in->spec.uid);
	buf_fmt(b, ")\r\n\tid %s; ", in->log.qid);
	date_print_rfc5322(b, time_s, offset_min, NULL);
	buf_str(b, "\r\n");
	buf_add(b, in->spec.header);
}

void
intake_hit(struct intake *in, const char *whose, const struct check_hit *hit)
{
	struct buf where;

	buf_init(&where, LIMIT_LOG_LINE);
	buf_fmt(&where, "from local; from=<%s>", log_quote(in->sender, 500));
	/* Nobody waits for a reply: it comes back to its sender. */
	if (check_actions_note(&in->actions, hit, &in->log, whose,
	    buf_cstr(&where)))
		err_set(&in->refusal, ERR_PERM, hit->dsn, "%.200s",
		    check_reject_text(hit));
	buf_release(&where);
}

static void
on_hit(void *arg, const struct check_hit *hit)
{
	intake_hit(arg, "", hit);
}

/* Checks and rewriting, into the hooks of the header's completion. */
static void
hang_in(struct intake *in)
{
	const struct common_conf *c = daemon_common(in->p->daemon);
	const struct content_conf conf = { .checks = true,
		.mapping = true,
		.how = { .local = true, .domain = "" },
		.hit = on_hit };

	in->fixup_conf.drop = c->message_drop_headers;
	in->fixup_conf.undisclosed = c->undisclosed_recipients_header;
	in->content = content_new(in->p->content, &conf, to_queue, in);
	if (in->content == NULL)
		return;
	in->fixup_conf.field = content_field;
	in->fixup_conf.body = content_body;
	in->fixup_conf.hook_arg = in->content;
}

static void
start_content(struct intake *in)
{
	const int64_t now_s = clock_wall_us() / 1000000;
	const int offset_min = zone_min(now_s);

	make_received(in, now_s, offset_min);
	in->fixup_conf = (struct fixup_conf){
		.received = buf_span(&in->received),
		.submission = in->spec.submission,
		.from = in->sender,
		.qid = in->log.qid,
		.hostname = daemon_common(in->p->daemon)->myhostname,
		.time_s = now_s,
		.offset_min = offset_min,
	};
	if (in->spec.submission)
		hang_in(in);
	in->fixup = fixup_new(&in->fixup_conf, to_queue, in);
	in->chunk = mem_alloc(CHUNK);
	pump(in);
}

/* ---- recipients --------------------------------------------------------------- */

static void
add_rcpt(struct intake *in, struct span address, struct span transport,
    struct span nexthop, unsigned flags)
{
	const struct intake_rcpt *given = &in->spec.rcpts[in->next];
	const struct queue_rcpt r = { .address = address,
		.orig_address = given->orig_address.n > 0 ?
		    given->orig_address : given->address,
		.transport = transport,
		.nexthop = nexthop,
		.dsn_notify = in->spec.dsn_notify,
		.flags = flags };

	queue_writer_rcpt(in->w, &r);
	in->rcpts++;
}

/* Nobody is there who could be told now: the service error bounces it. */
static void
add_refused(struct intake *in, const struct err *e)
{
	struct buf why;

	buf_init(&why, 300);
	buf_fmt(&why, "%s %s", e->dsn, e->text);
	add_rcpt(in, in->spec.rcpts[in->next].address, SPAN("error"),
	    buf_span(&why), 0);
	buf_release(&why);
}

bool
intake_too_many(struct intake *in)
{
	if (arena_ok(&in->arena) && in->rcpts <= LIMIT_RCPT)
		return false;
	err_set(&in->err, ERR_PERM, "5.5.3", "too many recipients");
	return true;
}

static void
routed(void *arg, const struct route_result *result)
{
	struct intake *in = arg;

	if (result->code >= 500) {
		add_refused(in, &result->err);
	} else if (result->code != 0) {
		in->err = result->err;
		in->next = SIZE_MAX;
	} else {
		for (size_t i = 0; i < result->count; i++) {
			const struct route *r = &result->routes[i];

			add_rcpt(in, r->address, r->transport, r->nexthop,
			    r->flags);
		}
	}
	if (intake_too_many(in))
		in->next = SIZE_MAX;
	if (in->next != SIZE_MAX)
		in->next++;
	if (!in->routing)
		route_next(in);
}

/* The recipient as canonical maps have it, who also gets a copy of it. */
static int
rewrite_rcpt(struct intake *in, struct span given, struct span *out)
{
	struct content_rules *rules = in->p->content;
	struct buf text, copy;
	int rc;

	buf_init(&text, LIMIT_ADDRESS * 2);
	buf_init(&copy, LIMIT_TABLE_VALUE);
	rc = rewrite_address(rules->rewrite, REWRITE_ENVELOPE_RECIPIENT, given,
	    &text, &in->err);
	*out = arena_dup(&in->arena, buf_span(&text));
	if (rc >= 0 && in->spec.submission)
		rc = content_bcc(rules, false, *out, &copy, &in->err);
	if (rc > 0 && copy.n > 0)
		check_actions_add(&in->actions, buf_span(&copy));
	buf_release(&text);
	buf_release(&copy);
	return rc < 0 ? -1 : 0;
}

/* The router may answer at once or later: at once, this loop goes on. */
static void
route_next(struct intake *in)
{
	size_t at;

	in->routing = true;
	while (in->next < in->spec.rcpt_count) {
		struct span address;

		at = in->next;
		if (rewrite_rcpt(in, in->spec.rcpts[at].address, &address) !=
		    0) {
			in->next = SIZE_MAX;
			break;
		}
		router_resolve(in->p->router, address, 0, in->log.trace,
		    routed, in);
		if (in->next == at) {
			in->routing = false;
			return;
		}
	}
	in->routing = false;
	if (in->next == SIZE_MAX)
		intake_finish(in, &in->err);
	else if (in->mail != NULL)
		decide(in); /* the content was there first */
	else
		start_content(in);
}

/* ---- the beginning ------------------------------------------------------------- */

static void
open_writer(struct intake *in)
{
	const struct intake_spec *s = &in->spec;
	const struct queue_envelope env = { .trace = s->trace,
		.arrival_us = clock_wall_us(),
		.sender = in->sender,
		.dsn_envid = s->dsn_envid,
		.dsn_ret = s->dsn_ret,
		.encoding = s->eight_bit ? SPAN("8BITMIME") : SPAN("7BIT"),
		.requiretls = s->requiretls,
		.uid = s->uid,
		.birth = QUEUE_ACTIVE };

	in->w = queue_writer_open(in->p->queue, &env);
	in->id = queue_writer_id(in->w);
	in->log.trace = s->trace;
	queue_id_text(in->id, in->log.qid);
}

/* The sender as canonical maps have it, and who gets copies. */
static int
rewrite_sender(struct intake *in)
{
	struct content_rules *rules = in->p->content;
	struct buf text, copy;
	int rc = 0;

	in->sender = in->spec.sender;
	if (!in->spec.submission)
		return 0;
	buf_init(&text, LIMIT_ADDRESS * 2);
	buf_init(&copy, LIMIT_TABLE_VALUE);
	rc = rewrite_address(rules->rewrite, REWRITE_ENVELOPE_SENDER,
	    in->spec.sender, &text, &in->err);
	if (rc > 0)
		in->sender = arena_dup(&in->arena, buf_span(&text));
	if (rc >= 0)
		rc = content_bcc(rules, true, in->sender, &copy, &in->err);
	if (rc > 0)
		check_actions_add(&in->actions, buf_span(&copy));
	buf_release(&text);
	buf_release(&copy);
	return rc < 0 ? -1 : 0;
}

static void
begin(void *arg)
{
	struct intake *in = arg;
	char too_much[1400];

	if (rewrite_sender(in) != 0) {
		intake_finish(in, &in->err);
		return;
	}
	open_writer(in);
	if (!limits_ask(in->p, &in->spec, too_much)) {
		queue_writer_envelope(in->w)->birth = QUEUE_HOLD;
		log_info(&in->log, "hold: maildrop: %s; from=<%s>", too_much,
		    log_quote(in->spec.sender, LIMIT_ADDRESS));
	}
	log_event(&in->log, "begin", "from <%s>",
	    log_quote(in->spec.sender, LIMIT_ADDRESS));
	if (in->spec.uid >= 0)
		log_info(&in->log, "uid=%lld from=<%s>",
		    (long long)in->spec.uid,
		    log_quote(in->spec.sender, LIMIT_ADDRESS));
	if (in->spec.submission && in->p->milters->count > 0) {
		in->mail = milter_mail_new(daemon_loop(in->p->daemon),
		    in->p->scratch, 0);
		start_content(in);
	} else {
		route_next(in);
	}
}

void
intake_start(struct pickup *p, const struct intake_spec *spec)
{
	struct intake *in = MEM_NEW(in);

	in->p = p;
	in->spec = *spec;
	arena_init(&in->arena, LIMIT_SMTP_TRANSACTION);
	in->actions.arena = &in->arena;
	p->intakes++;
	loop_later(daemon_loop(p->daemon), begin, in);
}
