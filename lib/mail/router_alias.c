/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/router_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"

/* One address on its way through virtual_alias_maps. */
struct pending {
	struct address addr;
	struct span reason; /* the entries that led here */
	unsigned depth;
	struct pending *next;
};

struct expansion {
	struct query *q;
	struct table seen; /* folded text -> this */
	struct pending *todo, **end;
	size_t seen_count, added;
	router_add_fn add;
	bool changed;
};

static int
too_large(const struct query *q, struct err *e)
{
	const struct span text = q->result.address;

	return err_set(e, ERR_TEMP, "4.6.0",
	    "virtual_alias_maps: unreasonable expansion of <%.*s>",
	    SPAN_FMT(span_slice(text, 0, 100)));
}

/* Puts an address on the list unless it has been there. */
static int
enqueue(struct expansion *x, const struct address *addr, struct span reason,
    unsigned depth, struct err *e)
{
	struct arena *a = &x->q->arena;
	const struct common_conf *conf = &x->q->r->common;
	const struct span key = router_folded(a, router_text(a, addr));

	if (table_get(&x->seen, key) != NULL)
		return 0;
	if ((int64_t)x->seen_count >= conf->virtual_alias_expansion_limit ||
	    depth > conf->virtual_alias_recursion_limit || !arena_ok(a))
		return too_large(x->q, e);
	table_put(&x->seen, key, x);
	x->seen_count++;
	struct pending *p = ARENA_NEW(a, p);
	p->addr = *addr;
	p->reason = reason;
	p->depth = depth;
	*x->end = p;
	x->end = &p->next;
	return 0;
}

/* An address of a table's value: "@other" takes the local part along, and an
 * extension that the entry did not name is kept. */
static bool
read_result(struct expansion *x, const struct address_item *item,
    const struct address *from, struct span extension, struct address *out)
{
	struct arena *a = &x->q->arena;
	struct buf text;
	bool good = true;

	buf_init(&text, LIMIT_ADDRESS * 2);
	if (item->raw.n > 1 && item->raw.p[0] == '@') {
		address_quote_local(from->local, &text);
		buf_add(&text, item->raw);
	} else if (item->kind == ADDRESS_MAILBOX) {
		address_print(&item->addr, &text);
	} else {
		good = false;
	}
	good = good && buf_ok(&text) &&
	       router_complete(x->q->r, arena_dup(a, buf_span(&text)), a, out);
	buf_release(&text);
	if (!good || extension.n == 0)
		return good;
	buf_init(&text, LIMIT_ADDRESS * 2);
	buf_add(&text, out->local);
	buf_add(&text, extension);
	out->local = arena_dup(a, buf_span(&text));
	buf_release(&text);
	return out->local.n <= LIMIT_LOCAL_PART;
}

/* The lines that led to an address, and the one just found. */
static struct span
longer_reason(struct expansion *x, struct span reason)
{
	struct buf b;

	buf_init(&b, LIMIT_TABLE_VALUE);
	buf_add(&b, reason);
	router_add_reason(
	    &b, "virtual_alias_maps", maps_where(x->q->r->virtual_alias));
	const struct span longer = arena_dup(&x->q->arena, buf_span(&b));
	buf_release(&b);
	return longer;
}

/* The parts of a table's value go on the list. *out_same: one of them is the
 * address itself, which is then final. */
static int
take_value(struct expansion *x, struct span value, struct pending *from,
    struct span extension, bool *out_same, struct err *e)
{
	struct arena *a = &x->q->arena;
	const struct span self = router_text(a, &from->addr);
	const struct span reason = from->reason;
	struct address_list list;
	struct address_item item;
	struct address addr;
	int rc = 0;

	address_list_init(&list, ADDRESS_LIST_ALIASES, value);
	while (rc == 0 && address_list_next(&list, &item)) {
		if (!read_result(x, &item, &from->addr, extension, &addr))
			rc = err_set(e, ERR_TEMP, "4.3.5",
			    "%s: \"%.*s\" is not an address",
			    maps_where(x->q->r->virtual_alias),
			    SPAN_FMT(span_slice(item.raw, 0, 60)));
		else if (span_ieq(router_text(a, &addr), self))
			*out_same = true;
		else
			rc = enqueue(x, &addr, reason, from->depth + 1, e);
	}
	address_list_release(&list);
	return rc;
}

/* Was the entry found without the address's extension? Then that is kept. */
static struct span
unmatched_extension(
    struct router *r, const struct address *addr, struct span text)
{
	const size_t split =
	    map_split_extension(addr->local, r->common.recipient_delimiter);
	struct buf ignored;
	enum map_result whole;

	if (split == SIZE_MAX ||
	    !conf_list_has(r->common.propagate_unmatched_extensions,
		"virtual"))
		return SPAN_EMPTY;
	buf_init(&ignored, LIMIT_TABLE_VALUE);
	/* Without a delimiter only whole addresses and @domain are asked. */
	whole =
	    maps_get_address(r->virtual_alias, text, "", false, &ignored, NULL);
	if (whole != MAP_FOUND)
		whole = maps_get(r->virtual_alias, addr->local, &ignored, NULL);
	buf_release(&ignored);
	return whole == MAP_FOUND ? SPAN_EMPTY : span_skip(addr->local, split);
}

static int
expand_one(struct expansion *x, struct pending *p, struct err *e)
{
	struct query *q = x->q;
	const struct span text = router_text(&q->arena, &p->addr);
	struct buf value;
	bool same = false;
	int rc = 0;

	buf_init(&value, LIMIT_TABLE_VALUE);
	/* Bare keys count for our own names: mydestination and myorigin. */
	int local = match_list_domain(q->r->mydestination, p->addr.domain, e);
	if (local == 0)
		local =
		    span_ieq(p->addr.domain, span_str(q->r->common.myorigin));
	const enum map_result found =
	    local < 0
		? MAP_FAILED
		: maps_get_address(q->r->virtual_alias, text,
		      q->r->common.recipient_delimiter, local == 1, &value, e);
	switch (found) {
	case MAP_FOUND:
		x->changed = true;
		p->reason = longer_reason(x, p->reason);
		rc = take_value(x, buf_span(&value), p,
		    unmatched_extension(q->r, &p->addr, text), &same, e);
		break;
	case MAP_ABSENT:
		same = true;
		break;
	case MAP_FAILED:
		rc = -1;
		break;
	}
	buf_release(&value);
	if (rc == 0 && same) {
		x->added++;
		rc = x->add(q, &p->addr, p->reason, e);
	}
	return rc;
}

int
router_expand(
    struct query *q, router_add_fn add, bool *out_changed, struct err *e)
{
	struct expansion x = { .q = q, .add = add };

	if (maps_empty(q->r->virtual_alias) ||
	    (q->flags & ROUTER_NO_ALIASES) != 0) {
		*out_changed = false;
		return add(q, &q->given, SPAN_EMPTY, e);
	}
	x.end = &x.todo;
	table_init(&x.seen);
	int rc = enqueue(&x, &q->given, SPAN_EMPTY, 0, e);
	for (struct pending *p = x.todo; rc == 0 && p != NULL; p = p->next)
		rc = expand_one(&x, p, e);
	/* Aliases of each other and of nothing else. */
	if (rc == 0 && x.added == 0)
		rc = too_large(q, e);
	table_release(&x.seen);
	if (rc == 0)
		*out_changed = x.changed;
	return rc;
}
