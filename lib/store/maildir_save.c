/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/store/crlf.h"
#include "lib/store/keywords.h"
#include "lib/store/maildir.h"
#include "lib/store/maildir_name.h"

enum { WRITE_CHUNK = 65536, NAME_TRIES = 100, COMMIT_TRIES = 5 };

/* One message: in tmp/ under tmp, then in new/ or cur/ under name. */
struct item {
	char *tmp;
	char *base; /* with the sizes, known at the end */
	char *name; /* in its place; NULL: not there yet */
	char *queue_id;
	char **keywords; /* NULL-ended, or NULL */
	uint8_t flags;
	uint64_t size, crlf_size;
	int64_t internal_s; /* 0: now */
	int16_t zone_min;
	bool repeated; /* found delivered already */
};

struct save {
	struct mailbox *mb;
	bool delivery;
	int fd; /* the message being written, -1 none */
	struct buf buf;
	uint8_t last;      /* for lf_add */
	uint8_t size_last; /* for crlf_size */
	int64_t time_us;   /* of the last name */
	struct item *items;
	uint32_t count;
};

int
maildir_save_begin(
    struct mailbox *mb, bool delivery, struct save **out, struct err *e)
{
	struct save *sv = MEM_NEW(sv);

	(void)e;
	sv->mb = mb;
	sv->delivery = delivery;
	sv->fd = -1;
	buf_init(&sv->buf, 2 * WRITE_CHUNK + 16);
	*out = sv;
	return 0;
}

static void
item_release(struct item *it)
{
	keywords_copy_free(it->keywords);
	mem_free(it->tmp);
	mem_free(it->base);
	mem_free(it->name);
	mem_free(it->queue_id);
}

/* Creates a file of a new name in tmp/. */
static int
create_tmp(struct save *sv, struct item *it, struct err *e)
{
	struct maildir *m = sv->mb->state;
	char host[HOST_NAME_MAX + 1] = "";
	struct buf name;
	int rc = -1;

	gethostname(host, sizeof(host) - 1);
	buf_init(&name, NAME_MAX - 60);
	for (int i = 0; i < NAME_TRIES && rc != 0; i++) {
		const int64_t now = clock_wall_us();

		sv->time_us = now > sv->time_us ? now : sv->time_us + 1;
		buf_reset(&name);
		maildir_name_make(sv->time_us, (long)getpid(),
		    span_str(it->queue_id), host, &name);
		if (!buf_ok(&name)) {
			err_set(e, ERR_TEMP, "4.3.0", "host name too long");
			break;
		}
		rc = fs_create(m->tmp_fd, buf_cstr(&name), 0600, &sv->fd, e);
		if (rc != 0 && e->sysno != EEXIST)
			break;
	}
	if (rc == 0)
		it->tmp = mem_strdup(buf_cstr(&name));
	buf_release(&name);
	return rc;
}

int
maildir_save_message(
    struct save *sv, const struct append_meta *meta, struct err *e)
{
	struct item *it;

	BUG_ON(sv->fd >= 0);
	sv->items =
	    mem_resize(sv->items, sv->count + 1, sizeof(*sv->items));
	it = &sv->items[sv->count];
	*it = (struct item){
		.queue_id = mem_strdup(meta->queue_id),
		.keywords = keywords_copy(meta->keywords),
		.flags = meta->flags & (uint8_t)~FLAG_RECENT,
		.internal_s = meta->internal_s,
		.zone_min = meta->internal_zone_min,
	};
	sv->count++;
	sv->last = sv->size_last = 0;
	buf_reset(&sv->buf);
	return create_tmp(sv, it, e);
}

static int
flush(struct save *sv, struct err *e)
{
	struct item *it = &sv->items[sv->count - 1];
	const struct span bytes = buf_span(&sv->buf);

	if (bytes.n == 0)
		return 0;
	it->size += bytes.n;
	it->crlf_size += crlf_size(bytes, &sv->size_last);
	if (fs_write(sv->fd, bytes, e) != 0)
		return err_wrap(e, "%s", it->tmp);
	buf_reset(&sv->buf);
	return 0;
}

