/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/group.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"

static const char digits[] = "0123456789ABCDEF";

const char *
queue_dir_name(enum queue_dir d)
{
	static const char *const names[QUEUE_DIRS] = {
		[QUEUE_INCOMING] = "incoming",
		[QUEUE_ACTIVE] = "active",
		[QUEUE_DEFERRED] = "deferred",
		[QUEUE_HOLD] = "hold",
		[QUEUE_CORRUPT] = "corrupt",
	};

	return names[d];
}

/* corrupt/ is not hashed: an administrator looks into it. */
static bool
hashed(enum queue_dir d)
{
	return d != QUEUE_CORRUPT;
}

void
queue_name(enum queue_dir dir, struct queue_id id, char out[QUEUE_NAME])
{
	char text[QUEUE_ID_TEXT];

	queue_id_text(id, text);
	if (hashed(dir))
		snprintf(out, QUEUE_NAME, "%s/%c/%s", queue_dir_name(dir),
		    queue_id_dir(id), text);
	else
		snprintf(out, QUEUE_NAME, "%s/%s", queue_dir_name(dir), text);
}

int
queue_sync_dir(
    struct queue *q, enum queue_dir dir, struct queue_id id, struct err *e)
{
	char name[QUEUE_NAME];
	int fd, ret;

	if (hashed(dir))
		snprintf(name, sizeof(name), "%s/%c", queue_dir_name(dir),
		    queue_id_dir(id));
	else
		snprintf(name, sizeof(name), "%s", queue_dir_name(dir));
	fd = openat(q->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open %s", name);
	ret = fs_sync_dir(fd, e);
	close(fd);
	if (ret != 0)
		err_wrap(e, "%s", name);
	return ret;
}

int
queue_open(const char *queue_directory, struct loop *loop, struct queue **out,
    struct err *e)
{
	struct queue *q;
	const int fd = open(queue_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %s", queue_directory);
	q = MEM_NEW(q);
	q->fd = fd;
	q->sync_fd = -1;
	q->loop = loop;
	*out = q;
	return 0;
}

void
queue_close(struct queue **q)
{
	if (*q == NULL)
		return;
	group_free(&(*q)->group);
	if ((*q)->sync_fd >= 0)
		close((*q)->sync_fd);
	close((*q)->fd);
	mem_free(*q);
	*q = NULL;
}

void
queue_set_slot(struct queue *q, uint8_t slot)
{
	q->source.slot = slot;
	q->slot_set = true;
}

void
queue_set_bound(struct queue *q, int64_t bound_us)
{
	if (bound_us > 0 && (uint64_t)bound_us > q->source.last_us)
		q->source.last_us = (uint64_t)bound_us;
}

/* ---- group commit ---- */
void
queue_group(struct queue *q, const struct queue_group_ops *ops, void *arg)
{
	BUG_ON(q->loop == NULL || q->group != NULL);
	signal(SIGIO, SIG_IGN); /* spare.c */
	q->group = group_new(q->loop, ops, arg);
}

void
queue_never_refuse(struct queue *q)
{
	q->never_refuse = true;
}

void
queue_group_give(struct queue *q, const struct queue_segment *s)
{
	group_give(q->group, s);
}

void
queue_group_none(struct queue *q)
{
	group_none(q->group);
}

void
queue_group_forget(struct queue *q)
{
	group_forget(q->group);
}

size_t
queue_group_held(const struct queue *q, struct queue_place out[2])
{
	return q->group == NULL ? 0 : group_held(q->group, out);
}

bool
queue_commit_place(
    const struct queue *q, struct queue_id id, struct queue_place *out)
{
	return q->group != NULL && group_place(q->group, id, out);
}

struct span
queue_commit_head(const struct queue *q)
{
	struct record_header h;

	if (record_header_get(q->committed, &h) != PARSE_OK ||
	    h.more_size > 0 || h.content_at > QUEUE_HEAD_MAX ||
	    h.content_at > q->committed.n)
		return SPAN_EMPTY;
	return span_slice(q->committed, 0, (size_t)h.content_at);
}

/* ---- directories ---- */
static int
make_dir(struct queue *q, const char *name, struct err *e)
{
	if (fs_mkdir(q->fd, name, 02770, e) == 0 || e->sysno == EEXIST)
		return 0;
	return -1;
}

int
queue_make_dirs(struct queue *q, struct err *e)
{
	char name[QUEUE_NAME];
	struct err local;

	if (e == NULL)
		e = &local;
	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++) {
		if (make_dir(q, queue_dir_name(d), e) != 0)
			return -1;
		for (int i = 0; hashed(d) && i < QUEUE_HASH_DIRS; i++) {
			snprintf(name, sizeof(name), "%s/%c", queue_dir_name(d),
			    digits[i]);
			if (make_dir(q, name, e) != 0)
				return -1;
		}
	}
	return make_dir(q, "journal", e);
}

int
queue_free_space(
    struct queue *q, uint64_t *out_bytes, uint64_t *out_inodes, struct err *e)
{
	struct statvfs st;

	if (fstatvfs(q->fd, &st) != 0)
		return err_sys(e, "queue directory");
	*out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	/* File systems that make inodes as needed say 0 of 0. */
	*out_inodes = st.f_files == 0 ? UINT64_MAX : st.f_favail;
	return 0;
}

int
queue_rename(struct queue *q, struct queue_id id, enum queue_dir from,
    enum queue_dir to, struct err *e)
{
	char old_name[QUEUE_NAME], new_name[QUEUE_NAME];

