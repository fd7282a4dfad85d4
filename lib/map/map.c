/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <string.h>
#include <time.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map_impl.h"
#include "lib/os/fs.h"

static const struct {
	const char *type;
	map_opener_fn open;
} types[] = {
	{ "hash", map_open_index },
	{ "btree", map_open_index },
	{ "lmdb", map_open_index },
	{ "dbm", map_open_index },
	{ "sdbm", map_open_index },
	{ "cdb", map_open_index },
	{ "gdbm", map_open_index },
	{ "texthash", map_open_texthash },
	{ "inline", map_open_inline },
	{ "static", map_open_static },
	{ "fail", map_open_fail },
	{ "cidr", map_open_cidr },
	{ "regexp", map_open_pattern },
	{ "pcre", map_open_pattern },
	{ "unix", map_open_unix },
};

bool
map_type_known(struct span type)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_eq(type, span_str(types[i].type)))
			return true;
	return span_eq(type, SPAN("proxy"));
}

bool
map_type_indexed(struct span type)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_eq(type, span_str(types[i].type)))
			return types[i].open == map_open_index;
	return false;
}

/* ---- one table ------------------------------------------------------------
 */

int
map_open(const char *spec, struct map **out, struct err *e)
{
	struct map *m = NULL;
	const char *rest = spec;

	/* What Postfix reads through a proxy process is read here. */
	if (strncmp(rest, "proxy:", 6) == 0)
		rest += 6;
	const char *colon = strchr(rest, ':');
	const struct span type =
	    rest[0] == '/'
		? SPAN("hash")
		: span_of(rest,
		      colon == NULL ? strlen(rest) : (size_t)(colon - rest));
	const char *name = rest[0] == '/' ? rest : colon + 1;
	if (rest[0] != '/' && (colon == NULL || type.n == 0))
		return err_set(e, ERR_PERM, "4.3.5",
		    "\"%.100s\" is not a table: write type:name", spec);
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_eq(type, span_str(types[i].type))) {
			if (types[i].open(types[i].type, name, &m, e) < 0)
				return err_wrap(e, "table %.100s", spec);
			m->name = mem_strdup(spec);
			*out = m;
			return 0;
		}
	return err_set(e, ERR_PERM, "4.3.5",
	    "table %.100s: no table type \"%.*s\"; there are hash, texthash, "
	    "inline, static, cidr, regexp, pcre, unix, fail",
	    spec, SPAN_FMT(span_slice(type, 0, 30)));
}

void
map_free(struct map **m)
{
	struct map *self = *m;

	if (self == NULL)
		return;
	mem_free(self->name);
	mem_free(self->where);
	self->ops->free(self);
	*m = NULL;
}

enum map_result
map_get(struct map *m, struct span key, struct buf *out, struct err *e)
{
	struct err own;

	if (e == NULL)
		e = &own;
	buf_reset(out);
	const enum map_result r = m->ops->get(m, key, out, e);
	if (r == MAP_FAILED)
		err_wrap(e, "table %s", m->name);
	if (r == MAP_FOUND && !buf_ok(out)) {
		err_set(e, ERR_PERM, "4.3.5",
		    "table %s: a value is longer than %zu bytes", m->name,
		    out->max);
		return MAP_FAILED;
	}
	return r;
}

const char *
map_name(const struct map *m)
{
	return m->name;
}

bool
map_is_pattern(const struct map *m)
{
	static const char *const patterns[] = { "regexp:", "pcre:", "cidr:" };
	const struct span name = span_str(m->name);
	const struct span type =
	    span_skip(name, span_starts(name, SPAN("proxy:")) ? 6 : 0);

	for (size_t i = 0; i < COUNT_OF(patterns); i++)
		if (span_starts(type, span_str(patterns[i])))
			return true;
	return false;
}

const char *
map_where(const struct map *m)
{
	return m->where != NULL ? m->where : m->name;
}

void
map_found_at(struct map *m, const char *file, unsigned line)
{
	mem_free(m->where);
	m->where = line > 0 ? mem_printf("%s:%u", file, line) : NULL;
}

int
map_each(struct map *m, map_each_fn fn, void *arg, struct err *e)
{
	struct err own;

	if (e == NULL)
		e = &own;
	if (m->ops->each == NULL)
		return err_set(e, ERR_PERM, "4.3.5",
		    "table %s: entries of this type can't be listed", m->name);
	return m->ops->each(m, fn, arg, e);
}

/* ---- files that change ----------------------------------------------------
 */

int64_t
map_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
map_file_stale(struct map_file *f)
{
	const int64_t now_ms = map_clock_ms();
	struct stat now;

	if (!f->loaded)
		return true;
	/* Who has just run newaliases expects that the next mail knows; but
	 * several keys of one mail are looked up in less than a tick. */
	if (f->looked_ms == now_ms)
		return false;
	f->looked_ms = now_ms;
	/* One that is gone is kept in use until a new one comes. */
	return stat(f->path, &now) == 0 && !fs_same(&now, &f->seen);
}

