/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/dns.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/mem.h"

enum {
	/* Above the resolver's own limit, which gives the better reason. */
	TIMEOUT_MS = 60000,
	RCODE_NXDOMAIN = 3,
	PARTS = 2,
	TEXT_BYTES_MAX = 65536,
};

/* One record type that is asked for. */
struct part {
	struct dns_query *query;
	unsigned type;
	bool waiting;
	enum dns_status status;
	struct err err;
};

struct dns_query {
	struct client *client;
	uint64_t trace;
	dns_fn fn;
	void *arg;
	char name[DNS_NAME_MAX];
	struct part parts[PARTS];
	unsigned part_count;
	struct dns_answer answer;
	struct sockaddr_storage by_type[PARTS][DNS_ADDRESSES_MAX / PARTS];
	size_t by_type_count[PARTS];
	/* dns_query_client: the second step, and whose name is sought. */
	struct dns_query *forward;
	struct sockaddr_storage peer;
	/* dns_query_txt */
	struct span texts[DNS_TEXT_MAX];
	struct buf text;
	char found[DNS_NAME_MAX];
};

/* ---- reasons ---- */

static const char *
type_name(unsigned type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_AAAA:
		return "AAAA";
	case DNS_MX:
		return "MX";
	case DNS_NS:
		return "NS";
	case DNS_PTR:
		return "PTR";
	}
	return "TXT";
}

static void
set_status(struct part *p, enum dns_status status, const char *detail)
{
	const char *name = p->query->name;

	p->status = status;
	switch (status) {
	case DNS_OK:
		return;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
		err_set(&p->err, ERR_PERM, "5.4.4",
		    "Host or domain name not found. Name service error for "
		    "name=%s type=%s: %s", name, type_name(p->type), detail);
		return;
	case DNS_NULL_MX:
		err_set(&p->err, ERR_PERM, "5.1.0",
		    "Domain %s does not accept mail (nullMX)", name);
		return;
	case DNS_FAILED:
		err_set(&p->err, ERR_TEMP, "4.4.3",
		    "Host or domain name not found. Name service error for "
		    "name=%s type=%s: %s", name, type_name(p->type), detail);
		return;
	}
}

static bool
read_status(struct part *p, struct msg_in *m, const struct err *e)
{
	struct dns_answer *a = &p->query->answer;
	uint64_t rcode, ttl;
	bool secure;

	if (m == NULL) {
		set_status(p, DNS_FAILED, e->text);
		return false;
	}
	rcode = msg_get_u64(m, F_RCODE);
	secure = msg_get_u64(m, F_SECURE) == 1;
	ttl = msg_get_u64(m, F_TTL);
	if (msg_done(m, NULL) != 0 || m->type != MSG_DNS_ANSWER ||
	    (rcode != 0 && rcode != RCODE_NXDOMAIN))
		set_status(p, DNS_FAILED, "Host not found, try again");
	else if (rcode == RCODE_NXDOMAIN)
		set_status(p, DNS_NXDOMAIN, "Host not found");
	else if (!msg_has(m, F_RR))
		set_status(p, DNS_NODATA,
		    "Host found but no data record of requested type");
	else
		set_status(p, DNS_OK, NULL);
	a->secure = a->secure && secure;
	if (ttl < a->ttl)
		a->ttl = (uint32_t)ttl;
	return p->status == DNS_OK;
}

/* ---- queries ---- */

static struct dns_query *
query_new(struct client *c, const char *name, uint64_t trace, dns_fn fn,
    void *arg)
{
	struct dns_query *q = MEM_NEW(q);

	q->client = c;
	q->trace = trace;
	q->fn = fn;
	q->arg = arg;
	/* What is too long is no name: the resolver refuses it. */
	if (!span_copy(span_str(name), q->name, sizeof(q->name)))
		q->name[0] = '\0';
	buf_init(&q->text, TEXT_BYTES_MAX);
	q->answer.ttl = UINT32_MAX;
	q->answer.secure = true;
	return q;
}