int
maildir_save_write(struct save *sv, struct span bytes, struct err *e)
{
	BUG_ON(sv->fd < 0);
	while (bytes.n > 0) {
		lf_add(&sv->buf, span_slice(bytes, 0, WRITE_CHUNK), &sv->last);
		bytes = span_skip(bytes, WRITE_CHUNK);
		if (sv->buf.n >= WRITE_CHUNK && flush(sv, e) != 0)
			return -1;
	}
	return 0;
}

int
maildir_save_end(struct save *sv, struct err *e)
{
	struct item *it = &sv->items[sv->count - 1];
	struct timespec times[2];
	int rc = -1;

	lf_end(&sv->buf, &sv->last);
	if (flush(sv, e) != 0)
		goto out;
	if (it->internal_s != 0) {
		times[0].tv_nsec = UTIME_OMIT;
		times[1].tv_sec = (time_t)it->internal_s;
		times[1].tv_nsec = 0;
		if (futimens(sv->fd, times) != 0) {
			err_sys(e, "set the time of %s", it->tmp);
			goto out;
		}
	}
	if (fs_sync(sv->fd, e) != 0) {
		err_wrap(e, "%s", it->tmp);
		goto out;
	}
	it->base = mem_printf("%s,S=%llu,W=%llu", it->tmp,
	    (unsigned long long)it->size, (unsigned long long)it->crlf_size);
	rc = 0;
out:
	close(sv->fd);
	sv->fd = -1;
	return rc;
}

/* Removes what is in tmp/ and, for a commit that failed, in place. */
static void
clean_up(struct save *sv)
{
	struct maildir *m = sv->mb->state;
	bool placed = false;

	for (uint32_t i = 0; i < sv->count; i++) {
		struct item *it = &sv->items[i];

		if (it->name != NULL) {
			fs_unlink(sv->delivery ? m->new_fd : m->cur_fd,
			    it->name, NULL);
			placed = true;
		} else if (it->tmp != NULL) {
			fs_unlink(m->tmp_fd, it->tmp, NULL);
		}
	}
	if (placed)
		fs_sync_dir(sv->delivery ? m->new_fd : m->cur_fd, NULL);
}

static void
save_free(struct save **sv)
{
	if ((*sv)->fd >= 0)
		close((*sv)->fd);
	for (uint32_t i = 0; i < (*sv)->count; i++)
		item_release(&(*sv)->items[i]);
	mem_free((*sv)->items);
	buf_release(&(*sv)->buf);
	mem_free(*sv);
	*sv = NULL;
}

void
maildir_save_abort(struct save **sv)
{
	clean_up(*sv);
	save_free(sv);
}

/* ---- deliveries ---- */
static bool
same_bytes(int a, int b)
{
	uint8_t *x = mem_alloc(2 * WRITE_CHUNK);
	uint8_t *y = x + WRITE_CHUNK;
	bool same = false;
	off_t at = 0;

	for (;;) {
		const ssize_t n = pread(a, x, WRITE_CHUNK, at);

		if (n < 0 || pread(b, y, WRITE_CHUNK, at) != n ||
		    memcmp(x, y, (size_t)n) != 0)
			break;
		same = n == 0;
		if (same)
			break;
		at += n;
	}
	mem_free(x);
	return same;
}

/* Is the file in the directory this very delivery? Then it is made durable:
 * the earlier attempt may have ended before that. */
static bool
is_repeat(struct save *sv, const struct item *it, int dir_fd,
    const char *name)
{
	struct maildir *m = sv->mb->state;
	struct stat st;
	int there = -1, ours = -1;
	bool same = false;

	if (fs_open(dir_fd, name, O_RDONLY, &there, NULL) == 0 &&
	    fstat(there, &st) == 0 && (uint64_t)st.st_size == it->size &&
	    fs_open(m->tmp_fd, it->tmp, O_RDONLY, &ours, NULL) == 0)
		same = same_bytes(there, ours) && fs_sync(there, NULL) == 0 &&
		    fs_sync_dir(dir_fd, NULL) == 0;
	if (there >= 0)
		close(there);
	if (ours >= 0)
		close(ours);
	return same;
}

