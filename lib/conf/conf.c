/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/conf/conf_impl.h"
#include "lib/map/map.h"
#include "lib/map/text_file.h"

enum { CONF_FILE_MAX = 4 << 20 };

/* ---- entries --------------------------------------------------------------
 */

struct conf_entry *
conf_entry_get(const struct conf *c, struct span name)
{
	return table_get(&c->entries, name);
}

/* The place of a name in the sorted array: its own, or where it would go. */
static size_t
sorted_place(const struct conf *c, const char *name)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(c->sorted[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct conf_entry *
entry_make(struct conf *c, struct span name)
{
	struct conf_entry *entry = conf_entry_get(c, name);

	if (entry != NULL)
		return entry;
	entry = MEM_NEW(entry);
	entry->name = span_dup(name);
	table_put(&c->entries, name, entry);
	if (c->count == c->cap) {
		c->cap = c->cap == 0 ? 256 : c->cap * 2;
		c->sorted = mem_resize(c->sorted, c->cap, sizeof(*c->sorted));
	}
	size_t at = sorted_place(c, entry->name);
	memmove(&c->sorted[at + 1], &c->sorted[at],
	    (c->count - at) * sizeof(*c->sorted));
	c->sorted[at] = entry;
	c->count++;
	return entry;
}

static void
forget_expanded(struct conf *c)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->sorted[i]->expanded == NULL)
			continue;
		/* Somebody may hold it: values live as long as c. */
		c->retired = mem_resize(c->retired, c->retired_count + 1,
		    sizeof(*c->retired));
		c->retired[c->retired_count++] = c->sorted[i]->expanded;
		c->sorted[i]->expanded = NULL;
	}
}

static void
entry_set(struct conf *c, struct span name, struct span value, const char *file,
    unsigned line)
{
	struct conf_entry *entry = entry_make(c, name);

	mem_free(entry->raw);
	entry->raw = span_dup(value);
	entry->file = file;
	entry->line = line;
}

int
conf_entry_wrap(const struct conf_entry *entry, struct err *e)
{
	if (entry->raw == NULL)
		return err_wrap(e, "default of %s", entry->name);
	if (entry->line == 0)
		return err_wrap(e, "%s", entry->file);
	return err_wrap(e, "%s: line %u", entry->file, entry->line);
}

const char *
conf_entry_text(struct conf *c, struct conf_entry *entry)
{
	if (entry->raw != NULL)
		return entry->raw;
	if (entry->row != NULL && entry->row->def != NULL)
		return entry->row->def;
	if (entry->computed == NULL)
		entry->computed = conf_computed_default(c, entry->name);
	return entry->computed;
}

/* ---- reading --------------------------------------------------------------
 */

static bool
name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t ch = name.p[i];
		if (!ascii_alpha(ch) && !ascii_digit(ch) && ch != '_' &&
		    ch != '-' && ch != '.')
			return false;
	}
	return name.n > 0 && name.n < 200;
}

static int
set_from_text(struct conf *c, struct span row, const char *file, unsigned line,
    struct err *e)
{
	size_t equals = span_chr(row, '=');

	if (span_chr(row, '\0') != SIZE_MAX)
		return err_set(e, ERR_PERM, "4.3.5", "a NUL byte in the line");
	if (equals == SIZE_MAX)
		return err_set(e, ERR_PERM, "4.3.5",
		    "missing '=' after parameter name: \"%.*s\"",
		    SPAN_FMT(span_slice(span_trim(row), 0, 60)));
	struct span name = span_trim(span_slice(row, 0, equals));
	if (!name_ok(name))
		return err_set(e, ERR_PERM, "4.3.5",
		    "bad parameter name: \"%.*s\"",
		    SPAN_FMT(span_slice(name, 0, 60)));
	entry_set(c, name, span_trim(span_skip(row, equals + 1)), file, line);
	return 0;
}

/* Keeps the name of a file as long as the conf lives. */
static const char *
keep_name(struct conf *c, const char *name)
{
	c->files = mem_resize(c->files, c->file_count + 1, sizeof(*c->files));
	c->files[c->file_count] = mem_strdup(name);
	return c->files[c->file_count++];
}

int
conf_read(struct conf *c, const char *name, struct span text, struct err *e)
{
	const char *file = keep_name(c, name);
	struct table_text rows;
	struct span row;
	int rc = 0;

	table_text_init(&rows, text);
	while (rc == 0 && table_text_next(&rows, &row)) {
		if (row.p[0] == ' ' || row.p[0] == '\t')
			rc = err_set(e, ERR_PERM, "4.3.5",
			    "the first line continues nothing");
		else if (!buf_ok(&rows.row) || row.n > LIMIT_CONFIG_LINE)
			rc = err_set(e, ERR_PERM, "4.3.5",
			    "longer than %d bytes", LIMIT_CONFIG_LINE);
		else
			rc = set_from_text(c, row, file, rows.line, e);
		if (rc < 0)
			err_wrap(e, "%s: line %u", file, rows.line);
	}
	table_text_release(&rows);
	return rc;
}

static int
read_file(struct conf *c, const char *path, struct err *e)
{
	struct buf text;

	int rc = text_file_read(path, CONF_FILE_MAX, &text, NULL, e);
	if (rc == 0)
		rc = conf_read(c, path, buf_span(&text), e);
	else if (e != NULL)
		e->kind = ERR_PERM;
	buf_release(&text);
	return rc;
}

