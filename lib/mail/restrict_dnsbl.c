/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/reply_template.h"
#include "lib/mail/restrict_impl.h"

/*
 * DNS lists of addresses (RFC 5782) and of names. What a list said is kept
 * for the session, so that each recipient need not ask again.
 */

enum { RBL_TEXT_MAX = 500 };

/* ---- what is kept ---- */

static struct rbl *
recall(const struct restrict_session *s, const char *query)
{
	for (struct rbl *r = s->rbls; r != NULL; r = r->next)
		if (strcmp(r->query, query) == 0)
			return r;
	return NULL;
}

void
rbl_free_all(struct restrict_session *s)
{
	for (struct rbl *r = s->rbls, *next; r != NULL; r = next) {
		next = r->next;
		mem_free(r->query);
		mem_free(r->text);
		mem_free(r);
	}
	s->rbls = NULL;
}

static struct rbl *
keep(struct restrict_session *s, const struct dns_answer *a)
{
	struct rbl *r = mem_zalloc(sizeof(*r) +
	    a->address_count * sizeof(r->addresses[0]));

	r->query = mem_strdup(s->work.query);
	r->soft = a->status == DNS_FAILED;
	for (size_t i = 0; a->status == DNS_OK && i < a->address_count; i++) {
		struct sockaddr_in in;

		if (a->addresses[i].ss_family != AF_INET)
			continue;
		memcpy(&in, &a->addresses[i], sizeof(in));
		memcpy(r->addresses[r->count++], &in.sin_addr, 4);
	}
	r->listed = r->count > 0;
	r->next = s->rbls;
	s->rbls = r;
	return r;
}

/* ---- replies ---- */

struct reply {
	struct restrict_session *s;
	const struct zone *zone;
	struct span what;
	const char *class, *text;
	char scratch[600];
};

static bool
address_value(struct reply *r, struct span rest, bool there,
    struct span address, struct span *out)
{
	const size_t at = span_rchr(address, '@');

	if (rest.n == 0) {
		*out = !there ? SPAN_EMPTY :
		    address.n > 0 ? address : SPAN("<>");
	} else if (span_eq(rest, SPAN("_name"))) {
		*out = !there ? SPAN_EMPTY :
		    address.n > 0 ? span_slice(address, 0, at) : SPAN("<>");
	} else if (span_eq(rest, SPAN("_domain"))) {
		*out = !there || at == SIZE_MAX ? SPAN_EMPTY :
						  span_skip(address, at + 1);
	} else {
		return false;
	}
	(void)r;
	return true;
}

static struct span
local_time(struct reply *r)
{
	const time_t now = (time_t)(clock_wall_us() / 1000000);
	struct tm tm;
	size_t n = 0;

	if (localtime_r(&now, &tm) != NULL)
		n = strftime(r->scratch, sizeof(r->scratch), "%b %d %H:%M:%S",
		    &tm);
	return span_of(r->scratch, n);
}

/* The session's part of the names. */
static bool
session_value(struct reply *r, struct span name, struct span *out)
{
	const struct restrict_facts *f = r->s->f;

	if (span_eq(name, SPAN("client")))
		*out = subject_name(r->s, SUBJECT_CLIENT);
	else if (span_eq(name, SPAN("client_name")))
		*out = span_str(f->name);
	else if (span_eq(name, SPAN("client_address")))
		*out = span_str(f->addr);
	else if (span_eq(name, SPAN("reverse_client_name")))
		*out = span_str(f->reverse_name);
	else if (span_eq(name, SPAN("helo_name")))
		*out = span_str(f->helo);
	else if (span_eq(name, SPAN("server_name")))
		*out = span_str(r->s->set->common->myhostname);
	else if (span_eq(name, SPAN("localtime")))
		*out = local_time(r);
	else if (span_eq(name, SPAN("client_port")))
		*out = span_of(r->scratch, (size_t)snprintf(r->scratch,
		    sizeof(r->scratch), "%u", f->port));
	else if (span_starts(name, SPAN("sender")))
		return address_value(r, span_skip(name, 6), f->has_sender,
		    f->sender, out);
	else if (span_starts(name, SPAN("recipient")))
		return address_value(r, span_skip(name, 9), f->has_rcpt,
		    f->rcpt, out);
	else
		return false;
	return true;
}

static bool
reply_value(void *arg, struct span name, struct span *out)
{
	struct reply *r = arg;

	if (span_eq(name, SPAN("rbl_code")))
		*out = span_of(r->scratch, (size_t)snprintf(r->scratch,
		    sizeof(r->scratch), "%u",
		    (unsigned)r->s->set->conf->maps_rbl_reject_code));
	else if (span_eq(name, SPAN("rbl_domain")))
		*out = span_str(r->zone->domain);
	else if (span_eq(name, SPAN("rbl_reason")) ||
	    span_eq(name, SPAN("rbl_txt")))
		*out = span_str(r->text);
	else if (span_eq(name, SPAN("rbl_what")))
		*out = r->what;
	else if (span_eq(name, SPAN("rbl_class")))
		*out = span_str(r->class);
	else
		return session_value(r, name, out);
	return true;
}

