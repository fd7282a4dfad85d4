/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"
#include "smtp/smtp.h"

struct targets {
	struct smtp *smtp;
	struct nexthop hop;
	uint64_t trace;
	targets_fn fn;
	void *arg;
	struct timer *soon;
	struct dns_query *query;
	struct dns_mx *mx; /* those still to be looked up */
	size_t mx_count, mx_next;
	bool mx_secure; /* validated by DNSSEC */
	struct target *list;
	size_t count;
	bool failed; /* some look-up failed in passing: e has it */
	bool backup; /* this host is one of its exchanges, not the best */
	struct err e;
};

/* ---- next hops ---------------------------------------------------------------- */

static bool
take_host(struct span host, struct nexthop *out)
{
	if (span_istarts(host, SPAN("IPv6:")))
		host = span_skip(host, 5);
	return host.n > 0 && span_copy(host, out->host, sizeof(out->host));
}

static bool
take_port(struct span text, unsigned *out)
{
	uint64_t port;

	if (span_ieq(text, SPAN("smtp")))
		port = 25;
	else if (span_ieq(text, SPAN("submission")))
		port = 587;
	else if (span_ieq(text, SPAN("lmtp")))
		port = 24;
	else if (!span_u64(text, 65535, &port) || port == 0)
		return false;
	*out = (unsigned)port;
	return true;
}

static bool
parse_bracketed(struct span text, struct nexthop *out)
{
	const size_t end = span_chr(text, ']');
	struct span rest;

	if (end == SIZE_MAX || !take_host(span_slice(text, 1, end), out))
		return false;
	rest = span_skip(text, end + 1);
	if (rest.n == 0)
		return true;
	return rest.p[0] == ':' && take_port(span_skip(rest, 1), &out->port);
}

bool
nexthop_parse(struct span text, bool lmtp, unsigned default_port,
    struct nexthop *out)
{
	struct nexthop hop = { .mx = !lmtp, .port = default_port };
	size_t colon;

	if (span_starts(text, SPAN("unix:"))) {
		hop.unix_ = true;
		hop.mx = false;
		if (!take_host(span_skip(text, 5), &hop))
			return false;
		*out = hop;
		return true;
	}
	if (span_starts(text, SPAN("inet:"))) {
		hop.mx = false;
		text = span_skip(text, 5);
	}
	if (text.n > 0 && text.p[0] == '[') {
		hop.mx = false;
		if (!parse_bracketed(text, &hop))
			return false;
	} else {
		colon = span_rchr(text, ':');
		if (colon != SIZE_MAX &&
		    !take_port(span_skip(text, colon + 1), &hop.port))
			return false;
		if (!take_host(span_slice(text, 0, colon), &hop))
			return false;
	}
	*out = hop;
	return true;
}

/* ---- the end ------------------------------------------------------------------- */

static void
targets_free(struct targets *t)
{
	timer_free(&t->soon);
	dns_cancel(&t->query);
	mem_free(t->mx);
	mem_free(t->list);
	mem_free(t);
}

void
targets_cancel(struct targets **t)
{
	if (*t != NULL)
		targets_free(*t);
	*t = NULL;
}

static void
finish(struct targets *t)
{
	if (t->count > 0) {
		t->fn(t->arg, t->list, t->count, t->failed ? &t->e : NULL);
	} else {
		/* What this host keeps for others is not to come back. */
		if (t->backup)
			err_set(&t->e, ERR_TEMP, "4.4.4",
			    "unable to find primary relay for %s",
			    t->hop.host);
		t->fn(t->arg, NULL, 0, &t->e);
	}
	targets_free(t);
}

/* ---- addresses ----------------------------------------------------------------- */

