/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/login_owner.h"
#include "lib/mail/policy_client.h"
#include "lib/mail/verify_client.h"
#include "smtpd/session.h"

/*
 * The gate of the restriction lists (lib/mail/restrict.h): tells them what is
 * known of the session, asks for them what they want to know, and does what
 * they want done with the message. A session in which nothing has to be run
 * has no state here.
 */

enum { INSTANCE_TEXT = 64 };

struct restrictions {
	struct session *session;
	struct restrict_session *run;
	struct restrict_facts facts;
	struct tls_facts tls;
	char instance[INSTANCE_TEXT];
	char argument[LIMIT_ADDRESS]; /* of ETRN or VRFY */
	struct arena arena;             /* the route of VRFY */
	char server_addr[SOCK_ADDR_TEXT];
	unsigned server_port;
	/* what is under way */
	struct dns_query *query;
	struct policy_call *call;
	struct timer *timer;
	bool routing, verifying;
	dns_fn dns_fn;
	restrict_verify_fn verify_fn;
	restrict_policy_fn policy_fn;
	void (*sleep_fn)(void *arg);
	router_fn route_fn;
	void *arg;
};

/* ---- the world ---- */

static void
found(void *arg, const struct dns_answer *a)
{
	struct restrictions *r = arg;

	r->query = NULL;
	r->dns_fn(r->arg, a);
}

static void
world_dns(void *ctx, enum restrict_dns kind, const char *name, dns_fn fn,
    void *arg)
{
	struct restrictions *r = ctx;
	struct client *c = r->session->service->resolver;
	const uint64_t trace = r->session->log.trace;

	r->dns_fn = fn;
	r->arg = arg;
	switch (kind) {
	case RESTRICT_DNS_HOST:
		r->query = dns_query_addresses(c, name,
		    DNS_INET | DNS_INET6, DNS_HOSTS_FIRST, trace, found, r);
		break;
	case RESTRICT_DNS_ADDRESS:
		r->query = dns_query_addresses(c, name,
		    DNS_INET | DNS_INET6, 0, trace, found, r);
		break;
	case RESTRICT_DNS_A:
		r->query = dns_query_addresses(c, name, DNS_INET, 0, trace,
		    found, r);
		break;
	case RESTRICT_DNS_MX:
		r->query = dns_query_mx(c, name, trace, found, r);
		break;
	case RESTRICT_DNS_NS:
		r->query = dns_query_ns(c, name, trace, found, r);
		break;
	case RESTRICT_DNS_TXT:
		r->query = dns_query_txt(c, name, trace, found, r);
		break;
	}
}

static void
policy_answered(void *arg, const struct span *action)
{
	struct restrictions *r = arg;

	r->call = NULL;
	r->policy_fn(r->arg, action);
}

static void
world_policy(void *ctx, const struct restrict_policy *service,
    struct span request, restrict_policy_fn fn, void *arg)
{
	struct restrictions *r = ctx;

	r->policy_fn = fn;
	r->arg = arg;
	r->call = policy_client_ask(service->handle, r->instance, request,
	    policy_answered, r);
}

static void
routed(void *arg, const struct route_result *result)
{
	struct restrictions *r = arg;

	r->routing = false;
	r->route_fn(r->arg, result);
}

static void
world_route(void *ctx, struct span address, unsigned flags, router_fn fn,
    void *arg)
{
	struct restrictions *r = ctx;

	r->route_fn = fn;
	r->arg = arg;
	r->routing = true;
	router_resolve(r->session->service->router, address, flags,
	    r->session->log.trace, routed, r);
}

static void
verified(void *arg, struct msg_in *m, const struct err *e)
{
	struct restrictions *r = arg;
	struct verify_answer a;

	r->verifying = false;
	if (e != NULL)
		log_warning(&r->session->log, "%s", e->text);
	r->verify_fn(r->arg,
	    m != NULL && verify_answer_read(m, &a) ? &a : NULL);
}

