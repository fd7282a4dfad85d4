/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/crlf.h"
#include "lib/store/maildir_name.h"
#include "lib/store/path.h"

enum { READ_CHUNK = 65536, RENAME_TRIES = 3 };

static const char *const sub_dirs[] = { "tmp", "new", "cur" };

/* ---- opening ---- */
int
maildir_make_dirs(int dir_fd, struct err *e)
{
	bool made = false;
	struct err why;

	for (size_t i = 0; i < COUNT_OF(sub_dirs); i++) {
		if (fs_mkdir(dir_fd, sub_dirs[i], 0700, &why) == 0)
			made = true;
		else if (why.sysno != EEXIST) {
			err_copy(e, &why);
			return -1;
		}
	}
	return made ? fs_sync_dir(dir_fd, e) : 0;
}

static int
open_sub(struct maildir *m, const char *name, int *out_fd, struct err *e)
{
	*out_fd = openat(m->fd, name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*out_fd < 0)
		return err_sys(e, "%s/%s", m->path, name);
	return 0;
}

static bool
subs_missing(int fd)
{
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(sub_dirs); i++)
		if (fstatat(fd, sub_dirs[i], &st, AT_SYMLINK_NOFOLLOW) != 0 &&
		    errno == ENOENT)
			return true;
	return false;
}

static int
open_dirs(struct mailbox *mb, struct maildir *m, struct err *e)
{
	const struct store *s = mb->store;
	const bool inbox = name_is_inbox(span_str(mb->name));
	struct buf folder;
	int root = -1, rc = -1;

	buf_init(&folder, NAME_MAX + 1);
	if (maildir_folder(s, span_str(mb->name), &folder, e) != 0 ||
	    store_root_open(s, inbox, &root, e) != 0)
		goto out;
	m->path = inbox ? mem_strdup(s->location.root) :
			  mem_printf("%s/%s", s->location.root,
			      buf_cstr(&folder));
	m->fd = openat(root, buf_cstr(&folder),
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->fd < 0) {
		err_sys(e, "%s", m->path);
		goto out;
	}
	/* A folder that lost an empty directory gets it back. */
	if (subs_missing(m->fd) && maildir_make_dirs(m->fd, e) != 0)
		goto out;
	if (open_sub(m, "tmp", &m->tmp_fd, e) != 0 ||
	    open_sub(m, "new", &m->new_fd, e) != 0 ||
	    open_sub(m, "cur", &m->cur_fd, e) != 0)
		goto out;
	rc = 0;
out:
	buf_release(&folder);
	if (root >= 0)
		close(root);
	return rc;
}

/* The index lies in the Maildir itself, or below INDEX=. */
static int
open_index(struct mailbox *mb, struct maildir *m, struct err *e)
{
	const struct location *l = &mb->store->location;
	char *path;
	int fd, rc;

	if (l->index_memory) {
		mb->index = index_new(-1);
		return 0;
	}
	if (l->index == NULL) {
		mb->index = index_new(m->fd);
		return 0;
	}
	path = name_is_inbox(span_str(mb->name)) ?
	    mem_printf("%s/.INBOX", l->index) :
	    mem_printf("%s/%s", l->index, m->path + strlen(l->root) + 1);
	rc = path_make_dir(path, 0700, &fd, e);
	mem_free(path);
	if (rc != 0)
		return -1;
	mb->index = index_new(fd);
	close(fd);
	return 0;
}

static void
maildir_close(struct mailbox *mb)
{
	struct maildir *m = mb->state;

	if (m == NULL)
		return;
	for (size_t i = 0; i < 4; i++) {
		const int fd[] = { m->fd, m->new_fd, m->cur_fd, m->tmp_fd };

		if (fd[i] >= 0)
			close(fd[i]);
	}
	maildir_files_clear(m);
	mem_free(m->path);
	mem_free(m->new_path);
	mem_free(m->cur_path);
	mem_free(m);
	mb->state = NULL;
}

