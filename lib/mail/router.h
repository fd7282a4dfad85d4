/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_ROUTER_H
#define CHAPPE_MAIL_ROUTER_H

/*
 * Where mail for an address goes: smtpd, pickup, bounce and `chappe explain`
 * all ask this one module. It reads the tables that the configuration names
 * and sees users through an interface, so that a test can give both; it
 * delivers nothing and changes nothing. The order is Postfix's:
 *
 *  1. A bare local part gets @$myorigin (site!user and user%site are read as
 *     user@site first); one dot behind the domain goes.
 *  2. virtual_alias_maps, again and again until nothing changes: one address
 *     may become several.
 *  3. The class of each: the domain is in mydestination, or a literal of one
 *     of our addresses: local; virtual_alias_domains; virtual_mailbox_domains:
 *     virtual; relay_domains (and subdomains): relay; all else: default.
 *  4. The class's transport and next hop, unless transport_maps has an entry
 *     (user+ext@domain, user@domain, domain, .parent..., *).
 *  5. If asked for: does the user exist? Local: alias_maps, the tables of
 *     local_recipient_maps, then the user database, with and then without
 *     the address extension. Virtual: virtual_mailbox_maps; without them the
 *     user database by full address. Relay: relay_recipient_maps, if any. An address that virtual_alias_maps
 *     changed is not checked further.
 *
 * A local part of our own domains that holds "%", "!" or "@" is never taken
 * apart: it names a user or nobody. It also takes away `ours`, so that no
 * stranger's mail is routed through us or a host we relay for.
 *
 * Mail to double_bounce_sender in our own domains, and to the changing sender
 * of probes, is accepted and thrown away (discard).
 *
 * postmaster without an entry in alias_maps is delivered to root
 * (RFC 5321 4.5.1 wants it accepted); so `root` should have an alias.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/conf/conf.h"

/* ---- who exists ---- */
struct router_user {
	bool found;
	bool over_quota;
};
/* u, or NULL and e when nobody could say (always temporary). */
typedef void (*router_user_fn)(void *arg, const struct router_user *u,
    const struct err *e);
struct router_users {
	/* Looks name (a login name, or for virtual users an address; lower
	 * case) up and calls fn once, at once or later. */
	void (*lookup)(void *ctx, struct span name, uint64_t trace,
	    router_user_fn fn, void *arg);
	/* Forgets all look-ups with this arg. */
	void (*cancel)(void *ctx, const void *arg);
	void *ctx;
};

/* ---- results ---- */
enum route_class {
	ROUTE_LOCAL,
	ROUTE_ALIAS,   /* virtual_alias_domains */
	ROUTE_VIRTUAL, /* virtual_mailbox_domains */
	ROUTE_RELAY,
	ROUTE_DEFAULT,
};
const char *route_class_name(enum route_class c);

/* One address to deliver to. */
struct route {
	struct span address; /* canonical form (lib/proto/address.h) */
	enum route_class class;
	struct span transport; /* service: "local", "smtp", ... */
	struct span nexthop;   /* "example.com", "[mx.example]:2525", or for
	                          error, retry, discard: the text */
	unsigned flags;        /* RCPT_ALIAS of lib/queue/queue.h */
	/* Which lines decided: "virtual_alias_maps /etc/chappe/virtual:3;
	 * mydestination /etc/chappe/main.cf:12". */
	struct span reason;
};

struct route_result {
	/* 0: accepted. Else an SMTP reply code with err: 550 5.1.1 "User
	 * unknown in local recipient table" (virtual alias, virtual mailbox
	 * table), 501 5.1.3 bad syntax, 452 4.2.2 over quota, 451 4.3.0 a
	 * table or the user database failed, 451 4.6.0 aliases run in a
	 * circle, or what an error: or retry: transport says. The log and
	 * the reply put "<address>: Recipient address rejected: " in front
	 * of err.text. */
	unsigned code;
	struct err err;
	/* Of the address given, after step 1. Valid with code 0 and after a
	 * refusal from step 4 on (class_known). */
	bool class_known;
	enum route_class class;
	struct span address;  /* as given, in canonical form, with domain */
	struct span reason;   /* which line decided its class or refused it */
	/* False: only for those who may relay; else reply 554 5.7.1 "Relay
	 * access denied" (before looking at code 550). */
	bool ours;
	const struct route *routes; /* none when refused */
	size_t count;
};

/* result and all in it live during the call. */
typedef void (*router_fn)(void *arg, const struct route_result *result);

/* ---- the router ---- */
struct router;
/* Opens the tables c names; keeps c and users, which must outlive it. users
 * may be NULL when ROUTER_CHECK_USER is never asked for. */
int router_open(struct conf *c, const struct router_users *users,
    struct router **out, struct err *e);
/* Queries under way are forgotten. */
void router_free(struct router **r);

/* For a daemon's sandbox: the directories of the tables and lists that routing
 * (and mynetworks, rewriting and content checks) reads, wherever the configuration puts them. */
struct sandbox;
void router_sandbox(struct conf *c, struct sandbox *s);
/* The same for one list of tables ("hash:/a, cidr:/b"). */
void router_sandbox_list(struct span list, struct sandbox *s);

enum {
	ROUTER_CHECK_USER = 1, /* step 5: refuse unknown users */
	ROUTER_NO_ALIASES = 2, /* without step 2 */
};

/* Routes one address: text in canonical form, or as a client sent it without
 * angle brackets. trace: the id under which users are asked (lib/os/log.h).
 * Calls fn exactly once, maybe before it returns. */
void router_resolve(struct router *r, struct span address, unsigned flags,
    uint64_t trace, router_fn fn, void *arg);
/* Forgets the queries with this arg. */
void router_cancel(struct router *r, const void *arg);

/* Is the domain in mydestination, or a literal of one of our addresses? Is
 * the address (inet_interfaces, proxy_interfaces) ours? -1: a table failed. */
int router_is_local(struct router *r, struct span domain, struct err *e);
int router_owns_address(struct router *r, const char *addr, struct err *e);

/* Step 1 alone, for senders and header addresses: appends the address in
 * canonical form with its domain completed. The null address stays empty.
 * False: not an address. */
bool router_qualify(const struct router *r, struct span address,
    struct buf *out);

#endif
