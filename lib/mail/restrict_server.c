/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/proto/address.h"

/*
 * Restrictions that ask DNS about names: their own addresses, mail servers
 * and name servers, and whether they exist at all. Each is a few questions
 * one after the other; what has been found stands in the session's work.
 */

enum { ADDRESSES_MAX = 100 };

static void
begin(struct restrict_session *s, const struct step *step)
{
	s->work = (struct work){ .step = step };
	s->waiting = true;
}

static void
done(struct restrict_session *s, enum verdict v)
{
	mem_free(s->work.hosts);
	s->work.hosts = NULL;
	step_done(s, v);
}

/* False for a name that is too long to be one. */
static bool
set_name(struct restrict_session *s, struct span name)
{
	return span_copy(name, s->work.name, sizeof(s->work.name)) &&
	    name.n > 0;
}

static struct span
domain_part(struct span address)
{
	const size_t at = span_rchr(address, '@');

	return at == SIZE_MAX ? address : span_skip(address, at + 1);
}

static void
ask(struct restrict_session *s, enum restrict_dns kind, const char *name,
    dns_fn fn)
{
	s->world->dns(s->ctx, kind, name, fn, s);
}

static void
set_one_host(struct restrict_session *s, const char *name)
{
	struct work *w = &s->work;

	w->hosts = MEM_NEW(w->hosts);
	span_copy(span_str(name), w->hosts[0].host, DNS_NAME_MAX);
	w->host_count = 1;
}

static void
take_hosts(struct restrict_session *s, const struct dns_answer *a)
{
	struct work *w = &s->work;
	const size_t bytes = a->mx_count * sizeof(*a->mx);

	w->hosts = mem_alloc(bytes);
	memcpy(w->hosts, a->mx, bytes);
	w->host_count = a->mx_count;
}

static bool
not_found(const struct dns_answer *a)
{
	return a->status == DNS_NXDOMAIN || a->status == DNS_NODATA;
}

/* ---- check_..._{a,mx,ns}_access ---- */

static void next_host(struct restrict_session *s);

/* What a key says ends the step. */
static bool
ends(struct restrict_session *s, enum access_kind kind, const char *key)
{
	bool found;
	const enum verdict v = access_check(s, s->work.step, kind,
	    span_str(key), &found);

	if (found)
		done(s, access_forbid_ok(s, s->work.step, v));
	return found;
}

static void
host_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	char text[SOCK_ADDR_TEXT];

	if (a->status != DNS_OK &&
	    s->work.step->op->detail != RESTRICT_DNS_HOST)
		log_warning(s->f->log, "Unable to look up %s host %s for %s "
		    "%s: %s", s->work.step->op->detail == RESTRICT_DNS_MX ?
			"MX" : "NS",
		    s->work.hosts[s->work.host].host,
		    subject_class(s->work.step->op->subject),
		    shown(subject_name(s, s->work.step->op->subject)),
		    a->err.text);
	for (size_t i = 0; i < a->address_count; i++) {
		if (++s->work.addresses > ADDRESSES_MAX) {
			done(s, V_DUNNO);
			return;
		}
		sock_addr_text((const struct sockaddr *)&a->addresses[i],
		    text);
		if (ends(s, KEY_IP, text))
			return;
	}
	s->work.host++;
	next_host(s);
}

static void
next_host(struct restrict_session *s)
{
	struct work *w = &s->work;
	const char *name;

	for (; w->host < w->host_count; w->host++) {
		name = w->hosts[w->host].host;
		if (is_numeric_address(span_str(name))) {
			if (ends(s, KEY_IP, name))
				return;
			continue;
		}
		if (w->step->op->detail != RESTRICT_DNS_HOST &&
		    ends(s, KEY_DOMAIN, name))
			return;
		ask(s, RESTRICT_DNS_HOST, name, host_found);
		return;
	}
	done(s, V_DUNNO);
}

/* A name without servers: a mail server is the name itself, name servers are
 * the parents'. False: there is nothing more to ask. */
static void servers_found(void *arg, const struct dns_answer *a);

static bool
without_servers(struct restrict_session *s)
{
	struct work *w = &s->work;
	const struct span name = span_str(w->name);
	const size_t dot = span_chr(name, '.');

	if (w->step->op->detail == RESTRICT_DNS_MX) {
		set_one_host(s, w->name);
		next_host(s);
		return true;
	}
	if (dot == SIZE_MAX || dot + 1 == name.n)
		return false;
	memmove(w->name, w->name + dot + 1, name.n - dot);
	ask(s, RESTRICT_DNS_NS, w->name, servers_found);
	return true;
}

