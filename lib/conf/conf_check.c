/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/conf/conf_impl.h"
#include "lib/map/text_file.h"

/* ---- the nearest known name -----------------------------------------------
 */

/* Edit distance with swaps of neighbours; more than `most` counts as most+1. */
static size_t
distance(const char *a, const char *b, size_t most)
{
	enum { NAME = 128 };
	const size_t n = strlen(a), m = strlen(b);
	size_t rows[3][NAME + 1];

	if (n > NAME || m > NAME || (n > m ? n - m : m - n) > most)
		return most + 1;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = rows[i % 3];
		const size_t *last = rows[(i + 2) % 3];
		const size_t *before = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);
			if (last[j] + 1 < d)
				d = last[j] + 1;
			if (now[j - 1] + 1 < d)
				d = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			now[j] = d;
		}
	}
	return rows[n % 3][m] <= most ? rows[n % 3][m] : most + 1;
}

const char *
conf_nearest(struct conf *c, const char *name)
{
	const char *best = NULL;
	size_t most = strlen(name) / 4 + 1;

	for (size_t i = 0; i < c->count; i++) {
		const struct conf_entry *entry = c->sorted[i];
		if (entry->row == NULL)
			continue;
		const size_t d = distance(name, entry->name, most);
		if (d <= most) {
			best = entry->name;
			if (d == 0)
				break;
			most = d - 1;
		}
	}
	return best;
}

/* ---- a user's own names ---------------------------------------------------
 */

struct reference {
	struct conf *c;
	const struct conf_entry *from; /* NULL: from master.cf */
	bool unknown;		       /* a plain $name of nothing */
	char name[64];
};

static void
note_reference(void *arg, struct span name, bool plain)
{
	struct reference *r = arg;
	struct conf_entry *entry = conf_entry_get(r->c, name);

	if (entry != NULL)
		entry->referred = true;
	else if (plain && !r->unknown &&
		 span_copy(name, r->name, sizeof(r->name)))
		r->unknown = true;
}

static void
note_words(struct conf *c, const char *list)
{
	struct span rest = span_str(list), word;

	while (span_token(&rest, ", \t", &word)) {
		struct conf_entry *entry = conf_entry_get(c, word);
		if (entry != NULL)
			entry->referred = true;
	}
}

/* Names that only master.cf's "-o x=$name" refer to are used, too. */
static void
note_master_cf(struct conf *c)
{
	struct reference r = { .c = c };
	struct buf text;
	char *path = mem_printf("%s/master.cf", c->dir);

	if (text_file_read(path, 1 << 20, &text, NULL, NULL) == 0) {
		struct span rest = buf_span(&text), line;
		while (span_token(&rest, "\n", &line))
			if (line.p[0] != '#')
				conf_refs(line, note_reference, &r);
	}
	buf_release(&text);
	mem_free(path);
}

/* Parameters that exist once for each transport of master.cf. */
static bool
is_per_transport(const char *name)
{
	static const char *const suffixes[] = {
		"_delivery_slot_cost",
		"_delivery_slot_discount",
		"_delivery_slot_loan",
		"_destination_concurrency_failed_cohort_limit",
		"_destination_concurrency_limit",
		"_destination_concurrency_negative_feedback",
		"_destination_concurrency_positive_feedback",
		"_destination_rate_delay",
		"_destination_recipient_limit",
		"_extra_recipient_limit",
		"_initial_destination_concurrency",
		"_minimum_delivery_slots",
		"_recipient_limit",
		"_recipient_refill_delay",
		"_recipient_refill_limit",
		"_time_limit",
		"_transport_rate_delay",
	};

	for (size_t i = 0; i < COUNT_OF(suffixes); i++)
		if (strlen(name) > strlen(suffixes[i]) &&
		    span_ends(span_str(name), span_str(suffixes[i])))
			return true;
	return false;
}

/* ---- the check ------------------------------------------------------------
 */

struct checker {
	struct conf *c;
	conf_report_fn report;
	void *arg;
	struct err *first;
	bool failed;
};

