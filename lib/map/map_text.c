/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables without an index: texthash, inline, static, fail, unix. */
#include "lib/map/map_impl.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/map/text_file.h"
#include "lib/os/log.h"

/* ---- texthash and inline --------------------------------------------------
 */

struct text_row {
	struct span value; /* heap */
	unsigned line;
};

struct text_map {
	struct map base;
	struct map_file file; /* path NULL: inline */
	struct table rows;
};

static void
row_free(struct text_row *row)
{
	if (row == NULL)
		return;
	union {
		const uint8_t *from;
		void *to;
	} p = { .from = row->value.p };
	mem_free(p.to);
	mem_free(row);
}

static void
rows_release(struct table *rows)
{
	struct table_iter it;
	struct span key;
	void *row;

	table_iter_init(rows, &it);
	while (table_iter_next(rows, &it, &key, &row))
		row_free(row);
	table_release(rows);
}

static void
put_row(struct table *rows, struct span key, struct span value, unsigned line)
{
	struct text_row *row = MEM_NEW(row);
	struct buf folded;

	buf_init(&folded, key.n);
	for (size_t i = 0; i < key.n; i++)
		buf_byte(&folded, ascii_lower(key.p[i]));
	row->value = span_of(span_dup(value), value.n);
	row->line = line;
	row_free(table_put(rows, buf_span(&folded), row));
	buf_release(&folded);
}

bool
map_text_split(struct span row, struct span *out_key, struct span *out_value)
{
	size_t n = 0;

	row = span_trim(row);
	while (n < row.n && row.p[n] != ' ' && row.p[n] != '\t')
		n++;
	*out_key = span_slice(row, 0, n);
	*out_value = span_trim(span_skip(row, n));
	return out_key->n > 0 && out_value->n > 0;
}

static void
parse_rows(struct table *rows, const char *path, struct span text)
{
	struct table_text t;
	struct span row, key, value;

	table_text_init(&t, text);
	while (table_text_next(&t, &row)) {
		if (!buf_ok(&t.row) || !map_text_split(row, &key, &value))
			log_warning(NULL,
			    "%s, line %u: expected format: key "
			    "whitespace value",
			    path, t.line);
		else if (table_get(rows, key) == NULL)
			put_row(rows, key, value, t.line);
	}
	table_text_release(&t);
}

static int
load_text(struct text_map *m, struct err *e)
{
	struct table rows;
	struct buf text;
	struct stat st;

	m->file.looked_ms = map_clock_ms();
	int rc = text_file_read(m->file.path, TEXT_FILE_MAX, &text, &st, e);
	if (rc == 0) {
		table_init(&rows);
		parse_rows(&rows, m->file.path, buf_span(&text));
		rows_release(&m->rows);
		m->rows = rows;
		m->file.seen = st;
		m->file.loaded = true;
	}
	buf_release(&text);
	return rc;
}

static int
refresh_text(struct text_map *m, struct err *e)
{
	if (m->file.path == NULL || !map_file_stale(&m->file))
		return 0;
	if (load_text(m, e) == 0)
		return 0;
	if (!m->file.loaded)
		return -1;
	log_warning(NULL, "%s", e->text);
	return 0;
}

static enum map_result
get_text(struct map *base, struct span key, struct buf *out, struct err *e)
{
	struct text_map *m = (struct text_map *)base;

	if (refresh_text(m, e) < 0)
		return MAP_FAILED;
	const struct text_row *row = table_get(&m->rows, key);
	if (row == NULL)
		return MAP_ABSENT;
	buf_add(out, row->value);
	map_found_at(base, m->file.path, row->line);
	return MAP_FOUND;
}

static int
each_text(struct map *base, map_each_fn fn, void *arg, struct err *e)
{
	struct text_map *m = (struct text_map *)base;
	struct table_iter it;
	struct span key;
	void *value;

	if (refresh_text(m, e) < 0)
		return -1;
	table_iter_init(&m->rows, &it);
	while (table_iter_next(&m->rows, &it, &key, &value)) {
		const struct text_row *row = value;
		fn(arg, key, row->value, row->line);
	}
	return 0;
}

static void
free_text(struct map *base)
{
	struct text_map *m = (struct text_map *)base;

	rows_release(&m->rows);
	mem_free(m->file.path);
	mem_free(m);
}

static const struct map_ops text_ops = { get_text, each_text, free_text };

int
map_open_texthash(
    const char *type, const char *name, struct map **out, struct err *e)
{
	(void)type;
	if (name[0] == '\0')
		return err_set(e, ERR_PERM, "4.3.5", "no file name");
	struct text_map *m = MEM_NEW(m);
	m->base.ops = &text_ops;
	m->file.path = mem_strdup(name);
	table_init(&m->rows);
	*out = &m->base;
	return 0;
}

/* One element of an inline table: "k=v" up to a blank or comma, or
 * "{ k = any text }". */
static bool
take_pair(struct span *rest, struct span *out)
{
	struct span s = span_trim(*rest);
	size_t n = 0;

	while (s.n > 0 && (s.p[0] == ',' || s.p[0] == ' '))
		s = span_trim(span_skip(s, 1));
	if (s.n > 0 && s.p[0] == '{') {
		n = span_chr(s, '}');
		*out = span_trim(span_slice(s, 1, n));
		*rest = n == SIZE_MAX ? SPAN_EMPTY : span_skip(s, n + 1);
		return true;
	}
	while (n < s.n && strchr(", \t", s.p[n]) == NULL)
		n++;
	*out = span_slice(s, 0, n);
	*rest = span_skip(s, n);
	return n > 0;
}

