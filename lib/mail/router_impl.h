/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_ROUTER_IMPL_H
#define CHAPPE_MAIL_ROUTER_IMPL_H

/* Shared by the files of the router only. */

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/mail/router.h"
#include "lib/map/map.h"
#include "lib/proto/address.h"

struct router {
	struct conf *conf;
	struct common_conf common;
	const struct router_users *users;
	struct maps *virtual_alias, *transport, *alias;
	struct maps *local_rcpt, *relay_rcpt, *mailbox;
	bool local_users; /* local_recipient_maps has unix:passwd.byname */
	struct match_list *mydestination, *own_addresses;
	struct match_list *alias_domains, *mailbox_domains, *relay_domains;
	struct list queries;
};

/* All that lives during one query. */
struct query {
	struct list link;
	struct router *r;
	router_fn fn;
	void *arg;
	unsigned flags;
	uint64_t trace;
	struct arena arena;
	struct address given; /* after step 1 */
	struct buf reason;
	struct route_result result;
	struct route *routes;
	size_t route_max;
	/* Users to ask for, until one is found. */
	struct span names[2];
	unsigned name_count, asked;
	const char *unknown; /* the refusal when there is none */
};

/* ---- router_address.c ---- */
/* Step 1. False: not an address. The parts live in the arena. */
bool router_complete(const struct router *r, struct span text,
    struct arena *a, struct address *out);
/* The canonical text, in the arena; folded: ASCII letters in lower case. */
struct span router_text(struct arena *a, const struct address *addr);
struct span router_folded(struct arena *a, struct span s);
/* Does the local part say more than a name (percent, bang, at)? */
bool router_is_routed(struct span local);

/* ---- router_class.c ---- */
/* Steps 3 and 4. -1: a table failed. Adds to reason what decided. */
int router_class(struct router *r, const struct address *addr,
    enum route_class *out, struct buf *reason, struct err *e);
int router_transport(struct router *r, enum route_class class,
    const struct address *addr, struct arena *a, struct route *out,
    struct buf *reason, struct err *e);
/* Is the local part in alias_maps, with or without its extension? 1 yes. */
int router_has_alias(struct router *r, struct span local, struct arena *a,
    struct buf *reason, struct err *e);
/* Appends "WHAT WHERE; ". */
void router_add_reason(struct buf *reason, const char *what,
    const char *where);

/* ---- router_alias.c ---- */
/* Step 2: calls add for each address that remains, with the lines that led
 * to it. *out_changed: some table had an entry. -1 with 4.3.0 for a table, 4.6.0 for a circle. */
typedef int (*router_add_fn)(struct query *q, const struct address *addr,
    struct span reason, struct err *e);
int router_expand(struct query *q, router_add_fn add, bool *out_changed,
    struct err *e);

#endif
