/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/login_owner.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/router_impl.h"

enum {
	DEPTH_MAX = 20,	   /* aliases of aliases */
	NAMES_MAX = 1000,  /* that one address leads to */
	ARENA_MAX = 1 << 20,
};

/* ---- a table ---- */

static bool
names(struct span owners, const char *login)
{
	struct span word;

	while (span_token(&owners, ", \t\r\n", &word))
		if (span_ieq(word, span_str(login)))
			return true;
	return false;
}

static int
by_table(struct router *r, struct maps *maps, struct span sender,
    const char *login, struct err *e)
{
	struct buf owners;
	int rc = 2;

	buf_init(&owners, LIMIT_TABLE_VALUE);
	switch (maps_get_address(
	    maps, sender, r->common.recipient_delimiter, true, &owners, e)) {
	case MAP_FOUND:
		rc = login != NULL && names(buf_span(&owners), login);
		break;
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		rc = -1;
		break;
	}
	buf_release(&owners);
	return rc;
}

/* ---- our own rule ---- */

struct search {
	struct router *r;
	struct span login;
	struct arena arena;
	struct err *e;
	unsigned names;
	bool ours; /* the address is one of our domains */
};

/* Is this local part, of mydestination, the login's? */
static bool
is_login(const struct search *x, struct span local)
{
	const size_t at = span_rchr(x->login, '@');
	const size_t split = map_split_extension(
	    local, x->r->common.recipient_delimiter);
	struct span name = x->login;
	struct err e;

	/* A login that was given with one of our domains. */
	if (at != SIZE_MAX) {
		if (match_list_domain(x->r->mydestination,
			span_skip(name, at + 1), &e) != 1)
			return false;
		name = span_slice(name, 0, at);
	}
	return span_ieq(local, name) ||
	    (split != SIZE_MAX && span_ieq(span_slice(local, 0, split), name));
}

/* The same for a whole address. */
static bool
is_address(const struct search *x, const struct address *addr)
{
	const size_t at = span_rchr(x->login, '@');
	const size_t split = map_split_extension(
	    addr->local, x->r->common.recipient_delimiter);
	struct span local;

	if (at == SIZE_MAX ||
	    !span_ieq(span_skip(x->login, at + 1), addr->domain))
		return false;
	local = span_slice(x->login, 0, at);
	return span_ieq(addr->local, local) ||
	    (split != SIZE_MAX &&
		span_ieq(span_slice(addr->local, 0, split), local));
}

static int leads_local(struct search *x, struct span local, unsigned depth);

/* 1 the login is at the end of it. */
static int
leads(struct search *x, const struct address *addr, unsigned depth)
{
	int ours;

	if (depth > DEPTH_MAX || ++x->names > NAMES_MAX)
		return 0;
	if (is_address(x, addr))
		return 1;
	ours = match_list_domain(x->r->mydestination, addr->domain, x->e);
	if (ours != 1)
		return ours;
	return leads_local(x, addr->local, depth);
}

/* The entries of an alias: names and addresses; commands, files and included
 * lists are nobody's. */
static int
leads_by_value(struct search *x, struct span value, unsigned depth)
{
	struct address_list list;
	struct address_item item;
	struct address addr;
	int rc = 0;

	address_list_init(&list, ADDRESS_LIST_ALIASES, value);
	while (rc == 0 && address_list_next(&list, &item)) {
		if (item.kind != ADDRESS_MAILBOX || item.raw.p[0] == '|' ||
		    item.raw.p[0] == '/' || item.raw.p[0] == '"')
			continue;
		if (item.addr.domain.n == 0)
			rc = leads_local(x,
			    arena_dup(&x->arena, item.addr.local), depth + 1);
		else if (router_complete(x->r,
			     router_text(&x->arena, &item.addr), &x->arena,
			     &addr))
			rc = leads(x, &addr, depth + 1);
	}
	address_list_release(&list);
	return rc;
}