/* For the check at start every name has a value. */
int
dnsbl_check_reply(const char *text, struct err *e)
{
	static const struct common_conf common = { .myhostname = "host" };
	static const struct restrict_conf conf = { .maps_rbl_reject_code =
		554 };
	struct restrict_set set = { .conf = &conf, .common = &common };
	const struct restrict_facts f = { .name = "host", .addr = "addr",
		.reverse_name = "host", .has_sender = true, .has_rcpt = true };
	struct restrict_session s = { .set = &set, .f = &f };
	struct zone zone = { .domain = NULL };
	struct reply r = { .s = &s, .zone = &zone, .what = SPAN("what"),
		.class = "class", .text = "text" };
	struct buf out;
	int rc;

	buf_init(&out, TEXT_MAX * 2);
	rc = reply_template_expand(span_str(text), reply_value, &r, &out, e);
	buf_release(&out);
	return rc;
}

/* The template of a list, else the default one. -1: the table failed. */
static int
expand_reply(struct reply *r, struct buf *out)
{
	const struct restrict_set *set = r->s->set;
	enum map_result found;
	struct buf text;
	struct err e;
	int rc = 0;

	buf_init(&text, LIMIT_TABLE_VALUE);
	found = maps_get(set->rbl_replies, span_str(r->zone->text), &text,
	    &e);
	if (found == MAP_ABSENT && r->zone->filtered)
		found = maps_get(set->rbl_replies,
		    span_str(r->zone->domain), &text, &e);
	if (found == MAP_FAILED) {
		log_warning(r->s->f->log, "%s", e.text);
		rc = -1;
	} else if (found == MAP_FOUND && reply_template_expand(
		buf_span(&text), reply_value, r, out, &e) != 0) {
		log_warning(r->s->f->log, "rbl_reply_maps: bad template for "
		    "domain %s: %s", r->zone->text, e.text);
		found = MAP_ABSENT;
		buf_reset(out);
	}
	if (found == MAP_ABSENT)
		(void)reply_template_expand(
		    span_str(set->conf->default_rbl_reply), reply_value, r,
		    out, NULL);
	buf_release(&text);
	return rc;
}

/* "554 5.7.1 text" as a refusal. */
static enum verdict
refuse_with(struct restrict_session *s, struct span reply)
{
	struct access_value v;
	struct span text;
	char dsn[12];

	access_value_parse(reply, &v);
	if (v.action != ACCESS_CODE) {
		log_warning(s->f->log, "rbl response code configuration "
		    "error: %s", shown(reply));
		return step_reject(s, 450, "4.7.1", "Service unavailable");
	}
	access_split_dsn(v.text, "4.7.1", dsn, &text);
	return step_reject(s, v.code, dsn, "%s",
	    text.n > 0 ? shown(text) : "Service unavailable");
}

static enum verdict
refuse_listed(struct restrict_session *s, const struct step *step,
    struct span what, const struct rbl *listed)
{
	struct reply r = { .s = s, .zone = step->arg.zone, .what = what,
		.class = subject_class(step->op->subject),
		.text = listed->text != NULL ? listed->text : "" };
	enum verdict v;
	struct buf out;

	buf_init(&out, TEXT_MAX * 2);
	if (expand_reply(&r, &out) != 0)
		v = step_config_error(s);
	else
		v = refuse_with(s, buf_span(&out));
	buf_release(&out);
	return v;
}

/* ---- asking ---- */

/* What is on the list. */
static struct span
listed_value(const struct restrict_session *s, const struct step *step)
{
	if (step->op->detail & DNSBL_ADDRESS)
		return span_str(s->f->addr);
	return step->op->subject == SUBJECT_CLIENT ?
	    span_str(s->f->name) : subject_name(s, step->op->subject);
}

static bool
filter_matches(const struct zone *z, const struct rbl *r)
{
	if (!z->filtered)
		return true;
	for (size_t i = 0; i < r->count; i++)
		if (ip_pattern_match(&z->filter, r->addresses[i]))
			return true;
	return false;
}

static enum verdict
conclude(struct restrict_session *s, const struct step *step,
    const struct rbl *r)
{
	const bool permits = step->op->detail & DNSBL_PERMIT;
	const struct span what = listed_value(s, step);

	if (permits && r->soft)
		step_defer_if_reject(s, 450, "4.7.1",
		    "<%s>: %s rejected: Service unavailable", shown(what),
		    subject_class(step->op->subject));
	if (!r->listed || !filter_matches(step->arg.zone, r))
		return V_DUNNO;
	if (permits)
		return step_permit(s, step->name, SUBJECT_CLIENT, NULL);
	return refuse_listed(s, step, what, r);
}

