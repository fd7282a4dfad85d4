/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/recipients.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "smtpd/session.h"

void
recipients_init(struct recipients *r)
{
	*r = (struct recipients){ .end = &r->first };
	table_init(&r->seen);
}

void
recipients_release(struct recipients *r)
{
	table_release(&r->seen);
}

struct route_result *
recipients_keep(struct arena *a, const struct route_result *result)
{
	struct route_result *r = ARENA_NEW(a, r);
	struct route *routes =
	    arena_alloc(a, result->count * sizeof(*result->routes));

	*r = *result;
	r->address = arena_dup(a, result->address);
	r->reason = arena_dup(a, result->reason);
	r->routes = routes;
	for (size_t i = 0; i < result->count; i++) {
		const struct route *from = &result->routes[i];

		routes[i] = *from;
		routes[i].address = arena_dup(a, from->address);
		routes[i].transport = arena_dup(a, from->transport);
		routes[i].nexthop = arena_dup(a, from->nexthop);
		routes[i].reason = arena_dup(a, from->reason);
	}
	return r;
}

/* False for a pair of addresses that the message has already. */
static bool
first_time(struct recipients *r, struct span address, struct span orig)
{
	struct buf key;
	bool first;

	buf_init(&key, LIMIT_ADDRESS * 4);
	buf_add(&key, address);
	buf_byte(&key, 0);
	buf_add(&key, orig);
	first = table_put(&r->seen, buf_span(&key), r) == NULL;
	buf_release(&key);
	return first;
}

static void
forget(struct recipients *r, const struct queue_rcpt *rcpt)
{
	struct buf key;

	buf_init(&key, LIMIT_ADDRESS * 4);
	buf_add(&key, rcpt->address);
	buf_byte(&key, 0);
	buf_add(&key, rcpt->orig_address);
	table_remove(&r->seen, buf_span(&key));
	buf_release(&key);
}

static void
append(struct transaction *tx, const struct queue_rcpt *rcpt)
{
	struct recipients *r = &tx->rcpts;
	struct recipient *one = ARENA_NEW(&tx->arena, one);

	one->rcpt = *rcpt;
	*r->end = one;
	r->end = &one->next;
	r->count++;
	r->changed = true;
}

bool
recipients_take(struct session *s, const struct route_result *result,
    const struct queue_rcpt *given)
{
	struct transaction *tx = s->tx;

	if (tx->rcpts.count + result->count > LIMIT_RCPT)
		return false;
	for (size_t i = 0; i < result->count; i++) {
		const struct route *route = &result->routes[i];
		struct queue_rcpt rcpt = { 0 };

		if (!first_time(&tx->rcpts, route->address, result->address))
			continue;
		if (given != NULL)
			rcpt = *given;
		rcpt.address = route->address;
		rcpt.orig_address = result->address;
		rcpt.transport = route->transport;
		rcpt.nexthop = route->nexthop;
		rcpt.flags = route->flags;
		append(tx, &rcpt);
		log_event(&s->log, "route", "%s -> %s: %s:%s (%s)",
		    log_quote(result->address, 200),
		    log_quote(route->address, 200),
		    log_quote(route->transport, 60),
		    log_quote(route->nexthop, 200),
		    log_quote(route->reason, 300));
	}
	return true;
}

static int
take_routed(
    struct session *s, const struct route_result *result, struct err *e)
{
	struct transaction *tx = s->tx;
	const struct queue_rcpt given = { .dsn_notify = tx->added_notify };

	if (result->code != 0) {
		*e = result->err;
		return -1;
	}
	if (!arena_ok(&tx->arena) ||
	    !recipients_take(s, recipients_keep(&tx->arena, result), &given))
		return err_set(e, ERR_TEMP, "4.5.3", "too many recipients");
	return 0;
}

/* What became of an address while recipients_add is on the stack. */
struct adding {
	bool routed;
	int r;
	struct err e;
};

static void
routed(void *arg, const struct route_result *result)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;
	struct err e;
	const int r = take_routed(s, result, &e);

	if (r != 0)
		log_warning(&s->log, "recipient <%s> not added: %s",
		    log_quote(tx->rcpt, 300), e.text);
	if (tx->adding == NULL)
		tx->rcpt_added(s, r != 0 ? &e : NULL);
	else
		*tx->adding = (struct adding){ true, r, e };
}

int
recipients_add(struct session *s, struct span address, uint32_t notify,
    recipients_fn done, struct err *e)
{
	struct transaction *tx = s->tx;
	struct adding now = { .routed = false };

	tx->rcpt = arena_dup(&tx->arena, address);
	tx->rcpt_added = done;
	tx->added_notify = notify;
	tx->adding = &now;
	router_resolve(s->service->router, tx->rcpt,
	    content_route_flags(s) & ~ROUTER_CHECK_USER, s->log.trace, routed,
	    s);
	tx->adding = NULL;
	if (!now.routed)
		return 1;
	if (now.r != 0)
		*e = now.e;
	return now.r;
}

unsigned
recipients_remove(struct session *s, struct span address)
{
	struct recipients *r = &s->tx->rcpts;
	struct recipient **at = &r->first;
	struct buf full;
	unsigned n = 0;

	buf_init(&full, LIMIT_ADDRESS * 2);
	router_qualify(s->service->router, address, &full);
	while (*at != NULL) {
		struct recipient *one = *at;

		if (!span_ieq(one->rcpt.address, buf_span(&full)) &&
		    !span_ieq(one->rcpt.orig_address, buf_span(&full))) {
			at = &one->next;
			continue;
		}
		forget(r, &one->rcpt);
		*at = one->next;
		r->count--;
		n++;
	}
	r->end = at;
	r->changed |= n > 0;
	buf_release(&full);
	return n;
}

void
recipients_clear(struct session *s)
{
	struct recipients *r = &s->tx->rcpts;

	table_release(&r->seen);
	recipients_init(r);
	r->changed = true;
}

void
recipients_write(struct transaction *tx)
{
	struct recipients *r = &tx->rcpts;

	if (!r->changed)
		return;
	queue_writer_clear_rcpts(tx->writer);
	for (const struct recipient *one = r->first; one != NULL;
	     one = one->next)
		queue_writer_rcpt(tx->writer, &one->rcpt);
	r->changed = false;
}