/* Postfix asks some times with a pause between; we wait as long. */
static void
world_verify(void *ctx, struct span address, restrict_verify_fn fn, void *arg)
{
	struct restrictions *r = ctx;
	struct service *service = r->session->service;
	const struct smtpd_conf *c = service->conf;

	r->verify_fn = fn;
	r->arg = arg;
	r->verifying = true;
	verify_ask(service->verify, address,
	    (uint64_t)(c->address_verify_poll_count - 1) *
		(uint64_t)c->address_verify_poll_delay,
	    r->session->log.trace, verified, r);
}

static void
slept(void *arg)
{
	struct restrictions *r = arg;

	timer_free(&r->timer);
	r->sleep_fn(r->arg);
}

static void
world_sleep(void *ctx, unsigned seconds, void (*fn)(void *arg), void *arg)
{
	struct restrictions *r = ctx;

	r->sleep_fn = fn;
	r->arg = arg;
	r->timer = timer_new(r->session->service->loop, slept, r);
	timer_start(r->timer, (uint64_t)seconds * 1000);
}

static bool
world_own_name(void *ctx, struct span name)
{
	struct restrictions *r = ctx;

	return router_is_local(r->session->service->router, name, NULL) == 1;
}

static bool
world_own_address(void *ctx, const char *addr)
{
	struct restrictions *r = ctx;

	return router_owns_address(r->session->service->router, addr,
	    NULL) == 1;
}

static int
world_owner(void *ctx, struct span sender, const char *login, struct err *e)
{
	struct service *service = ((struct restrictions *)ctx)->session->service;

	return login_owner_check(
	    service->router, service->login_maps, sender, login, e);
}

static const char *
command_name(struct session *s)
{
	if (s->stage.stage == STAGE_HELO)
		return smtp_verb_name(stage_cmd(s)->verb);
	return stage_name(s->stage.stage);
}

static void
world_log(void *ctx, const char *what, struct span text)
{
	struct restrictions *r = ctx;
	struct session *s = r->session;

	session_log_what(s, what, command_name(s), text,
	    r->facts.has_rcpt ? r->facts.rcpt : SPAN_EMPTY);
}

static void
world_act(void *ctx, enum restrict_act act, struct span value)
{
	struct restrictions *r = ctx;
	struct transaction *tx = r->session->tx;

	BUG_ON(tx == NULL);
	switch (act) {
	case RESTRICT_FILTER:
		tx->act.filter = arena_dup(&tx->arena, value);
		return;
	case RESTRICT_HOLD:
		tx->act.hold = true;
		return;
	case RESTRICT_DISCARD:
		tx->act.discard = true;
		return;
	case RESTRICT_REDIRECT:
		tx->act.redirect = arena_dup(&tx->arena, value);
		return;
	case RESTRICT_BCC:
		check_actions_add(&tx->act, value);
		return;
	case RESTRICT_PREPEND:
		buf_add(&tx->prepend, value);
		buf_str(&tx->prepend, "\r\n");
		return;
	}
}

static void
world_cancel(void *ctx)
{
	struct restrictions *r = ctx;

	dns_cancel(&r->query);
	policy_call_cancel(&r->call);
	timer_free(&r->timer);
	if (r->routing)
		router_cancel(r->session->service->router, r);
	r->routing = false;
	if (r->verifying)
		client_cancel(r->session->service->verify, r);
	r->verifying = false;
}

static const struct restrict_world world = {
	.dns = world_dns,
	.policy = world_policy,
	.route = world_route,
	.verify = world_verify,
	.sleep = world_sleep,
	.own_name = world_own_name,
	.own_address = world_own_address,
	.owner = world_owner,
	.log = world_log,
	.act = world_act,
	.cancel = world_cancel,
};

/* ---- what is known ---- */

static void
find_server(struct restrictions *r)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);

	if (r->server_addr[0] != '\0' ||
	    getsockname(stream_fd(r->session->stream),
		(struct sockaddr *)&own, &len) != 0)
		return;
	sock_addr_text((struct sockaddr *)&own, r->server_addr);
	r->server_port = own.ss_family == AF_UNIX ?
	    0 : sock_addr_port((struct sockaddr *)&own);
}