static void
servers_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	const bool mx = s->work.step->op->detail == RESTRICT_DNS_MX;

	if (a->status == DNS_OK) {
		take_hosts(s, a);
		next_host(s);
		return;
	}
	if (a->status == DNS_NULL_MX) {
		done(s, V_DUNNO);
		return;
	}
	if (not_found(a) && without_servers(s))
		return;
	log_warning(s->f->log, "Unable to look up %s host for %s: %s",
	    mx ? "MX" : "NS", s->work.name, a->err.text);
	done(s, V_DUNNO);
}

/* "[192.0.2.1]" is its own mail server and has no name server. */
static enum verdict
literal_access(struct restrict_session *s, const struct step *step,
    struct span literal)
{
	struct span inner = span_slice(literal, 1, literal.n - 1);
	bool found;

	if (step->op->detail == RESTRICT_DNS_NS ||
	    !domain_literal_valid(literal))
		return V_DUNNO;
	if (span_istarts(inner, SPAN("IPv6:")))
		inner = span_skip(inner, 5);
	return access_forbid_ok(s, step,
	    access_check(s, step, KEY_IP, inner, &found));
}

static bool
is_unknown(struct span name)
{
	return span_ieq(name, SPAN("unknown"));
}

/* Is there something to look at? Then *out. */
static bool
subject_there(const struct restrict_session *s, enum subject subject,
    struct span *out)
{
	const struct restrict_facts *f = s->f;

	*out = SPAN_EMPTY;
	switch (subject) {
	case SUBJECT_CLIENT:
		*out = span_str(f->name);
		return !is_unknown(*out);
	case SUBJECT_REVERSE:
		*out = span_str(f->reverse_name);
		return !is_unknown(*out);
	case SUBJECT_HELO:
		*out = span_str(f->helo);
		break;
	case SUBJECT_SENDER:
		*out = f->has_sender ? f->sender : SPAN_EMPTY;
		break;
	case SUBJECT_RCPT:
		*out = f->has_rcpt ? f->rcpt : SPAN_EMPTY;
		break;
	case SUBJECT_ETRN:
	case SUBJECT_SASL:
	case SUBJECT_CCERT:
	case SUBJECT_DATA:
	case SUBJECT_END:
		break;
	}
	return out->n > 0;
}

enum verdict
run_server_access(struct restrict_session *s, const struct step *step)
{
	struct span name;

	if (!subject_there(s, step->op->subject, &name))
		return V_DUNNO;
	name = domain_part(name);
	if (name.n > 1 && name.p[0] == '[')
		return literal_access(s, step, name);
	begin(s, step);
	if (!set_name(s, name)) {
		s->waiting = false;
		return V_DUNNO;
	}
	if (step->op->detail == RESTRICT_DNS_HOST) {
		set_one_host(s, s->work.name);
		next_host(s);
	} else {
		ask(s, (enum restrict_dns)step->op->detail, s->work.name,
		    servers_found);
	}
	return V_WAIT;
}

/* ---- reject_unknown_helo_hostname ---- */

static void
helo_decided(struct restrict_session *s, const struct dns_answer *a)
{
	const struct restrict_conf *c = s->set->conf;
	const struct span helo = span_str(s->f->helo);
	const char *class = subject_class(SUBJECT_HELO);

	if (a->status == DNS_OK || a->status == DNS_NULL_MX)
		done(s, V_DUNNO);
	else if (a->malformed)
		done(s, step_reject(s,
		    (unsigned)c->unknown_hostname_reject_code, "4.7.1",
		    "<%s>: %s rejected: Malformed DNS server reply",
		    shown(helo), class));
	else if (a->status == DNS_FAILED || s->work.temporary)
		done(s, step_defer_if_permit(s,
		    c->unknown_helo_hostname_tempfail_action, 450, "4.7.1",
		    "<%s>: %s rejected: Host not found", shown(helo), class));
	else
		done(s, step_reject(s,
		    (unsigned)c->unknown_hostname_reject_code, "4.7.1",
		    "<%s>: %s rejected: Host not found", shown(helo), class));
}

