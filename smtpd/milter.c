/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/milter.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/milter_client.h"
#include "lib/mail/checks.h"
#include "lib/proto/header.h"
#include "smtpd/session.h"

/* ---- which filters --------------------------------------------------------
 */

int
milter_service_open(struct service *s, struct err *e)
{
	const struct smtpd_conf *c = s->conf;
	const char *list = c->smtpd_local_submission
			       ? c->milter.non_smtpd_milters
			       : c->smtpd_milters;

	if (maps_open(c->milter.milter_header_checks, &s->milter_checks, e) !=
	    0)
		return err_wrap(e, "milter_header_checks");
	if (maps_open(c->smtpd_milter_maps, &s->milter_maps, e) != 0)
		return err_wrap(e, "smtpd_milter_maps");
	return milter_list_open(
	    &c->milter, list, s->common->queue_directory, &s->milters, e);
}

/* What smtpd_milter_maps says of this client: 1 *out (NULL: no filters), 0
 * nothing, -1 no list of filters. As in Postfix a table that fails says
 * nothing: smtpd_milters are asked. */
static int
list_of_map(struct session *s, struct milter_list **out)
{
	struct service *service = s->service;
	struct buf value;
	struct err e;
	int r = 0;

	if (maps_empty(service->milter_maps))
		return 0;
	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(service->milter_maps, span_str(s->addr), &value, &e)) {
	case MAP_FOUND:
		r = 1;
		if (span_ieq(span_trim(buf_span(&value)), SPAN("DISABLE")))
			*out = NULL;
		else if (milter_list_open(&service->conf->milter,
			     buf_cstr(&value), service->common->queue_directory,
			     out, &e) != 0)
			r = -1;
		break;
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		log_warning(&s->log, "smtpd_milter_maps: %s", e.text);
		break;
	}
	if (r < 0)
		log_warning(
		    &s->log, "smtpd_milter_maps: %s: %s", s->addr, e.text);
	buf_release(&value);
	return r;
}

static void
on_hit(void *arg, const struct check_hit *hit)
{
	struct session *s = arg;
	struct verdict *v = &s->tx->verdict;

	if (hit->action != CHECK_FAILED) {
		content_hit(s, "milter-header-", hit);
		return;
	}
	log_warning(
	    &s->log, "milter_header_checks: %s", log_quote(hit->text, 300));
	s->tx->act.refused = true;
	v->code = 451;
	snprintf(v->dsn, sizeof(v->dsn), "4.3.0");
	snprintf(v->text, sizeof(v->text), "Error: queue file write error");
}

static bool
field_wanted(void *arg, struct span name, struct span value,
    struct buf *instead, struct buf *before)
{
	struct session *s = arg;

	return checks_filter_field(s->service->milter_checks, name, value,
	    on_hit, s, instead, before);
}

/* False: which filters are to be asked can't be told. */
static bool
begin(struct session *s)
{
	struct service *service = s->service;
	struct milter_client_conf conf = {
		.loop = service->loop,
		.resolver = service->resolver,
		.list = service->milters,
		.log = &s->log,
		.macro = milter_macro_value,
		.field =
		    maps_empty(service->milter_checks) ? NULL : field_wanted,
		.arg = s,
		.body_max = (uint64_t)service->common->message_size_limit,
	};
	struct milter_list *own = NULL;
	int mapped = 0;

	if (conf_list_has(
		service->conf->receive_override_options, "no_milters"))
		return true;
	if (!s->local)
		mapped = list_of_map(s, &own);
	if (mapped < 0)
		return false;
	if (mapped > 0)
		conf.list = own;
	if (conf.list == NULL || conf.list->count == 0) {
		milter_list_free(&own);
		return true;
	}
	s->milter = MEM_NEW(s->milter);
	s->milter->list = own;
	buf_init(&s->milter->words, LIMIT_SMTP_LINE * 2);
	s->milter->client = milter_client_new(&conf);
	return true;
}

