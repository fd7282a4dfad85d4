/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/rules.h"

#include "lib/base/mem.h"
#include "lib/map/text_file.h"
#include "lib/os/log.h"

static void
rules_release(const struct rules_ops *ops, struct rule *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].pattern != NULL)
			ops->free_pattern(list[i].pattern);
		mem_free(list[i].result);
	}
	mem_free(list);
}

static bool
is_word(struct span row, struct span word)
{
	return span_istarts(row, word) &&
	       (row.n == word.n || row.p[word.n] == ' ' ||
		   row.p[word.n] == '\t' || row.p[word.n] == '!' ||
		   row.p[word.n] == '/');
}

static int
parse_rule(
    const struct rules_map *m, struct span row, struct rule *out, struct err *e)
{
	row = span_trim(row);
	if (is_word(row, SPAN("endif"))) {
		out->kind = RULE_ENDIF;
		return 0;
	}
	if (is_word(row, SPAN("if"))) {
		out->kind = RULE_IF;
		row = span_trim(span_skip(row, 2));
	}
	while (row.n > 0 && row.p[0] == '!') {
		out->negate = !out->negate;
		row = span_trim(span_skip(row, 1));
	}
	if (m->ops->parse(m, &row, out, e) < 0)
		return -1;
	out->result = span_dup(span_trim(row));
	return 0;
}

static void
parse_rules(struct rules_map *m, struct span text)
{
	struct rule *list = NULL;
	struct table_text t;
	struct span row;
	size_t count = 0;
	struct err e;

	table_text_init(&t, text);
	while (table_text_next(&t, &row)) {
		struct rule r = { .line = t.line };
		if (!buf_ok(&t.row) || span_chr(row, '\0') != SIZE_MAX ||
		    parse_rule(m, row, &r, &e) < 0) {
			log_warning(NULL, "%s, line %u: %s: ignoring this rule",
			    m->file.path, t.line,
			    buf_ok(&t.row) ? e.text : "too long");
			mem_free(r.result);
			continue;
		}
		list = mem_resize(list, count + 1, sizeof(*list));
		list[count++] = r;
	}
	table_text_release(&t);
	rules_release(m->ops, m->list, m->count);
	m->list = list;
	m->count = count;
}

static int
refresh(struct rules_map *m, struct err *e)
{
	struct buf text;
	struct stat st;

	if (!map_file_stale(&m->file))
		return 0;
	m->file.looked_ms = map_clock_ms();
	int rc = text_file_read(m->file.path, TEXT_FILE_MAX, &text, &st, e);
	if (rc == 0) {
		parse_rules(m, buf_span(&text));
		m->file.seen = st;
		m->file.loaded = true;
	} else if (m->file.loaded) {
		log_warning(NULL, "%s", e->text);
		rc = 0;
	}
	buf_release(&text);
	return rc;
}

static enum map_result
get(struct map *base, struct span key, struct buf *out, struct err *e)
{
	struct rules_map *m = (struct rules_map *)base;
	unsigned skipping = 0; /* depth of "if" inside one that is false */

	if (refresh(m, e) < 0)
		return MAP_FAILED;
	if (!m->ops->begin(m, key))
		return MAP_ABSENT;
	for (size_t i = 0; i < m->count; i++) {
		const struct rule *r = &m->list[i];
		if (r->kind == RULE_ENDIF) {
			if (skipping > 0)
				skipping--;
			continue;
		}
		if (skipping > 0) {
			skipping += r->kind == RULE_IF;
			continue;
		}
		const int hit = m->ops->match(m, r, key, e);
		if (hit < 0)
			return MAP_FAILED;
		if ((hit == 1) == r->negate) {
			skipping = r->kind == RULE_IF;
			continue;
		}
		if (r->kind == RULE_IF)
			continue;
		m->ops->result(m, r, key, out);
		map_found_at(base, m->file.path, r->line);
		return MAP_FOUND;
	}
	return MAP_ABSENT;
}

static void
release(struct map *base)
{
	struct rules_map *m = (struct rules_map *)base;

	rules_release(m->ops, m->list, m->count);
	mem_free(m->file.path);
	m->ops->free(m);
}

static const struct map_ops rules_map_ops = { get, NULL, release };

int
rules_open(struct rules_map *m, const struct rules_ops *ops, const char *path,
    struct map **out, struct err *e)
{
	m->base.ops = &rules_map_ops;
	m->ops = ops;
	m->file.path = mem_strdup(path);
	if (path[0] == '\0') {
		release(&m->base);
		return err_set(e, ERR_PERM, "4.3.5", "no file name");
	}
	*out = &m->base;
	return 0;
}
