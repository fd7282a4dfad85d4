/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/xtext.h"

/*
 * MAIL and RCPT. What routing finds at RCPT goes into the queue file with the
 * recipient, so nobody resolves it again. Who may send to where is decided by
 * the restrictions (restrict.c).
 */

void
transaction_free(struct session *s, struct transaction *tx)
{
	if (tx == NULL)
		return;
	router_cancel(s->service->router, s);
	queue_writer_abort(&tx->writer);
	fixup_free(&tx->fixup);
	content_free(&tx->content);
	milter_mail_free(&tx->mail);
	buf_release(&tx->received);
	buf_release(&tx->prepend);
	recipients_release(&tx->rcpts);
	arena_reset(&tx->arena);
	mem_free(tx);
}

void
envelope_abort(struct session *s)
{
	xforward_forget(s);
	if (s->tx == NULL)
		return;
	stage_reset(s);
	transaction_free(s, s->tx);
	s->tx = NULL;
	s->paused = false;
	s->log.qid[0] = '\0';
	s->log.trace = s->trace;
}

/* ---- MAIL ---- */

static struct span
keep(struct transaction *tx, const char *text)
{
	return text == NULL ? SPAN_EMPTY :
			      arena_dup(&tx->arena, span_str(text));
}

static const char *const bodies[] = {
	[SMTP_BODY_UNSET] = NULL,
	[SMTP_BODY_7BIT] = "7BIT",
	[SMTP_BODY_8BIT] = "8BITMIME",
	[SMTP_BODY_BINARY] = "BINARYMIME",
};

/* What xtext stands for, in the arena. */
static struct span
keep_xtext(struct transaction *tx, struct span text)
{
	struct span out;
	struct buf b;

	buf_init(&b, LIMIT_ADDRESS * 2);
	xtext_decode(text, &b);
	out = arena_dup(&tx->arena, buf_span(&b));
	buf_release(&b);
	return out;
}

static void
fill_params(struct transaction *tx, const struct smtp_mail_params *p)
{
	struct queue_envelope *env = &tx->env;

	tx->size = p->size;
	env->encoding = span_str(bodies[p->body]);
	env->dsn_envid = keep_xtext(tx, p->envid);
	env->dsn_ret = p->ret_full ? DSN_RET_FULL :
	    p->ret_hdrs		   ? DSN_RET_HDRS :
				     DSN_RET_UNSET;
	env->smtputf8 = p->smtputf8;
	env->requiretls = p->requiretls;
	if (p->hold_for_s > 0)
		env->release_at_s = env->arrival_us / 1000000 + p->hold_for_s;
	else if (p->hold_until_s > 0)
		env->release_at_s = p->hold_until_s;
}

static void
fill_envelope(struct session *s, struct transaction *tx)
{
	struct queue_envelope *env = &tx->env;

	env->trace = s->log.trace;
	env->arrival_us = clock_wall_us();
	env->client_name = keep(tx, s->name != NULL ? s->name : "unknown");
	env->client_addr = keep(tx, s->addr);
	env->helo = keep(tx, s->helo);
	env->protocol = keep(tx, session_protocol(s));
	if (s->xforward != NULL) {
		const struct xforward *f = s->xforward;

		env->client_name = keep(tx,
		    f->name != NULL ? f->name : "unknown");
		env->client_addr = keep(tx,
		    f->addr != NULL ? f->addr : "unknown");
		env->helo = keep(tx, f->helo);
		env->protocol = keep(tx, f->proto);
	}
	env->sasl_user = keep(tx, s->sasl_user);
	env->sasl_method = keep(tx, s->sasl_method);
	env->uid = s->local ? (int64_t)s->uid : -1;
	env->birth = QUEUE_ACTIVE;
}

static void
welcome(struct session *s)
{
	session_answer(s, 250, "2.1.0", "Ok");
}

static void
begin(struct session *s, struct span sender, const struct smtp_event *ev)
{
	struct transaction *tx = MEM_NEW(tx);

	arena_init(&tx->arena, LIMIT_SMTP_TRANSACTION);
	recipients_init(&tx->rcpts);
	tx->act.arena = &tx->arena;
	buf_init(&tx->prepend, LIMIT_HEADER_FIELD);
	s->message_count = s->message_count % UINT16_MAX + 1;
	s->log.trace = s->trace | s->message_count;
	tx->env.sender = arena_dup(&tx->arena, sender);
	tx->sender = arena_dup(&tx->arena, ev->cmd->path.text);
	fill_envelope(s, tx);
	fill_params(tx, &ev->mail);
	s->tx = tx;
	stage_begin(s, STAGE_MAIL, ev->cmd, welcome);
}