static void
text_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	struct rbl *r = s->work.rbl;
	struct buf text;

	buf_init(&text, RBL_TEXT_MAX + 4);
	for (size_t i = 0; i < a->text_count; i++) {
		const size_t left = text.n < RBL_TEXT_MAX ?
		    RBL_TEXT_MAX - text.n : 0;

		if (i > 0 && left > 3)
			buf_str(&text, " / ");
		if (left > 3)
			buf_add(&text, span_slice(a->texts[i], 0,
			    left - (i > 0 ? 3 : 0)));
	}
	if (text.n > 0)
		r->text = span_dup(buf_span(&text));
	buf_release(&text);
	step_done(s, conclude(s, s->work.step, r));
}

static void
addresses_found(void *arg, const struct dns_answer *a)
{
	struct restrict_session *s = arg;
	const struct step *step = s->work.step;
	struct rbl *r = keep(s, a);

	if (r->soft)
		log_warning(s->f->log, "%s: RBL lookup error: %s", r->query,
		    a->err.text);
	s->work.rbl = r;
	if (r->listed && (step->op->detail & DNSBL_PERMIT) == 0)
		s->world->dns(s->ctx, RESTRICT_DNS_TXT, r->query, text_found,
		    s);
	else
		step_done(s, conclude(s, step, r));
}

/* The name to ask for of an address: its parts in reverse. */
static bool
address_query(const char *addr, const char *domain, char *out, size_t size)
{
	uint8_t a[16];
	int n;

	if (inet_pton(AF_INET, addr, a) == 1) {
		n = snprintf(out, size, "%u.%u.%u.%u.%s", a[3], a[2], a[1],
		    a[0], domain);
		return n > 0 && (size_t)n < size;
	}
	if (inet_pton(AF_INET6, addr, a) != 1)
		return false;
	n = 0;
	for (int i = 15; i >= 0; i--)
		n += snprintf(out + n, size - (size_t)n, "%x.%x.", a[i] & 15,
		    a[i] >> 4);
	n += snprintf(out + n, size - (size_t)n, "%s", domain);
	return (size_t)n < size;
}

/* Of a name or address; not of what ends in a number, which lists of names
 * do not have. */
static bool
name_query(struct span what, const char *domain, char *out, size_t size)
{
	const size_t at = span_rchr(what, '@');
	const struct span name =
	    at == SIZE_MAX ? what : span_skip(what, at + 1);
	const size_t dot = span_rchr(name, '.');
	const struct span last =
	    dot == SIZE_MAX ? name : span_skip(name, dot + 1);
	uint64_t number;
	int n;

	if (!valid_hostname(name) || span_u64(last, UINT64_MAX / 2, &number))
		return false;
	n = snprintf(out, size, "%.*s.%s", SPAN_FMT(name), domain);
	return n > 0 && (size_t)n < size;
}

/* Is there something to look at? An address on a list of good ones does not
 * open the way to elsewhere. */
static bool
applies(const struct restrict_session *s, const struct step *step)
{
	const struct restrict_facts *f = s->f;
	const bool address = step->op->detail & DNSBL_ADDRESS;

	if ((step->op->detail & DNSBL_PERMIT) && f->has_rcpt &&
	    s->stage == RESTRICT_RCPT && !auth_destination(s))
		return false;
	switch (step->op->subject) {
	case SUBJECT_CLIENT:
		return address || !span_ieq(span_str(f->name),
		    SPAN("unknown"));
	case SUBJECT_REVERSE:
		return !span_ieq(span_str(f->reverse_name), SPAN("unknown"));
	case SUBJECT_HELO:
		return f->helo != NULL;
	case SUBJECT_SENDER:
		return f->has_sender && f->sender.n > 0;
	case SUBJECT_RCPT:
		return f->has_rcpt;
	case SUBJECT_ETRN:
	case SUBJECT_SASL:
	case SUBJECT_CCERT:
	case SUBJECT_DATA:
	case SUBJECT_END:
		break;
	}
	return false;
}

enum verdict
run_dns_list(struct restrict_session *s, const struct step *step)
{
	const char *domain = step->arg.zone->domain;
	struct work *w = &s->work;
	const struct rbl *known;
	bool good;

	if (!applies(s, step))
		return V_DUNNO;
	*w = (struct work){ .step = step };
	if (step->op->detail & DNSBL_ADDRESS)
		good = address_query(s->f->addr, domain, w->query,
		    sizeof(w->query));
	else
		good = name_query(listed_value(s, step), domain, w->query,
		    sizeof(w->query));
	if (!good || strlen(w->query) >= DNS_NAME_MAX)
		return V_DUNNO;
	known = recall(s, w->query);
	if (known != NULL && (!known->listed || known->text != NULL ||
		(step->op->detail & DNSBL_PERMIT)))
		return conclude(s, step, known);
	s->waiting = true;
	s->world->dns(s->ctx, RESTRICT_DNS_A, w->query, addresses_found, s);
	return V_WAIT;
}
