/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One address: what is understood prints to a form that means the same. */
static void
one(struct span in)
{
	struct address addr, again;
	struct arena a;
	struct buf b;

	arena_init(&a, 8 * LIMIT_ADDRESS);
	buf_init(&b, 3 * LIMIT_ADDRESS);
	if (address_parse(in, &a, &addr)) {
		address_print(&addr, &b);
		BUG_ON(!buf_ok(&b));
		BUG_ON(!span_eq(address_domain_of(buf_span(&b)), addr.domain));
		if (b.n <= LIMIT_ADDRESS) {
			BUG_ON(!address_parse(buf_span(&b), &a, &again));
			BUG_ON(!span_eq(again.local, addr.local));
			BUG_ON(!span_eq(again.domain, addr.domain));
		}
	}
	buf_release(&b);
	arena_reset(&a);
}

/* A list: groups nest properly, and a mailbox that is printed is one item
 * of one mailbox. */
static void
list(enum address_list_kind kind, struct span in)
{
	struct address_item it, again;
	struct address_list l, m;
	bool group = false;
	struct buf b;

	buf_init(&b, 100000);
	address_list_init(&l, kind, in);
	while (address_list_next(&l, &it)) {
		BUG_ON(it.kind == ADDRESS_GROUP_START && group);
		BUG_ON(it.kind == ADDRESS_GROUP_END && !group);
		if (it.kind == ADDRESS_GROUP_START)
			group = true;
		if (it.kind == ADDRESS_GROUP_END)
			group = false;
		BUG_ON(it.kind == ADDRESS_BAD && it.raw.n == 0);
		if (it.kind != ADDRESS_MAILBOX)
			continue;
		buf_reset(&b);
		address_quote_local(it.addr.local, &b);
		address_list_init(&m, kind, buf_span(&b));
		BUG_ON(!address_list_next(&m, &again));
		if (again.kind == ADDRESS_MAILBOX)
			BUG_ON(!span_eq(again.addr.local, it.addr.local));
		address_list_release(&m);
	}
	BUG_ON(group);
	address_list_release(&l);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);

	one(in);
	list(ADDRESS_LIST_HEADER, in);
	list(ADDRESS_LIST_ALIASES, in);
	return 0;
}
