/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/router_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

const char *
route_class_name(enum route_class c)
{
	switch (c) {
	case ROUTE_LOCAL:
		return "local";
	case ROUTE_ALIAS:
		return "alias";
	case ROUTE_VIRTUAL:
		return "virtual";
	case ROUTE_RELAY:
		return "relay";
	case ROUTE_DEFAULT:
		return "default";
	}
	return "";
}

void
router_add_reason(struct buf *reason, const char *what, const char *where)
{
	if (reason->n > 0)
		buf_str(reason, "; ");
	buf_strs(reason, what, " ", where, NULL);
}

/* A parameter that decided, with the line it stands in. */
static void
add_param(struct router *r, struct buf *reason, const char *name)
{
	const struct conf_origin o = conf_origin(r->conf, name);

	router_add_reason(reason, name, o.file);
	if (o.line == 0)
		return;
	buf_byte(reason, ':');
	buf_u64(reason, o.line);
}

/* ---- step 3 ---------------------------------------------------------------
 */

static int
is_local(struct router *r, struct span domain, struct err *e)
{
	char ip[64];

	if (domain.n == 0)
		return 1;
	if (domain.n < 2 || domain.p[0] != '[')
		return match_list_domain(r->mydestination, domain, e);
	domain = span_slice(domain, 1, domain.n - 1);
	if (span_istarts(domain, SPAN("IPv6:")))
		domain = span_skip(domain, 5);
	if (!span_copy(domain, ip, sizeof(ip)))
		return 0;
	return match_list_address(r->own_addresses, ip, e);
}

int
router_is_local(struct router *r, struct span domain, struct err *e)
{
	return is_local(r, domain, e);
}

int
router_owns_address(struct router *r, const char *addr, struct err *e)
{
	return match_list_address(r->own_addresses, addr, e);
}

int
router_class(struct router *r, const struct address *addr,
    enum route_class *out, struct buf *reason, struct err *e)
{
	const struct {
		enum route_class class;
		const char *param;
		struct match_list *list;
		bool tree;
	} steps[] = {
		{ ROUTE_ALIAS, "virtual_alias_domains", r->alias_domains,
		    false },
		{ ROUTE_VIRTUAL, "virtual_mailbox_domains", r->mailbox_domains,
		    false },
		{ ROUTE_RELAY, "relay_domains", r->relay_domains, true },
	};

	int hit = is_local(r, addr->domain, e);
	if (hit == 1) {
		*out = ROUTE_LOCAL;
		add_param(r, reason,
		    addr->domain.n > 0 && addr->domain.p[0] == '['
			? "inet_interfaces"
			: "mydestination");
		return 0;
	}
	for (size_t i = 0; hit == 0 && i < COUNT_OF(steps); i++) {
		hit =
		    steps[i].tree
			? match_list_domain_tree(steps[i].list, addr->domain, e)
			: match_list_domain(steps[i].list, addr->domain, e);
		if (hit == 1) {
			*out = steps[i].class;
			add_param(r, reason, steps[i].param);
			return 0;
		}
	}
	if (hit == 0)
		*out = ROUTE_DEFAULT;
	return hit < 0 ? -1 : 0;
}

/* ---- step 4 ---------------------------------------------------------------
 */

/* Splits "transport:nexthop". */
static void
split_transport(
    struct span text, struct span *out_transport, struct span *out_nexthop)
{
	const size_t colon = span_chr(text, ':');

	text = span_trim(text);
	*out_transport = span_trim(span_slice(text, 0, colon));
	*out_nexthop = colon == SIZE_MAX
			   ? SPAN_EMPTY
			   : span_trim(span_skip(text, colon + 1));
}

/* The class's own setting. */
static void
class_transport(struct router *r, enum route_class class, struct route *out,
    struct span domain, struct buf *reason)
{
	static const char *const params[] = {
		[ROUTE_LOCAL] = "local_transport",
		[ROUTE_ALIAS] = "error",
		[ROUTE_VIRTUAL] = "virtual_transport",
		[ROUTE_RELAY] = "relay_transport",
		[ROUTE_DEFAULT] = "default_transport",
	};

