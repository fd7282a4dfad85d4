/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_RULES_H
#define CHAPPE_MAP_RULES_H

/*
 * What cidr:, regexp: and pcre: tables share: a text file of rules tried in
 * order, "pattern result", "!pattern result", "if pattern" ... "endif". A
 * rule that can't be understood is logged with file and line and left out.
 */

#include "lib/map/map_impl.h"

struct rule {
	enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF } kind;
	bool negate;
	unsigned line;
	void *pattern; /* owned by the type */
	char *result;
};

struct rules_map;
struct rules_ops {
	/* Parses the pattern at the front of *row (behind "!" and "if") and
	 * takes it off. -1 with the reason. */
	int (*parse)(const struct rules_map *m, struct span *row,
	    struct rule *out, struct err *e);
	/* 1 matches, 0 not, -1 failed. */
	int (*match)(struct rules_map *m, const struct rule *r,
	    struct span key, struct err *e);
	/* Appends the result of the rule that matched last. */
	void (*result)(struct rules_map *m, const struct rule *r,
	    struct span key, struct buf *out);
	/* Looks at the key once before the rules; false: nothing matches. */
	bool (*begin)(struct rules_map *m, struct span key);
	void (*free_pattern)(void *pattern);
	void (*free)(struct rules_map *m);
};

/* The first member of the type's struct. */
struct rules_map {
	struct map base;
	const struct rules_ops *ops;
	struct map_file file;
	struct rule *list;
	size_t count;
};

int rules_open(struct rules_map *m, const struct rules_ops *ops,
    const char *path, struct map **out, struct err *e);

#endif