static void
end(struct session *s)
{
	struct milter_session *m = s->milter;

	if (m == NULL)
		return;
	milter_client_free(&m->client);
	milter_list_free(&m->list);
	buf_release(&m->words);
	mem_free(m);
	s->milter = NULL;
}

/* ---- what the log says ----------------------------------------------------
 */

static void
log_action(
    struct session *s, const char *action, enum stage stage, const char *text)
{
	const struct log_ctx ctx = { .trace = s->log.trace };
	const struct transaction *tx = s->tx;
	struct buf b;

	buf_init(&b, LIMIT_LOG_LINE);
	buf_fmt(&b, "%s: %s: %s from %s: %s;",
	    s->log.qid[0] != '\0' ? s->log.qid : "NOQUEUE", action,
	    stage_name(stage), session_client(s), text);
	if (tx != NULL)
		buf_fmt(&b, " from=<%s>", log_quote(tx->env.sender, 500));
	if (tx != NULL && stage == STAGE_RCPT)
		buf_fmt(&b, " to=<%s>", log_quote(tx->rcpt, 500));
	else if (tx != NULL && tx->rcpts.first != NULL)
		buf_fmt(&b, " to=<%s>",
		    log_quote(tx->rcpts.first->rcpt.orig_address, 500));
	buf_fmt(&b, " proto=%s", session_protocol(s));
	if (s->helo != NULL)
		buf_fmt(&b, " helo=<%s>", log_quote(span_str(s->helo), 200));
	log_info(&ctx, "%s", buf_cstr(&b));
	buf_release(&b);
}

/* Of a reply in several lines the log has them in one. */
static void
log_refusal(struct session *s, enum stage stage, const struct milter_result *r)
{
	struct buf b;

	buf_init(&b, LIMIT_LOG_LINE);
	/* As Postfix's cleanup has it: without the code. */
	if (stage != STAGE_END)
		buf_fmt(&b, "%u ", r->code);
	if (r->dsn[0] != '\0')
		buf_fmt(&b, "%s ", r->dsn);
	for (size_t i = 0; i < r->text.n; i++)
		buf_byte(&b, r->text.p[i] == '\n' ? ' ' : r->text.p[i]);
	log_action(s, "milter-reject", stage, log_quote(buf_span(&b), 900));
	buf_release(&b);
}

/* ---- steps ----------------------------------------------------------------
 */

/* In place of the greeting. */
static void
refuse_connection(struct session *s, unsigned code)
{
	struct refusal no = { .code = code == 421 ? 421 : 554, .dsn = "" };
	char text[LIMIT_DOMAIN + 100];

	snprintf(text, sizeof(text), "%s %s", s->service->common->myhostname,
	    no.code == 421 ? "Service unavailable - try again later"
			   : "ESMTP not accepting connections");
	no.text = span_str(text);
	stage_refuse(s, &no);
}

static void
refuse(struct session *s, enum stage stage, const struct milter_result *r)
{
	log_refusal(s, stage, r);
	s->milter->refused = stage == STAGE_RCPT;
	if (stage == STAGE_CONNECT)
		refuse_connection(s, r->code);
	else
		stage_refuse(s, &(struct refusal){ .code = r->code,
				    .dsn = r->dsn,
				    .text = r->text });
}

static void
stored(struct session *s, const struct err *e)
{
	if (e == NULL) {
		stage_pass(s);
		return;
	}
	log_warning(&s->log, "message not queued: %s", e->text);
	stage_refuse(s, &(struct refusal){ .code = 451,
			    .dsn = "4.3.0",
			    .text = SPAN("Error: queue file write error") });
}

static void
applied(struct session *s, const struct err *e)
{
	if (e != NULL || proxy_wanted(s))
		stored(s, e);
	else
		milter_store(s, stored);
}