static int
leads_local(struct search *x, struct span local, unsigned depth)
{
	const struct span name = router_folded(&x->arena, local);
	const size_t split =
	    map_split_extension(name, x->r->common.recipient_delimiter);
	enum map_result found;
	struct buf value;
	int rc = 0;

	if (depth > DEPTH_MAX || ++x->names > NAMES_MAX)
		return 0;
	if (is_login(x, local))
		return 1;
	buf_init(&value, LIMIT_TABLE_VALUE);
	found = maps_get(x->r->alias, name, &value, x->e);
	if (found == MAP_ABSENT && split != SIZE_MAX)
		found = maps_get(x->r->alias, span_slice(name, 0, split),
		    &value, x->e);
	if (found == MAP_FAILED)
		rc = -1;
	else if (found == MAP_FOUND)
		rc = leads_by_value(x, buf_span(&value), depth);
	buf_release(&value);
	return rc;
}

/* What virtual_alias_maps make of the address. */
struct expanded {
	struct search *x;
	int rc;
};

static void
got_routes(void *arg, const struct route_result *result)
{
	struct expanded *got = arg;
	struct search *x = got->x;
	struct address addr;

	if (result->class_known)
		x->ours = result->class != ROUTE_DEFAULT;
	if (result->code != 0 && result->err.kind == ERR_TEMP) {
		*x->e = result->err;
		got->rc = -1;
		return;
	}
	for (size_t i = 0; i < result->count && got->rc == 0; i++)
		if (router_complete(x->r,
			arena_dup(&x->arena, result->routes[i].address),
			&x->arena, &addr))
			got->rc = leads(x, &addr, 0);
}

static int
by_rule(struct router *r, struct span sender, const char *login,
    struct err *e)
{
	struct search x = { .r = r, .login = span_str(login), .e = e };
	struct expanded got = { .x = &x };
	struct address addr;
	int rc = 0;

	arena_init(&x.arena, ARENA_MAX);
	/* The address itself, also where an alias of the same name takes its
	 * mail elsewhere. */
	if (router_complete(r, arena_dup(&x.arena, sender), &x.arena, &addr))
		rc = leads(&x, &addr, 0);
	if (rc == 0) {
		router_resolve(r, sender, 0, 0, got_routes, &got);
		rc = got.rc;
	}
	arena_reset(&x.arena);
	return rc == 0 && !x.ours ? 2 : rc;
}

int
login_owner_check(struct router *r, struct maps *maps, struct span sender,
    const char *login, struct err *e)
{
	struct buf address;
	int rc = 2;

	buf_init(&address, LIMIT_ADDRESS * 3);
	if (!router_qualify(r, sender, &address))
		rc = 2;
	else if (maps != NULL && !maps_empty(maps))
		rc = by_table(r, maps, buf_span(&address), login, e);
	else if (login != NULL)
		rc = by_rule(r, buf_span(&address), login, e);
	buf_release(&address);
	return rc;
}

/* ---- a From field ---- */

static int
check_item(struct router *r, struct maps *maps,
    const struct address_item *item, const char *login, struct buf *out,
    struct err *e)
{
	struct buf text;
	int rc = 0;

	buf_init(&text, LIMIT_ADDRESS * 2);
	if (item->kind == ADDRESS_MAILBOX)
		address_print(&item->addr, &text);
	if (text.n > 0 && buf_ok(&text))
		rc = login_owner_check(r, maps, buf_span(&text), login, e);
	else if (item->kind != ADDRESS_MAILBOX)
		buf_add(&text, span_slice(item->raw, 0, LIMIT_ADDRESS));
	if (rc == 0 || rc == 2)
		buf_add(out, buf_span(&text));
	buf_release(&text);
	return rc;
}

int
login_owner_from(struct router *r, struct maps *maps, struct span body,
    const char *login, struct buf *out_address, struct err *e)
{
	struct address_list list;
	struct address_item item;
	bool any = false;
	int rc = 1;

	address_list_init(&list, ADDRESS_LIST_HEADER, body);
	while (rc == 1 && address_list_next(&list, &item)) {
		if (item.kind == ADDRESS_GROUP_START ||
		    item.kind == ADDRESS_GROUP_END)
			continue;
		any = true;
		rc = check_item(r, maps, &item, login, out_address, e);
	}
	address_list_release(&list);
	if (rc < 0)
		return -1;
	return any && rc == 1;
}
