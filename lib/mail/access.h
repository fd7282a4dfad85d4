/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_ACCESS_H
#define CHAPPE_MAIL_ACCESS_H

/*
 * access(5) tables: the keys under which names, addresses and mail addresses
 * are looked up, in Postfix's order, and what the values mean. Tables of
 * patterns (regexp:, pcre:, cidr: ...) are asked for the whole string only.
 */

#include "lib/base/buf.h"
#include "lib/map/map.h"

/* All return as map_get does; *out is the value of the first key that is
 * there. parents: a domain's entry also stands for its subdomains
 * (smtpd_access_maps in parent_domain_matches_subdomains), else ".domain"
 * entries do. */

/* The string alone. */
enum map_result access_get(
    struct map *m, struct span key, struct buf *out, struct err *e);
/* name, its parents up to the top-level domain; a numeric name alone. */
enum map_result access_get_domain(struct map *m, struct span name,
    bool parents, struct buf *out, struct err *e);
/* 192.0.2.1, 192.0.2, 192.0, 192; for IPv6 the compressed form likewise,
 * cut at colons. */
enum map_result access_get_ip(
    struct map *m, struct span ip, struct buf *out, struct err *e);
/* user+ext@domain, user@domain, domain and its parents, user+ext@, user@.
 * address: with domain, in canonical form. */
enum map_result access_get_mail(struct map *m, struct span address,
    const char *delimiter, bool parents, struct buf *out, struct err *e);

/* ---- values ---- */
enum access_action {
	ACCESS_DUNNO,
	ACCESS_OK, /* also RELAY and numbers */
	ACCESS_REJECT,
	ACCESS_DEFER,
	ACCESS_DEFER_IF_PERMIT,
	ACCESS_DEFER_IF_REJECT,
	ACCESS_CODE, /* "4nn text", "5nn text" */
	ACCESS_INFO,
	ACCESS_WARN,
	ACCESS_FILTER,
	ACCESS_HOLD,
	ACCESS_DISCARD,
	ACCESS_REDIRECT,
	ACCESS_BCC,
	ACCESS_PREPEND,
	ACCESS_LIST, /* restrictions by name: the whole value */
};
struct access_value {
	enum access_action action;
	struct span word; /* the action as written */
	struct span text; /* behind it, without blanks in front */
	unsigned code;	  /* ACCESS_CODE */
};
void access_value_parse(struct span value, struct access_value *out);

/* Splits "5.7.1 text" into its enhanced code (RFC 3463) and the rest; where
 * there is none dsn becomes fallback, and the text is whole. */
void access_split_dsn(struct span text, const char *fallback, char dsn[12],
    struct span *out_text);

#endif
