/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/map/map.h"
#include "lib/os/log.h"
#include "lib/os/memfd.h"
#include "lib/os/tls.h"
#include "lib/os/tls_keys.h"
#include "lib/proto/base64.h"

/*
 * Certificates and keys: read here, checked here, handed out as one sealed
 * memory file that all services with the same files share. Where new files
 * are no good, what was there before stays, file by file.
 */

enum { PEM_MAX = 8 << 20, SETTLE_MS = 1000, FIELDS_MAX = 32 };

/* What identifies a file's content without reading it. */
struct stamp {
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct keys {
	struct list link; /* in master.keys */
	char *sources;	  /* as plan.keys */
	unsigned refs;
	struct file {
		char *path;
		struct stamp stamp;
	} * files; /* that were looked at */
	size_t file_count;
	int fd;		       /* sealed memory; -1: nothing to serve with */
	struct tls_keys *open; /* what is in it; may be NULL */
};

/* One reading of all files. */
struct reading {
	struct keys *keys; /* whose files are noted; NULL: only a check */
	struct table old;  /* kind and name -> item of before */
	struct buf all;
	unsigned chains, changed;
	size_t items, items_before;
	bool quiet;
	int ret; /* -1 with e: the first fault */
	struct err e;
};

struct old_item {
	struct span pem;
};

static struct stamp
stamp_of(const char *path)
{
	struct stat st;

	if (path[0] == '\0' || stat(path, &st) != 0)
		return (struct stamp){ 0 };
	return (struct stamp){ st.st_ino, st.st_size, st.st_mtim };
}

static bool
same(const struct stamp *a, const struct stamp *b)
{
	return a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void
note_file(struct reading *r, const char *path)
{
	struct keys *k = r->keys;

	if (k == NULL)
		return;
	for (size_t i = 0; i < k->file_count; i++)
		if (k->file_count < 64 && strcmp(k->files[i].path, path) == 0)
			return;
	k->files = mem_resize(k->files, k->file_count + 1, sizeof(*k->files));
	k->files[k->file_count].path = mem_strdup(path);
	k->files[k->file_count++].stamp = stamp_of(path);
}

/* Symbolic links are followed: that is how certificates are renewed. */
static int
read_all(struct reading *r, const char *path, struct buf *out, struct err *e)
{
	uint8_t chunk[4096];
	ssize_t n;
	int fd;

	note_file(r, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(out, span_of(chunk, (size_t)n));
	if (n < 0)
		err_sys(e, "read %s", path);
	close(fd);
	explicit_bzero(chunk, sizeof(chunk));
	if (n == 0 && !buf_ok(out))
		return err_set(e, ERR_PERM, "5.3.5", "%s: too large", path);
	buf_byte(out, '\n');
	return n < 0 ? -1 : 0;
}

/* ---- items ---- */
static struct span
item_key(enum tls_item kind, struct span name, struct buf *b)
{
	buf_reset(b);
	buf_fmt(b, "%d:", (int)kind);
	buf_add(b, name);
	return buf_span(b);
}

static void
remember_old(struct reading *r)
{
	enum tls_item kind;
	struct span name, pem;
	struct buf key;

	table_init(&r->old);
	if (r->keys == NULL || r->keys->open == NULL)
		return;
	buf_init(&key, LIMIT_TABLE_VALUE * 2);
	for (size_t at = 0;
	     tls_keys_next(r->keys->open, &at, &kind, &name, &pem);) {
		struct old_item *item = MEM_NEW(item);

		item->pem = pem;
		mem_free(table_put(&r->old, item_key(kind, name, &key), item));
	}
	r->items_before = r->old.count;
	buf_release(&key);
}

static void
forget_old(struct reading *r)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&r->old, &it);
	while (table_iter_next(&r->old, &it, &key, &value))
		mem_free(value);
	table_release(&r->old);
}

static void
fault(struct reading *r, struct span name, const struct err *e, bool kept)
{
	if (r->ret == 0)
		r->e = *e;
	r->ret = -1;
	if (!r->quiet)
		log_warning(NULL, "TLS: %s: %s; %s", log_quote(name, 500),
		    e->text,
		    kept ? "what was there before stays in use"
			 : "it is left out");
}

/* An item that was read (pem) or could not be (NULL, e): takes it when it is
 * good, else what there was before. */
static void
take_item(struct reading *r, enum tls_item kind, struct span name,
    const struct buf *pem, struct err *e)
{
	struct buf key;
	const struct old_item *old;
	struct span take = SPAN_EMPTY;

	buf_init(&key, LIMIT_TABLE_VALUE * 2);
	old = table_get(&r->old, item_key(kind, name, &key));
	buf_release(&key);
	if (pem != NULL)
		take = buf_span(pem);
	if (pem != NULL && old != NULL && span_eq(take, old->pem)) {
		/* It was checked then. */
	} else if (pem == NULL ||
		   tls_pem_check(take, kind == TLS_ITEM_CA, e) != 0) {
		fault(r, name, e, old != NULL);
		if (old == NULL)
			return;
		take = old->pem;
	} else {
		if (old != NULL && !r->quiet)
			log_info(NULL, "TLS: new certificate or key: %s",
			    log_quote(name, 500));
		r->changed++;
	}
	tls_keys_add(&r->all, kind, name, take);
	r->chains += kind == TLS_ITEM_CHAIN;
	r->items++;
}

/* One item of one or several files, tabs between their names. */
static void
read_files(
    struct reading *r, enum tls_item kind, struct span name, const char *files)
{
	char *copy = mem_strdup(files), *rest = copy, *file;
	struct err e;
	struct buf pem;
	int ret = 0;

