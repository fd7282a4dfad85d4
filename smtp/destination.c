/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "smtp/smtp.h"

struct destination *
destination_get(struct smtp *s, struct span nexthop)
{
	struct destination *d = table_get(&s->destinations, nexthop);

	if (d == NULL) {
		d = MEM_NEW(d);
		d->key = span_dup(nexthop);
		list_init(&d->idle);
		table_put(&s->destinations, nexthop, d);
	}
	d->users++;
	return d;
}

void
destination_put(struct smtp *s, struct destination *d)
{
	if (--d->users > 0)
		return;
	table_remove(&s->destinations, span_str(d->key));
	mem_free(d->key);
	mem_free(d);
}