	queue_name(from, id, old_name);
	queue_name(to, id, new_name);
	return fs_rename(q->fd, old_name, q->fd, new_name, e);
}

int
queue_sync(
    struct queue *q, enum queue_dir dir, struct queue_id id, struct err *e)
{
	return queue_sync_dir(q, dir, id, e);
}

int
queue_sync_all(struct queue *q, struct err *e)
{
	BUG_ON(q->sync_fd < 0);
	return fs_sync_all(q->sync_fd, e);
}

int
queue_move(struct queue *q, struct queue_id id, enum queue_dir from,
    enum queue_dir to, struct err *e)
{
	if (queue_rename(q, id, from, to, e) != 0)
		return -1;
	/* The target's flush makes both sides durable (FORMATS.md). */
	return queue_sync_dir(q, to, id, e);
}

int
queue_flush(
    struct queue *q, struct queue_id id, enum queue_dir dir, struct err *e)
{
	int fd, ret;

	if (queue_open_file(q, dir, id, O_RDONLY, &fd, e) != 0)
		return -1;
	ret = fs_sync(fd, e);
	close(fd);
	return ret;
}

int
queue_seal(
    struct queue *q, struct queue_id id, enum queue_dir to, struct err *e)
{
	if (queue_flush(q, id, QUEUE_INCOMING, e) != 0)
		return -1;
	return queue_move(q, id, QUEUE_INCOMING, to, e);
}

int
queue_remove(
    struct queue *q, struct queue_id id, enum queue_dir dir, struct err *e)
{
	char name[QUEUE_NAME];

	queue_name(dir, id, name);
	return fs_unlink(q->fd, name, e);
}

int
queue_remove_synced(
    struct queue *q, struct queue_id id, enum queue_dir dir, struct err *e)
{
	if (queue_remove(q, id, dir, e) != 0)
		return -1;
	return queue_sync_dir(q, dir, id, e);
}

/* ---- scanning ---- */
struct scan {
	enum queue_dir dir;
	queue_scan_fn fn;
	void *arg;
	bool stop;
};

static void
scan_entry(struct scan *s, int dir_fd, const char *name)
{
	struct queue_id id;
	struct stat st = { 0 };

	if (!queue_id_parse(span_str(name), &id))
		return;
	/* Gone meanwhile: not there. */
	if (s->dir == QUEUE_DEFERRED &&
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	s->stop = !s->fn(s->arg, id, st.st_mtim.tv_sec);
}

static int
scan_dir(struct queue *q, struct scan *s, const char *name, struct err *e)
{
	const int fd = openat(q->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (dir == NULL) {
		err_sys(e, "open %s", name);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	errno = 0;
	while (!s->stop && (entry = readdir(dir)) != NULL) {
		scan_entry(s, dirfd(dir), entry->d_name);
		errno = 0;
	}
	if (errno != 0)
		err_sys(e, "read %s", name);
	else
		e = NULL;
	closedir(dir);
	return e == NULL ? 0 : -1;
}

int
queue_scan(struct queue *q, enum queue_dir dir, queue_scan_fn fn, void *arg,
    struct err *e)
{
	struct scan s = { .dir = dir, .fn = fn, .arg = arg };
	char name[QUEUE_NAME];
	struct err local;

	if (e == NULL)
		e = &local;
	if (!hashed(dir))
		return scan_dir(q, &s, queue_dir_name(dir), e);
	for (int i = 0; i < QUEUE_HASH_DIRS && !s.stop; i++) {
		snprintf(name, sizeof(name), "%s/%c", queue_dir_name(dir),
		    digits[i]);
		if (scan_dir(q, &s, name, e) != 0)
			return -1;
	}
	return 0;
}

struct recovery {
	struct queue *q;
	const uint8_t *living;
	unsigned removed;
	struct err *e;
	bool failed;
};

static bool
recover_one(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct recovery *r = arg;
	const unsigned slot = queue_id_slot(id);

	(void)mtime_s;
	if (r->living[slot / 8] >> slot % 8 & 1)
		return true;
	if (queue_remove(r->q, id, QUEUE_INCOMING, r->e) != 0)
		r->failed = true;
	else
		r->removed++;
	return !r->failed;
}

int
queue_recover_incoming(struct queue *q, const uint8_t living[32],
    unsigned *out_removed, struct err *e)
{
	struct recovery r = { .q = q, .living = living, .e = e };

	if (queue_scan(q, QUEUE_INCOMING, recover_one, &r, e) != 0 || r.failed)
		return -1;
	*out_removed = r.removed;
	return 0;
}

int
queue_lock(struct queue *q, bool wait, int *out_fd, struct err *e)
{
	const int fd = openat(q->fd, "pid/qmgr.lock",
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0660);

	if (fd < 0)
		return err_sys(e, "open pid/qmgr.lock");
	while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		err_sys(e, "lock pid/qmgr.lock");
		close(fd);
		return -1;
	}
	/* From now on it hears of what goes wrong. */
	if (q->sync_fd < 0)
		q->sync_fd =
		    openat(q->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (q->sync_fd < 0) {
		err_sys(e, "open the queue directory");
		close(fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}