static void
query_free(struct dns_query *q)
{
	for (unsigned i = 0; i < q->part_count; i++)
		if (q->parts[i].waiting)
			client_cancel(q->client, &q->parts[i]);
	dns_cancel(&q->forward);
	buf_release(&q->text);
	mem_free(q->answer.mx);
	mem_free(q->answer.addresses);
	mem_free(q);
}

void
dns_cancel(struct dns_query **q)
{
	struct dns_query *gone = *q;

	*q = NULL;
	if (gone != NULL)
		query_free(gone);
}

static void
finish(struct dns_query *q)
{
	if (q->answer.status != DNS_OK) {
		q->answer.secure = false;
		q->answer.ttl = 0;
	}
	q->fn(q->arg, &q->answer);
	query_free(q);
}

static void
ask(struct dns_query *q, unsigned type, int flags, client_fn fn)
{
	struct part *p = &q->parts[q->part_count++];
	struct msg_out m;

	p->query = q;
	p->type = type;
	p->waiting = true;
	msg_begin(&m, MSG_DNS, 0, q->trace);
	/* No name: the root, which has no such records. */
	msg_put_str(&m, F_NAME, q->name[0] != '\0' ? q->name : ".");
	msg_put_u64(&m, F_RRTYPE, type);
	msg_put_u64(&m, F_FLAGS, (uint64_t)flags);
	client_ask(q->client, &m, TIMEOUT_MS, fn, p);
	msg_out_release(&m);
}

static void
copy_status(struct dns_query *q, const struct part *p)
{
	q->answer.status = p->status;
	q->answer.err = p->err;
}

/* ---- MX ---- */

static int
by_preference(const void *a, const void *b)
{
	const struct dns_mx *x = a, *y = b;

	return (x->preference > y->preference) -
	    (x->preference < y->preference);
}

/* Random order first, then (stable, since few) by preference. */
static void
order_mx(struct dns_mx *mx, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		struct dns_mx tmp;
		uint32_t r = 0;
		size_t k;

		BUG_ON(getrandom(&r, sizeof(r), 0) != sizeof(r));
		k = r % i;
		tmp = mx[k];
		mx[k] = mx[i - 1];
		mx[i - 1] = tmp;
	}
	if (count > 1)
		qsort(mx, count, sizeof(*mx), by_preference);
}

static void
take_hosts(struct dns_query *q, unsigned type, struct msg_in *m)
{
	const size_t skip = type == DNS_MX ? 2 : 0;
	struct dns_answer *a = &q->answer;
	struct span rdata;
	size_t cursor = 0;

	a->mx = mem_zalloc(DNS_MX_MAX * sizeof(*a->mx));
	while (a->mx_count < DNS_MX_MAX &&
	    msg_next_value(m, F_RR, &cursor, &rdata)) {
		struct dns_mx *mx = &a->mx[a->mx_count];
		struct span name = span_skip(rdata, skip);

		if (rdata.n < skip + 1 || !dns_name_parse(&name, mx->host))
			continue;
		if (type == DNS_MX)
			mx->preference =
			    (uint16_t)(rdata.p[0] << 8 | rdata.p[1]);
		a->mx_count++;
	}
	order_mx(a->mx, a->mx_count);
}

static void
on_hosts(void *arg, struct msg_in *m, const struct err *e)
{
	struct part *p = arg;
	struct dns_query *q = p->query;
	struct dns_answer *a = &q->answer;

	p->waiting = false;
	if (read_status(p, m, e)) {
		take_hosts(q, p->type, m);
		a->malformed = a->mx_count == 0;
		if (a->malformed)
			set_status(p, DNS_FAILED, p->type == DNS_MX ?
			    "Malformed name in MX records" :
			    "Malformed name in NS records");
		else if (p->type == DNS_MX && a->mx_count == 1 && a->mx[0].host[0] == '\0')
			set_status(p, DNS_NULL_MX, NULL);
	}
	copy_status(q, p);
	finish(q);
}

