/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/router.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/own_address.h"
#include "lib/mail/probe_sender.h"
#include "lib/mail/router_impl.h"
#include "lib/os/loop.h"
#include "lib/os/priv.h"
#include "lib/queue/queue.h"

/* ---- opening --------------------------------------------------------------
 */

static int
open_own_addresses(struct router *r, struct err *e)
{
	const struct span words = span_str(r->common.inet_interfaces);
	struct buf list;

	buf_init(&list, 2 * LIMIT_CONFIG_LINE);
	if (span_ieq(words, SPAN("all")))
		own_address_list(&list);
	else if (span_ieq(words, SPAN("loopback-only")))
		buf_str(&list, "127.0.0.1 ::1");
	else
		buf_add(&list, words);
	buf_byte(&list, ' ');
	buf_str(&list, r->common.proxy_interfaces);
	const int rc = match_list_open(buf_cstr(&list), &r->own_addresses, e);
	buf_release(&list);
	return rc;
}

static int
open_tables(struct router *r, struct err *e)
{
	const struct common_conf *c = &r->common;
	const struct {
		const char *name, *value;
		struct maps **maps;
		struct match_list **list;
	} rows[] = {
		{ "virtual_alias_maps", c->virtual_alias_maps,
		    &r->virtual_alias, NULL },
		{ "transport_maps", c->transport_maps, &r->transport, NULL },
		{ "alias_maps", c->alias_maps, &r->alias, NULL },
		{ "relay_recipient_maps", c->relay_recipient_maps,
		    &r->relay_rcpt, NULL },
		{ "virtual_mailbox_maps", c->virtual_mailbox_maps,
		    &r->mailbox, NULL },
		{ "mydestination", c->mydestination, NULL, &r->mydestination },
		{ "virtual_alias_domains", c->virtual_alias_domains, NULL,
		    &r->alias_domains },
		{ "virtual_mailbox_domains", c->virtual_mailbox_domains, NULL,
		    &r->mailbox_domains },
		{ "relay_domains", c->relay_domains, NULL, &r->relay_domains },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const int rc =
		    rows[i].maps != NULL
			? maps_open(rows[i].value, rows[i].maps, e)
			: match_list_open(rows[i].value, rows[i].list, e);
		if (rc < 0)
			return err_wrap(e, "%s", rows[i].name);
	}
	return 0;
}

/* The tables of local_recipient_maps but those that are asked anyway: the
 * users, and alias_maps. */
static int
open_local_rcpt(struct router *r, struct err *e)
{
	struct span rest = span_str(r->common.local_recipient_maps), word;
	const struct span aliases = span_str(r->common.alias_maps);
	struct buf others;
	int rc;

	buf_init(&others, LIMIT_CONFIG_LINE);
	while (maps_next(&rest, &word)) {
		struct span all = aliases, alias = SPAN_EMPTY;

		if (span_starts(word, SPAN("proxy:")))
			word = span_skip(word, 6);
		if (span_eq(word, SPAN("unix:passwd.byname"))) {
			r->local_users = true;
			continue;
		}
		while (maps_next(&all, &alias) && !span_eq(alias, word))
			;
		if (span_eq(alias, word))
			continue;
		buf_add(&others, word);
		buf_byte(&others, ' ');
	}
	rc = maps_open(buf_cstr(&others), &r->local_rcpt, e);
	buf_release(&others);
	return rc == 0 ? 0 : err_wrap(e, "local_recipient_maps");
}

int
router_open(struct conf *c, const struct router_users *users,
    struct router **out, struct err *e)
{
	struct router *r = MEM_NEW(r);

	r->conf = c;
	r->users = users;
	list_init(&r->queries);
	if (conf_fill(c, common_params, &r->common, e) < 0 ||
	    open_tables(r, e) < 0 || open_local_rcpt(r, e) < 0 ||
	    open_own_addresses(r, e) < 0) {
		router_free(&r);
		return -1;
	}
	*out = r;
	return 0;
}

/* The directory of a word such as "!hash:/dir/file" or "/dir/file"; false for
 * what names no file. */
static bool
directory_of(struct span word, struct span *out)
{
	const size_t slash = span_chr(word, '/');

	/* Not the slash of a network: that has no colon before it. */
	if (slash == SIZE_MAX ||
	    (slash > 0 && word.p[slash - 1] != ':' && word.p[slash - 1] != '!'))
		return false;
	const struct span path = span_skip(word, slash);
	const size_t last = span_rchr(path, '/');
	*out = span_slice(path, 0, last > 0 ? last : 1);
	return true;
}

