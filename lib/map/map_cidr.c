/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/rules.h"

#include "lib/base/mem.h"
#include "lib/map/cidr.h"

struct cidr_map {
	struct rules_map rules;
	struct cidr host; /* the key of this look-up */
};

static int
parse(const struct rules_map *m, struct span *row, struct rule *out,
    struct err *e)
{
	struct cidr net;
	const char *why;
	size_t n = 0;

	(void)m;
	while (n < row->n && row->p[n] != ' ' && row->p[n] != '\t')
		n++;
	if (!cidr_parse(span_slice(*row, 0, n), &net, &why))
		return err_set(e, ERR_PERM, "4.3.5", "bad net \"%.*s\"%s%s",
		    SPAN_FMT(span_slice(*row, 0, n < 60 ? n : 60)),
		    why != NULL ? ": " : "", why != NULL ? why : "");
	struct cidr *pattern = MEM_NEW(pattern);
	*pattern = net;
	out->pattern = pattern;
	*row = span_skip(*row, n);
	return 0;
}

static bool
begin(struct rules_map *m, struct span key)
{
	struct cidr *host = &((struct cidr_map *)m)->host;

	return cidr_parse(key, host, NULL);
}

static int
match(struct rules_map *m, const struct rule *r, struct span key, struct err *e)
{
	(void)key;
	(void)e;
	return cidr_contains(r->pattern, &((struct cidr_map *)m)->host);
}

static void
result(
    struct rules_map *m, const struct rule *r, struct span key, struct buf *out)
{
	(void)m;
	(void)key;
	buf_str(out, r->result);
}

static void
release(struct rules_map *m)
{
	mem_free(m);
}

static const struct rules_ops cidr_ops = { parse, match, result, begin,
	mem_free, release };

int
map_open_cidr(
    const char *type, const char *name, struct map **out, struct err *e)
{
	struct cidr_map *m = MEM_NEW(m);

	(void)type;
	return rules_open(&m->rules, &cidr_ops, name, out, e);
}