static bool
find_repeat(struct save *sv, const struct item *it, int dir_fd)
{
	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	bool found = false;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (d = readdir(dir)) != NULL)
		found = maildir_name_has_id(span_str(d->d_name),
			    span_str(it->queue_id)) &&
		    is_repeat(sv, it, dir_fd, d->d_name);
	closedir(dir);
	return found;
}

static int
commit_delivery(struct save *sv, struct err *e)
{
	struct maildir *m = sv->mb->state;
	bool placed = false;

	for (uint32_t i = 0; i < sv->count; i++) {
		struct item *it = &sv->items[i];

		if (it->queue_id != NULL &&
		    (find_repeat(sv, it, m->new_fd) ||
			find_repeat(sv, it, m->cur_fd)))
			continue;
		if (fs_rename(m->tmp_fd, it->tmp, m->new_fd, it->base, e) != 0)
			return -1;
		it->name = mem_strdup(it->base);
		placed = true;
	}
	return placed ? fs_sync_dir(m->new_fd, e) : 0;
}

/* ---- appends ---- */
static int
item_keywords(struct mailbox *mb, const struct item *it, uint64_t *out,
    struct err *e)
{
	uint64_t set = 0;

	for (size_t i = 0; it->keywords != NULL && it->keywords[i] != NULL;
	     i++) {
		const int n = mailbox_keyword_make(
		    mb, span_str(it->keywords[i]), e);

		if (n < 0)
			return -1;
		set |= (uint64_t)1 << n;
	}
	*out = set;
	return 0;
}

/* Moves the file to its place in cur/. */
static int
place(struct save *sv, struct item *it, uint64_t keywords, struct err *e)
{
	struct maildir *m = sv->mb->state;
	struct maildir_name n = {
		.base = span_str(it->base),
		.flags = it->flags,
		.letters = keyword_letters_from_set(&m->letters, keywords),
	};
	struct buf name;
	int rc;

	buf_init(&name, NAME_MAX);
	maildir_name_print(&n, &name);
	rc = fs_rename(m->tmp_fd, it->tmp, m->cur_fd, buf_cstr(&name), e);
	if (rc == 0)
		it->name = mem_strdup(buf_cstr(&name));
	buf_release(&name);
	return rc;
}

static void
add_record(struct save *sv, const struct item *it, uint32_t uid,
    uint64_t keywords)
{
	struct index_record r = {
		.uid = uid,
		.size = it->crlf_size > UINT32_MAX ? UINT32_MAX :
						     (uint32_t)it->crlf_size,
		.keywords = keywords,
		.flags = it->flags,
		.zone_min = it->zone_min,
		.internal_s = it->internal_s != 0 ?
		    it->internal_s :
		    clock_wall_us() / 1000000,
	};

	index_add(sv->mb->index, &r);
}

/* Uids first, so that nobody else gives other ones to the files. */
static int
assign(struct save *sv, struct uidlist_entry *entries, struct err *e)
{
	struct mailbox *mb = sv->mb;

	for (int i = 0; i < COMMIT_TRIES; i++) {
		if (!maildir_list_current(mb, sv->count) &&
		    maildir_merge(mb, e) != 0)
			return -1;
		if (maildir_assign(mb, entries, sv->count, e) == 0)
			return 0;
		if (e->sysno != EAGAIN)
			break;
	}
	return -1;
}

static int
load_keywords(struct save *sv, uint64_t *sets, struct err *e)
{
	struct mailbox *mb = sv->mb;
	struct maildir *m = mb->state;
	uint64_t all = 0;

	if (keywords_load(&mb->keywords, m->fd, keywords_file, e) != 0 ||
	    keyword_letters_load(&m->letters, &mb->keywords, m->fd, e) != 0)
		return -1;
	for (uint32_t i = 0; i < sv->count; i++) {
		if (item_keywords(mb, &sv->items[i], &sets[i], e) != 0)
			return -1;
		all |= sets[i];
	}
	return keyword_letters_give(&m->letters, &mb->keywords, all, m->fd, e);
}