static void
set_port(struct sockaddr_storage *addr, unsigned port)
{
	if (addr->ss_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port =
		    htons((uint16_t)port);
	else
		((struct sockaddr_in *)addr)->sin_port =
		    htons((uint16_t)port);
}

static void
add_target(struct targets *t, const char *host,
    const struct sockaddr_storage *addr)
{
	const size_t max = t->smtp->conf->smtp_mx_address_limit > 0 ?
	    (size_t)t->smtp->conf->smtp_mx_address_limit : TARGETS_MAX;
	struct target *one;
	char text[SOCK_ADDR_TEXT];

	if (t->count >= max)
		return;
	t->list = mem_resize(t->list, t->count + 1, sizeof(*t->list));
	one = &t->list[t->count++];
	*one = (struct target){ .addr = *addr };
	one->mx_secure = t->mx_secure;
	if (t->mx != NULL)
		one->preference = t->mx[t->mx_next].preference;
	one->addr_len = addr->ss_family == AF_INET6 ?
	    sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	set_port(&one->addr, t->hop.port);
	sock_addr_text((const struct sockaddr *)addr, text);
	snprintf(one->host, sizeof(one->host), "%s", host);
	snprintf(one->peer, sizeof(one->peer), "%s[%s]", host, text);
	snprintf(one->relay, sizeof(one->relay), "%s[%s]:%u", host, text,
	    t->hop.port);
}

static void look_up_next(struct targets *t);

static bool
is_own(struct targets *t, const struct dns_answer *answer)
{
	char text[SOCK_ADDR_TEXT];
	struct err e;

	for (size_t i = 0; i < answer->address_count; i++) {
		sock_addr_text(
		    (const struct sockaddr *)&answer->addresses[i], text);
		if (match_list_address(t->smtp->own, text, &e) == 1)
			return true;
	}
	return false;
}

/* The host looked up is this one: only better ones may be tried (RFC 5321
 * 5.1). */
static void
keep_better(struct targets *t, unsigned preference)
{
	size_t kept = 0;

	while (kept < t->count && t->list[kept].preference < preference)
		kept++;
	t->count = kept;
	t->mx_count = t->mx_next; /* look no further */
	if (preference != t->mx[0].preference)
		t->backup = true;
	else
		err_set(&t->e, ERR_PERM, "5.4.6",
		    "mail for %s loops back to myself", t->hop.host);
}

static void
got_addresses(void *arg, const struct dns_answer *answer)
{
	struct targets *t = arg;
	const struct dns_mx *mx = &t->mx[t->mx_next];

	t->query = NULL;
	if (answer->status == DNS_OK && t->hop.mx && is_own(t, answer)) {
		keep_better(t, mx->preference);
	} else if (answer->status == DNS_OK) {
		for (size_t i = 0; i < answer->address_count; i++)
			add_target(t, mx->host, &answer->addresses[i]);
		t->mx_next++;
	} else if (!t->failed) {
		/* A failure that may pass outweighs a name that is not. */
		t->e = answer->err;
		t->failed = answer->status == DNS_FAILED;
		t->mx_next++;
	} else {
		t->mx_next++;
	}
	look_up_next(t);
}

/* One MX host after the other, in the order of preference. */
static void
look_up_next(struct targets *t)
{
	const bool enough = t->smtp->conf->smtp_mx_address_limit > 0 &&
	    t->count >= (size_t)t->smtp->conf->smtp_mx_address_limit;

	if (t->mx_next >= t->mx_count || enough) {
		finish(t);
		return;
	}
	t->query = dns_query_addresses(t->smtp->resolver,
	    t->mx[t->mx_next].host, t->smtp->families, DNS_HOSTS_FIRST,
	    t->trace, got_addresses, t);
}

/* The next hop itself is the host, or its address. */
static void
take_single_host(struct targets *t)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (sock_addr_parse(t->hop.host, t->hop.port, &addr, &len)) {
		add_target(t, t->hop.host, &addr);
		finish(t);
		return;
	}
	mem_free(t->mx);
	t->mx = MEM_NEW(t->mx);
	t->mx_count = 1;
	t->mx_next = 0;
	snprintf(t->mx[0].host, sizeof(t->mx[0].host), "%s", t->hop.host);
	look_up_next(t);
}