void
router_sandbox_list(struct span rest, struct sandbox *s)
{
	struct span word, dir;

	while (span_token(&rest, ", \t\r\n{}", &word)) {
		char *path;

		if (!directory_of(word, &dir))
			continue;
		path = span_dup(dir);
		sandbox_dir(s, path, SANDBOX_READ);
		mem_free(path);
	}
}

void
router_sandbox(struct conf *c, struct sandbox *s)
{
	static const char *const names[] = { "virtual_alias_maps",
		"transport_maps", "alias_maps", "mydestination",
		"virtual_alias_domains", "virtual_mailbox_domains",
		"relay_domains", "mynetworks", "smtpd_milter_maps",
		"milter_header_checks", "canonical_maps",
		"sender_canonical_maps", "recipient_canonical_maps",
		"masquerade_exceptions", "sender_bcc_maps",
		"recipient_bcc_maps", "header_checks", "mime_header_checks",
		"nested_header_checks", "body_checks" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		router_sandbox_list(span_str(conf_value(c, names[i])), s);
}

/* ---- queries --------------------------------------------------------------
 */

static void
query_free(struct query *q)
{
	list_remove(&q->link);
	buf_release(&q->reason);
	mem_free(q->routes);
	arena_reset(&q->arena);
	mem_free(q);
}

void
router_free(struct router **r)
{
	struct router *self = *r;

	if (self == NULL)
		return;
	LIST_EACH(&self->queries, link)
	{
		struct query *q = CONTAINER_OF(link, struct query, link);
		self->users->cancel(self->users->ctx, q);
		query_free(q);
	}
	maps_free(&self->virtual_alias);
	maps_free(&self->transport);
	maps_free(&self->local_rcpt);
	maps_free(&self->relay_rcpt);
	maps_free(&self->mailbox);
	maps_free(&self->alias);
	match_list_free(&self->mydestination);
	match_list_free(&self->alias_domains);
	match_list_free(&self->mailbox_domains);
	match_list_free(&self->relay_domains);
	match_list_free(&self->own_addresses);
	mem_free(self);
	*r = NULL;
}

void
router_cancel(struct router *r, const void *arg)
{
	LIST_EACH(&r->queries, link)
	{
		struct query *q = CONTAINER_OF(link, struct query, link);
		if (q->arg == arg) {
			r->users->cancel(r->users->ctx, q);
			query_free(q);
		}
	}
}

/* The end of a query: tells its owner, who may free the router. */
static void
finish(struct query *q)
{
	list_remove(&q->link);
	if (q->result.code != 0)
		q->result.count = 0;
	q->result.routes = q->routes;
	q->result.reason = buf_span(&q->reason);
	q->fn(q->arg, &q->result);
	query_free(q);
}

static void
refuse(struct query *q, unsigned code, enum err_kind kind, const char *dsn,
    const char *text)
{
	q->result.code = code;
	err_set(&q->result.err, kind, dsn, "%s", text);
}

/* A table or the user database failed: the client shall come again. */
static void
refuse_for_now(struct query *q, const struct err *e)
{
	q->result.code = 451;
	q->result.err = *e;
	q->result.err.kind = ERR_TEMP;
	if (e->dsn[0] != '4')
		memcpy(q->result.err.dsn, "4.3.0", sizeof("4.3.0"));
}

/* ---- routes ---------------------------------------------------------------
 */

static bool
is_postmaster(const struct address *addr)
{
	return span_ieq(addr->local, SPAN("postmaster"));
}

/* An address of ours that nobody reads: what comes back to it is thrown
 * away. */
static bool
is_unread(const struct router *r, const struct address *addr)
{
	const struct common_conf *c = &r->common;
	const struct span bounces = span_str(c->double_bounce_sender);

	return (bounces.n > 0 && span_ieq(addr->local,
		    span_slice(bounces, 0, span_rchr(bounces, '@')))) ||
	    probe_sender_is(span_str(c->address_verify_sender),
		(uint64_t)c->address_verify_sender_ttl / 1000,
		(uint64_t)clock_wall_us() / 1000000, addr->local);
}

/* Sets RCPT_ALIAS for local addresses, and sends postmaster to root. */
static int
look_for_alias(struct query *q, struct address *addr, struct route *route,
    struct buf *reason, struct err *e)
{
	int hit = router_has_alias(q->r, addr->local, &q->arena, reason, e);
	if (hit == 0 && is_postmaster(addr)) {
		addr->local = SPAN("root");
		hit = router_has_alias(q->r, addr->local, &q->arena, reason, e);
	}
	if (hit == 1)
		route->flags |= RCPT_ALIAS;
	return hit < 0 ? -1 : 0;
}

/* Steps 3 and 4 for one address. */
static int
fill_route(struct query *q, const struct address *given, struct route *route,
    struct buf *reason, struct err *e)
{
	struct address addr = *given;

	if (router_class(q->r, &addr, &route->class, reason, e) < 0)
		return -1;
	if (route->class == ROUTE_LOCAL && is_unread(q->r, &addr)) {
		route->address = router_text(&q->arena, &addr);
		route->transport = SPAN("discard");
		route->nexthop =
		    SPAN("undeliverable postmaster notification discarded");
		return 0;
	}
	if (route->class == ROUTE_LOCAL &&
	    look_for_alias(q, &addr, route, reason, e) < 0)
		return -1;
	route->address = router_text(&q->arena, &addr);
	return router_transport(
	    q->r, route->class, &addr, &q->arena, route, reason, e);
}

static int
add_route(struct query *q, const struct address *addr, struct span led_here,
    struct err *e)
{
	struct route route = { .flags = 0 };
	struct buf reason;

	buf_init(&reason, LIMIT_TABLE_VALUE);
	buf_add(&reason, led_here);
	const int rc = fill_route(q, addr, &route, &reason, e);
	route.reason = arena_dup(&q->arena, buf_span(&reason));
	buf_release(&reason);
	if (rc < 0)
		return -1;
	if (q->result.count == q->route_max) {
		q->route_max = q->route_max == 0 ? 4 : q->route_max * 2;
		q->routes =
		    mem_resize(q->routes, q->route_max, sizeof(*q->routes));
	}
	q->routes[q->result.count++] = route;
	return 0;
}

/* Where the one route of an address is error: or retry:, RCPT is refused
 * with its text. */
static bool
refuse_by_transport(struct query *q)
{
	const struct route *route = &q->routes[0];
	const bool error = span_eq(route->transport, SPAN("error"));
	char dsn[12];

	if (q->result.count != 1 ||
	    (!error && !span_eq(route->transport, SPAN("retry"))))
		return false;
	struct span text = route->nexthop;
	const size_t end = span_chr(text, ' ');
	const struct span word = span_slice(text, 0, end);
	const bool has_dsn = word.n >= 5 && word.p[1] == '.' &&
			     (word.p[0] == '4' || word.p[0] == '5') &&
			     span_copy(word, dsn, sizeof(dsn));
	if (has_dsn)
		text = span_trim(span_skip(text, word.n));
	else
		memcpy(dsn, error ? "5.0.0" : "4.0.0", sizeof("5.0.0"));
	if (text.n == 0)
		text = SPAN("mail for this address is not accepted");
	char *words = span_dup(text);
	refuse(q, dsn[0] == '5' ? 550 : 450,
	    dsn[0] == '5' ? ERR_PERM : ERR_TEMP, dsn, words);
	mem_free(words);
	buf_reset(&q->reason);
	buf_add(&q->reason, route->reason);
	return true;
}

/* ---- step 5 ---------------------------------------------------------------
 */

static void got_user(
    void *arg, const struct router_user *u, const struct err *e);

/* A user's name, whole and without the extension. */
static void
add_names(struct query *q, struct span local, struct span domain)
{
	const size_t split =
	    map_split_extension(local, q->r->common.recipient_delimiter);

	for (unsigned i = 0; i < (split == SIZE_MAX ? 1u : 2u); i++) {
		struct buf b;
		buf_init(&b, LIMIT_ADDRESS * 3);
		if (domain.n > 0) {
			const struct address addr = {
				.local = i == 0 ? local
						: span_slice(local, 0, split),
				.domain = domain,
			};
			address_print(&addr, &b);
		} else {
			buf_add(
			    &b, i == 0 ? local : span_slice(local, 0, split));
		}
		q->names[q->name_count++] =
		    router_folded(&q->arena, buf_span(&b));
		buf_release(&b);
	}
}

/* Is the address in a table of those who exist? 1 yes. */
static int
is_listed(struct query *q, struct maps *m, struct err *e)
{
	const bool local = q->result.class == ROUTE_LOCAL;
	enum map_result found;
	struct buf value;

	buf_init(&value, LIMIT_TABLE_VALUE);
	found = maps_get_address(m, q->result.address,
	    q->r->common.recipient_delimiter, local, &value, e);
	buf_release(&value);
	switch (found) {
	case MAP_FOUND:
		return 1;
	case MAP_ABSENT:
		return 0;
	case MAP_FAILED:
		break;
	}
	return -1;
}

/* Looks into a table of those who exist; absent: refuse, unless the users
 * are asked next. True: it is settled. */
static bool
check_list(struct query *q, struct maps *m, bool users)
{
	struct err e;
	int listed;

	if (maps_empty(m))
		return !users;
	listed = is_listed(q, m, &e);
	if (listed < 0)
		refuse_for_now(q, &e);
	else if (listed == 0 && !users)
		refuse(q, 550, ERR_PERM, "5.1.1", q->unknown);
	return listed != 0 || !users;
}

static void
plan_local(struct query *q)
{
	const struct router *r = q->r;

	if (r->common.local_recipient_maps[0] == '\0' ||
	    (q->routes[0].flags & RCPT_ALIAS) != 0 ||
	    is_postmaster(&q->given) || is_unread(r, &q->given))
		return;
	q->unknown = "User unknown in local recipient table";
	if (!check_list(q, r->local_rcpt, r->local_users))
		add_names(q, q->given.local, SPAN_EMPTY);
	else if (maps_empty(r->local_rcpt) && !r->local_users)
		refuse(q, 550, ERR_PERM, "5.1.1", q->unknown);
}

/* Sets what is to be asked about the address; nothing for those whose users
 * are not ours to know. */
static void
plan_check(struct query *q)
{
	struct router *r = q->r;

	switch (q->result.class) {
	case ROUTE_LOCAL:
		plan_local(q);
		break;
	case ROUTE_VIRTUAL:
		q->unknown = "User unknown in virtual mailbox table";
		if (!check_list(q, r->mailbox, maps_empty(r->mailbox)))
			add_names(q, q->given.local, q->given.domain);
		break;
	case ROUTE_RELAY:
		q->unknown = "User unknown in relay recipient table";
		(void)check_list(q, r->relay_rcpt, false);
		break;
	case ROUTE_ALIAS:
	case ROUTE_DEFAULT:
		break;
	}
}

static void
ask_next(struct query *q)
{
	const struct router_users *users = q->r->users;

	BUG_ON(users == NULL);
	users->lookup(
		    users->ctx, q->names[q->asked++], q->trace, got_user, q);
}

static void
got_user(void *arg, const struct router_user *u, const struct err *e)
{
	struct query *q = arg;

	if (u == NULL) {
		refuse_for_now(q, e);
	} else if (!u->found && q->asked < q->name_count) {
		ask_next(q);
		return;
	} else if (!u->found) {
		refuse(q, 550, ERR_PERM, "5.1.1", q->unknown);
	} else if (u->over_quota) {
		refuse(q, 452, ERR_TEMP, "4.2.2", "Mailbox is over quota");
	}
	finish(q);
}

/* ---- resolving ------------------------------------------------------------
 */

/* Everything but users. */
static void
route_query(struct query *q)
{
	struct route_result *result = &q->result;
	bool changed = false;
	struct err e;

	if (router_class(q->r, &q->given, &result->class, &q->reason, &e) < 0) {
		refuse_for_now(q, &e);
		return;
	}
	result->class_known = true;
	result->ours = result->class != ROUTE_DEFAULT &&
		       (q->r->common.allow_untrusted_routing ||
			   !router_is_routed(q->given.local));
	if (router_expand(q, add_route, &changed, &e) < 0) {
		refuse_for_now(q, &e);
		return;
	}
	if ((q->flags & ROUTER_CHECK_USER) != 0 && !changed &&
	    !refuse_by_transport(q))
		plan_check(q);
}

void
router_resolve(struct router *r, struct span address, unsigned flags,
    uint64_t trace, router_fn fn, void *arg)
{
	struct query *q = MEM_NEW(q);

	q->r = r;
	q->fn = fn;
	q->arg = arg;
	q->flags = flags;
	q->trace = trace;
	arena_init(&q->arena, 8 << 20);
	buf_init(&q->reason, 65536);
	list_init(&q->link);
	list_push(&r->queries, &q->link);
	if (!router_complete(r, address, &q->arena, &q->given)) {
		q->result.address = arena_dup(&q->arena, address);
		refuse(
		    q, 501, ERR_PERM, "5.1.3", "Bad recipient address syntax");
	} else {
		q->result.address = router_text(&q->arena, &q->given);
		route_query(q);
	}
	if (q->result.code == 0 && q->name_count > 0)
		ask_next(q);
	else
		finish(q);
}