int
map_open_inline(
    const char *type, const char *name, struct map **out, struct err *e)
{
	struct span all = span_trim(span_str(name)), pair;

	(void)type;
	if (all.n < 2 || all.p[0] != '{' || all.p[all.n - 1] != '}')
		return err_set(e, ERR_PERM, "4.3.5",
		    "write inline:{key=value, {key = any text}}");
	struct text_map *m = MEM_NEW(m);
	m->base.ops = &text_ops;
	table_init(&m->rows);
	all = span_slice(all, 1, all.n - 1);
	while (take_pair(&all, &pair)) {
		const size_t equals = span_chr(pair, '=');
		const struct span key = span_trim(span_slice(pair, 0, equals));
		if (equals == SIZE_MAX || key.n == 0) {
			free_text(&m->base);
			return err_set(e, ERR_PERM, "4.3.5",
			    "\"%.*s\" is not key=value",
			    SPAN_FMT(span_slice(pair, 0, 60)));
		}
		put_row(
		    &m->rows, key, span_trim(span_skip(pair, equals + 1)), 0);
	}
	*out = &m->base;
	return 0;
}

/* ---- static and fail ------------------------------------------------------
 */

struct static_map {
	struct map base;
	char *value;
};

static enum map_result
get_static(struct map *base, struct span key, struct buf *out, struct err *e)
{
	(void)key;
	(void)e;
	buf_str(out, ((struct static_map *)base)->value);
	return MAP_FOUND;
}

static enum map_result
get_fail(struct map *base, struct span key, struct buf *out, struct err *e)
{
	(void)base;
	(void)key;
	(void)out;
	err_set(e, ERR_TEMP, "4.3.0", "a look-up that always fails");
	return MAP_FAILED;
}

static void
free_static(struct map *base)
{
	mem_free(((struct static_map *)base)->value);
	mem_free(base);
}

static const struct map_ops static_ops = { get_static, NULL, free_static };
static const struct map_ops fail_ops = { get_fail, NULL, free_static };

static struct map *
static_new(const struct map_ops *ops, struct span value)
{
	struct static_map *m = MEM_NEW(m);

	m->base.ops = ops;
	m->value = span_dup(value);
	return &m->base;
}

int
map_open_static(
    const char *type, const char *name, struct map **out, struct err *e)
{
	struct span value = span_str(name);

	(void)type;
	(void)e;
	if (value.n >= 2 && value.p[0] == '{' && value.p[value.n - 1] == '}')
		value = span_trim(span_slice(value, 1, value.n - 1));
	*out = static_new(&static_ops, value);
	return 0;
}

int
map_open_fail(
    const char *type, const char *name, struct map **out, struct err *e)
{
	(void)type;
	(void)e;
	*out = static_new(&fail_ops, span_str(name));
	return 0;
}

/* ---- unix: the system's users and groups ----------------------------------
 */

enum { NSS_BUFFER = 1 << 20 };

static enum map_result
nss_failed(int sysno, struct err *e)
{
	/* What libraries say for "there is none". */
	if (sysno == 0 || sysno == ENOENT || sysno == ESRCH)
		return MAP_ABSENT;
	errno = sysno;
	err_sys(e, "user database");
	return MAP_FAILED;
}

static enum map_result
get_user(struct map *base, struct span key, struct buf *out, struct err *e)
{
	char name[256], *store = mem_alloc(NSS_BUFFER);
	struct passwd pw, *found = NULL;
	enum map_result r = MAP_ABSENT;

	(void)base;
	if (span_copy(key, name, sizeof(name))) {
		const int rc = getpwnam_r(name, &pw, store, NSS_BUFFER, &found);
		if (found == NULL)
			r = nss_failed(rc, e);
	}
	if (found != NULL) {
		buf_fmt(out, "%s:*:%lu:%lu:%s:%s:%s", pw.pw_name,
		    (unsigned long)pw.pw_uid, (unsigned long)pw.pw_gid,
		    pw.pw_gecos, pw.pw_dir, pw.pw_shell);
		r = MAP_FOUND;
	}
	mem_free(store);
	return r;
}

static enum map_result
get_group(struct map *base, struct span key, struct buf *out, struct err *e)
{
	char name[256], *store = mem_alloc(NSS_BUFFER);
	struct group gr, *found = NULL;
	enum map_result r = MAP_ABSENT;

	(void)base;
	if (span_copy(key, name, sizeof(name))) {
		const int rc = getgrnam_r(name, &gr, store, NSS_BUFFER, &found);
		if (found == NULL)
			r = nss_failed(rc, e);
	}
	if (found != NULL) {
		buf_fmt(out, "%s:*:%lu:", gr.gr_name, (unsigned long)gr.gr_gid);
		for (char **p = gr.gr_mem; *p != NULL; p++)
			buf_fmt(out, "%s%s", p == gr.gr_mem ? "" : ",", *p);
		r = MAP_FOUND;
	}
	mem_free(store);
	return r;
}

static const struct map_ops user_ops = { get_user, NULL, free_static };
static const struct map_ops group_ops = { get_group, NULL, free_static };

int
map_open_unix(
    const char *type, const char *name, struct map **out, struct err *e)
{
	(void)type;
	if (strcmp(name, "passwd.byname") == 0)
		*out = static_new(&user_ops, SPAN_EMPTY);
	else if (strcmp(name, "group.byname") == 0)
		*out = static_new(&group_ops, SPAN_EMPTY);
	else
		return err_set(e, ERR_PERM, "4.3.5",
		    "only unix:passwd.byname and unix:group.byname are known");
	return 0;
}