static void
fault(struct checker *k, const struct conf_entry *entry, struct err *e)
{
	conf_entry_wrap(entry, e);
	if (k->report != NULL)
		k->report(k->arg, e);
	if (!k->failed && k->first != NULL)
		*k->first = *e;
	k->failed = true;
}

static void
check_unknown(struct checker *k, const struct conf_entry *entry)
{
	const char *near = conf_nearest(k->c, entry->name);
	struct err e;

	if (entry->referred || is_per_transport(entry->name))
		return;
	if (near != NULL)
		err_set(&e, ERR_PERM, "4.3.5",
		    "unknown parameter \"%s\"; the nearest known is \"%s\"",
		    entry->name, near);
	else
		err_set(&e, ERR_PERM, "4.3.5", "unknown parameter \"%s\"",
		    entry->name);
	fault(k, entry, &e);
}

static void
check_value(struct checker *k, struct conf_entry *entry)
{
	union conf_parsed ignored;
	const char *text;
	struct buf out;
	struct err e;

	if (entry->row != NULL && entry->row->type == PARAM_T_RAW)
		return;
	buf_init(&out, LIMIT_CONFIG_LINE);
	if (conf_expand(k->c, conf_entry_text(k->c, entry), &out, &e) < 0) {
		fault(k, entry, &e);
	} else if (entry->row != NULL) {
		text = buf_cstr(&out);
		if (conf_parse(entry->row, text, &ignored, &e) < 0)
			fault(k, entry, &e);
	}
	buf_release(&out);
}

static void
check_references(struct checker *k, struct conf_entry *entry)
{
	struct reference r = { .c = k->c, .from = entry };
	struct err e;

	if (entry->row != NULL && entry->row->type == PARAM_T_RAW)
		return;
	conf_refs(span_str(conf_entry_text(k->c, entry)), note_reference, &r);
	if (!r.unknown || entry->raw == NULL)
		return;
	const char *near = conf_nearest(k->c, r.name);
	err_set(&e, ERR_PERM, "4.3.5",
	    "%s refers to the unknown parameter \"$%s\"%s%s", entry->name,
	    r.name, near != NULL ? "; the nearest known is $" : "",
	    near != NULL ? near : "");
	fault(k, entry, &e);
}

int
conf_check(struct conf *c, conf_report_fn report, void *arg, struct err *e)
{
	struct checker k = { .c = c, .report = report, .arg = arg, .first = e };
	const char *classes = conf_value(c, "smtpd_restriction_classes");

	if (classes != NULL)
		note_words(c, classes);
	note_master_cf(c);
	for (size_t i = 0; i < c->count; i++)
		check_references(&k, c->sorted[i]);
	for (size_t i = 0; i < c->count; i++) {
		if (c->sorted[i]->row == NULL)
			check_unknown(&k, c->sorted[i]);
		check_value(&k, c->sorted[i]);
	}
	return k.failed ? -1 : 0;
}

/* ---- filling structs ------------------------------------------------------
 */

static int
fill_row(struct conf *c, const struct param *row, void *out, struct err *e)
{
	struct conf_entry *entry = conf_entry_get(c, span_str(row->name));
	char *member = (char *)out + row->offset;
	union conf_parsed value;
	const char *text;

	if (conf_entry_value(c, entry, &text, e) < 0)
		return -1;
	if (conf_parse(row, text, &value, e) < 0)
		return conf_entry_wrap(entry, e);
	switch (row->type) {
	case PARAM_T_STR:
	case PARAM_T_RAW:
		memcpy(member, &text, sizeof(text));
		break;
	case PARAM_T_BOOL:
		memcpy(member, &value.yes, sizeof(value.yes));
		break;
	case PARAM_T_INT:
	case PARAM_T_TIME:
		memcpy(member, &value.number, sizeof(value.number));
		break;
	case PARAM_T_ENUM:
		memcpy(member, &value.word, sizeof(value.word));
		break;
	}
	return 0;
}

int
conf_fill(struct conf *c, const struct param *table, void *out, struct err *e)
{
	conf_add_params(c, table);
	for (const struct param *row = table; row->name != NULL; row++)
		if (fill_row(c, row, out, e) < 0)
			return -1;
	return 0;
}
