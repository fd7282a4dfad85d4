/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/cidr.h"
#include "lib/map/map_impl.h"
#include "lib/map/text_file.h"

struct pattern {
	enum pattern_kind {
		PATTERN_WORD,	   /* folded to lower case */
		PATTERN_SUBDOMAIN, /* ".domain" */
		PATTERN_NET,
		PATTERN_TABLE,
	} kind;
	bool negate;
	char *word;
	struct cidr net;
	struct map *table;
};

struct match_list {
	struct pattern *list;
	size_t count;
};

enum { FILE_DEPTH = 5, LIST_FILE_MAX = 16 << 20 };

static int add_words(struct match_list *l, struct span text, bool negate,
    unsigned depth, struct err *e);

/* ---- opening --------------------------------------------------------------
 */

static char *
fold(struct span s)
{
	char *copy = span_dup(s);

	for (size_t i = 0; i < s.n; i++)
		copy[i] = (char)ascii_lower((uint8_t)copy[i]);
	return copy;
}

static int
add_file(struct match_list *l, struct span name, bool negate, unsigned depth,
    struct err *e)
{
	struct table_text rows;
	struct buf text;
	struct span row;
	char *path = span_dup(name);

	int rc = depth >= FILE_DEPTH ? err_set(e, ERR_PERM, "4.3.5",
					   "%s: files within files", path)
				     : 0;
	if (rc < 0) {
		mem_free(path);
		return rc;
	}
	rc = text_file_read(path, LIST_FILE_MAX, &text, NULL, e);
	table_text_init(&rows, buf_span(&text));
	while (rc == 0 && table_text_next(&rows, &row)) {
		rc = add_words(l, row, negate, depth + 1, e);
		if (rc < 0)
			err_wrap(e, "%s: line %u", path, rows.line);
	}
	table_text_release(&rows);
	buf_release(&text);
	mem_free(path);
	return rc;
}

static int
add_word(struct match_list *l, struct span word, bool negate, unsigned depth,
    struct err *e)
{
	struct pattern p = { .kind = PATTERN_WORD };
	const char *why;

	while (word.n > 0 && word.p[0] == '!') {
		negate = !negate;
		word = span_skip(word, 1);
	}
	if (word.n == 0)
		return err_set(e, ERR_PERM, "4.3.5", "\"!\" before nothing");
	if (word.p[0] == '/')
		return add_file(l, word, negate, depth, e);
	p.negate = negate;
	const size_t colon = span_chr(word, ':');
	if (colon != SIZE_MAX && map_type_known(span_slice(word, 0, colon))) {
		char *spec = span_dup(word);
		p.kind = PATTERN_TABLE;
		const int rc = map_open(spec, &p.table, e);
		mem_free(spec);
		if (rc < 0)
			return rc;
	} else if (cidr_parse(word, &p.net, &why)) {
		p.kind = PATTERN_NET;
	} else if (why != NULL) {
		return err_set(e, ERR_PERM, "4.3.5", "\"%.*s\": %s",
		    SPAN_FMT(span_slice(word, 0, 60)), why);
	} else if (word.p[0] == '.') {
		p.kind = PATTERN_SUBDOMAIN;
	}
	p.word = fold(word);
	l->list = mem_resize(l->list, l->count + 1, sizeof(*l->list));
	l->list[l->count++] = p;
	return 0;
}

static int
add_words(struct match_list *l, struct span text, bool negate, unsigned depth,
    struct err *e)
{
	struct span word;

	while (span_token(&text, ", \t\r\n", &word))
		if (add_word(l, word, negate, depth, e) < 0)
			return -1;
	return 0;
}

int
match_list_open(const char *list, struct match_list **out, struct err *e)
{
	struct match_list *l = MEM_NEW(l);

	if (add_words(l, span_str(list), false, 0, e) < 0) {
		match_list_free(&l);
		return -1;
	}
	*out = l;
	return 0;
}

void
match_list_free(struct match_list **l)
{
	if (*l == NULL)
		return;
	for (size_t i = 0; i < (*l)->count; i++) {
		mem_free((*l)->list[i].word);
		map_free(&(*l)->list[i].table);
	}
	mem_free((*l)->list);
	mem_free(*l);
	*l = NULL;
}

/* ---- matching -------------------------------------------------------------
 */

/* The key is in lower case. */
static int
ask_table(struct map *table, struct span key, struct err *e)
{
	struct buf ignored;

	buf_init(&ignored, LIMIT_TABLE_VALUE);
	const enum map_result r = map_get(table, key, &ignored, e);
	buf_release(&ignored);
	switch (r) {
	case MAP_FOUND:
		return 1;
	case MAP_ABSENT:
		return 0;
	case MAP_FAILED:
		return -1;
	}
	return -1;
}

/* The part of a domain behind its first dot, or nothing. */
static struct span
parent(struct span domain)
{
	const size_t dot = span_chr(domain, '.');

	return dot == SIZE_MAX ? SPAN_EMPTY : span_skip(domain, dot + 1);
}

static int
find_in_table(struct map *table, struct span domain, bool tree, struct err *e)
{
	char *folded = fold(domain);
	struct span key = span_of(folded, domain.n);
	int rc;

	do {
		rc = ask_table(table, key, e);
		key = parent(key);
	} while (tree && rc == 0 && key.n > 0);
	mem_free(folded);
	return rc;
}

static int
match_domain(
    const struct pattern *p, struct span domain, bool tree, struct err *e)
{
	const struct span word = span_str(p->word);

	switch (p->kind) {
	case PATTERN_WORD:
		return span_ieq(domain, word) ||
		       (tree && domain.n > word.n && span_iends(domain, word) &&
			   domain.p[domain.n - word.n - 1] == '.');
	case PATTERN_SUBDOMAIN:
		return domain.n > word.n && span_iends(domain, word);
	case PATTERN_NET:
		return span_ieq(domain, word);
	case PATTERN_TABLE:
		return find_in_table(p->table, domain, tree, e);
	}
	return 0;
}

static int
find_domain(struct match_list *l, struct span domain, bool tree, struct err *e)
{
	for (size_t i = 0; i < l->count; i++) {
		const int rc = match_domain(&l->list[i], domain, tree, e);
		if (rc != 0)
			return rc == 1 && l->list[i].negate ? 0 : rc;
	}
	return 0;
}

int
match_list_domain(struct match_list *l, struct span domain, struct err *e)
{
	return find_domain(l, domain, false, e);
}

int
match_list_domain_tree(struct match_list *l, struct span domain, struct err *e)
{
	return find_domain(l, domain, true, e);
}

static int
match_address(const struct pattern *p, const struct cidr *host, const char *ip,
    struct err *e)
{
	switch (p->kind) {
	case PATTERN_WORD:
	case PATTERN_SUBDOMAIN:
		return 0;
	case PATTERN_NET:
		return cidr_contains(&p->net, host);
	case PATTERN_TABLE:
		return ask_table(p->table, span_str(ip), e);
	}
	return 0;
}

int
match_list_address(struct match_list *l, const char *ip, struct err *e)
{
	struct cidr host;

	if (l->count == 0 || !cidr_parse(span_str(ip), &host, NULL))
		return 0;
	for (size_t i = 0; i < l->count; i++) {
		const int rc = match_address(&l->list[i], &host, ip, e);
		if (rc != 0)
			return rc == 1 && l->list[i].negate ? 0 : rc;
	}
	return 0;
}