	buf_init(&pem, PEM_MAX);
	while (ret == 0 && (file = strsep(&rest, "\t")) != NULL)
		if (file[0] != '\0')
			ret = read_all(r, file, &pem, &e);
	take_item(r, kind, name, ret == 0 ? &pem : NULL, &e);
	buf_wipe(&pem);
	mem_free(copy);
}

/* ---- authorities in a directory, named as c_rehash does ---- */
static bool
is_hashed(const char *name)
{
	size_t n = 0;

	while (isxdigit((unsigned char)name[n]))
		n++;
	return n == 8 && name[8] == '.' && isdigit((unsigned char)name[9]);
}

static void
read_directory(struct reading *r, const char *dir)
{
	char *path = mem_printf("%s/", dir);
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct buf pem;
	struct err e;

	note_file(r, dir);
	buf_init(&pem, PEM_MAX);
	if (d == NULL) {
		err_sys(&e, "open %s", dir);
		take_item(r, TLS_ITEM_CA, span_str(path), NULL, &e);
	} else {
		while ((entry = readdir(d)) != NULL) {
			char *file;

			if (!is_hashed(entry->d_name))
				continue;
			file = mem_printf("%s/%s", dir, entry->d_name);
			(void)read_all(r, file, &pem, &e);
			mem_free(file);
		}
		closedir(d);
		take_item(r, TLS_ITEM_CA, span_str(path), &pem, &e);
	}
	buf_release(&pem);
	mem_free(path);
}

/* ---- server names ---- */
/* As postmap -F made it: what is in the files, instead of their names. */
static bool
holds_pem(struct span value, struct buf *out)
{
	return base64_decode(value, out) &&
	       span_find(buf_span(out), SPAN("-----BEGIN ")) != SIZE_MAX;
}

static void
on_name(void *arg, struct span key, struct span value, unsigned line)
{
	struct reading *r = arg;
	char *files = span_dup(value);
	struct buf pem;
	struct err e;

	(void)line;
	buf_init(&pem, LIMIT_TABLE_VALUE);
	const bool inside = holds_pem(value, &pem);

	if (inside)
		take_item(r, TLS_ITEM_NAME, key, &pem, &e);
	buf_wipe(&pem);
	for (char *c = files; *c != '\0'; c++)
		if (*c == ',' || *c == ' ')
			*c = '\t';
	if (!inside)
		read_files(r, TLS_ITEM_NAME, key, files);
	mem_free(files);
}

static void
read_map(struct reading *r, const char *spec)
{
	const char *path = strchr(spec, ':');
	struct map *m = NULL;
	struct err e;
	char *index;

	if (path != NULL) {
		index = mem_printf("%s.gdbm", path + 1);
		note_file(r, path + 1);
		note_file(r, index);
		mem_free(index);
	}
	if (map_open(spec, &m, &e) != 0 || map_each(m, on_name, r, &e) != 0)
		fault(r, span_str(spec), &e, false);
	map_free(&m);
}

/* ---- all sources of a service ---- */
static void
read_source(struct reading *r, const char *line)
{
	const char *what = line + 2;
	struct buf name;
	char *copy, *rest, *map;

	switch (line[0]) {
	case KEYS_CHAIN:
		buf_init(&name, LIMIT_TABLE_VALUE);
		for (const char *c = what; *c != '\0'; c++)
			buf_byte(&name, *c == '\t' ? ' ' : (uint8_t)*c);
		read_files(r, TLS_ITEM_CHAIN, buf_span(&name), what);
		buf_release(&name);
		break;
	case KEYS_CA_FILE:
		read_files(r, TLS_ITEM_CA, span_str(what), what);
		break;
	case KEYS_CA_DIR:
		read_directory(r, what);
		break;
	case KEYS_NAMES:
		copy = rest = mem_strdup(what);
		while ((map = strsep(&rest, "\t")) != NULL)
			if (map[0] != '\0')
				read_map(r, map);
		mem_free(copy);
		break;
	default:
		BUG_ON(true);
	}
}

static void
read_sources(struct reading *r, const char *sources)
{
	char *copy = mem_strdup(sources), *rest = copy, *line;

	buf_init(&r->all, TLS_KEYS_MAX);
	tls_keys_begin(&r->all);
	remember_old(r);
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			read_source(r, line);
	forget_old(r);
	mem_free(copy);
}

static void
forget_files(struct file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mem_free(files[i].path);
	mem_free(files);
}

/* Reads everything anew. True when there is something new to hand out. */
static bool
refresh(struct keys *k)
{
	struct file *files = k->files;
	const size_t count = k->file_count;
	const bool had = k->fd >= 0;
	struct reading r = { .keys = k };
	struct tls_keys *next = NULL;
	struct err e;
	int fd = -1;

	k->files = NULL;
	k->file_count = 0;
	read_sources(&r, k->sources);
	forget_files(files, count);
	if ((had && r.changed == 0 && r.items == r.items_before) ||
	    r.chains == 0) {
		buf_wipe(&r.all);
		return false;
	}
	if (!buf_ok(&r.all))
		log_error(NULL, "TLS: more than %d bytes of certificates",
		    TLS_KEYS_MAX);
	else if (memfd_seal("keys", buf_span(&r.all), &fd, &e) != 0 ||
		 tls_keys_open(fd, &next, &e) != 0)
		log_error(NULL, "TLS: %s", e.text);
	buf_wipe(&r.all);
	if (next == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	tls_keys_free(&k->open);
	if (k->fd >= 0)
		close(k->fd);
	k->open = next;
	k->fd = fd;
	return true;
}

/* ---- what the services have ---- */
static struct keys *
keys_of(struct master *m, const char *sources)
{
	struct keys *k;

	LIST_EACH(&m->keys, link)
	{
		k = CONTAINER_OF(link, struct keys, link);
		if (strcmp(k->sources, sources) != 0)
			continue;
		k->refs++;
		return k;
	}
	k = MEM_NEW(k);
	k->refs = 1;
	k->sources = mem_strdup(sources);
	k->fd = -1;
	list_push(&m->keys, &k->link);
	(void)refresh(k);
	return k;
}

void
keys_free(struct keys **ref)
{
	struct keys *k = *ref;

	if (k == NULL)
		return;
	*ref = NULL;
	if (--k->refs > 0)
		return;
	list_remove(&k->link);
	forget_files(k->files, k->file_count);
	tls_keys_free(&k->open);
	if (k->fd >= 0)
		close(k->fd);
	mem_free(k->sources);
	mem_free(k);
}

void
keys_load(struct service *s)
{
	const struct plan *p = s->plan;
	struct keys *old = s->keys;

	s->keys = p->program->needs_keys && p->keys[0] != '\0'
		      ? keys_of(s->master, p->keys)
		      : NULL;
	keys_free(&old);
}

int
keys_fd(const struct service *s)
{
	return s->keys != NULL ? s->keys->fd : -1;
}

int
keys_verify(const struct plan *p, struct err *e)
{
	struct reading r = { .quiet = true };

	if (!p->program->needs_keys)
		return 0;
	read_sources(&r, p->keys);
	buf_wipe(&r.all);
	if (r.ret != 0)
		*e = r.e;
	return r.ret;
}

static void
hand_out(struct master *m, const struct keys *k)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (s->keys != k)
			continue;
		LIST_EACH(&s->children, one)
		child_send_keys(CONTAINER_OF(one, struct child, link));
	}
}

