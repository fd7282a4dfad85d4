/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_MAP_H
#define CHAPPE_MAP_MAP_H

/*
 * Lookup tables behind one interface: "type:name". hash: (also spelt btree:,
 * lmdb:, dbm:, cdb:, gdbm:) is the GDBM file NAME.gdbm beside its text NAME;
 * texthash: reads the text itself; static:, inline:{k=v, ...}, cidr:,
 * regexp:, pcre:, fail:, unix:passwd.byname too. A changed table is noticed
 * without a reload, at the next look-up (inode, size and time are compared).
 * When the text is newer than its index, the log says so once. Tables that
 * may block or that the process can't read belong to a lookup process.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum map_result { MAP_FOUND, MAP_ABSENT, MAP_FAILED };

struct map;
/* Opens one table. An index that is not there yet is not an error here but
 * MAP_FAILED at look-up, so that a daemon starts. */
int map_open(const char *spec, struct map **out, struct err *e);
void map_free(struct map **m);
/* Key is looked up as it is (callers fold case where the table's use says
 * so). out (reset first) gets the value. */
enum map_result map_get(struct map *m, struct span key, struct buf *out,
    struct err *e);
const char *map_name(const struct map *m); /* "hash:/etc/aliases" */
/* Are its keys patterns (regexp:, pcre:, cidr:), so that asking for parts of
 * a name makes no sense, and the case of a key matters to them only? */
bool map_is_pattern(const struct map *m);
/* Where the entry of the last MAP_FOUND stands: "FILE:LINE" or the name. */
const char *map_where(const struct map *m);

/* Calls fn for each entry of an index or texthash table, in no order; other
 * types can't be listed and are an error. The spans live during the call. */
typedef void (*map_each_fn)(void *arg, struct span key, struct span value,
    unsigned line);
int map_each(struct map *m, map_each_fn fn, void *arg, struct err *e);

/* A list of tables "hash:/a, pcre:/b" asked in order; first found wins; a
 * failure ends the search. */
struct maps;
/* Cuts the next "type:name" off such a list; false at its end. */
bool maps_next(struct span *list, struct span *out);
int maps_open(const char *list, struct maps **out, struct err *e);
void maps_free(struct maps **m);
enum map_result maps_get(struct maps *m, struct span key, struct buf *out,
    struct err *e);
const char *maps_where(const struct maps *m);
bool maps_empty(const struct maps *m);
/* Looks an address up as Postfix does (virtual(5), access-like order):
 * user+ext@domain, user@domain, user+ext, user (when the domain is one of
 * ours, told by local), @domain. Keys are folded to lower case. */
enum map_result maps_get_address(struct maps *m, struct span address,
    const char *delimiter, bool local, struct buf *out, struct err *e);

/* Where the extension of a local part begins: the index of the first byte,
 * but not at 0, that is one of delimiter's; SIZE_MAX for none. Names that
 * are never split: postmaster, mailer-daemon, double-bounce and, with "-",
 * owner-... and ...-request. */
size_t map_split_extension(struct span local, const char *delimiter);

/* mynetworks, mydestination and the like: words, networks "10.0.0.0/8",
 * "!pattern", "/file", "type:table"; ".domain" for subdomains. */
struct match_list;
int match_list_open(const char *list, struct match_list **out, struct err *e);
void match_list_free(struct match_list **l);
/* 1 matches, 0 not, -1 a table failed. */
int match_list_domain(struct match_list *l, struct span domain,
    struct err *e);
/* The same, where a plain word also stands for its subdomains (relay_domains
 * and others of Postfix's parent_domain_matches_subdomains). */
int match_list_domain_tree(struct match_list *l, struct span domain,
    struct err *e);
int match_list_address(struct match_list *l, const char *ip, struct err *e);
/* domain or ip literal against the same list (inet_interfaces also match
 * "[ip]" domains: callers see to that). */

/* Builds an index from rows: begin, add, commit (written beside, synced,
 * renamed into place), for postmap, postalias and newaliases. */
struct map_builder;
int map_builder_begin(const char *spec, mode_t mode, struct map_builder **out,
    struct err *e);
/* line: where the row stands in the text, 0 if unknown. duplicate: true when
 * the key stood there already (then nothing changes unless replace). */
int map_builder_add(struct map_builder *b, struct span key, struct span value,
    unsigned line, bool replace, bool *out_duplicate, struct err *e);
int map_builder_commit(struct map_builder **b, struct err *e);
void map_builder_abort(struct map_builder **b);

/* Splits the text form of tables, aliases(5), main.cf and master.cf into
 * rows: blank lines and comments ("#" as the first visible byte) are skipped,
 * a line that begins with white space continues the last one (joined as it
 * is, white space included). A row longer than LIMIT_TABLE_ROW leaves
 * row.spilt set: callers ask buf_ok(&t->row). The row lives until the next
 * call. */
struct table_text {
	struct span rest;
	unsigned line; /* where the row last returned begins */
	unsigned next_line;
	struct buf row;
};
void table_text_init(struct table_text *t, struct span text);
bool table_text_next(struct table_text *t, struct span *out_row);
void table_text_release(struct table_text *t);
/* Splits such a row into its first word and the rest, trimmed. False when
 * one of them is missing. */
bool map_text_split(struct span row, struct span *out_key,
    struct span *out_value);

#endif