/* RFC 4865: for users only, within the limit, and not in the past. */
static bool
release_ok(struct session *s, const struct smtp_mail_params *p)
{
	const int64_t now_s = clock_wall_us() / 1000000;
	const int64_t max_s = s->service->engine.future_s;

	if (p->hold_for_s == 0 && p->hold_until_s == 0)
		return true;
	if (!s->trusted && s->sasl_user == NULL)
		session_answer(s, 530, "5.7.0", "Authentication required");
	else if (p->hold_until_s > 0 && p->hold_until_s <= now_s)
		session_answer(s, 501, "5.5.4", "HOLDUNTIL is in the past");
	else if (p->hold_for_s > max_s || p->hold_until_s - now_s > max_s)
		session_answer(s, 501, "5.5.4",
		    "Future release exceeds the limit of %lld seconds",
		    (long long)max_s);
	else
		return true;
	return false;
}

static bool
sender_may_come(struct session *s, const struct smtp_event *ev)
{
	if (s->leaving) {
		session_answer(s, 421, "4.3.2",
		    "Service restarting, closing transmission channel");
		return false;
	}
	if (mem_low() || !service_space(s->service, ev->mail.size)) {
		session_answer(s, 452, "4.3.1", "Insufficient system storage");
		return false;
	}
	return release_ok(s, &ev->mail);
}

void
envelope_mail(struct session *s, const struct smtp_event *ev)
{
	const struct smtp_path *path = &ev->cmd->path;
	struct buf sender;

	if (!sender_may_come(s, ev))
		return;
	buf_init(&sender, LIMIT_ADDRESS * 2);
	if (!path->null &&
	    !router_qualify(s->service->router, path->text, &sender))
		session_answer(s, 501, "5.1.7", "Bad sender address syntax");
	else
		begin(s, buf_span(&sender), ev);
	buf_release(&sender);
}

/* ---- RCPT ---- */

/* The queue id is given at the first recipient. */
static void
open_writer(struct session *s, struct span sender)
{
	struct transaction *tx = s->tx;
	char login[700] = "";
	struct buf orig;

	tx->writer = queue_writer_open(s->service->queue, &tx->env);
	queue_writer_envelope(tx->writer)->sender =
	    queue_writer_keep(tx->writer, sender);
	/* What goes to a proxy gets no file, and no id. */
	if (!proxy_wanted(s))
		queue_id_text(queue_writer_id(tx->writer), s->log.qid);
	if (s->local)
		snprintf(login, sizeof(login), ", uid=%lu",
		    (unsigned long)s->uid);
	else if (s->sasl_user != NULL)
		snprintf(login, sizeof(login),
		    ", sasl_method=%s, sasl_username=%s",
		    log_quote(span_str(s->sasl_method), 40),
		    log_quote(span_str(s->sasl_user), 500));
	buf_init(&orig, 1024);
	xforward_log(s, &orig);
	log_info(&s->log, "%sclient=%s%s%s%s%s",
	    proxy_wanted(s) ? "NOQUEUE: " : "", session_client(s), login,
	    tx->sasl_sender.n > 0 ? ", sasl_sender=" : "",
	    log_quote(tx->sasl_sender, 500), buf_cstr(&orig));
	buf_release(&orig);
}

static void
refuse_rcpt(struct session *s, unsigned code, const char *dsn,
    const char *what)
{
	char text[900];

	snprintf(text, sizeof(text), "<%s>: %s", log_quote(s->tx->rcpt, 500),
	    what);
	session_log_reject(s, "reject", "RCPT", code, dsn, span_str(text),
	    s->tx->rcpt);
	session_answer(s, code, dsn, "%s", text);
}

/* The sender as canonical maps have it; who gets copies. */
static int
begin_message(struct session *s, struct err *e)
{
	struct transaction *tx = s->tx;
	struct span sender;

	if (tx->writer != NULL)
		return 0;
	if (content_envelope(s, REWRITE_ENVELOPE_SENDER, tx->env.sender,
		&sender, e) < 0 ||
	    content_copies(s, true, sender, e) < 0)
		return -1;
	open_writer(s, sender);
	return 0;
}

static void
take_rcpt(struct session *s)
{
	struct transaction *tx = s->tx;
	struct err e;

	if (begin_message(s, &e) < 0 ||
	    content_copies(s, false, tx->rcpt_as, &e) < 0) {
		log_warning(&s->log, "%s", e.text);
		refuse_rcpt(s, 451, "4.3.0", "Temporary lookup failure");
		return;
	}
	if (!recipients_take(s, tx->route, &tx->given)) {
		session_answer(s, 452, "4.5.3", "Error: too many recipients");
		return;
	}
	if (tx->rcpt_count++ == 0) {
		tx->first_rcpt = tx->route->address;
		tx->first_route = tx->route;
	}
	session_answer(s, 250, "2.1.5", "Ok");
}