static void
helo_mx(void *arg, const struct dns_answer *a)
{
	helo_decided(arg, a);
}

static void
helo_addresses(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;

	if (a->status == DNS_OK) {
		helo_decided(s, a);
		return;
	}
	s->work.temporary = a->status == DNS_FAILED;
	ask(s, RESTRICT_DNS_MX, s->work.name, helo_mx);
}

enum verdict
run_unknown_helo(struct restrict_session *s, const struct step *step)
{
	const struct restrict_conf *c = s->set->conf;
	enum verdict v = V_DUNNO;

	if (s->f->helo == NULL || helo_literal(s, step, &v))
		return v;
	begin(s, step);
	if (!set_name(s, span_str(s->f->helo))) {
		s->waiting = false;
		return step_reject(s,
		    (unsigned)c->unknown_hostname_reject_code, "4.7.1",
		    "<%s>: %s rejected: Host not found",
		    shown(span_str(s->f->helo)), subject_class(SUBJECT_HELO));
	}
	ask(s, RESTRICT_DNS_ADDRESS, s->work.name, helo_addresses);
	return V_WAIT;
}

/* ---- reject_unknown_{sender,recipient}_domain ---- */

static void
domain_decided(struct restrict_session *s, const struct dns_answer *a)
{
	const struct restrict_conf *c = s->set->conf;
	const enum subject subject = s->work.step->op->subject;
	const bool sender = subject == SUBJECT_SENDER;
	const char *address = shown(subject_name(s, subject));
	const char *class = subject_class(subject);
	const char *dsn = sender ? "4.1.8" : "4.1.2";
	const unsigned code = (unsigned)c->unknown_address_reject_code;

	if (a->status == DNS_OK)
		done(s, V_DUNNO);
	else if (a->status == DNS_NULL_MX)
		done(s, step_reject(s, sender ? 550 : 556,
		    sender ? "4.7.27" : "4.1.10", "<%s>: %s rejected: Domain "
		    "%s does not accept mail (nullMX)", address, class,
		    s->work.name));
	else if (a->malformed)
		done(s, step_reject(s, code, dsn, "<%s>: %s rejected: "
		    "Malformed DNS server reply", address, class));
	else if (a->status == DNS_FAILED || s->work.temporary)
		done(s, step_defer_if_permit(s,
		    c->unknown_address_tempfail_action, 450, dsn,
		    "<%s>: %s rejected: Domain not found", address, class));
	else
		done(s, step_reject(s, code, dsn,
		    "<%s>: %s rejected: Domain not found", address, class));
}

static void
domain_addresses(void *arg, const struct dns_answer *a)
{
	domain_decided(arg, a);
}

static void
domain_mx(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;

	if (a->status == DNS_OK || a->status == DNS_NULL_MX || a->malformed) {
		domain_decided(s, a);
		return;
	}
	s->work.temporary = a->status == DNS_FAILED;
	ask(s, RESTRICT_DNS_ADDRESS, s->work.name, domain_addresses);
}

/* Our own domains need not be in DNS, literals are not. */
static void
domain_routed(void *arg, const struct route_result *r)
{
	struct restrict_session *s = arg;
	const struct span domain = address_domain_of(r->address);

	if (r->code == 451 && !r->class_known) {
		done(s, step_table_error(s,
		    subject_name(s, s->work.step->op->subject), &r->err));
		return;
	}
	if ((r->class_known && r->class != ROUTE_RELAY &&
	    r->class != ROUTE_DEFAULT) || domain.n == 0 ||
	    domain.p[0] == '[' || !set_name(s, domain)) {
		done(s, V_DUNNO);
		return;
	}
	ask(s, RESTRICT_DNS_MX, s->work.name, domain_mx);
}

enum verdict
run_unknown_address(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = step->op->subject;
	struct span address;

	if (!subject_there(s, subject, &address))
		return V_DUNNO;
	begin(s, step);
	if (subject == SUBJECT_RCPT && s->f->route != NULL)
		domain_routed(s, s->f->route);
	else
		s->world->route(s->ctx, address, 0, domain_routed, s);
	return V_WAIT;
}

/* ---- permit_mx_backup ---- */

static void next_own(struct restrict_session *s);
static void next_network(struct restrict_session *s);

static bool
any_own_name(struct restrict_session *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (s->world->own_name(s->ctx,
			span_str(s->work.hosts[i].host)))
			return true;
	return false;
}

