/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map_gdbm.h"
#include "lib/map/map_impl.h"
#include "lib/os/fs.h"

struct map_builder {
	char *path;	  /* NAME.gdbm */
	const char *name; /* its last component */
	char *tmp;	  /* the name beside it */
	int dir_fd;
	GDBM_FILE db;
};

static int
gdbm_failed(const char *what, const char *path, int sysno, struct err *e)
{
	errno = sysno;
	if (sysno != 0)
		return err_sys(e, "%s %s", what, path);
	return err_set(e, ERR_TEMP, "4.3.0", "%s %s: %s", what, path,
	    gdbm_strerror(gdbm_errno));
}

static int
store(struct map_builder *b, struct span key, struct span value, int flag,
    bool *out_duplicate, struct err *e)
{
	errno = 0;
	const int rc = gdbm_store(b->db, datum_of(key), datum_of(value), flag);
	if (rc < 0)
		return gdbm_failed("write", b->path, errno, e);
	*out_duplicate = rc == 1;
	return 0;
}

static int
open_directory(struct map_builder *b, struct err *e)
{
	const char *slash = strrchr(b->path, '/');
	char *dir = slash == NULL ? mem_strdup(".")
		    : slash == b->path
			? mem_strdup("/")
			: span_dup(span_of(b->path, (size_t)(slash - b->path)));

	b->name = slash == NULL ? b->path : slash + 1;
	b->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int rc = b->dir_fd < 0 ? err_sys(e, "open %s", dir) : 0;
	mem_free(dir);
	return rc;
}

static int
create(struct map_builder *b, mode_t mode, struct err *e)
{
	bool ignored;

	if (open_directory(b, e) < 0)
		return -1;
	b->tmp = mem_printf("%s.%ld.tmp", b->path, (long)getpid());
	unlink(b->tmp); /* left by a crash of an earlier process */
	errno = 0;
	b->db = gdbm_open(b->tmp, 0,
	    GDBM_NEWDB | GDBM_NOLOCK | GDBM_NOMMAP | GDBM_CLOEXEC, 0600, NULL);
	if (b->db == NULL)
		return gdbm_failed("create", b->tmp, errno, e);
	if (fchmod(gdbm_fdesc(b->db), mode & 0777) < 0)
		return err_sys(e, "chmod %s", b->tmp);
	return store(
	    b, map_index_format_key, SPAN("1"), GDBM_REPLACE, &ignored, e);
}

int
map_builder_begin(
    const char *spec, mode_t mode, struct map_builder **out, struct err *e)
{
	const char *colon = strchr(spec, ':');
	const struct span type =
	    spec[0] == '/'
		? SPAN("hash")
		: span_slice(span_str(spec), 0, span_chr(span_str(spec), ':'));

	if (!map_type_known(type) || (spec[0] != '/' && colon == NULL))
		return err_set(e, ERR_PERM, "4.3.5",
		    "\"%.100s\" is not a table: write hash:FILE", spec);
	if (!map_type_indexed(type))
		return err_set(e, ERR_PERM, "4.3.5",
		    "table %.100s: this type needs no index", spec);
	const char *name = spec[0] == '/' ? spec : colon + 1;
	if (name[0] == '\0')
		return err_set(
		    e, ERR_PERM, "4.3.5", "table %.100s: no file name", spec);
	struct map_builder *b = MEM_NEW(b);
	b->dir_fd = -1;
	b->path = mem_printf("%s.gdbm", name);
	if (create(b, mode, e) < 0) {
		map_builder_abort(&b);
		return -1;
	}
	*out = b;
	return 0;
}

int
map_builder_add(struct map_builder *b, struct span key, struct span value,
    unsigned line, bool replace, bool *out_duplicate, struct err *e)
{
	struct buf entry;

	if (key.n == 0 || key.p[0] == '\0' || key.n > LIMIT_TABLE_VALUE ||
	    value.n > LIMIT_TABLE_VALUE)
		return err_set(e, ERR_PERM, "4.3.5",
		    "key or value empty or longer than %d bytes",
		    LIMIT_TABLE_VALUE);
	buf_init(&entry, MAP_INDEX_LINE + LIMIT_TABLE_VALUE);
	for (unsigned i = 0; i < MAP_INDEX_LINE; i++)
		buf_byte(&entry, (uint8_t)(line >> (8 * i)));
	buf_add(&entry, value);
	bool duplicate = false;
	int rc = store(b, key, buf_span(&entry), GDBM_INSERT, &duplicate, e);
	if (rc == 0 && duplicate && replace) {
		bool ignored;
		rc = store(b, key, buf_span(&entry), GDBM_REPLACE, &ignored, e);
	}
	buf_release(&entry);
	if (rc == 0)
		*out_duplicate = duplicate;
	return rc;
}

int
map_builder_commit(struct map_builder **b, struct err *e)
{
	struct map_builder *self = *b;
	const char *tmp = strrchr(self->tmp, '/');

	errno = 0;
	int rc = 0;
	if (gdbm_sync(self->db) != 0)
		rc = gdbm_failed("write", self->path, errno, e);
	if (rc == 0)
		rc = fs_commit(gdbm_fdesc(self->db), self->dir_fd,
		    tmp == NULL ? self->tmp : tmp + 1, self->dir_fd, self->name,
		    e);
	if (rc == 0) {
		/* The name has moved: nothing is left to remove. */
		mem_free(self->tmp);
		self->tmp = NULL;
	}
	map_builder_abort(b);
	return rc;
}

void
map_builder_abort(struct map_builder **b)
{
	struct map_builder *self = *b;

	if (self == NULL)
		return;
	if (self->db != NULL)
		gdbm_close(self->db);
	if (self->tmp != NULL)
		unlink(self->tmp);
	if (self->dir_fd >= 0)
		close(self->dir_fd);
	mem_free(self->tmp);
	mem_free(self->path);
	mem_free(self);
	*b = NULL;
}
