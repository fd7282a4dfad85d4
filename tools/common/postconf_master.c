/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/postconf.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"
#include "lib/map/map.h"
#include "lib/map/text_file.h"
#include "tools/common/tool.h"

enum { MASTER_CF_MAX = 1 << 20, COLUMNS = 8, ARENA_MAX = 16 << 20 };

/* A row as it is written: seven columns and the command. */
struct row {
	struct span column[COLUMNS];
	struct span rest; /* the command's arguments */
	const struct master_service *service;
};

static void
split_row(struct span text, struct row *out)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t n = 0;
		text = span_trim(text);
		while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
			n++;
		out->column[i] = span_slice(text, 0, n);
		text = span_skip(text, n);
	}
	out->rest = span_trim(text);
}

/* Takes the next component of "service/type/name"; "*" or none: any. */
static bool
component_matches(struct span *pattern, struct span text)
{
	const size_t slash = span_chr(*pattern, '/');
	const struct span first = span_slice(*pattern, 0, slash);

	*pattern =
	    slash == SIZE_MAX ? SPAN_EMPTY : span_skip(*pattern, slash + 1);
	return first.n == 0 || span_eq(first, SPAN("*")) ||
	       span_eq(first, text);
}

static bool
chosen(char *const *args, const struct row *row, struct span name)
{
	if (args[0] == NULL)
		return true;
	for (; *args != NULL; args++) {
		struct span pattern = span_str(*args);
		if (component_matches(&pattern, row->column[0]) &&
		    component_matches(&pattern, row->column[1]) &&
		    (name.n == 0 || component_matches(&pattern, name)))
			return true;
	}
	return false;
}

/* ---- -M -------------------------------------------------------------------
 */

static void
print_arguments(const struct postconf *p, struct span rest)
{
	while (rest.n > 0) {
		size_t n = 0;
		unsigned level = 0;
		for (; n < rest.n; n++) {
			if (rest.p[n] == '{')
				level++;
			else if (rest.p[n] == '}' && level > 0)
				level--;
			else if (level == 0 &&
				 (rest.p[n] == ' ' || rest.p[n] == '\t'))
				break;
		}
		const struct span word = span_slice(rest, 0, n);
		rest = span_trim(span_skip(rest, n));
		const bool option = word.n > 1 && word.p[0] == '-';
		printf("%s%.*s", p->fold && option ? "\n    " : " ",
		    SPAN_FMT(word));
	}
}

static void
print_service(const struct postconf *p, const struct row *row)
{
	static const size_t at[COLUMNS] = { 0, 11, 17, 25, 33, 41, 49, 57 };
	size_t column = 0;

	for (size_t i = 0; i < COLUMNS; i++) {
		do {
			if (i > 0)
				putchar(' '), column++;
		} while (column < at[i]);
		printf("%.*s", SPAN_FMT(row->column[i]));
		column += row->column[i].n;
	}
	print_arguments(p, row->rest);
	putchar('\n');
}

/* ---- -F, -P ---------------------------------------------------------------
 */

static void
print_named(const struct postconf *p, const struct row *row, struct span name,
    struct span value)
{
	char *full = mem_printf("%.*s/%.*s/%.*s", SPAN_FMT(row->column[0]),
	    SPAN_FMT(row->column[1]), SPAN_FMT(name));
	char *text = span_dup(value);

	postconf_print(p, full, text);
	mem_free(full);
	mem_free(text);
}

static void
print_fields(const struct postconf *p, const struct row *row, char *const *args)
{
	static const char *const names[COLUMNS] = { "service", "type",
		"private", "unprivileged", "chroot", "wakeup", "process_limit",
		"command" };

	for (size_t i = 0; i < COLUMNS; i++) {
		struct span value = row->column[i];
		if (i == COLUMNS - 1 && row->rest.n > 0)
			value = span_of(value.p,
			    (size_t)(row->rest.p + row->rest.n - value.p));
		if (chosen(args, row, span_str(names[i])))
			print_named(p, row, span_str(names[i]), value);
	}
}

static void
print_params(const struct postconf *p, const struct row *row, char *const *args)
{
	for (const char **o = row->service->overrides; *o != NULL; o++) {
		const struct span text = span_str(*o);
		const size_t equals = span_chr(text, '=');
		const struct span name = span_slice(text, 0, equals);
		if (chosen(args, row, name))
			print_named(p, row, name, span_skip(text, equals + 1));
	}
}

/* ---- the file -------------------------------------------------------------
 */

void
postconf_print_master(
    const struct postconf *p, enum postconf_master what, char *const *args)
{
	char *path = mem_printf("%s/master.cf", p->dir);
	struct master_service *services = NULL;
	struct table_text rows;
	struct arena a;
	struct span text;
	struct buf file;
	struct row row;
	struct err e;

	arena_init(&a, ARENA_MAX);
	if (text_file_read(path, MASTER_CF_MAX, &file, NULL, &e) < 0 ||
	    master_cf_parse(path, buf_span(&file), &a, &services, &e) < 0)
		tool_fatal("%s", e.text);
	table_text_init(&rows, buf_span(&file));
	row.service = services;
	for (; table_text_next(&rows, &text); row.service = row.service->next) {
		split_row(text, &row);
		if (what == POSTCONF_FIELDS)
			print_fields(p, &row, args);
		else if (what == POSTCONF_PARAMS)
			print_params(p, &row, args);
		else if (chosen(args, &row, SPAN_EMPTY))
			print_service(p, &row);
	}
	table_text_release(&rows);
	buf_release(&file);
	arena_reset(&a);
	mem_free(path);
}
