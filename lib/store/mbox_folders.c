/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/proto/utf7.h"
#include "lib/store/mbox.h"
#include "lib/store/path.h"

/* ---- paths ---- */
/* root/a/b, each part in modified UTF-7. */
static int
folder_path(const char *root, struct span name, char **out, struct err *e)
{
	struct buf b;
	int rc = -1;

	buf_init(&b, LIMIT_PATH - 1);
	buf_str(&b, root);
	buf_byte(&b, '/');
	if (!utf7_encode(name, &b) || !buf_ok(&b)) {
		err_set(e, ERR_PERM, "5.1.0", "invalid mailbox name");
	} else {
		*out = mem_strdup(buf_cstr(&b));
		rc = 0;
	}
	buf_release(&b);
	return rc;
}

/* A mailbox's name may not lead out of the root by a link in it. */
static int
refuse_links(const char *root, char *path, struct err *e)
{
	struct stat st;

	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')) != NULL;
	     p++) {
		bool link;

		*p = '\0';
		link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
		*p = '/';
		if (link)
			return err_set(
			    e, ERR_PERM, "5.2.0", "%s leads elsewhere", path);
	}
	return 0;
}

int
mbox_path(
    const struct store *s, struct span name, char **out, struct err *e)
{
	const struct location *l = &s->location;

	if (name_is_inbox(name)) {
		*out = l->inbox != NULL ? mem_strdup(l->inbox) :
					  mem_printf("%s/inbox", l->root);
		return 0;
	}
	if (l->root == NULL) {
		err_set(e, ERR_PERM, "5.2.0", "this user has no folders");
		e->sysno = ENOENT;
		return -1;
	}
	if (folder_path(l->root, name, out, e) != 0)
		return -1;
	if (refuse_links(l->root, *out, e) == 0)
		return 0;
	mem_free(*out);
	*out = NULL;
	return -1;
}

/* index/NAME or root/.imap/NAME; NULL: the index is in memory. */
static int
index_path(
    const struct store *s, struct span name, char **out, struct err *e)
{
	const struct location *l = &s->location;
	char *base;
	int rc;

	*out = NULL;
	if (l->index_memory || (l->root == NULL && l->index == NULL))
		return 0;
	if (name_is_inbox(name))
		name = SPAN("INBOX");
	base = l->index != NULL ? mem_strdup(l->index) :
				  mem_printf("%s/.imap", l->root);
	rc = folder_path(base, name, out, e);
	mem_free(base);
	return rc;
}

int
mbox_index_dir(
    const struct store *s, struct span name, bool create, int *out_fd,
    struct err *e)
{
	char *path;
	int rc = 0;

	*out_fd = -1;
	if (index_path(s, name, &path, e) != 0)
		return -1;
	if (path == NULL)
		return 0;
	if (create)
		rc = path_make_dir(path, 0700, out_fd, e);
	else
		*out_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0 && *out_fd < 0 && errno != ENOENT)
		rc = err_sys(e, "%s", path);
	mem_free(path);
	return rc;
}

/* ---- listing ---- */
struct walk {
	const struct store *s;
	store_list_fn fn;
	void *arg;
	struct buf name; /* of the directory, with a separator at its end */
};

static void walk_dir(struct walk *w, int at, const char *entry, int depth);

static void
walk_entry(struct walk *w, int at, const char *entry, int depth)
{
	const size_t before = w->name.n;
	struct stat st;

	if (entry[0] == '.' ||
	    fstatat(at, entry, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !utf7_decode(span_str(entry), &w->name))
		return;
	if (name_check(w->s, buf_span(&w->name), NULL) == 0 &&
	    !name_is_inbox(buf_span(&w->name))) {
		if (S_ISREG(st.st_mode) &&
		    !span_ends(span_str(entry), SPAN(".lock")) &&
		    !(before == 0 && strcmp(entry, "inbox") == 0))
			w->fn(w->arg, buf_span(&w->name), BOX_NOINFERIORS);
		if (S_ISDIR(st.st_mode) && depth < LIMIT_MAILBOX_DEPTH) {
			w->fn(w->arg, buf_span(&w->name), BOX_NOSELECT);
			buf_byte(&w->name, '/');
			walk_dir(w, at, entry, depth + 1);
		}
	}
	buf_truncate(&w->name, before);
}

static void
walk_dir(struct walk *w, int at, const char *entry, int depth)
{
	const int fd = openat(
	    at, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL)
		walk_entry(w, fd, d->d_name, depth);
	closedir(dir);
}

int
mbox_list_boxes(
    struct store *s, store_list_fn fn, void *arg, struct err *e)
{
	struct walk w = { .s = s, .fn = fn, .arg = arg };
	struct err why;
	int root;

	if (store_root_open(s, false, &root, &why) != 0) {
		if (why.sysno == ENOENT)
			return 0;
		err_copy(e, &why);
		return -1;
	}
	buf_init(&w.name, LIMIT_PATH * 2);
	walk_dir(&w, root, ".", 0);
	buf_release(&w.name);
	close(root);
	return 0;
}

/* ---- changing ---- */
/* The directory of a file, and the file's name in it. */
static int
open_parent(const char *path, bool create, int *out_fd, const char **out_name,
    struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *dir = mem_printf("%.*s", (int)(slash - path), path);
	int rc = 0;

	*out_name = slash + 1;
	if (create) {
		rc = path_make_dir(dir, 0700, out_fd, e);
	} else {
		*out_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*out_fd < 0)
			rc = err_sys(e, "%s", dir);
	}
	mem_free(dir);
	return rc;
}

