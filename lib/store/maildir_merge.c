/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/store/crlf.h"
#include "lib/store/maildir.h"
#include "lib/store/maildir_name.h"

enum { READ_CHUNK = 65536, MERGE_TRIES = 5 };

/* Where index_head.driver holds the list's stamp. */
enum { WORD_INODE, WORD_SIZE, WORD_MTIME };

static struct uidlist_stamp
head_stamp(const struct index_head *head)
{
	return (struct uidlist_stamp){
		.inode = head->driver[WORD_INODE],
		.size = head->driver[WORD_SIZE],
		.mtime_ns = head->driver[WORD_MTIME],
	};
}

/* The list's state as we know it: what is there later that differs was
 * written by another program. */
static void
note_stamp(struct mailbox *mb, struct uidlist_stamp stamp)
{
	struct maildir *m = mb->state;
	struct index_head *head = index_head(mb->index);

	m->list_stamp = stamp;
	head->driver[WORD_INODE] = stamp.inode;
	head->driver[WORD_SIZE] = stamp.size;
	head->driver[WORD_MTIME] = stamp.mtime_ns;
}

bool
maildir_changed(struct mailbox *mb)
{
	const struct maildir *m = mb->state;

	return !m->loaded || maildir_dirs_changed(m) ||
	    !uidlist_stamp_eq(m->list_stamp, uidlist_stamp(m->fd));
}

/* ---- the list ---- */
static void
make_guid(char out[33])
{
	uint64_t r[2];

	BUG_ON(getrandom(r, sizeof(r), 0) != sizeof(r));
	snprintf(out, 33, "%016llx%016llx", (unsigned long long)r[0],
	    (unsigned long long)r[1]);
}

/* Writes the list whole, with a fresh block of uids reserved. */
static int
save_list(struct mailbox *mb, uint32_t reserved, struct err *e)
{
	struct maildir *m = mb->state;
	struct uidlist l = { .validity = m->validity, .next = reserved };
	int rc;

	memcpy(l.guid, m->guid, sizeof(l.guid));
	l.entries = mem_alloc(m->count * sizeof(*l.entries));
	for (uint32_t i = 0; i < m->count; i++) {
		const struct maildir_file *f = &m->files[i];

		if (f->uid == 0)
			continue;
		l.entries[l.count].uid = f->uid;
		l.entries[l.count++].name = span_dup(maildir_file_base(f));
	}
	rc = uidlist_save(m->fd, &l, e);
	uidlist_release(&l);
	if (rc != 0)
		return -1;
	index_head(mb->index)->uid_reserved = reserved;
	note_stamp(mb, uidlist_stamp(m->fd));
	return 0;
}

/* No list: all uids are new, and so is UIDVALIDITY, which must be higher than
 * any before. */
static int
new_list(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	struct index_head *head = index_head(mb->index);
	const uint32_t now = store_validity(mb->store);

	m->validity = now > head->uid_validity ? now : head->uid_validity + 1;
	make_guid(m->guid);
	index_clear(mb->index);
	head->uid_validity = m->validity;
	head->uid_next = head->recent_from = 1;
	return save_list(mb, 1 + INDEX_UID_BLOCK, e);
}

/* Brings the head into line with a list that was read. */
static void
adopt_list(struct mailbox *mb, const struct uidlist *l)
{
	struct index_head *head = index_head(mb->index);

	if (head->uid_validity != l->validity) {
		index_clear(mb->index);
		head->uid_validity = l->validity;
		head->uid_next = head->uid_reserved = l->next;
		/* Another server's messages are not news. */
		head->recent_from = l->next;
	} else if (!uidlist_stamp_eq(head_stamp(head), l->stamp)) {
		if (head->uid_next < l->next)
			head->uid_next = l->next;
		head->uid_reserved = head->uid_next;
	}
}

static void
fill_table(struct maildir *m, const struct uidlist *l)
{
	maildir_files_clear(m);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct span name = span_str(l->entries[i].name);

		/* Twice in the list: the first uid stays. */
		if (maildir_files_find(m, name) == NULL)
			maildir_files_add(m, name)->uid = l->entries[i].uid;
	}
	m->validity = l->validity;
	memcpy(m->guid, l->guid, sizeof(m->guid));
	m->list_stamp = l->stamp;
}

/* The caller reads anew and tries again. */
static int
list_changed(struct err *e)
{
	err_set(e, ERR_TEMP, "4.2.0", "the uid list was changed");
	e->sysno = EAGAIN;
	return -1;
}

static int
load_list(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	struct uidlist l;
	int rc = 0;

	if (uidlist_load(m->fd, &l, e) != 0)
		return -1;
	fill_table(m, &l);
	if (l.validity != 0) {
		adopt_list(mb, &l);
		note_stamp(mb, l.stamp);
	} else if (uidlist_lock(m->fd, e) != 0) {
		rc = -1;
	} else {
		/* Another program may have made it while we waited. */
		if (uidlist_stamp_eq(l.stamp, uidlist_stamp(m->fd)))
			rc = new_list(mb, e);
		else
			rc = list_changed(e);
		uidlist_unlock(m->fd);
	}
	uidlist_release(&l);
	return rc;
}