static int
commit_append(struct save *sv, uint32_t *out_uids, uint32_t *out_validity,
    struct err *e)
{
	struct mailbox *mb = sv->mb;
	struct maildir *m = mb->state;
	struct uidlist_entry *entries =
	    mem_zalloc(sv->count * sizeof(*entries));
	uint64_t *sets = mem_zalloc(sv->count * sizeof(*sets));
	int rc = -1;

	for (uint32_t i = 0; i < sv->count; i++)
		entries[i].name = sv->items[i].base;
	if (index_lock(mb->index, e) != 0)
		goto out;
	if (load_keywords(sv, sets, e) != 0 || assign(sv, entries, e) != 0)
		goto unlock;
	rc = 0;
	for (uint32_t i = 0; i < sv->count && rc == 0; i++)
		rc = place(sv, &sv->items[i], sets[i], e);
	if (rc == 0)
		rc = fs_sync_dir(m->cur_fd, e);
	for (uint32_t i = 0; i < sv->count && rc == 0; i++) {
		add_record(sv, &sv->items[i], entries[i].uid, sets[i]);
		out_uids[i] = entries[i].uid;
	}
	*out_validity = index_head(mb->index)->uid_validity;
unlock:
	if (index_unlock(mb->index, rc == 0 ? e : NULL) != 0)
		rc = -1;
	m->loaded = false;
out:
	mem_free(entries);
	mem_free(sets);
	return rc;
}

/* ---- quota ---- */

/* -1: there is none. */
static int
quota_root(const struct save *sv)
{
	int fd;

	if (!quota_limited(&sv->mb->store->quota) ||
	    store_root_open(sv->mb->store, false, &fd, NULL) != 0)
		return -1;
	return fd;
}

static int
check_quota(const struct save *sv, int root, struct err *e)
{
	const struct quota *limit = &sv->mb->store->quota;
	struct quota usage;
	uint64_t bytes = 0;

	if (root < 0 || sv->mb->moving)
		return 0;
	for (uint32_t i = 0; i < sv->count; i++)
		bytes += sv->items[i].size;
	if (quota_usage(root, limit, &usage, e) != 0)
		return -1;
	if (!quota_exceeds(limit, &usage, bytes, sv->count))
		return 0;
	return err_set(e, ERR_PERM, "5.2.2",
	    "Quota exceeded (mailbox for user is full)");
}

/* What is in its place now; a delivery that was repeated is not. */
static void
add_to_quota(const struct save *sv, int root)
{
	int64_t bytes = 0, messages = 0;

	for (uint32_t i = 0; i < sv->count; i++) {
		if (sv->items[i].name == NULL)
			continue;
		bytes += (int64_t)sv->items[i].size;
		messages++;
	}
	if (root >= 0 && messages > 0)
		quota_change(root, bytes, messages);
}

int
maildir_save_commit(struct save **svp, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e)
{
	struct save *sv = *svp;
	const int root = quota_root(sv);
	int rc;

	BUG_ON(sv->fd >= 0);
	if (check_quota(sv, root, e) != 0) {
		rc = -1;
	} else if (sv->delivery) {
		rc = commit_delivery(sv, e);
		for (uint32_t i = 0; rc == 0 && i < sv->count; i++)
			out_uids[i] = 0;
		*out_validity = 0;
	} else {
		rc = commit_append(sv, out_uids, out_validity, e);
	}
	if (rc != 0) {
		clean_up(sv);
	} else {
		/* What is in its place has no name in tmp/ any more. */
		struct maildir *m = sv->mb->state;

		for (uint32_t i = 0; i < sv->count; i++)
			if (sv->items[i].name == NULL)
				fs_unlink(m->tmp_fd, sv->items[i].tmp, NULL);
		add_to_quota(sv, root);
	}
	if (root >= 0)
		close(root);
	save_free(svp);
	return rc;
}
