/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/arrival.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "smtpd/session.h"

enum {
	NAME_MS = 10000, /* a client's name is not waited for any longer */
};

/* ---- its name ---- */

/* What a name server says of the client, and how sure that is. */
static void
take_name(struct session *s, const struct dns_answer *a)
{
	const bool failed = a->status == DNS_FAILED;
	const char *reverse = a->reverse_name;

	if (a->status == DNS_OK)
		s->name = mem_strdup(
		    log_quote(span_str(a->name), DNS_NAME_MAX));
	if (reverse != NULL)
		s->reverse_name = mem_strdup(
		    log_quote(span_str(reverse), DNS_NAME_MAX));
	if (reverse != NULL && s->name == NULL)
		log_warning(&s->log, "hostname %s does not resolve to "
		    "address %s", s->reverse_name, s->addr);
	s->reverse_status = reverse != NULL ? RESTRICT_NAME_OK :
	    failed ? RESTRICT_NAME_TEMP : RESTRICT_NAME_PERM;
	s->name_status = a->status == DNS_OK ? RESTRICT_NAME_OK :
	    failed ? RESTRICT_NAME_TEMP : reverse != NULL ?
	    RESTRICT_NAME_FORGED : RESTRICT_NAME_PERM;
}

static void
name_found(void *arg, const struct dns_answer *answer)
{
	struct session *s = arg;

	s->name_query = NULL;
	timer_free(&s->delay);
	take_name(s, answer);
	if (answer->status == DNS_OK)
		client_names_put(s->service->names, s->addr, answer->name,
		    answer->ttl, loop_now_ms(s->service->loop));
	session_greet(s);
}

static void
name_is_late(void *arg)
{
	struct session *s = arg;

	dns_cancel(&s->name_query);
	timer_free(&s->delay);
	s->name_status = s->reverse_status = RESTRICT_NAME_TEMP;
	session_greet(s);
}

/* Nothing is delayed before the greeting, so that timer is free. */
static void
look_up_name(struct session *s, const struct sockaddr *addr)
{
	const char *name = client_names_get(s->service->names, s->addr,
	    loop_now_ms(s->service->loop));

	if (name != NULL) {
		take_name(s, &(struct dns_answer){ .status = DNS_OK,
			.name = name, .reverse_name = name });
		return;
	}
	s->delay = timer_new(s->service->loop, name_is_late, s);
	timer_start(s->delay, NAME_MS);
	s->name_query = dns_query_client(s->service->resolver, addr,
	    s->trace, name_found, s);
}

/* ---- who it is ---- */

/* Who is at the other end, and may he come in? False: nobody. */
static bool
admit(struct session *s, int fd, const struct sockaddr *addr,
    bool *out_welcome)
{
	struct service *service = s->service;
	const struct smtpd_conf *c = service->conf;
	const bool inet = addr != NULL;
	struct peer peer;

	s->inet = inet;
	s->local = !inet && c->smtpd_local_submission;
	if (inet) {
		sock_addr_text(addr, s->addr);
		s->port = sock_addr_port(addr);
		s->name_status = s->reverse_status = RESTRICT_NAME_PERM;
		s->trusted = service_trusts(service, s->addr);
	} else {
		if (sock_peer(fd, &peer, NULL) != 0)
			return false;
		snprintf(s->addr, sizeof(s->addr), "local");
		s->name = mem_strdup("localhost");
		s->uid = peer.uid;
		s->trusted = s->local || peer.uid == 0 ||
		    peer.uid == geteuid();
	}
	*out_welcome = limits_admit(s);
	if (inet && c->smtpd_peername_lookup && *out_welcome)
		look_up_name(s, addr);
	protocol_client(s);
	return true;
}

static void
turn_away(struct session *s)
{
	char text[100];

	if (s->service->conf->smtpd_tls_wrappermode) {
		session_free(s);
		return;
	}
	snprintf(text, sizeof(text), "Error: too many connections from %s",
	    s->addr);
	session_goodbye(s, "4.7.0", text);
	session_run(s);
}

/* addr: the client's; NULL on a UNIX socket, which fd is then. */
static void
begin(struct session *s, int fd, const struct sockaddr *addr)
{
	bool welcome;

	if (!admit(s, fd, addr, &welcome)) {
		session_free(s);
		return;
	}
	if (!welcome) {
		turn_away(s);
		return;
	}
	session_be_patient(s);
	if (addr != NULL && !screen_begin(s, addr))
		return;
	if (s->service->conf->smtpd_tls_wrappermode && addr != NULL) {
		s->securing = true;
		hello_secure(s);
		if (smtp_server_closing(s->engine))
			session_free(s); /* there is no certificate */
		return;
	}
	session_greet(s);
}

/* ---- the header of a load balancer ---- */

static void
proxied(struct session *s, const struct proxy_header *h)
{
	struct sockaddr_storage addr;

	s->proxying = false;
	if (h->local) {
		/* A health check, of the balancer itself. */
		BUG_ON(!xclient_sockaddr(s->addr, 0, &addr));
		begin(s, -1, (struct sockaddr *)&addr);
		return;
	}
	BUG_ON(!xclient_sockaddr(h->addr, h->port, &addr));
	s->dest_addr = mem_strdup(h->dest_addr);
	s->dest_port = h->dest_port;
	begin(s, -1, (struct sockaddr *)&addr);
}

void
arrival_input(struct session *s)
{
	struct proxy_header h;
	size_t used;

	switch (proxy_header_parse(stream_input(s->stream), &h, &used)) {
	case PARSE_MORE:
		return;
	case PARSE_OK:
		stream_consume(s->stream, used);
		proxied(s, &h);
		return;
	case PARSE_BAD:
		break;
	}
	log_warning(&s->log, "haproxy read: protocol error from %s", s->addr);
	session_free(s);
}

static bool
wants_proxy_header(const struct service *service)
{
	return service->conf->smtpd_upstream_proxy_protocol ==
	    SMTPD_UPSTREAM_HAPROXY;
}

void
arrival_begin(struct session *s, int fd, bool inet)
{
	const struct smtpd_conf *c = s->service->conf;
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (!inet) {
		begin(s, fd, NULL);
	} else if (getpeername(fd, (struct sockaddr *)&addr, &len) != 0) {
		session_free(s); /* gone already */
	} else if (wants_proxy_header(s->service)) {
		s->proxying = true;
		sock_addr_text((struct sockaddr *)&addr, s->addr);
		timer_start(s->patience,
		    (uint64_t)c->smtpd_upstream_proxy_timeout);
	} else {
		begin(s, fd, (struct sockaddr *)&addr);
	}
}

void
arrival_forget(struct session *s)
{
	dns_cancel(&s->name_query);
}