bool
maildir_list_current(struct mailbox *mb, uint32_t n)
{
	const struct maildir *m = mb->state;
	const struct index_head *head = index_head(mb->index);

	return head->uid_validity != 0 && head->uid_merged != 0 &&
	    head->uid_next < UINT32_MAX - n &&
	    head->uid_next + n <= head->uid_reserved &&
	    uidlist_stamp_eq(head_stamp(head), uidlist_stamp(m->fd));
}

/* Under the list's lock. */
static int
assign_locked(struct mailbox *mb, struct uidlist_entry *entries, uint32_t n,
    struct err *e)
{
	struct maildir *m = mb->state;
	struct index_head *head = index_head(mb->index);

	if (!uidlist_stamp_eq(head_stamp(head), uidlist_stamp(m->fd)))
		return list_changed(e);
	if (head->uid_next > UINT32_MAX - n - INDEX_UID_BLOCK)
		return err_set(e, ERR_PERM, "5.2.0", "no more uids");
	if (head->uid_next + n > head->uid_reserved &&
	    save_list(mb, head->uid_next + n + INDEX_UID_BLOCK, e) != 0)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		entries[i].uid = head->uid_next + i;
	if (uidlist_append(m->fd, entries, n, e) != 0)
		return -1;
	head->uid_next += n;
	note_stamp(mb, uidlist_stamp(m->fd));
	return 0;
}

int
maildir_assign(struct mailbox *mb, struct uidlist_entry *entries, uint32_t n,
    struct err *e)
{
	struct maildir *m = mb->state;
	int rc;

	if (uidlist_lock(m->fd, e) != 0)
		return -1;
	rc = assign_locked(mb, entries, n, e);
	uidlist_unlock(m->fd);
	return rc;
}