struct dns_query *
dns_query_mx(struct client *c, const char *domain, uint64_t trace, dns_fn fn,
    void *arg)
{
	struct dns_query *q = query_new(c, domain, trace, fn, arg);

	ask(q, DNS_MX, 0, on_hosts);
	return q;
}

struct dns_query *
dns_query_ns(struct client *c, const char *domain, uint64_t trace, dns_fn fn,
    void *arg)
{
	struct dns_query *q = query_new(c, domain, trace, fn, arg);

	ask(q, DNS_NS, 0, on_hosts);
	return q;
}

/* ---- text ---- */

/* Joins the strings of a TXT record (RFC 1035 3.3.14) at the end of out. */
static bool
join_strings(struct span rdata, struct buf *out)
{
	while (rdata.n > 0) {
		const size_t n = rdata.p[0];

		if (rdata.n < n + 1)
			return false;
		buf_add(out, span_slice(rdata, 1, n + 1));
		rdata = span_skip(rdata, n + 1);
	}
	return buf_ok(out);
}

static void
take_texts(struct dns_query *q, struct msg_in *m)
{
	struct dns_answer *a = &q->answer;
	size_t cursor = 0, ends[DNS_TEXT_MAX], from = 0;
	struct span rdata;

	while (a->text_count < DNS_TEXT_MAX &&
	    msg_next_value(m, F_RR, &cursor, &rdata)) {
		const size_t before = q->text.n;

		if (join_strings(rdata, &q->text))
			ends[a->text_count++] = q->text.n;
		else
			buf_truncate(&q->text, before);
	}
	for (size_t i = 0; i < a->text_count; i++) {
		q->texts[i] = span_slice(buf_span(&q->text), from, ends[i]);
		from = ends[i];
	}
	a->texts = q->texts;
}

static void
on_txt(void *arg, struct msg_in *m, const struct err *e)
{
	struct part *p = arg;
	struct dns_query *q = p->query;

	p->waiting = false;
	if (read_status(p, m, e)) {
		take_texts(q, m);
		q->answer.malformed = q->answer.text_count == 0;
		if (q->answer.malformed)
			set_status(p, DNS_FAILED, "Malformed TXT records");
	}
	copy_status(q, p);
	finish(q);
}

struct dns_query *
dns_query_txt(struct client *c, const char *name, uint64_t trace, dns_fn fn,
    void *arg)
{
	struct dns_query *q = query_new(c, name, trace, fn, arg);

	ask(q, DNS_TXT, 0, on_txt);
	return q;
}

/* ---- addresses ---- */

static void
take_addresses(struct part *p, struct msg_in *m)
{
	struct dns_query *q = p->query;
	size_t index = (size_t)(p - q->parts), cursor = 0;
	size_t *count = &q->by_type_count[index];
	struct span rdata;

	while (*count < DNS_ADDRESSES_MAX / PARTS &&
	    msg_next_value(m, F_RR, &cursor, &rdata)) {
		struct sockaddr_storage s = { .ss_family = AF_UNSPEC };

		if (p->type == DNS_A && rdata.n == 4) {
			struct sockaddr_in in = { .sin_family = AF_INET };

			memcpy(&in.sin_addr, rdata.p, 4);
			memcpy(&s, &in, sizeof(in));
		} else if (p->type == DNS_AAAA && rdata.n == 16) {
			struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

			memcpy(&in6.sin6_addr, rdata.p, 16);
			memcpy(&s, &in6, sizeof(in6));
		} else {
			continue;
		}
		q->by_type[index][(*count)++] = s;
	}
	if (*count == 0)
		set_status(p, DNS_FAILED, "Malformed address record");
}

/* Merges the families in turn, so that a dead one costs one attempt. */
static void
merge(struct dns_query *q)
{
	struct dns_answer *a = &q->answer;

	a->addresses =
	    mem_zalloc(DNS_ADDRESSES_MAX * sizeof(*a->addresses));
	for (size_t i = 0; i < DNS_ADDRESSES_MAX / PARTS; i++)
		for (unsigned k = 0; k < q->part_count; k++)
			if (i < q->by_type_count[k])
				a->addresses[a->address_count++] =
				    q->by_type[k][i];
}

