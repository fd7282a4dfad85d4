/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/screen_access.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map.h"

enum { ENTRIES_MAX = 32 };

struct entry {
	enum kind { MYNETWORKS, PERMIT, REJECT, TABLE } kind;
	struct map *table;
};

struct screen_access {
	struct entry entries[ENTRIES_MAX];
	size_t count;
};

static enum screen_access_result
ask_table(struct map *table, const char *addr, const struct log_ctx *log)
{
	enum screen_access_result result = SCREEN_ACCESS_NONE;
	struct buf value;
	struct err e;

	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (map_get(table, span_str(addr), &value, &e)) {
	case MAP_FOUND:
		if (span_ieq(buf_span(&value), SPAN("permit")))
			result = SCREEN_ACCESS_YES;
		else if (span_ieq(buf_span(&value), SPAN("reject")))
			result = SCREEN_ACCESS_NO;
		else if (!span_ieq(buf_span(&value), SPAN("dunno")))
			log_warning(log, "%s: unknown result: %s",
			    map_name(table), log_quote(buf_span(&value), 60));
		break;
	case MAP_FAILED:
		log_warning(log, "postscreen_access_list: %s", e.text);
		break;
	case MAP_ABSENT:
		break;
	}
	buf_release(&value);
	return result;
}

enum screen_access_result
screen_access_ask(const struct screen_access *l, const char *addr, bool trusted,
    const struct log_ctx *log)
{
	enum screen_access_result result = SCREEN_ACCESS_NONE;

	for (size_t i = 0; i < l->count && result == SCREEN_ACCESS_NONE; i++)
		switch (l->entries[i].kind) {
		case MYNETWORKS:
			if (trusted)
				result = SCREEN_ACCESS_YES;
			break;
		case PERMIT:
			return SCREEN_ACCESS_YES;
		case REJECT:
			return SCREEN_ACCESS_NO;
		case TABLE:
			result = ask_table(l->entries[i].table, addr, log);
			break;
		}
	return result;
}

static int
add(struct screen_access *l, struct span word, struct err *e)
{
	struct entry *a = &l->entries[l->count];
	char *spec;
	int ret = 0;

	if (l->count == ENTRIES_MAX)
		return err_set(e, ERR_PERM, "5.3.5", "too many entries");
	if (span_eq(word, SPAN("permit_mynetworks"))) {
		a->kind = MYNETWORKS;
	} else if (span_eq(word, SPAN("permit"))) {
		a->kind = PERMIT;
	} else if (span_eq(word, SPAN("reject"))) {
		a->kind = REJECT;
	} else {
		spec = span_dup(word);
		a->kind = TABLE;
		ret = map_open(spec, &a->table, e);
		mem_free(spec);
	}
	l->count++;
	return ret;
}

int
screen_access_open(
    const char *value, struct screen_access **out_list, struct err *e)
{
	struct screen_access *l = MEM_NEW(l);
	struct span rest = span_str(value), word;

	while (span_token(&rest, ", \t\r\n", &word))
		if (add(l, word, e) != 0)
			return -1; /* and the process ends */
	*out_list = l;
	return 0;
}