static void
refuse_routed(struct session *s)
{
	const struct route_result *r = s->tx->route;
	char what[400];

	snprintf(what, sizeof(what), "%s%s",
	    r->err.kind == ERR_PERM || r->code == 452 ?
		"Recipient address rejected: " : "",
	    r->err.text);
	refuse_rcpt(s, r->code, r->err.dsn, what);
}

/* Routed once more, without asking whether the user exists. */
static void
routed_unchecked(void *arg, const struct route_result *r)
{
	struct session *s = arg;

	s->tx->route = recipients_keep(&s->tx->arena, r);
	if (r->code == 0)
		take_rcpt(s);
	else
		refuse_routed(s);
}

/* The gates have nothing against it: what the router says goes, but whether
 * unknown users are refused was the restrictions' affair. */
static void
answer_rcpt(struct session *s)
{
	const struct route_result *r = s->tx->route;

	if (r->code == 0)
		take_rcpt(s);
	else if (r->code == 501)
		session_answer(s, 501, "5.1.3",
		    "Bad recipient address syntax");
	else if (r->code == 550 || r->code == 450)
		router_resolve(s->service->router, s->tx->rcpt,
		    content_route_flags(s) & ~ROUTER_CHECK_USER, s->log.trace,
		    routed_unchecked, s);
	else
		refuse_routed(s);
}

static void routed(void *arg, const struct route_result *result);

static void
route(struct session *s, unsigned flags)
{
	s->tx->rcpt_flags = flags;
	router_resolve(s->service->router, s->tx->rcpt, flags, s->log.trace,
	    routed, s);
}

static void
ask_gates(struct session *s)
{
	stage_begin(s, STAGE_RCPT, s->tx->rcpt_cmd, answer_rcpt);
}

/* Where mail for the rewritten address goes; who may send there was told by
 * the address that was given. */
static void
rerouted(void *arg, const struct route_result *result)
{
	struct session *s = arg;
	const struct route_result given = *s->tx->route;
	struct route_result *r = recipients_keep(&s->tx->arena, result);

	r->class_known = given.class_known;
	r->class = given.class;
	r->ours = given.ours;
	r->address = given.address;
	s->tx->route = r;
	ask_gates(s);
}

static void
routed(void *arg, const struct route_result *result)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;
	struct err e;
	int rc = 0;

	if (result->code == 550 && s->local &&
	    (tx->rcpt_flags & ROUTER_CHECK_USER)) {
		/* A program that hands over a mail reads no replies: it gets
		 * its bounce from local. */
		route(s, tx->rcpt_flags & ~ROUTER_CHECK_USER);
		return;
	}
	tx->route = recipients_keep(&tx->arena, result);
	if (result->class_known)
		rc = content_envelope(s, REWRITE_ENVELOPE_RECIPIENT,
		    tx->route->address, &tx->rcpt_as, &e);
	if (rc < 0) {
		tx->route->code = 451;
		tx->route->err = e;
	}
	if (rc > 0)
		router_resolve(s->service->router, tx->rcpt_as,
		    content_route_flags(s) & ~ROUTER_CHECK_USER, s->log.trace,
		    rerouted, s);
	else
		ask_gates(s);
}

/* "rfc822;a@b" with the address decoded. */
static struct span
keep_orcpt(struct transaction *tx, struct span orcpt)
{
	const size_t semicolon = span_chr(orcpt, ';');
	struct span out;
	struct buf b;

	if (semicolon == SIZE_MAX)
		return SPAN_EMPTY;
	buf_init(&b, LIMIT_ADDRESS * 2);
	buf_add(&b, span_slice(orcpt, 0, semicolon + 1));
	if (!xtext_decode(span_skip(orcpt, semicolon + 1), &b))
		buf_add(&b, span_skip(orcpt, semicolon + 1)); /* utf-8 */
	out = arena_dup(&tx->arena, buf_span(&b));
	buf_release(&b);
	return out;
}

void
envelope_rcpt(struct session *s, const struct smtp_event *ev)
{
	struct transaction *tx = s->tx;

	if (ev->cmd->path.null) {
		session_answer(s, 501, "5.1.3",
		    "Bad recipient address syntax");
		return;
	}
	if (!arena_ok(&tx->arena)) {
		session_answer(s, 452, "4.5.3", "Error: too many recipients");
		return;
	}
	tx->rcpt = arena_dup(&tx->arena, ev->cmd->path.text);
	tx->rcpt_cmd = ev->cmd;
	tx->given = (struct queue_rcpt){ .dsn_notify = ev->rcpt.notify,
		.dsn_orcpt = keep_orcpt(tx, ev->rcpt.orcpt) };
	route(s, content_route_flags(s));
}