static void
client_facts(struct restrictions *r, struct restrict_facts *f)
{
	const struct session *s = r->session;

	f->log = &s->log;
	f->name = s->name != NULL ? s->name : "unknown";
	f->reverse_name = s->reverse_name != NULL ? s->reverse_name :
	    s->name != NULL ? s->name : "unknown";
	f->name_status = s->name_status;
	f->reverse_status = s->reverse_status;
	f->addr = s->addr;
	f->port = s->port;
	f->trusted = s->trusted;
	f->server_addr = r->server_addr;
	f->server_port = r->server_port;
	f->helo = s->helo;
	f->protocol = smtp_server_extended(s->engine) ? "ESMTP" : "SMTP";
	f->sasl_enabled = s->service->conf->smtpd_sasl_auth_enable;
	f->sasl_method = s->sasl_method;
	f->sasl_user = s->sasl_user;
	if (!stream_tls_facts(s->stream, &r->tls))
		return;
	f->tls_protocol = r->tls.protocol;
	f->tls_cipher = r->tls.cipher;
	f->tls_bits = (unsigned)r->tls.bits_used;
	f->tls_sni = r->tls.asked_name;
	if (s->ccert == NULL)
		return;
	f->cert_trusted = s->ccert->trusted;
	f->cert_listed = s->ccert_listed;
	f->cert_subject = s->ccert->subject;
	f->cert_issuer = s->ccert->issuer;
	f->cert_print = s->ccert->fingerprint;
	f->key_print = s->ccert->pkey_fingerprint;
	f->key_print = s->ccert->pkey_fingerprint;
}

static void
message_facts(struct restrictions *r, struct restrict_facts *f,
    enum stage stage)
{
	const struct session *s = r->session;
	const struct transaction *tx = s->tx;

	f->qid = s->log.qid;
	if (stage == STAGE_ETRN)
		f->etrn = r->argument;
	if (tx == NULL)
		return;
	f->instance = r->instance;
	f->smtputf8 = tx->env.smtputf8;
	f->has_sender = true;
	f->sender = tx->sender;
	f->rcpt_count = tx->rcpt_count;
	f->size = stage == STAGE_END ? smtp_server_data_size(s->engine) :
				       tx->size;
	if (stage == STAGE_RCPT) {
		f->has_rcpt = true;
		f->rcpt = tx->rcpt;
		f->route = tx->route;
	} else if (tx->rcpt_count == 1) {
		f->has_rcpt = true;
		f->rcpt = tx->first_rcpt;
		f->route = tx->first_route;
	}
}

static void
fill_facts(struct restrictions *r, enum stage stage)
{
	struct session *s = r->session;

	r->facts = (struct restrict_facts){ .log = &s->log };
	if (restrict_policies(s->service->restrictions) != NULL) {
		find_server(r);
		snprintf(r->instance, sizeof(r->instance), "%x.%llx.%x.0",
		    (unsigned)getpid(), (unsigned long long)s->trace,
		    s->message_count);
	}
	client_facts(r, &r->facts);
	message_facts(r, &r->facts, stage);
}

/* ---- the gate ---- */

static enum restrict_stage
restrict_stage_of(enum stage stage)
{
	switch (stage) {
	case STAGE_CONNECT:
		return RESTRICT_CONNECT;
	case STAGE_HELO:
		return RESTRICT_HELO;
	case STAGE_MAIL:
		return RESTRICT_MAIL;
	case STAGE_RCPT:
		return RESTRICT_RCPT;
	case STAGE_DATA:
		return RESTRICT_DATA;
	case STAGE_END:
		return RESTRICT_END;
	case STAGE_ETRN:
		return RESTRICT_ETRN;
	case STAGE_VRFY:
		return RESTRICT_VRFY;
	}
	return RESTRICT_CONNECT;
}

static void
answered(void *arg, const struct restrict_verdict *v)
{
	struct restrictions *r = arg;

	arena_reset(&r->arena);
	if (v->code == 0)
		stage_pass(r->session);
	else
		stage_refuse(r->session, &(struct refusal){
		    .code = v->code, .dsn = v->dsn, .text = v->text });
}

/* A program of this host is no client; what is no address is the router's to
 * refuse; and a bare "postmaster" is always taken (RFC 5321 4.5.1). */
static bool
exempt(const struct session *s, enum stage stage)
{
	if (s->local || restrict_idle(s->service->restrictions,
		restrict_stage_of(stage)))
		return true;
	return stage == STAGE_RCPT && (s->tx->route->code == 501 ||
	    span_ieq(s->tx->rcpt, SPAN("postmaster")));
}

