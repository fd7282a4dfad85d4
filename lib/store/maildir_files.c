/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/store/maildir.h"
#include "lib/store/maildir_name.h"

struct span
maildir_file_base(const struct maildir_file *f)
{
	return span_of(f->name, f->base_n);
}

void
maildir_files_clear(struct maildir *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		mem_free(m->files[i].name);
	mem_free(m->files);
	mem_free(m->slots);
	m->files = NULL;
	m->slots = NULL;
	m->count = m->cap = m->slot_count = 0;
	m->loaded = false;
}

/* ---- the hash ---- */
static void
hash_put(struct maildir *m, uint32_t i)
{
	const uint64_t h = span_hash(maildir_file_base(&m->files[i]));
	uint32_t at = (uint32_t)h & (m->slot_count - 1);

	while (m->slots[at] != 0)
		at = (at + 1) & (m->slot_count - 1);
	m->slots[at] = i + 1;
}

static void
hash_build(struct maildir *m, uint32_t room)
{
	uint32_t n = 64;

	while (n < room * 2)
		n *= 2;
	mem_free(m->slots);
	m->slots = mem_zalloc(n * sizeof(*m->slots));
	m->slot_count = n;
	for (uint32_t i = 0; i < m->count; i++)
		hash_put(m, i);
}

struct maildir_file *
maildir_files_find(struct maildir *m, struct span base)
{
	uint32_t at;

	if (m->slot_count == 0)
		return NULL;
	at = (uint32_t)span_hash(base) & (m->slot_count - 1);
	while (m->slots[at] != 0) {
		struct maildir_file *f = &m->files[m->slots[at] - 1];

		if (span_eq(maildir_file_base(f), base))
			return f;
		at = (at + 1) & (m->slot_count - 1);
	}
	return NULL;
}

/* ---- the table ---- */
struct maildir_file *
maildir_files_add(struct maildir *m, struct span name)
{
	struct maildir_file *f;

	if (m->count == m->cap) {
		m->cap = m->cap * 2 + 64;
		m->files = mem_resize(m->files, m->cap, sizeof(*m->files));
	}
	f = &m->files[m->count++];
	*f = (struct maildir_file){ 0 };
	maildir_file_rename(f, name);
	if (m->count * 2 > m->slot_count)
		hash_build(m, m->count * 2);
	else
		hash_put(m, m->count - 1);
	return f;
}

void
maildir_file_rename(struct maildir_file *f, struct span name)
{
	const size_t colon = span_chr(name, ':');

	mem_free(f->name);
	f->name = span_dup(name);
	f->base_n = (uint32_t)(colon == SIZE_MAX ? name.n : colon);
}

struct maildir_file *
maildir_files_uid(struct maildir *m, uint32_t uid)
{
	uint32_t low = 0, high = m->count;

	while (low < high) {
		const uint32_t mid = low + (high - low) / 2;

		/* Without a uid: at the end. */
		if (m->files[mid].uid - 1 < uid - 1)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->count && m->files[low].uid == uid ? &m->files[low] :
							    NULL;
}

static int
by_uid(const void *a, const void *b)
{
	const struct maildir_file *x = a, *y = b;

	/* 0 wraps to the highest. */
	if (x->uid != y->uid)
		return x->uid - 1 < y->uid - 1 ? -1 : 1;
	return maildir_name_cmp(maildir_file_base(x), maildir_file_base(y));
}

void
maildir_files_settle(struct maildir *m)
{
	bool sorted = true;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		if (!m->files[i].seen) {
			mem_free(m->files[i].name);
			continue;
		}
		m->files[n] = m->files[i];
		if (n > 0 && by_uid(&m->files[n - 1], &m->files[n]) > 0)
			sorted = false;
		n++;
	}
	if (n == m->count && sorted)
		return;
	m->count = n;
	if (!sorted)
		qsort(m->files, m->count, sizeof(*m->files), by_uid);
	hash_build(m, m->count);
}

/* ---- reading the directories ---- */
/* A change in the same tick of the file system's clock as our reading might
 * not be seen; so a stamp counts only when the directory was left alone for a
 * second before. */
static struct dir_stamp
stamp_of(int fd)
{
	struct dir_stamp s = { 0 };
	struct timespec now;
	struct stat st;

	if (fstat(fd, &st) == 0) {
		s.mtime = st.st_mtim;
		clock_gettime(CLOCK_REALTIME, &now);
		s.settled = now.tv_sec - st.st_mtim.tv_sec > 1;
	}
	return s;
}

static bool
dir_changed(int fd, const struct dir_stamp *s)
{
	const struct dir_stamp now = stamp_of(fd);

	return !s->settled || now.mtime.tv_sec != s->mtime.tv_sec ||
	    now.mtime.tv_nsec != s->mtime.tv_nsec;
}

bool
maildir_dirs_changed(const struct maildir *m)
{
	return dir_changed(m->new_fd, &m->new_stamp) ||
	    dir_changed(m->cur_fd, &m->cur_stamp);
}

/* What can't stand in a uidlist line is no message of ours. */
static bool
name_usable(const char *name)
{
	if (*name == '.' || *name == ':' || *name == '\0')
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			return false;
	return true;
}

static void
see(struct maildir *m, const char *entry, bool in_new)
{
	const struct span name = span_str(entry);
	const struct span base = span_slice(name, 0, span_chr(name, ':'));
	struct maildir_file *f = maildir_files_find(m, base);

	if (f == NULL)
		f = maildir_files_add(m, name);
	else if (!span_eq(span_str(f->name), name))
		maildir_file_rename(f, name);
	f->in_new = in_new;
	f->seen = true;
}

static int
scan_dir(struct maildir *m, int dir_fd, bool in_new, struct err *e)
{
	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const char *what = in_new ? "new" : "cur";
	struct dirent *d;

	if (dir == NULL) {
		err_sys(e, "%s: %s", m->path, what);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	errno = 0;
	while ((d = readdir(dir)) != NULL) {
		if (name_usable(d->d_name) &&
		    (d->d_type == DT_REG || d->d_type == DT_UNKNOWN))
			see(m, d->d_name, in_new);
		errno = 0;
	}
	if (errno != 0) {
		err_sys(e, "%s: %s", m->path, what);
		closedir(dir);
		return -1;
	}
	closedir(dir);
	return 0;
}

int
maildir_scan(struct maildir *m, bool again, struct err *e)
{
	/* The stamps first: what changes while we read is read once more. */
	m->new_stamp = stamp_of(m->new_fd);
	m->cur_stamp = stamp_of(m->cur_fd);
	if (!again)
		for (uint32_t i = 0; i < m->count; i++)
			m->files[i].seen = false;
	/* new/ first: a file that moves on to cur/ meanwhile is found there. */
	if (scan_dir(m, m->new_fd, true, e) != 0)
		return -1;
	return scan_dir(m, m->cur_fd, false, e);
}