void
keys_check_all(struct master *m)
{
	LIST_EACH(&m->keys, link)
	{
		struct keys *k = CONTAINER_OF(link, struct keys, link);
		bool changed = false;

		for (size_t i = 0; i < k->file_count && !changed; i++) {
			const struct stamp now = stamp_of(k->files[i].path);

			changed = !same(&now, &k->files[i].stamp);
		}
		if (changed && refresh(k))
			hand_out(m, k);
	}
}

/* ---- noticing changes ---- */
static void
on_inotify(void *arg, int events)
{
	struct master *m = arg;
	char junk[4096];

	(void)events;
	while (read(m->inotify_fd, junk, sizeof(junk)) > 0)
		;
	/* Certificate and key are replaced one after the other: let both
	 * arrive. */
	timer_start(m->keys_timer, SETTLE_MS);
}

static void
watch_dir_of(struct master *m, const char *path)
{
	char copy[PATH_MAX], real[PATH_MAX];
	const uint32_t mask =
	    IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR;

	if (path == NULL || path[0] == '\0')
		return;
	snprintf(copy, sizeof(copy), "%s", path);
	(void)inotify_add_watch(m->inotify_fd, dirname(copy), mask);
	if (realpath(path, real) != NULL)
		(void)inotify_add_watch(m->inotify_fd, dirname(real), mask);
}

/* Where a directory cannot be watched the check of each minute remains. */
void
keys_watch(struct master *m)
{
	if (m->inotify_fd < 0) {
		m->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (m->inotify_fd < 0)
			return;
		m->inotify = watch_new(m->loop, m->inotify_fd, on_inotify, m);
		watch_set(m->inotify, WATCH_READ);
	}
	LIST_EACH(&m->keys, link)
	{
		const struct keys *k = CONTAINER_OF(link, struct keys, link);

		for (size_t i = 0; i < k->file_count; i++)
			watch_dir_of(m, k->files[i].path);
	}
}