static int
is_cf(const struct dirent *d)
{
	return d->d_name[0] != '.' &&
	       span_ends(span_str(d->d_name), SPAN(".cf"));
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
read_drop_ins(struct conf *c, struct err *e)
{
	struct dirent **names = NULL;
	char *dir = mem_printf("%s/conf.d", c->dir);
	int rc = 0;

	int n = scandir(dir, &names, is_cf, by_bytes);
	if (n < 0 && errno != ENOENT) {
		rc = err_sys(e, "open %s", dir);
	}
	for (int i = 0; i < n; i++) {
		char *path = mem_printf("%s/%s", dir, names[i]->d_name);
		if (rc == 0)
			rc = read_file(c, path, e);
		mem_free(path);
		free(names[i]);
	}
	free(names);
	mem_free(dir);
	return rc;
}

struct conf *
conf_new(const char *dir)
{
	struct conf *c = MEM_NEW(c);

	c->dir = mem_strdup(dir);
	table_init(&c->entries);
	return c;
}

int
conf_load(const char *dir, const char *const *overrides, size_t override_count,
    struct conf **out, struct err *e)
{
	struct conf *c = conf_new(dir);
	char *main_cf = mem_printf("%s/main.cf", dir);

	int rc = read_file(c, main_cf, e);
	if (rc == 0)
		rc = read_drop_ins(c, e);
	for (size_t i = 0; rc == 0 && i < override_count; i++) {
		rc = set_from_text(
		    c, span_str(overrides[i]), "command line", 0, e);
		if (rc < 0)
			err_wrap(e, "command line");
	}
	mem_free(main_cf);
	if (rc < 0)
		conf_free(&c);
	else
		*out = c;
	return rc;
}

void
conf_free(struct conf **c)
{
	struct conf *self = *c;

	if (self == NULL)
		return;
	for (size_t i = 0; i < self->count; i++) {
		struct conf_entry *entry = self->sorted[i];
		mem_free(entry->name);
		mem_free(entry->raw);
		mem_free(entry->computed);
		mem_free(entry->expanded);
		mem_free(entry);
	}
	for (size_t i = 0; i < self->file_count; i++)
		mem_free(self->files[i]);
	mem_free(self->files);
	for (size_t i = 0; i < self->retired_count; i++)
		mem_free(self->retired[i]);
	mem_free(self->retired);
	mem_free(self->sorted);
	table_release(&self->entries);
	mem_free(self->dir);
	mem_free(self);
	*c = NULL;
}

const char *
conf_dir(const struct conf *c)
{
	return c->dir;
}

/* ---- rows and values ------------------------------------------------------
 */

void
conf_add_params(struct conf *c, const struct param *table)
{
	bool added = false;

	for (const struct param *p = table; p->name != NULL; p++) {
		struct conf_entry *entry = entry_make(c, span_str(p->name));
		if (entry->row == NULL) {
			entry->row = p;
			added = true;
		}
	}
	/* A new default may change what $name gave. */
	if (added)
		forget_expanded(c);
}

int
conf_entry_value(
    struct conf *c, struct conf_entry *entry, const char **out, struct err *e)
{
	struct buf text;

	if (entry->row != NULL && entry->row->type == PARAM_T_RAW) {
		*out = conf_entry_text(c, entry);
		return 0;
	}
	if (entry->expanded == NULL) {
		buf_init(&text, LIMIT_CONFIG_LINE);
		int rc = conf_expand(c, conf_entry_text(c, entry), &text, e);
		if (rc == 0)
			entry->expanded =
			    conf_final_value(entry->name, buf_cstr(&text));
		buf_release(&text);
		if (rc < 0)
			return conf_entry_wrap(entry, e);
	}
	*out = entry->expanded;
	return 0;
}

const char *
conf_value(struct conf *c, const char *name)
{
	struct conf_entry *entry = conf_entry_get(c, span_str(name));
	const char *value;

	if (entry == NULL)
		return NULL;
	return conf_entry_value(c, entry, &value, NULL) == 0 ? value : "";
}

const char *
conf_raw(struct conf *c, const char *name)
{
	struct conf_entry *entry = conf_entry_get(c, span_str(name));

	return entry == NULL ? NULL : conf_entry_text(c, entry);
}

struct conf_origin
conf_origin(struct conf *c, const char *name)
{
	const struct conf_entry *entry = conf_entry_get(c, span_str(name));

	if (entry == NULL || entry->raw == NULL)
		return (struct conf_origin){ "default", 0 };
	return (struct conf_origin){ entry->file, entry->line };
}

const char *
conf_next(struct conf *c, const char *after)
{
	size_t at = 0;

	if (after != NULL) {
		at = sorted_place(c, after);
		if (at < c->count && strcmp(c->sorted[at]->name, after) == 0)
			at++;
	}
	return at < c->count ? c->sorted[at]->name : NULL;
}

const struct param *
conf_row(struct conf *c, const char *name)
{
	const struct conf_entry *entry = conf_entry_get(c, span_str(name));

	return entry == NULL ? NULL : entry->row;
}

bool
conf_list_has(const char *list, const char *word)
{
	struct span rest = span_str(list), one;

	while (span_token(&rest, ", \t\r\n", &one))
		if (span_ieq(one, span_str(word)))
			return true;
	return false;
}