/* What VRFY is told is what RCPT would be. */
static void
vrfy_routed(void *arg, const struct route_result *result)
{
	struct restrictions *r = arg;

	r->routing = false;
	r->facts.has_rcpt = true;
	r->facts.rcpt = span_str(r->argument);
	r->facts.route = recipients_keep(&r->arena, result);
	restrict_ask(r->run, RESTRICT_VRFY, &r->facts, answered, r);
}

static void
ask_vrfy(struct restrictions *r)
{
	r->routing = true;
	router_resolve(r->session->service->router, span_str(r->argument),
	    ROUTER_CHECK_USER, r->session->log.trace, vrfy_routed, r);
}

/* Without the angle brackets that some put around it. */
static void
keep_argument(struct restrictions *r)
{
	struct span arg = stage_cmd(r->session)->arg;

	if (arg.n > 1 && arg.p[0] == '<' && arg.p[arg.n - 1] == '>')
		arg = span_slice(arg, 1, arg.n - 1);
	if (!span_copy(arg, r->argument, sizeof(r->argument)))
		r->argument[0] = '\0';
}

static void
ask(struct session *s, enum stage stage)
{
	struct restrictions *r = s->restrictions;

	if (exempt(s, stage)) {
		stage_pass(s);
		return;
	}
	if (r == NULL) {
		r = s->restrictions = MEM_NEW(r);
		r->session = s;
		arena_init(&r->arena, LIMIT_SMTP_TRANSACTION);
		r->run = restrict_session_new(s->service->restrictions,
		    &world, r);
	}
	if (stage == STAGE_ETRN || stage == STAGE_VRFY)
		keep_argument(r);
	fill_facts(r, stage);
	if (stage == STAGE_VRFY) {
		ask_vrfy(r);
		return;
	}
	restrict_ask(r->run, restrict_stage_of(stage), &r->facts, answered,
	    r);
}

static void
cancel(struct session *s)
{
	restrict_cancel(s->restrictions->run);
	world_cancel(s->restrictions);
	arena_reset(&s->restrictions->arena);
}

static void
reset(struct session *s)
{
	struct restrictions *r = s->restrictions;

	if (r == NULL)
		return;
	restrict_reset(r->run);
	for (struct restrict_policy *p =
		 restrict_policies(s->service->restrictions);
	     p != NULL; p = p->next)
		policy_client_release(p->handle, r->instance);
}

static void
end(struct session *s)
{
	if (s->restrictions == NULL)
		return;
	restrict_session_free(&s->restrictions->run);
	arena_reset(&s->restrictions->arena);
	mem_free(s->restrictions);
	s->restrictions = NULL;
}

const struct gate restrict_gate = {
	.name = "restrict",
	.ask = ask,
	.cancel = cancel,
	.reset = reset,
	.end = end,
};

/* ---- start ---- */

int
restrictions_check(struct conf *c, const struct smtpd_conf *conf,
    const struct common_conf *common, struct err *e)
{
	struct restrict_set *set = NULL;
	struct maps *logins = NULL;
	int rc = restrict_new(c, &conf->restrictions, common, &set, e);

	if (rc == 0) {
		rc = maps_open(conf->restrictions.smtpd_sender_login_maps,
		    &logins, e);
		if (rc != 0)
			err_wrap(e, "smtpd_sender_login_maps");
	}
	maps_free(&logins);
	restrict_free(&set);
	return rc;
}

int
restrictions_open(struct service *s, struct err *e)
{
	const struct restrict_conf *c = &s->conf->restrictions;

	if (restrict_new(daemon_conf(s->daemon), c, s->common,
		&s->restrictions, e) != 0)
		return -1;
	if (maps_open(c->smtpd_sender_login_maps, &s->login_maps, e) != 0)
		return err_wrap(e, "smtpd_sender_login_maps");
	for (struct restrict_policy *p = restrict_policies(s->restrictions);
	     p != NULL; p = p->next)
		p->handle = policy_client_new(s->loop, p, s->resolver,
		    s->common->queue_directory);
	return 0;
}