/* ---- MX ------------------------------------------------------------------------- */

static bool
is_me(const struct targets *t, const char *host)
{
	const struct common_conf *c = daemon_common(t->smtp->daemon);

	return span_ieq(span_str(host), span_str(c->myhostname));
}

/* Mail for a domain of which we are an MX goes only to better ones
 * (RFC 5321 5.1). */
static int
drop_own(struct targets *t)
{
	for (size_t i = 0; i < t->mx_count; i++) {
		if (!is_me(t, t->mx[i].host))
			continue;
		while (i > 0 &&
		    t->mx[i - 1].preference == t->mx[i].preference)
			i--;
		t->mx_count = i;
		t->backup = i > 0;
		break;
	}
	if (t->mx_count > 0)
		return 0;
	return err_set(&t->e, ERR_PERM, "5.4.6",
	    "mail for %s loops back to myself", t->hop.host);
}

static void
got_mx(void *arg, const struct dns_answer *answer)
{
	struct targets *t = arg;

	t->query = NULL;
	switch (answer->status) {
	case DNS_OK:
		t->mx_count = answer->mx_count;
		t->mx_secure = answer->secure;
		t->mx = mem_alloc(t->mx_count * sizeof(*t->mx));
		memcpy(t->mx, answer->mx, t->mx_count * sizeof(*t->mx));
		if (drop_own(t) != 0)
			finish(t);
		else
			look_up_next(t);
		return;
	case DNS_NODATA: /* RFC 5321 5.1: the implicit MX */
		if (is_me(t, t->hop.host)) {
			err_set(&t->e, ERR_PERM, "5.4.6",
			    "mail for %s loops back to myself", t->hop.host);
			finish(t);
			return;
		}
		take_single_host(t);
		return;
	case DNS_NXDOMAIN:
	case DNS_NULL_MX:
	case DNS_FAILED:
		t->e = answer->err;
		finish(t);
		return;
	}
}

static void
take_unix(struct targets *t)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *host = daemon_common(t->smtp->daemon)->myhostname;
	struct target *one = MEM_NEW(one);

	if (!span_copy(span_str(t->hop.host), un.sun_path,
	    sizeof(un.sun_path))) {
		err_set(&t->e, ERR_TEMP, "4.3.5", "socket path too long");
	} else {
		memcpy(&one->addr, &un, sizeof(un));
		one->addr_len = sizeof(un);
		snprintf(one->host, sizeof(one->host), "%s", host);
		snprintf(one->peer, sizeof(one->peer), "%s[%s]", host,
		    t->hop.host);
		memcpy(one->relay, one->peer, sizeof(one->relay));
		t->count = 1;
	}
	t->list = one;
	finish(t);
}

static void
start(void *arg)
{
	struct targets *t = arg;

	if (t->hop.port == 0)
		finish(t); /* not parsed: e says so */
	else if (t->hop.unix_)
		take_unix(t);
	else if (t->hop.mx)
		t->query = dns_query_mx(t->smtp->resolver, t->hop.host,
		    t->trace, got_mx, t);
	else
		take_single_host(t);
}

struct targets *
targets_find(struct smtp *s, struct span nexthop, uint64_t trace,
    targets_fn fn, void *arg)
{
	const int64_t port = s->lmtp ? s->conf->lmtp_tcp_port :
	    s->conf->smtp_tcp_port;
	struct targets *t = MEM_NEW(t);

	t->smtp = s;
	t->trace = trace;
	t->fn = fn;
	t->arg = arg;
	if (!nexthop_parse(nexthop, s->lmtp, (unsigned)port, &t->hop))
		err_set(&t->e, ERR_TEMP, "4.3.5", "bad next hop: %.*s",
		    (int)(nexthop.n < 100 ? nexthop.n : 100),
		    (const char *)nexthop.p);
	t->soon = timer_new(daemon_loop(s->daemon), start, t);
	timer_start(t->soon, 0);
	return t;
}