static void
after_data(struct session *s)
{
	struct span rest = buf_span(&s->tx->prepend);
	struct header_field field;
	char dir[LIMIT_PATH];
	size_t own = 0;

	if (!milter_client_wants_message(s->milter->client)) {
		stage_pass(s);
		return;
	}
	while (header_next(&rest, &field))
		own++;
	snprintf(dir, sizeof(dir), "%s/incoming",
	    s->service->common->queue_directory);
	s->tx->mail = milter_mail_new(s->service->loop, dir, own);
	stage_pass(s);
}

static void
answered(void *arg, const struct milter_result *r)
{
	struct session *s = arg;
	struct milter_session *m = s->milter;
	const enum stage stage = s->stage.stage;

	if (r->hold != NULL && s->tx != NULL && !m->hold) {
		m->hold = s->tx->act.hold = true;
		log_action(s, "milter-hold", stage, r->hold);
	}
	switch (r->outcome) {
	case MILTER_PASSED:
		break;
	case MILTER_REFUSED:
		/* A "come back later" to the connection is said to what
		 * follows. */
		if (stage == STAGE_CONNECT && r->code < 500 && r->code != 421)
			break;
		refuse(s, stage, r);
		return;
	case MILTER_DISCARDED:
		log_action(s, "milter-discard", stage,
		    "milter triggers DISCARD action");
		m->over = s->tx->act.discard = true;
		stage_pass(s);
		return;
	}
	if (stage == STAGE_DATA)
		after_data(s);
	else if (stage == STAGE_END && s->tx->verdict.code != 0)
		stage_refuse(s, &(struct refusal){ .code = s->tx->verdict.code,
				    .dsn = s->tx->verdict.dsn,
				    .text = span_str(s->tx->verdict.text) });
	else if (stage == STAGE_END && s->tx->act.discard)
		stage_pass(s);
	else if (stage == STAGE_END)
		milter_apply(s, r->changes, applied);
	else
		stage_pass(s);
}

static void
ask_connect(struct session *s)
{
	char name[SOCK_ADDR_TEXT + 2];
	const bool known = s->name != NULL && strcmp(s->name, "unknown") != 0;

	if (s->local) {
		milter_client_connect(s->milter->client, SPAN("localhost"),
		    MILTER_FAMILY_INET, 0, SPAN("127.0.0.1"), answered, s);
		return;
	}
	snprintf(name, sizeof(name), "[%s]", s->addr);
	buf_reset(&s->milter->words);
	buf_str(&s->milter->words, known ? s->name : name);
	milter_client_connect(s->milter->client, buf_span(&s->milter->words),
	    strchr(s->addr, ':') != NULL ? MILTER_FAMILY_INET6
					 : MILTER_FAMILY_INET,
	    s->port, span_str(s->addr), answered, s);
}

/* The path and the parameters of MAIL or RCPT as words. */
static size_t
set_args(struct milter_session *m, const struct smtp_cmd *cmd)
{
	size_t at[2 + SMTP_PARAM_MAX], n = 0;

	buf_reset(&m->words);
	at[n++] = 0;
	buf_byte(&m->words, '<');
	buf_add(&m->words, cmd->path.text);
	buf_byte(&m->words, '>');
	for (size_t i = 0; i < cmd->param_count; i++) {
		at[n++] = m->words.n;
		buf_add(&m->words, cmd->params[i].key);
		if (cmd->params[i].has_value) {
			buf_byte(&m->words, '=');
			buf_add(&m->words, cmd->params[i].value);
		}
	}
	at[n] = m->words.n;
	for (size_t i = 0; i < n; i++)
		m->args[i] = span_slice(buf_span(&m->words), at[i], at[i + 1]);
	return n;
}