/* One that answered wins; else a failure that may pass; else the first. */
static const struct part *
decisive(const struct dns_query *q)
{
	const struct part *best = &q->parts[0];

	for (unsigned i = 1; i < q->part_count; i++) {
		const struct part *p = &q->parts[i];

		if (best->status != DNS_OK &&
		    (p->status == DNS_OK || p->status == DNS_FAILED))
			best = p;
	}
	return best;
}

static void
on_addresses(void *arg, struct msg_in *m, const struct err *e)
{
	struct part *p = arg;
	struct dns_query *q = p->query;

	p->waiting = false;
	if (read_status(p, m, e))
		take_addresses(p, m);
	for (unsigned i = 0; i < q->part_count; i++)
		if (q->parts[i].waiting)
			return;
	copy_status(q, decisive(q));
	if (q->answer.status == DNS_OK)
		merge(q);
	finish(q);
}

struct dns_query *
dns_query_addresses(struct client *c, const char *host, int families,
    int flags, uint64_t trace, dns_fn fn, void *arg)
{
	struct dns_query *q = query_new(c, host, trace, fn, arg);

	BUG_ON((families & (DNS_INET | DNS_INET6)) == 0);
	if ((families & DNS_INET6) != 0)
		ask(q, DNS_AAAA, flags, on_addresses);
	if ((families & DNS_INET) != 0)
		ask(q, DNS_A, flags, on_addresses);
	return q;
}

/* ---- the name of a client ---- */

/* IPv4 may come in IPv6's clothes. */
static bool
same_address(const struct sockaddr_storage *a,
    const struct sockaddr_storage *b)
{
	char x[SOCK_ADDR_TEXT], y[SOCK_ADDR_TEXT];

	sock_addr_text((const struct sockaddr *)a, x);
	sock_addr_text((const struct sockaddr *)b, y);
	return strcmp(x, y) == 0;
}

static void
on_forward(void *arg, const struct dns_answer *forward)
{
	struct dns_query *q = arg;
	struct dns_answer *a = &q->answer;

	q->forward = NULL;
	a->status = forward->status;
	a->err = forward->err;
	a->secure = a->secure && forward->secure;
	if (forward->ttl < a->ttl)
		a->ttl = forward->ttl;
	a->reverse_name = q->found;
	for (size_t i = 0; i < forward->address_count; i++)
		if (same_address(&forward->addresses[i], &q->peer))
			a->name = q->found;
	if (a->status == DNS_OK && a->name == NULL) {
		a->status = DNS_NODATA;
		err_set(&a->err, ERR_PERM, "5.4.4",
		    "%s does not lead back to the address", q->found);
	}
	finish(q);
}

static void
on_ptr(void *arg, struct msg_in *m, const struct err *e)
{
	struct part *p = arg;
	struct dns_query *q = p->query;
	struct span rdata;
	size_t cursor = 0;

	p->waiting = false;
	if (read_status(p, m, e)) {
		if (msg_next_value(m, F_RR, &cursor, &rdata) &&
		    dns_name_parse(&rdata, q->found) &&
		    q->found[0] != '\0') {
			q->forward = dns_query_addresses(q->client, q->found,
			    DNS_INET | DNS_INET6, DNS_HOSTS_FIRST, q->trace,
			    on_forward, q);
			return;
		}
		set_status(p, DNS_NODATA, "Malformed name in PTR record");
	}
	copy_status(q, p);
	finish(q);
}

struct dns_query *
dns_query_client(struct client *c, const struct sockaddr *addr,
    uint64_t trace, dns_fn fn, void *arg)
{
	char name[80];
	struct dns_query *q;

	dns_ptr_name(addr, name);
	q = query_new(c, name, trace, fn, arg);
	memcpy(&q->peer, addr, addr->sa_family == AF_INET ?
	    sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	ask(q, DNS_PTR, DNS_HOSTS_FIRST, on_ptr);
	return q;
}