static int
maildir_open(struct mailbox *mb, struct err *e)
{
	struct maildir *m = MEM_NEW(m);

	m->fd = m->new_fd = m->cur_fd = m->tmp_fd = -1;
	mb->state = m;
	if (open_dirs(mb, m, e) != 0 || open_index(mb, m, e) != 0) {
		maildir_close(mb);
		return -1;
	}
	m->new_path = mem_printf("%s/new", m->path);
	m->cur_path = mem_printf("%s/cur", m->path);
	mb->watch[0] = m->new_path;
	mb->watch[1] = m->cur_path;
	return 0;
}

/* ---- reading ---- */
static int
gone(struct err *e, uint32_t uid)
{
	err_set(e, ERR_PERM, "5.2.0", "message %u is not there any more", uid);
	e->sysno = ENOENT;
	return -1;
}

static int
read_text(int fd, struct buf *out, struct err *e)
{
	uint8_t *chunk = mem_alloc(READ_CHUNK);
	uint8_t last = 0;
	ssize_t n;

	while ((n = read(fd, chunk, READ_CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		crlf_add(out, span_of(chunk, (size_t)n), &last);
	}
	mem_free(chunk);
	if (n < 0)
		return err_sys(e, "read");
	if (!buf_ok(out))
		return err_set(e, ERR_PERM, "5.3.4", "message too large");
	return 0;
}

static int
open_message(struct mailbox *mb, uint32_t uid, int *out_fd, struct err *e)
{
	struct maildir *m = mb->state;
	const struct maildir_file *f = maildir_files_uid(m, uid);

	if (f == NULL)
		return gone(e, uid);
	return fs_open(f->in_new ? m->new_fd : m->cur_fd, f->name, O_RDONLY,
	    out_fd, e);
}

static int
maildir_text(struct mailbox *mb, uint32_t uid, struct buf *out, struct err *e)
{
	int fd = -1, rc = -1;

	for (int i = 0; i < RENAME_TRIES; i++) {
		rc = open_message(mb, uid, &fd, e);
		if (rc == 0 || e->sysno != ENOENT)
			break;
		/* It may have another name by now: another program changed
		 * its flags. */
		((struct maildir *)mb->state)->cur_stamp.settled = false;
		if (mailbox_lock(mb, e) != 0 || index_unlock(mb->index, e) != 0)
			return -1;
		if (maildir_files_uid(mb->state, uid) == NULL)
			return gone(e, uid);
	}
	if (rc != 0)
		return -1;
	rc = read_text(fd, out, e);
	close(fd);
	return rc;
}

/* ---- changing ---- */
/* Finds the file of a uid; when its name is stale, reads the directories.
 * NULL with sysno ENOENT in e when it is gone. */
static struct maildir_file *
find_current(struct mailbox *mb, uint32_t uid, struct err *e)
{
	struct maildir *m = mb->state;
	struct maildir_file *f;
	struct stat st;

	for (int i = 0; i < RENAME_TRIES; i++) {
		f = maildir_files_uid(m, uid);
		if (f == NULL)
			break;
		if (fstatat(f->in_new ? m->new_fd : m->cur_fd, f->name, &st,
			AT_SYMLINK_NOFOLLOW) == 0)
			return f;
		m->cur_stamp.settled = false;
		if (maildir_merge(mb, e) != 0)
			return NULL;
	}
	gone(e, uid);
	return NULL;
}

static int
change_one(struct mailbox *mb, uint32_t uid, const struct flag_change *change,
    struct err *e)
{
	struct maildir *m = mb->state;
	struct maildir_file *f = find_current(mb, uid, e);
	struct index_record r;
	struct maildir_name n;
	struct buf name;
	uint32_t i;
	int rc = 0;

	if (f == NULL)
		return e->sysno == ENOENT ? 0 : -1;
	if (!index_find(mb->index, uid, &i))
		return 0;
	r = *index_at(mb->index, i);
	flag_change_apply(change, &r.flags, &r.keywords);
	maildir_name_parse(span_str(f->name), &n);
	n.flags = r.flags;
	n.letters = keyword_letters_from_set(&m->letters, r.keywords);
	buf_init(&name, NAME_MAX);
	maildir_name_print(&n, &name);
	if (!buf_ok(&name))
		rc = err_set(e, ERR_PERM, "5.2.0", "file name too long");
	else if (f->in_new || !span_eq(buf_span(&name), span_str(f->name)))
		rc = fs_rename(f->in_new ? m->new_fd : m->cur_fd, f->name,
		    m->cur_fd, buf_cstr(&name), e);
	if (rc == 0) {
		maildir_file_rename(f, buf_span(&name));
		f->in_new = false;
		index_change(mb->index, i, &r, true);
	}
	buf_release(&name);
	return rc;
}

static int
maildir_set_flags(struct mailbox *mb, const uint32_t *uids, size_t count,
    const struct flag_change *change, struct err *e)
{
	struct maildir *m = mb->state;
	int rc = 0;

	if (change->op != FLAGS_REMOVE &&
	    keyword_letters_give(&m->letters, &mb->keywords, change->keywords,
		m->fd, e) != 0)
		return -1;
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = change_one(mb, uids[i], change, e);
		/* Renamed by another program just now: look again. */
		for (int t = 0; rc != 0 && e->sysno == ENOENT &&
		     t < RENAME_TRIES;
		     t++)
			rc = change_one(mb, uids[i], change, e);
	}
	m->new_stamp.settled = m->cur_stamp.settled = false;
	/* One flush for all; also for those that were done before a failure. */
	if (fs_sync_dir(m->cur_fd, rc == 0 ? e : NULL) != 0)
		rc = -1;
	return rc;
}

static uint64_t
file_size(struct maildir *m, const struct maildir_file *f)
{
	struct stat st;
	uint64_t size;

	if (maildir_name_size(maildir_file_base(f), 'S', &size))
		return size;
	if (fstatat(f->in_new ? m->new_fd : m->cur_fd, f->name, &st,
		AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	return (uint64_t)st.st_size;
}

/* Adds what went to *gone. */
static int
expunge_one(struct mailbox *mb, uint32_t uid, struct quota *gone,
    struct err *e)
{
	struct maildir *m = mb->state;
	struct maildir_file *f = find_current(mb, uid, e);
	uint64_t size;
	uint32_t i;

	if (f == NULL)
		return e->sysno == ENOENT ? 0 : -1;
	size = file_size(m, f);
	if (fs_unlink(f->in_new ? m->new_fd : m->cur_fd, f->name, e) != 0)
		return -1;
	if (index_find(mb->index, uid, &i))
		index_remove(mb->index, i);
	gone->bytes += size;
	gone->messages++;
	return 0;
}

static void
take_from_quota(const struct store *s, const struct quota *gone)
{
	int root;

	if (gone->messages == 0 || !quota_limited(&s->quota) ||
	    store_root_open(s, false, &root, NULL) != 0)
		return;
	quota_change(root, -(int64_t)gone->bytes, -(int64_t)gone->messages);
	close(root);
}

static int
maildir_expunge(struct mailbox *mb, const uint32_t *uids, size_t count,
    struct err *e)
{
	struct maildir *m = mb->state;
	struct quota gone = { 0 };
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = expunge_one(mb, uids[i], &gone, e);
	take_from_quota(mb->store, &gone);
	m->new_stamp.settled = m->cur_stamp.settled = false;
	if (fs_sync_dir(m->cur_fd, rc == 0 ? e : NULL) != 0 ||
	    fs_sync_dir(m->new_fd, rc == 0 ? e : NULL) != 0)
		rc = -1;
	return rc;
}

static int
maildir_keywords_save(struct mailbox *mb, struct err *e)
{
	const struct maildir *m = mb->state;

	return keywords_save(&mb->keywords, m->fd, keywords_file, e);
}

const struct store_driver maildir_driver = {
	.separator = '.',
	.open = maildir_open,
	.close = maildir_close,
	.changed = maildir_changed,
	.merge = maildir_merge,
	.text = maildir_text,
	.set_flags = maildir_set_flags,
	.expunge = maildir_expunge,
	.keywords_save = maildir_keywords_save,
	.save_begin = maildir_save_begin,
	.save_message = maildir_save_message,
	.save_write = maildir_save_write,
	.save_end = maildir_save_end,
	.save_commit = maildir_save_commit,
	.save_abort = maildir_save_abort,
	.list = maildir_list,
	.create = maildir_create,
	.remove = maildir_remove,
	.rename = maildir_rename,
	.subscriptions = "subscriptions",
	.validity = "chappe.uidvalidity",
};