/* ---- lists of tables ------------------------------------------------------
 */

struct maps {
	struct map **list;
	size_t count;
	const struct map *last; /* where the last find was */
};

/* Commas and blanks inside braces are part of an inline table. */
bool
maps_next(struct span *rest, struct span *out)
{
	unsigned level = 0;
	size_t i = 0, from;

	while (i < rest->n && strchr(", \t\r\n", rest->p[i]) != NULL)
		i++;
	from = i;
	for (; i < rest->n; i++) {
		const uint8_t c = rest->p[i];
		if (c == '{')
			level++;
		else if (c == '}' && level > 0)
			level--;
		else if (level == 0 && strchr(", \t\r\n", c) != NULL)
			break;
	}
	*out = span_slice(*rest, from, i);
	*rest = span_skip(*rest, i);
	return out->n > 0;
}

int
maps_open(const char *list, struct maps **out, struct err *e)
{
	struct maps *m = MEM_NEW(m);
	struct span rest = span_str(list), spec;
	int rc = 0;

	while (rc == 0 && maps_next(&rest, &spec)) {
		char *text = span_dup(spec);
		m->list = mem_resize(m->list, m->count + 1, sizeof(*m->list));
		rc = map_open(text, &m->list[m->count], e);
		if (rc == 0)
			m->count++;
		mem_free(text);
	}
	if (rc < 0)
		maps_free(&m);
	else
		*out = m;
	return rc;
}

void
maps_free(struct maps **m)
{
	if (*m == NULL)
		return;
	for (size_t i = 0; i < (*m)->count; i++)
		map_free(&(*m)->list[i]);
	mem_free((*m)->list);
	mem_free(*m);
	*m = NULL;
}

enum map_result
maps_get(struct maps *m, struct span key, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < m->count; i++) {
		const enum map_result r = map_get(m->list[i], key, out, e);
		if (r == MAP_FOUND)
			m->last = m->list[i];
		if (r != MAP_ABSENT)
			return r;
	}
	return MAP_ABSENT;
}

const char *
maps_where(const struct maps *m)
{
	return m->last != NULL ? map_where(m->last) : "";
}

bool
maps_empty(const struct maps *m)
{
	return m->count == 0;
}

/* ---- addresses ------------------------------------------------------------
 */

size_t
map_split_extension(struct span local, const char *delimiter)
{
	if (delimiter[0] == '\0' || span_ieq(local, SPAN("postmaster")) ||
	    span_ieq(local, SPAN("mailer-daemon")) ||
	    span_ieq(local, SPAN("double-bounce")))
		return SIZE_MAX;
	/* With "-", list owners and requests are names, not extensions. */
	if (strchr(delimiter, '-') != NULL &&
	    (span_istarts(local, SPAN("owner-")) ||
		span_iends(local, SPAN("-request"))))
		return SIZE_MAX;
	for (size_t i = 1; i < local.n; i++)
		if (local.p[i] != '\0' && strchr(delimiter, local.p[i]) != NULL)
			return i;
	return SIZE_MAX;
}

static void
fold(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		buf_byte(out, ascii_lower(s.p[i]));
}

enum map_result
maps_get_address(struct maps *m, struct span address, const char *delimiter,
    bool local, struct buf *out, struct err *e)
{
	struct buf key;
	enum map_result r = MAP_ABSENT;

	if (m->count == 0)
		return MAP_ABSENT;
	const size_t at = span_rchr(address, '@');
	const struct span user = span_slice(address, 0, at);
	const struct span domain =
	    at == SIZE_MAX ? SPAN_EMPTY : span_skip(address, at);
	const size_t split = map_split_extension(user, delimiter);
	const struct span bare = span_slice(user, 0, split);
	/* The order of virtual(5) and canonical(5). */
	const struct {
		bool ask;
		struct span user, domain;
	} forms[] = {
		{ true, user, domain },
		{ split != SIZE_MAX, bare, domain },
		{ local && domain.n > 0, user, SPAN_EMPTY },
		{ local && domain.n > 0 && split != SIZE_MAX, bare,
		    SPAN_EMPTY },
		{ domain.n > 0 && user.n > 0, SPAN_EMPTY, domain },
	};
	buf_init(&key, LIMIT_ADDRESS * 2);
	for (size_t i = 0; r == MAP_ABSENT && i < COUNT_OF(forms); i++) {
		if (!forms[i].ask)
			continue;
		buf_reset(&key);
		fold(forms[i].user, &key);
		fold(forms[i].domain, &key);
		if (buf_ok(&key) && key.n > 0)
			r = maps_get(m, buf_span(&key), out, e);
	}
	buf_release(&key);
	return r;
}