	if (class == ROUTE_ALIAS) {
		out->transport = SPAN("error");
		out->nexthop =
		    SPAN("5.1.1 User unknown in virtual alias table");
		return;
	}
	split_transport(span_str(conf_value(r->conf, params[class])),
	    &out->transport, &out->nexthop);
	if (conf_origin(r->conf, params[class]).line > 0)
		add_param(r, reason, params[class]);
	if (out->nexthop.n == 0 &&
	    (class == ROUTE_RELAY || class == ROUTE_DEFAULT) &&
	    r->common.relayhost[0] != '\0') {
		out->nexthop = span_str(r->common.relayhost);
		add_param(r, reason, "relayhost");
	}
	if (out->nexthop.n == 0)
		out->nexthop = domain;
}

/* The entry of transport_maps that counts, if any. */
static enum map_result
find_transport(struct router *r, const struct address *addr, struct arena *a,
    struct buf *value, struct err *e)
{
	const struct span text = router_folded(a, router_text(a, addr));
	const size_t at = span_rchr(text, '@');
	struct span rest = span_skip(text, at + 1);
	const size_t split = map_split_extension(
	    span_slice(text, 0, at), r->common.recipient_delimiter);

	if (maps_empty(r->transport) || at == SIZE_MAX)
		return MAP_ABSENT;
	enum map_result found = maps_get(r->transport, text, value, e);
	if (found == MAP_ABSENT && split != SIZE_MAX) {
		struct buf bare;
		buf_init(&bare, LIMIT_ADDRESS * 3);
		buf_add(&bare, span_slice(text, 0, split));
		buf_add(&bare, span_skip(text, at));
		found = maps_get(r->transport, buf_span(&bare), value, e);
		buf_release(&bare);
	}
	/* domain, .parent, .its.parent ... */
	while (found == MAP_ABSENT && rest.n > 0) {
		found = maps_get(r->transport, rest, value, e);
		const size_t dot = span_chr(span_skip(rest, 1), '.');
		rest = dot == SIZE_MAX ? SPAN_EMPTY : span_skip(rest, dot + 1);
	}
	if (found == MAP_ABSENT)
		found = maps_get(r->transport, SPAN("*"), value, e);
	return found;
}

int
router_transport(struct router *r, enum route_class class,
    const struct address *addr, struct arena *a, struct route *out,
    struct buf *reason, struct err *e)
{
	const struct span domain = router_folded(a, addr->domain);
	struct span transport = SPAN_EMPTY, nexthop = SPAN_EMPTY;
	struct buf value;

	buf_init(&value, LIMIT_TABLE_VALUE);
	const enum map_result found = find_transport(r, addr, a, &value, e);
	if (found == MAP_FOUND)
		split_transport(
		    arena_dup(a, buf_span(&value)), &transport, &nexthop);
	buf_release(&value);
	if (found == MAP_FAILED)
		return -1;
	if (found == MAP_FOUND)
		router_add_reason(
		    reason, "transport_maps", maps_where(r->transport));
	/* ":" changes nothing; ":host" keeps the class's transport. */
	if (transport.n == 0)
		class_transport(r, class, out, domain, reason);
	if (transport.n > 0)
		out->transport = transport;
	if (nexthop.n > 0)
		out->nexthop = nexthop;
	else if (transport.n > 0)
		out->nexthop = domain;
	return 0;
}

/* ---- aliases(5) -----------------------------------------------------------
 */

int
router_has_alias(struct router *r, struct span local, struct arena *a,
    struct buf *reason, struct err *e)
{
	const struct span name = router_folded(a, local);
	const size_t split =
	    map_split_extension(name, r->common.recipient_delimiter);
	struct buf value;

	buf_init(&value, LIMIT_TABLE_VALUE);
	enum map_result found = maps_get(r->alias, name, &value, e);
	if (found == MAP_ABSENT && split != SIZE_MAX)
		found =
		    maps_get(r->alias, span_slice(name, 0, split), &value, e);
	buf_release(&value);
	switch (found) {
	case MAP_FOUND:
		router_add_reason(reason, "alias_maps", maps_where(r->alias));
		return 1;
	case MAP_ABSENT:
		return 0;
	case MAP_FAILED:
		return -1;
	}
	return -1;
}
