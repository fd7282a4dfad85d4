/* SPDX-License-Identifier: GPL-3.0-or-later */
/* regexp: and pcre: tables, both by PCRE2, so that both have match limits;
 * they differ in their flags. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/map/rules.h"

#include <pcre2.h>
#include <string.h>

#include "lib/base/mem.h"

enum {
	MATCH_LIMIT = 1000000,
	DEPTH_LIMIT = 2000,
	HEAP_LIMIT_KB = 20000,
	GROUPS_MAX = 100
};

struct pattern_map {
	struct rules_map rules;
	bool pcre;
	pcre2_match_data *found;
	pcre2_match_context *limits;
};

/* Flags toggle: "i" stands for ignoring case, which is on without it. */
static bool
add_flag(bool pcre, uint8_t flag, uint32_t *options)
{
	switch (flag) {
	case 'i':
		*options ^= PCRE2_CASELESS;
		return true;
	case 'm':
		*options ^= PCRE2_MULTILINE;
		return true;
	case 's':
		*options ^= PCRE2_DOTALL;
		return pcre;
	case 'x':
		/* regexp: basic syntax, which is accepted as extended. */
		if (pcre)
			*options ^= PCRE2_EXTENDED;
		return pcre;
	case 'A':
		*options ^= PCRE2_ANCHORED;
		return pcre;
	case 'E':
		*options ^= PCRE2_DOLLAR_ENDONLY;
		return pcre;
	case 'U':
		*options ^= PCRE2_UNGREEDY;
		return pcre;
	case 'X':
		return pcre;
	default:
		return false;
	}
}

/* Takes "/pattern/flags" off the front of *row. */
static int
take_pattern(bool pcre, struct span *row, struct span *out, uint32_t *options,
    struct err *e)
{
	const struct span s = *row;
	size_t i = 1;

	if (s.n < 2 || ascii_alpha(s.p[0]) || ascii_digit(s.p[0]) ||
	    s.p[0] == '\\')
		return err_set(
		    e, ERR_PERM, "4.3.5", "expected /pattern/flags result");
	while (i < s.n && s.p[i] != s.p[0])
		i += s.p[i] == '\\' ? 2 : 1;
	if (i >= s.n)
		return err_set(e, ERR_PERM, "4.3.5",
		    "no closing \"%c\" of the pattern", s.p[0]);
	*out = span_slice(s, 1, i);
	for (i++; i < s.n && s.p[i] != ' ' && s.p[i] != '\t'; i++)
		if (!add_flag(pcre, s.p[i], options))
			return err_set(e, ERR_PERM, "4.3.5",
			    "unknown flag \"%c\" of the pattern", s.p[i]);
	*row = span_skip(s, i);
	return 0;
}

static int
parse(const struct rules_map *rules, struct span *row, struct rule *out,
    struct err *e)
{
	const bool pcre = ((const struct pattern_map *)rules)->pcre;
	uint32_t options = PCRE2_CASELESS;
	struct span text;
	PCRE2_SIZE at;
	int code;

	if (pcre)
		options |= PCRE2_DOTALL;
	if (take_pattern(pcre, row, &text, &options, e) < 0)
		return -1;
	out->pattern = pcre2_compile(text.p, text.n, options, &code, &at, NULL);
	if (out->pattern != NULL)
		return 0;
	PCRE2_UCHAR why[120];
	pcre2_get_error_message(code, why, sizeof(why));
	return err_set(e, ERR_PERM, "4.3.5", "pattern, byte %zu: %s",
	    (size_t)at, (const char *)why);
}

static bool
begin(struct rules_map *m, struct span key)
{
	(void)m;
	(void)key;
	return true;
}

static int
match(struct rules_map *rules, const struct rule *r, struct span key,
    struct err *e)
{
	struct pattern_map *m = (struct pattern_map *)rules;
	static const uint8_t nothing[1] = { 0 };

	const int rc = pcre2_match(r->pattern, key.n > 0 ? key.p : nothing,
	    key.n, 0, 0, m->found, m->limits);
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc >= 0)
		return 1;
	PCRE2_UCHAR why[120];
	pcre2_get_error_message(rc, why, sizeof(why));
	return err_set(e, ERR_TEMP, "4.3.0", "%s, line %u: %s",
	    rules->file.path, r->line, (const char *)why);
}

/* Appends what group n matched; a group that is not there is empty. */
static void
add_group(struct pattern_map *m, struct span key, uint64_t n, struct buf *out)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->found);

	if (n >= pcre2_get_ovector_count(m->found) ||
	    at[2 * n] == PCRE2_UNSET || at[2 * n] > at[2 * n + 1])
		return;
	buf_add(out, span_slice(key, at[2 * n], at[2 * n + 1]));
}

/* Takes "1", "{1}" or "(1)" off the front of *s. */
static bool
take_group(struct span *s, uint64_t *out)
{
	size_t from = 0, to;

	if (s->n > 0 && (s->p[0] == '{' || s->p[0] == '('))
		from = 1;
	for (to = from; to < s->n && ascii_digit(s->p[to]); to++)
		continue;
	if (!span_u64(span_slice(*s, from, to), GROUPS_MAX, out))
		return false;
	if (from == 1 &&
	    (to == s->n || s->p[to] != (s->p[0] == '{' ? '}' : ')')))
		return false;
	*s = span_skip(*s, to + from);
	return true;
}

static void
result(struct rules_map *rules, const struct rule *r, struct span key,
    struct buf *out)
{
	struct pattern_map *m = (struct pattern_map *)rules;
	struct span s = span_str(r->result);
	uint64_t group;

	for (;;) {
		const size_t dollar = span_chr(s, '$');
		buf_add(out, span_slice(s, 0, dollar));
		if (dollar == SIZE_MAX)
			return;
		s = span_skip(s, dollar + 1);
		if (s.n > 0 && s.p[0] == '$') {
			buf_byte(out, '$');
			s = span_skip(s, 1);
		} else if (!take_group(&s, &group)) {
			buf_byte(out, '$');
		} else if (!r->negate) {
			/* A pattern that did not match has no groups. */
			add_group(m, key, group, out);
		}
	}
}

static void
free_pattern(void *pattern)
{
	pcre2_code_free(pattern);
}

static void
release(struct rules_map *rules)
{
	struct pattern_map *m = (struct pattern_map *)rules;

	pcre2_match_data_free(m->found);
	pcre2_match_context_free(m->limits);
	mem_free(m);
}

static const struct rules_ops pattern_ops = { parse, match, result, begin,
	free_pattern, release };

int
map_open_pattern(
    const char *type, const char *name, struct map **out, struct err *e)
{
	struct pattern_map *m = MEM_NEW(m);

	m->pcre = strcmp(type, "pcre") == 0;
	m->found = pcre2_match_data_create(GROUPS_MAX, NULL);
	m->limits = pcre2_match_context_create(NULL);
	BUG_ON(m->found == NULL || m->limits == NULL);
	pcre2_set_match_limit(m->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(m->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KB);
	return rules_open(&m->rules, &pattern_ops, name, out, e);
}
