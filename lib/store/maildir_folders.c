/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/proto/utf7.h"
#include "lib/store/maildir.h"

/* A folder that is being removed; what a crash leaves of it goes with the
 * next removal. Without a dot in front it is no folder to anyone. */
static const char removed_prefix[] = "chappe-removed.";

int
maildir_folder(
    const struct store *s, struct span name, struct buf *out, struct err *e)
{
	(void)s;
	buf_byte(out, '.');
	if (name_is_inbox(name))
		return 0;
	if (!utf7_encode(name, out) || !buf_ok(out) || out->n > NAME_MAX)
		return err_set(e, ERR_PERM, "5.1.0", "invalid mailbox name");
	return 0;
}

/* ---- listing ---- */
static DIR *
open_dir(int at, const char *name)
{
	const int fd = openat(
	    at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL && fd >= 0)
		close(fd);
	return dir;
}

static bool
is_dir(int at, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return fstatat(at, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

/* The folder name of a directory entry; false when it is none of ours. */
static bool
folder_name(const struct store *s, const char *entry, struct buf *out)
{
	buf_reset(out);
	return entry[0] == '.' && entry[1] != '\0' && entry[1] != '.' &&
	    utf7_decode(span_str(entry + 1), out) &&
	    !name_is_inbox(buf_span(out)) &&
	    name_check(s, buf_span(out), NULL) == 0;
}

int
maildir_list(struct store *s, store_list_fn fn, void *arg, struct err *e)
{
	struct dirent *d;
	struct err why;
	struct buf name;
	DIR *dir;
	int root;

	if (store_root_open(s, false, &root, &why) != 0) {
		if (why.sysno == ENOENT)
			return 0;
		err_copy(e, &why);
		return -1;
	}
	dir = fdopendir(root);
	if (dir == NULL) {
		err_sys(e, "%s", s->location.root);
		close(root);
		return -1;
	}
	buf_init(&name, LIMIT_PATH);
	while ((d = readdir(dir)) != NULL)
		if (folder_name(s, d->d_name, &name) && is_dir(root, d))
			fn(arg, buf_span(&name), 0);
	buf_release(&name);
	closedir(dir);
	return 0;
}

/* ---- making ---- */
static int
make_folder(int root, const char *folder, struct err *e)
{
	int fd, marker, rc;

	if (fs_mkdir(root, folder, 0700, e) != 0)
		return -1;
	fd = openat(root, folder,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", folder);
	rc = maildir_make_dirs(fd, e);
	if (rc == 0 &&
	    (rc = fs_create(fd, "maildirfolder", 0600, &marker, e)) == 0)
		close(marker);
	if (rc == 0)
		rc = fs_sync_dir(fd, e);
	close(fd);
	return rc == 0 ? fs_sync_dir(root, e) : -1;
}

int
maildir_create(struct store *s, struct span name, struct err *e)
{
	struct buf folder;
	int root, rc;

	buf_init(&folder, NAME_MAX + 1);
	rc = maildir_folder(s, name, &folder, e);
	if (rc == 0 && (rc = store_root_open(s, true, &root, e)) == 0) {
		rc = make_folder(root, buf_cstr(&folder), e);
		close(root);
	}
	buf_release(&folder);
	return rc;
}

/* ---- removing ---- */
/* Removes a directory and what is in it, as far as it goes: what stays is
 * seen by no client and goes another time. */
static void
remove_tree(int at, const char *name, int depth)
{
	struct dirent *d;
	DIR *dir = open_dir(at, name);

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (!is_dir(dirfd(dir), d))
			fs_unlink(dirfd(dir), d->d_name, NULL);
		else if (depth > 0)
			remove_tree(dirfd(dir), d->d_name, depth - 1);
	}
	closedir(dir);
	fs_rmdir(at, name, NULL);
}

static void
remove_leftovers(int root)
{
	struct dirent *d;
	DIR *dir = open_dir(root, ".");

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL)
		if (span_starts(span_str(d->d_name), span_str(removed_prefix)))
			remove_tree(root, d->d_name, 2);
	closedir(dir);
}

int
maildir_remove(struct store *s, struct span name, struct err *e)
{
	char gone[64];
	struct buf folder;
	uint64_t random;
	int root = -1, rc;

	BUG_ON(getrandom(&random, sizeof(random), 0) != sizeof(random));
	snprintf(gone, sizeof(gone), "%s%016llx", removed_prefix,
	    (unsigned long long)random);
	buf_init(&folder, NAME_MAX + 1);
	rc = maildir_folder(s, name, &folder, e);
	if (rc == 0)
		rc = store_root_open(s, false, &root, e);
	if (rc == 0)
		rc = fs_rename(root, buf_cstr(&folder), root, gone, e);
	if (rc == 0)
		rc = fs_sync_dir(root, e);
	if (rc == 0) {
		remove_leftovers(root);
		quota_forget(root);
	}
	if (root >= 0)
		close(root);
	buf_release(&folder);
	return rc;
}

/* ---- renaming ---- */
struct renaming {
	struct store *s;
	struct span from, to;
	struct buf names; /* each with a NUL behind it */
};

static void
collect_child(void *arg, struct span name, unsigned attributes)
{
	struct renaming *r = arg;

	(void)attributes;
	if (name.n > r->from.n && span_starts(name, r->from) &&
	    name.p[r->from.n] == '.') {
		buf_add(&r->names, name);
		buf_byte(&r->names, 0);
	}
}

static int
rename_one(struct renaming *r, int root, struct span name, struct err *e)
{
	struct buf from, to, new_name;
	struct stat st;
	int rc;

	buf_init(&from, NAME_MAX + 1);
	buf_init(&to, NAME_MAX + 1);
	buf_init(&new_name, 2 * LIMIT_MAILBOX_NAME);
	buf_add(&new_name, r->to);
	buf_add(&new_name, span_skip(name, r->from.n));
	rc = maildir_folder(r->s, name, &from, e);
	if (rc == 0)
		rc = name_check(r->s, buf_span(&new_name), e);
	if (rc == 0)
		rc = maildir_folder(r->s, buf_span(&new_name), &to, e);
	if (rc == 0 &&
	    fstatat(root, buf_cstr(&to), &st, AT_SYMLINK_NOFOLLOW) == 0) {
		rc = err_set(e, ERR_PERM, "5.2.0", "the mailbox exists");
		e->sysno = EEXIST;
	}
	if (rc == 0)
		rc = fs_rename(root, buf_cstr(&from), root, buf_cstr(&to), e);
	buf_release(&from);
	buf_release(&to);
	buf_release(&new_name);
	return rc;
}

int
maildir_rename(
    struct store *s, struct span from, struct span to, struct err *e)
{
	struct renaming r = { .s = s, .from = from, .to = to };
	struct span rest, name;
	int root, rc;

	if (store_root_open(s, false, &root, e) != 0)
		return -1;
	buf_init(&r.names, (size_t)64 << 20);
	rc = maildir_list(s, collect_child, &r, e);
	if (rc == 0)
		rc = rename_one(&r, root, from, e);
	/* A parent that is only a name has nothing to rename itself. */
	if (rc != 0 && e->sysno == ENOENT && r.names.n > 0)
		rc = 0;
	for (rest = buf_span(&r.names); rc == 0 && rest.n > 0;
	     rest = span_skip(rest, name.n + 1)) {
		name = span_slice(rest, 0, span_chr(rest, 0));
		rc = rename_one(&r, root, name, e);
	}
	if (rc == 0)
		rc = fs_sync_dir(root, e);
	buf_release(&r.names);
	close(root);
	return rc;
}
