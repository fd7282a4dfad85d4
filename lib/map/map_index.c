/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map_gdbm.h"
#include "lib/os/log.h"

const struct span map_index_format_key = { (const uint8_t *)"\0format", 7 };

struct index_map {
	struct map base;
	struct map_file file; /* NAME.gdbm */
	char *text;	      /* NAME */
	GDBM_FILE db;
	bool said_older;
};

static int
check_format(GDBM_FILE db, const char *path, struct err *e)
{
	datum v = gdbm_fetch(db, datum_of(map_index_format_key));
	const bool good = v.dptr != NULL &&
			  span_eq(span_of(v.dptr, (size_t)v.dsize), SPAN("1"));

	free(v.dptr);
	if (good)
		return 0;
	return err_set(e, ERR_TEMP, "4.3.0",
	    "%s was not made by this release's postmap or postalias", path);
}

static int
load(struct index_map *m, struct err *e)
{
	struct stat st;

	errno = 0;
	GDBM_FILE db = gdbm_open(
	    m->file.path, 0, GDBM_READER | GDBM_NOLOCK | GDBM_CLOEXEC, 0, NULL);
	if (db == NULL) {
		if (errno != 0)
			return err_sys(e, "open %s", m->file.path);
		return err_set(e, ERR_TEMP, "4.3.0", "open %s: %s",
		    m->file.path, gdbm_strerror(gdbm_errno));
	}
	if (fstat(gdbm_fdesc(db), &st) < 0 ||
	    check_format(db, m->file.path, e) < 0) {
		gdbm_close(db);
		return -1;
	}
	if (m->db != NULL)
		gdbm_close(m->db);
	m->db = db;
	m->file.seen = st;
	m->file.loaded = true;
	m->file.looked_ms = map_clock_ms();
	m->said_older = false;
	return 0;
}

/* Says once that the text was edited after the index was made. */
static void
compare_with_text(struct index_map *m)
{
	struct stat text;

	if (m->said_older || stat(m->text, &text) < 0 ||
	    text.st_mtim.tv_sec < m->file.seen.st_mtim.tv_sec ||
	    (text.st_mtim.tv_sec == m->file.seen.st_mtim.tv_sec &&
		text.st_mtim.tv_nsec <= m->file.seen.st_mtim.tv_nsec))
		return;
	m->said_older = true;
	log_warning(NULL, "database %s is older than source file %s",
	    m->file.path, m->text);
}

static int
refresh(struct index_map *m, struct err *e)
{
	const int64_t looked_s = m->file.looked_ms / 1000;

	if (map_file_stale(&m->file) && load(m, e) < 0) {
		if (m->db == NULL)
			return -1;
		/* A damaged new index: the old one serves on. */
		log_warning(NULL, "%s", e->text);
	}
	if (looked_s != m->file.looked_ms / 1000)
		compare_with_text(m);
	return 0;
}

static enum map_result
get(struct map *base, struct span key, struct buf *out, struct err *e)
{
	struct index_map *m = (struct index_map *)base;

	if (refresh(m, e) < 0)
		return MAP_FAILED;
	if (key.n == 0 || key.n > LIMIT_TABLE_VALUE || key.p[0] == '\0')
		return MAP_ABSENT;
	datum v = gdbm_fetch(m->db, datum_of(key));
	if (v.dptr == NULL) {
		if (gdbm_errno == GDBM_ITEM_NOT_FOUND)
			return MAP_ABSENT;
		err_set(e, ERR_TEMP, "4.3.0", "read %s: %s", m->file.path,
		    gdbm_strerror(gdbm_errno));
		return MAP_FAILED;
	}
	const struct span all = span_of(v.dptr, (size_t)v.dsize);
	unsigned line = 0;
	for (size_t i = 0; i < MAP_INDEX_LINE && i < all.n; i++)
		line |= (unsigned)all.p[i] << (8 * i);
	buf_add(out, span_skip(all, MAP_INDEX_LINE));
	map_found_at(base, m->text, line);
	free(v.dptr);
	return MAP_FOUND;
}

static int
each(struct map *base, map_each_fn fn, void *arg, struct err *e)
{
	struct index_map *m = (struct index_map *)base;

	if (refresh(m, e) < 0)
		return -1;
	datum key = gdbm_firstkey(m->db);
	while (key.dptr != NULL) {
		const struct span k = span_of(key.dptr, (size_t)key.dsize);
		datum v = gdbm_fetch(m->db, key);
		if (v.dptr != NULL && v.dsize >= MAP_INDEX_LINE &&
		    (k.n == 0 || k.p[0] != '\0')) {
			const struct span all =
			    span_of(v.dptr, (size_t)v.dsize);
			fn(arg, k, span_skip(all, MAP_INDEX_LINE),
			    (unsigned)all.p[0] | (unsigned)all.p[1] << 8 |
				(unsigned)all.p[2] << 16 |
				(unsigned)all.p[3] << 24);
		}
		free(v.dptr);
		datum next = gdbm_nextkey(m->db, key);
		free(key.dptr);
		key = next;
	}
	if (gdbm_errno == GDBM_ITEM_NOT_FOUND || gdbm_errno == GDBM_NO_ERROR)
		return 0;
	return err_set(e, ERR_TEMP, "4.3.0", "read %s: %s", m->file.path,
	    gdbm_strerror(gdbm_errno));
}

static void
release(struct map *base)
{
	struct index_map *m = (struct index_map *)base;

	if (m->db != NULL)
		gdbm_close(m->db);
	mem_free(m->file.path);
	mem_free(m->text);
	mem_free(m);
}

static const struct map_ops index_ops = { get, each, release };

int
map_open_index(
    const char *type, const char *name, struct map **out, struct err *e)
{
	(void)type;
	if (name[0] == '\0')
		return err_set(e, ERR_PERM, "4.3.5", "no file name");
	struct index_map *m = MEM_NEW(m);
	m->base.ops = &index_ops;
	m->text = mem_strdup(name);
	m->file.path = mem_printf("%s.gdbm", name);
	*out = &m->base;
	return 0;
}