static void
cannot_look_up(struct restrict_session *s, const char *what, const char *host,
    const struct dns_answer *a)
{
	const char *why = a->status == DNS_FAILED ?
	    "Host not found, try again" : "Host not found";

	step_defer_if_reject(s, 450, "4.4.4",
	    "<%s>: %s rejected: Unable to look up %s%s%s: %s",
	    shown(s->f->rcpt), subject_class(SUBJECT_RCPT), what,
	    host[0] != '\0' ? " " : "", host, why);
}

/* Every primary host has to be in permit_mx_backup_networks. */
static void
network_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	char text[SOCK_ADDR_TEXT];
	struct err e;

	if (a->status != DNS_OK) {
		cannot_look_up(s, "host",
		    s->work.hosts[s->work.host].host, a);
		done(s, V_DUNNO);
		return;
	}
	for (size_t i = 0; i < a->address_count; i++) {
		sock_addr_text((const struct sockaddr *)&a->addresses[i],
		    text);
		if (match_list_address(s->set->mx_networks, text, &e) != 1) {
			done(s, V_DUNNO);
			return;
		}
	}
	s->work.host++;
	next_network(s);
}

static void
next_network(struct restrict_session *s)
{
	struct work *w = &s->work;

	if (w->host == w->primary_count)
		done(s, step_permit(s, w->step->name, SUBJECT_RCPT, NULL));
	else
		ask(s, RESTRICT_DNS_HOST, w->hosts[w->host].host,
		    network_found);
}

/* We are a backup. */
static void
is_backup(struct restrict_session *s)
{
	struct work *w = &s->work;

	w->host = 0;
	if (s->set->conf->permit_mx_backup_networks[0] == '\0')
		w->host = w->primary_count;
	next_network(s);
}

static void
own_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	struct work *w = &s->work;
	char text[SOCK_ADDR_TEXT];

	if (a->status != DNS_OK)
		cannot_look_up(s, "mail exchanger host",
		    w->hosts[w->host].host, a);
	for (size_t i = 0; i < a->address_count; i++) {
		sock_addr_text((const struct sockaddr *)&a->addresses[i],
		    text);
		if (!s->world->own_address(s->ctx, text))
			continue;
		if (w->host < w->primary_count)
			done(s, V_DUNNO); /* we are a primary ourselves */
		else
			is_backup(s);
		return;
	}
	w->host++;
	next_own(s);
}

/* Goes through the hosts: none of the primaries may be us, one of the others
 * must. */
static void
next_own(struct restrict_session *s)
{
	struct work *w = &s->work;

	if (w->host == w->primary_count &&
	    any_own_name(s, w->primary_count, w->host_count))
		is_backup(s);
	else if (w->host == w->host_count)
		done(s, V_DUNNO);
	else
		ask(s, RESTRICT_DNS_HOST, w->hosts[w->host].host, own_found);
}

static void
backup_mx(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	struct work *w = &s->work;

	if (a->status != DNS_OK) {
		if (a->status == DNS_FAILED)
			cannot_look_up(s, "mail exchanger information", "",
			    a);
		done(s, V_DUNNO);
		return;
	}
	take_hosts(s, a);
	while (w->primary_count < w->host_count &&
	    w->hosts[w->primary_count].preference ==
		w->hosts[0].preference)
		w->primary_count++;
	if (any_own_name(s, 0, w->primary_count))
		done(s, V_DUNNO);
	else
		next_own(s);
}

enum verdict
run_mx_backup(struct restrict_session *s, const struct step *step)
{
	const struct route_result *r = s->f->route;
	struct span domain;

	if (!s->f->has_rcpt)
		return V_DUNNO;
	if (r == NULL || !r->class_known)
		return step_reject_hard(s, 451, "4.3.0",
		    "<%s>: Temporary lookup failure", shown(s->f->rcpt));
	if (r->ours)
		return step_permit(s, step->name, SUBJECT_RCPT, NULL);
	domain = address_domain_of(r->address);
	if (r->class != ROUTE_DEFAULT || domain.n == 0 ||
	    domain.p[0] == '[')
		return V_DUNNO;
	begin(s, step);
	if (!set_name(s, domain)) {
		s->waiting = false;
		return V_DUNNO;
	}
	ask(s, RESTRICT_DNS_MX, s->work.name, backup_mx);
	return V_WAIT;
}