/* The macros {mail_host} and {mail_mailer}. */
static void
sender_routed(void *arg, const struct route_result *r)
{
	struct session *s = arg;
	struct milter_session *m = s->milter;

	m->host[0] = m->mailer[0] = '\0';
	if (r->count > 0) {
		span_copy(r->routes[0].nexthop, m->host, sizeof(m->host));
		span_copy(r->routes[0].transport, m->mailer, sizeof(m->mailer));
	}
	milter_client_mail(
	    m->client, m->args, set_args(m, stage_cmd(s)), answered, s);
}

static void
ask_mail(struct session *s)
{
	struct milter_session *m = s->milter;

	m->hold = m->over = false;
	if (s->tx->env.sender.n > 0) {
		router_resolve(s->service->router, s->tx->env.sender, 0,
		    s->log.trace, sender_routed, s);
		return;
	}
	m->host[0] = m->mailer[0] = '\0';
	milter_client_mail(
	    m->client, m->args, set_args(m, stage_cmd(s)), answered, s);
}

static void
ask_rcpt(struct session *s)
{
	struct milter_session *m = s->milter;
	const struct route_result *r = s->tx->route;
	const bool may_relay = s->trusted || s->sasl_user != NULL;

	m->refused_rcpt =
	    r->code != 0 || (r->class_known && !r->ours && !may_relay);
	milter_client_rcpt(m->client, m->args, set_args(m, stage_cmd(s)),
	    m->refused_rcpt, answered, s);
}

static void
told(void *arg, const struct milter_result *r)
{
	struct session *s = arg;

	(void)r;
	s->milter->told(s);
}

bool
milter_tell_refused(struct session *s, void (*then)(struct session *s))
{
	struct milter_session *m = s->milter;
	const bool ours = m != NULL && m->refused;

	if (ours)
		m->refused = false;
	if (m == NULL || m->over || ours ||
	    !milter_client_wants_refused(m->client))
		return false;
	m->refused_rcpt = true;
	m->told = then;
	milter_client_rcpt(
	    m->client, m->args, set_args(m, stage_cmd(s)), true, told, s);
	return true;
}

static void
ask_end(struct session *s)
{
	if (s->tx->mail == NULL) {
		stage_pass(s);
		return;
	}
	milter_mail_end(s->tx->mail);
	if (milter_mail_too_many(s->tx->mail))
		stage_reject(s, 552, "5.3.4", "Error: too many header fields");
	else
		milter_client_message(
		    s->milter->client, s->tx->mail, answered, s);
}

static void
ask(struct session *s, enum stage stage)
{
	if (stage == STAGE_CONNECT) {
		end(s); /* of the client that another one has replaced */
		if (!begin(s)) {
			refuse_connection(s, 421);
			return;
		}
	}
	if (s->milter == NULL ||
	    (s->tx != NULL && s->milter->over && stage != STAGE_MAIL)) {
		stage_pass(s);
		return;
	}
	switch (stage) {
	case STAGE_CONNECT:
		ask_connect(s);
		break;
	case STAGE_HELO:
		milter_client_helo(
		    s->milter->client, stage_cmd(s)->arg, answered, s);
		break;
	case STAGE_MAIL:
		ask_mail(s);
		break;
	case STAGE_RCPT:
		ask_rcpt(s);
		break;
	case STAGE_DATA:
		milter_client_data(s->milter->client, answered, s);
		break;
	case STAGE_END:
		ask_end(s);
		break;
	case STAGE_ETRN:
	case STAGE_VRFY:
		stage_pass(s);
		break;
	}
}

static void
reset(struct session *s)
{
	if (s->milter == NULL)
		return;
	milter_client_abort(s->milter->client);
	s->milter->hold = s->milter->over = false;
	s->milter->change = NULL;
}

static void
cancel(struct session *s)
{
	if (s->milter != NULL)
		milter_client_abort(s->milter->client);
}

void
milter_unknown_command(struct session *s, struct span line)
{
	if (s->milter != NULL)
		milter_client_unknown(s->milter->client, line);
}

const struct gate milter_gate = { "milter", ask, cancel, reset, end };