int
mbox_create(struct store *s, struct span name, struct err *e)
{
	const char *file;
	char *path;
	int dir, fd, rc;

	if (mbox_path(s, name, &path, e) != 0)
		return -1;
	rc = open_parent(path, true, &dir, &file, e);
	if (rc == 0) {
		/* A directory whose mailboxes are gone is in nobody's way. */
		fs_rmdir(dir, file, NULL);
		rc = fs_create(dir, file, 0600, &fd, e);
		if (rc == 0) {
			close(fd);
			rc = fs_sync_dir(dir, e);
		}
		close(dir);
	}
	mem_free(path);
	return rc;
}

int
mbox_create_parent(struct store *s, struct span name, struct err *e)
{
	char *path;
	int dir, rc;

	if (mbox_path(s, name, &path, e) != 0)
		return -1;
	rc = path_make_dir(path, 0700, &dir, e);
	if (rc == 0)
		close(dir);
	mem_free(path);
	return rc;
}

static const char *const index_files[] = { "chappe.index", "chappe.keywords",
	"chappe.repair", "chappe.append" };

int
mbox_remove(struct store *s, struct span name, struct err *e)
{
	const char *file;
	char *path;
	int dir, rc;

	if (mbox_path(s, name, &path, e) != 0)
		return -1;
	rc = open_parent(path, false, &dir, &file, e);
	if (rc == 0) {
		struct stat st;

		if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			rc = fs_rmdir(dir, file, e);
		else
			rc = fs_unlink(dir, file, e);
		if (rc == 0)
			rc = fs_sync_dir(dir, e);
		close(dir);
	}
	mem_free(path);
	if (rc != 0 || mbox_index_dir(s, name, false, &dir, NULL) != 0 || dir < 0)
		return rc;
	for (size_t i = 0; i < COUNT_OF(index_files); i++)
		fs_unlink(dir, index_files[i], NULL);
	close(dir);
	return 0;
}

/* The index of a mailbox that is not there (any more) with those below it:
 * what is in the way of another's that takes the name. */
static void
clear_index(int at, const char *name, int depth)
{
	const int fd = openat(
	    at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(index_files); i++)
		fs_unlink(fd, index_files[i], NULL);
	while (depth < LIMIT_MAILBOX_DEPTH && (d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			clear_index(fd, d->d_name, depth + 1);
	closedir(dir);
	fs_rmdir(at, name, NULL);
}

/* Moves a file or directory; missing is not an error with may_miss. */
static int
move(const char *from, const char *to, bool may_miss, struct err *e)
{
	const char *from_name, *to_name;
	int from_dir, to_dir, rc;

	if (may_miss && access(from, F_OK) != 0)
		return 0;
	if (open_parent(from, false, &from_dir, &from_name, e) != 0)
		return -1;
	rc = open_parent(to, true, &to_dir, &to_name, e);
	if (rc == 0) {
		rc = fs_rename(from_dir, from_name, to_dir, to_name, e);
		if (rc == 0)
			rc = fs_sync_dir(to_dir, e);
		close(to_dir);
	}
	close(from_dir);
	return rc;
}

int
mbox_rename(
    struct store *s, struct span from, struct span to, struct err *e)
{
	char *paths[2] = { NULL, NULL }, *indexes[2] = { NULL, NULL };
	int rc = -1;

	if (mbox_path(s, from, &paths[0], e) == 0 &&
	    mbox_path(s, to, &paths[1], e) == 0 &&
	    index_path(s, from, &indexes[0], e) == 0 &&
	    index_path(s, to, &indexes[1], e) == 0)
		rc = 0;
	/* An empty directory may have the name. */
	if (rc == 0)
		fs_rmdir(AT_FDCWD, paths[1], NULL);
	if (rc == 0 && indexes[1] != NULL && access(paths[1], F_OK) != 0)
		clear_index(AT_FDCWD, indexes[1], 0);
	/* The index first: without it the mailbox only gets new uids. */
	if (rc == 0 && indexes[0] != NULL)
		rc = move(indexes[0], indexes[1], true, e);
	if (rc == 0)
		rc = move(paths[0], paths[1], false, e);
	for (int i = 0; i < 2; i++) {
		mem_free(paths[i]);
		mem_free(indexes[i]);
	}
	return rc;
}