/* ---- one file ---- */
static int
count_size(int fd, uint64_t *out, struct err *e)
{
	uint8_t *chunk = mem_alloc(READ_CHUNK);
	uint8_t last = 0;
	uint64_t size = 0;
	ssize_t n;

	while ((n = read(fd, chunk, READ_CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		size += crlf_size(span_of(chunk, (size_t)n), &last);
	}
	mem_free(chunk);
	if (n < 0)
		return err_sys(e, "read");
	*out = size;
	return 0;
}

int
maildir_file_size(int dir_fd, const char *name, uint64_t *out_size,
    int64_t *out_mtime, struct err *e)
{
	struct maildir_name n;
	struct stat st;
	uint64_t s, w;
	int fd, rc;

	maildir_name_parse(span_str(name), &n);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_sys(e, "stat %s", name);
	*out_mtime = st.st_mtim.tv_sec;
	/* The name's sizes count only when one of them is seen to be true. */
	if (maildir_name_size(n.base, 'S', &s) &&
	    s == (uint64_t)st.st_size && maildir_name_size(n.base, 'W', &w) &&
	    w >= s && w <= 2 * s) {
		*out_size = w;
		return 0;
	}
	if (fs_open(dir_fd, name, O_RDONLY, &fd, e) != 0)
		return -1;
	rc = count_size(fd, out_size, e);
	close(fd);
	return rc;
}

/* ---- files -> index ---- */
static int16_t
local_zone(int64_t t)
{
	const time_t at = (time_t)t;
	struct tm tm;

	if (localtime_r(&at, &tm) == NULL)
		return 0;
	return (int16_t)(tm.tm_gmtoff / 60);
}

static int
add_record(struct mailbox *mb, const struct maildir_file *f, struct err *e)
{
	struct maildir *m = mb->state;
	struct index_record r = { .uid = f->uid };
	struct maildir_name n;
	uint64_t size = 0;

	if (maildir_file_size(f->in_new ? m->new_fd : m->cur_fd, f->name,
		&size, &r.internal_s, e) != 0)
		return -1;
	maildir_name_parse(span_str(f->name), &n);
	r.size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
	r.flags = n.flags;
	r.keywords = keyword_letters_to_set(&m->letters, n.letters);
	r.zone_min = local_zone(r.internal_s);
	index_add(mb->index, &r);
	return 0;
}

static void
update_record(struct mailbox *mb, uint32_t i, const struct maildir_file *f)
{
	struct maildir *m = mb->state;
	struct index_record r = *index_at(mb->index, i);
	const uint64_t lettered =
	    keyword_letters_to_set(&m->letters, 0x3ffffff);
	struct maildir_name n;
	uint64_t keywords;

	maildir_name_parse(span_str(f->name), &n);
	/* Keywords without a letter are in the index only. */
	keywords = (r.keywords & ~lettered) |
	    keyword_letters_to_set(&m->letters, n.letters);
	if (r.flags == n.flags && r.keywords == keywords)
		return;
	r.flags = n.flags;
	r.keywords = keywords;
	index_change(mb->index, i, &r, true);
}

/* Records without a file go; files without a record that they could have had
 * are someone's restored mail and get a new uid. */
static void
compare(struct mailbox *mb)
{
	struct maildir *m = mb->state;
	const uint32_t merged = index_head(mb->index)->uid_merged;

	for (uint32_t i = 0; i < index_count(mb->index); i++) {
		const struct maildir_file *f =
		    maildir_files_uid(m, index_at(mb->index, i)->uid);

		if (f == NULL)
			index_remove(mb->index, i);
		else
			update_record(mb, i, f);
	}
	index_sweep(mb->index);
	for (uint32_t i = 0; i < m->count; i++) {
		struct maildir_file *f = &m->files[i];
		uint32_t at;

		if (f->uid != 0 && f->uid <= merged &&
		    !index_find(mb->index, f->uid, &at))
			f->uid = 0;
	}
	maildir_files_settle(m);
}

/* readdir during a rename can miss an entry: only what two readings do not
 * find is gone. */
static int
scan(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	bool missing = false;
	uint32_t at;

	if (maildir_scan(m, false, e) != 0)
		return -1;
	for (uint32_t i = 0; i < m->count && !missing; i++)
		missing = !m->files[i].seen &&
		    index_find(mb->index, m->files[i].uid, &at);
	if (missing && maildir_scan(m, true, e) != 0)
		return -1;
	/* Sorts, too: uids are searched from here on. */
	maildir_files_settle(m);
	return 0;
}

/* Gives uids to the files at the end of the table that have none. */
static int
assign_fresh(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	struct uidlist_entry *entries;
	uint32_t first = m->count, n;
	int rc;

	while (first > 0 && m->files[first - 1].uid == 0)
		first--;
	n = m->count - first;
	if (n == 0)
		return 0;
	entries = mem_zalloc(n * sizeof(*entries));
	for (uint32_t i = 0; i < n; i++)
		entries[i].name =
		    span_dup(maildir_file_base(&m->files[first + i]));
	rc = maildir_assign(mb, entries, n, e);
	for (uint32_t i = 0; i < n; i++) {
		if (rc == 0)
			m->files[first + i].uid = entries[i].uid;
		mem_free(entries[i].name);
	}
	mem_free(entries);
	return rc;
}

/* Files with uids above all records become records. One that vanished since
 * the scan is left to the next merge. */
static int
add_records(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	struct err why;

	for (uint32_t i = 0; i < m->count; i++) {
		if (m->files[i].uid <= index_head(mb->index)->uid_merged)
			continue;
		if (add_record(mb, &m->files[i], &why) == 0)
			continue;
		if (why.sysno != ENOENT) {
			err_copy(e, &why);
			return -1;
		}
		m->cur_stamp.settled = false;
	}
	return 0;
}

/* A session that may write takes over what was delivered. A name that the
 * next power cut brings back to new/ has the same base, hence uid. */
static void
take_new(struct mailbox *mb)
{
	struct maildir *m = mb->state;
	struct maildir_name n;
	struct buf b;

	if (mb->read_only)
		return;
	buf_init(&b, LIMIT_PATH);
	for (uint32_t i = 0; i < m->count; i++) {
		struct maildir_file *f = &m->files[i];

		if (!f->in_new)
			continue;
		maildir_name_parse(span_str(f->name), &n);
		buf_reset(&b);
		maildir_name_print(&n, &b);
		if (fs_rename(m->new_fd, f->name, m->cur_fd, buf_cstr(&b),
			NULL) != 0)
			continue;
		maildir_file_rename(f, buf_span(&b));
		f->in_new = false;
		m->new_stamp.settled = m->cur_stamp.settled = false;
	}
	buf_release(&b);
}

static int
load_keywords(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	unsigned before;

	if (keywords_load(&mb->keywords, m->fd, keywords_file, e) != 0)
		return -1;
	before = mb->keywords.count;
	if (keyword_letters_load(&m->letters, &mb->keywords, m->fd, e) != 0)
		return -1;
	if (before == mb->keywords.count)
		return 0;
	return keywords_save(&mb->keywords, m->fd, keywords_file, e);
}

static int
merge_once(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;

	if (load_keywords(mb, e) != 0)
		return -1;
	if (!m->loaded ||
	    !uidlist_stamp_eq(m->list_stamp, uidlist_stamp(m->fd))) {
		m->loaded = false;
		if (load_list(mb, e) != 0)
			return -1;
	} else if (index_head(mb->index)->uid_validity != m->validity) {
		/* The index was lost, the list was not. */
		m->loaded = false;
		return merge_once(mb, e);
	}
	if ((!m->loaded || maildir_dirs_changed(m)) && scan(mb, e) != 0)
		return -1;
	m->loaded = true;
	compare(mb);
	if (assign_fresh(mb, e) != 0)
		return -1;
	if (add_records(mb, e) != 0)
		return -1;
	take_new(mb);
	return 0;
}

int
maildir_merge(struct mailbox *mb, struct err *e)
{
	struct maildir *m = mb->state;
	int rc = -1;

	for (int i = 0; i < MERGE_TRIES; i++) {
		rc = merge_once(mb, e);
		if (rc == 0)
			return 0;
		m->loaded = false;
		/* Someone changed the list between our reading it and our
		 * lock on it. */
		if (e->sysno != EAGAIN)
			break;
	}
	return rc;
}
