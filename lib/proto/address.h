/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_ADDRESS_H
#define CHAPPE_PROTO_ADDRESS_H

/*
 * Mail addresses: one mailbox as in an envelope (RFC 5321 4.1.2), and lists
 * as in headers (RFC 5322 3.4), alias tables, .forward files and on the
 * command line of sendmail.
 *
 * Inside the suite an address travels as text in one canonical form: the
 * local part quoted only where it must be, "@", the domain as written. That
 * is what address_print makes and address_parse reads. A struct address has
 * the local part without quotes: the name that is looked up.
 */

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/span.h"

struct address {
	struct span local;  /* unquoted; any byte but CR, LF and NUL */
	struct span domain; /* empty: no "@"; with brackets for a literal */
};

/* Parses one mailbox without angle brackets, comments or space outside
 * quotes: "local", "local@domain", a quoted local part, an address literal.
 * Dots may stand anywhere in an unquoted local part (some live mailboxes
 * have them twice or last). Bytes above 127 must be UTF-8. One dot after the
 * domain is dropped. out's spans live in the arena. False for anything else,
 * for more than LIMIT_ADDRESS bytes, and for the empty text. */
bool address_parse(struct span text, struct arena *a, struct address *out);

/* The same without unquoting, so that nothing is stored: the local part as
 * written and the domain (empty if none), within text. */
bool address_scan(
    struct span text, struct span *out_local, struct span *out_domain);

/* Appends the canonical form. An address without local part and domain (the
 * null sender) appends nothing. */
void address_print(const struct address *addr, struct buf *out);

/* Appends the local part, quoted if RFC 5321 4.1.2 does not allow it bare. */
void address_quote_local(struct span local, struct buf *out);

/* The domain (local part, still quoted) of an address in canonical form;
 * an empty domain when there is none. */
struct span address_domain_of(struct span text);
struct span address_local_of(struct span text);

/* A host or domain name: labels of letters, digits, hyphens, underscores and
 * UTF-8, none longer than 63 or at its ends a hyphen, LIMIT_DOMAIN in all,
 * not only digits and dots, no dot at the end. */
bool domain_valid(struct span domain);

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3). */
bool domain_literal_valid(struct span domain);

/* ---- lists ---- */

enum address_kind {
	ADDRESS_MAILBOX,     /* addr, and name if there is one */
	ADDRESS_NULL,	     /* "<>" */
	ADDRESS_GROUP_START, /* "name:" */
	ADDRESS_GROUP_END,   /* ";" */
	ADDRESS_INCLUDE,     /* ":include:name" (alias lists): raw has it */
	ADDRESS_BAD,	     /* something else; raw has it */
};

struct address_item {
	enum address_kind kind;
	struct span name;    /* display or group name, unquoted; else empty */
	struct address addr; /* domain not checked; empty when not written */
	struct span route;   /* obsolete source route, "@a,@b"; else empty */
	struct span raw;     /* the item's text in the list, trimmed */
};

/* How lists are read. */
enum address_list_kind {
	ADDRESS_LIST_HEADER,
	ADDRESS_LIST_ALIASES, /* knows :include: */
};

struct address_list {
	enum address_list_kind kind;
	struct span rest;
	struct buf word, name, local, domain, comment, route;
	bool in_group, end_pending;
};

/* Begins to read a list, folded or not; text must live until the release. */
void address_list_init(
    struct address_list *l, enum address_list_kind kind, struct span text);

/* The next item; false at the end. Empty items ("a,,b") are passed over. A
 * comment behind an address without display name becomes its name. Spans of
 * out but raw live until the next call. Work and memory are linear in the
 * text, whatever it holds; a part of more than 8192 bytes makes its item
 * ADDRESS_BAD. A backslash outside quotes quotes the next byte, so "\user"
 * is "user" (look at raw to tell them apart). */
bool address_list_next(struct address_list *l, struct address_item *out);

/* Frees what the reading took. Idempotent. */
void address_list_release(struct address_list *l);

#endif
