/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"

static const size_t file_max = (size_t)1 << 32;

enum { WORD_INODE, WORD_SIZE, WORD_MTIME }; /* in index_head.driver */
enum { WORDS_MAX = 16384 };

/* ---- opening ---- */
static void
mbox_close(struct mailbox *mb)
{
	struct mbox *m = mb->state;

	if (m == NULL)
		return;
	if (m->index_fd >= 0)
		close(m->index_fd);
	mem_free(m->path);
	mem_free(m);
	mb->state = NULL;
}

static int
mbox_open(struct mailbox *mb, struct err *e)
{
	const struct span name = span_str(mb->name);
	struct mbox *m = MEM_NEW(m);
	struct stat st;

	m->index_fd = -1;
	mb->state = m;
	if (mbox_path(mb->store, name, &m->path, e) != 0)
		goto fail;
	if (!name_is_inbox(name) && lstat(m->path, &st) != 0) {
		err_sys(e, "%s", m->path);
		goto fail;
	}
	/* A delivery wants the place for its note, but goes without where the
	 * user's home is not there. */
	if (mbox_index_dir(mb->store, name, true, &m->index_fd, e) != 0 &&
	    !mb->delivery)
		goto fail;
	mb->index = index_new(m->index_fd);
	mb->watch[0] = m->path;
	return 0;
fail:
	mbox_close(mb);
	return -1;
}

/* ---- the file and the index ---- */
static void
stamp_words(const struct stat *st, uint64_t words[3])
{
	words[WORD_INODE] = st->st_ino;
	words[WORD_SIZE] = (uint64_t)st->st_size;
	words[WORD_MTIME] = (uint64_t)st->st_mtim.tv_sec * 1000000000 +
	    (uint64_t)st->st_mtim.tv_nsec;
}

static bool
mbox_changed(struct mailbox *mb)
{
	const struct mbox *m = mb->state;
	struct stat st = { 0 };

	if (lstat(m->path, &st) != 0)
		memset(&st, 0, sizeof(st));
	return !fs_same(&st, &m->seen) || mbox_unfinished(m->index_fd);
}

static int
read_range(int fd, off_t at, off_t end, struct buf *out, struct err *e)
{
	while (at < end) {
		uint8_t *room = buf_room(out, (size_t)(end - at));
		ssize_t n;

		if (room == NULL)
			return err_set(
			    e, ERR_TEMP, "4.3.0", "the mailbox is too large");
		n = pread(fd, room, (size_t)(end - at), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the mailbox");
		if (n == 0)
			break;
		buf_grown(out, (size_t)n);
		at += n;
	}
	return 0;
}

int
mbox_read(int fd, struct buf *out, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat the mailbox");
	return read_range(fd, 0, st.st_size, out, e);
}

int
mbox_read_from(int fd, uint64_t from, struct buf *out)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	return read_range(fd, (off_t)from, st.st_size, out, NULL);
}

bool
mbox_unfinished(int index_fd)
{
	return mbox_repair_needed(index_fd) || mbox_note_there(index_fd);
}

/* The note first: what it takes away is younger than any repair. */
int
mbox_finish(int index_fd, int fd, const char *path, struct err *e)
{
	if (mbox_note_there(index_fd) &&
	    mbox_note_recover(index_fd, fd, path, e) != 0)
		return -1;
	if (mbox_repair_needed(index_fd))
		return mbox_repair(index_fd, fd, path, e);
	return 0;
}

/* ---- keywords ---- */
/* Words known to the file become known here: their numbers are ours. */
static void
learn_keywords(struct mailbox *mb, struct span words)
{
	struct span word;

	while (span_token(&words, " \t\r\n", &word))
		if (keywords_find(&mb->keywords, word) < 0)
			keywords_add(&mb->keywords, word);
}

/* Only words that the mailbox knows: a message can't bring its own. */
static uint64_t
keyword_set(const struct mailbox *mb, struct span words)
{
	struct span word;
	uint64_t set = 0;

	while (span_token(&words, " \t\r\n", &word)) {
		const int n = keywords_find(&mb->keywords, word);

		if (n >= 0)
			set |= (uint64_t)1 << n;
	}
	return set;
}

void
mbox_keyword_words(const struct mailbox *mb, uint64_t set, struct buf *out)
{
	const size_t start = out->n;

	for (unsigned n = 0; n < mb->keywords.count; n++) {
		if ((set >> n & 1) == 0)
			continue;
		if (out->n > start)
			buf_byte(out, ' ');
		buf_str(out, mb->keywords.names[n]);
	}
}

/* ---- matching messages and records ---- */
struct known {
	uint64_t ident;
	uint32_t i; /* in the index */
	bool taken;
};

static int
by_ident(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	if (x->ident != y->ident)
		return x->ident < y->ident ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static uint64_t
record_ident(const struct index_record *r)
{
	return (uint64_t)r->driver[0] << 32 | r->driver[1];
}

static struct known *
known_table(const struct mailbox *mb)
{
	const uint32_t count = index_count(mb->index);
	struct known *k = mem_alloc(count * sizeof(*k));

	for (uint32_t i = 0; i < count; i++)
		k[i] = (struct known){
			.ident = record_ident(index_at(mb->index, i)), .i = i
		};
	qsort(k, count, sizeof(*k), by_ident);
	return k;
}

/* The first record of that identity that no message has taken: among equal
 * messages the order stays. */
static struct known *
take_known(struct known *k, uint32_t count, uint64_t ident)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		const uint32_t mid = low + (high - low) / 2;

		if (k[mid].ident < ident)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < count && k[low].ident == ident; low++) {
		if (!k[low].taken) {
			k[low].taken = true;
			return &k[low];
		}
	}
	return NULL;
}

/* The record with that uid, if its message is of that identity: among equal
 * messages the file's own numbers say which is which. */
static struct known *
take_by_uid(const struct mailbox *mb, struct known *k, uint32_t count,
    uint64_t ident, uint32_t uid)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		const uint32_t mid = low + (high - low) / 2;

		/* Equal ones stand in the order of their uids. */
		if (k[mid].ident < ident ||
		    (k[mid].ident == ident &&
			index_at(mb->index, k[mid].i)->uid < uid))
			low = mid + 1;
		else
			high = mid;
	}
	if (low == count || k[low].ident != ident || k[low].taken ||
	    index_at(mb->index, k[low].i)->uid != uid)
		return NULL;
	k[low].taken = true;
	return &k[low];
}

static void
fill_record(const struct mailbox *mb, const struct mbox_message *p,
    const uint8_t *file, struct index_record *r)
{
	r->size = p->size > UINT32_MAX ? UINT32_MAX : (uint32_t)p->size;
	r->flags = p->flags;
	r->keywords = keyword_set(mb, p->keywords);
	r->place = (uint64_t)(p->raw.p - file);
	r->length = p->raw.n;
	r->driver[0] = (uint32_t)(p->ident >> 32);
	r->driver[1] = (uint32_t)p->ident;
}

static void
update_record(struct mailbox *mb, uint32_t i, const struct mbox_message *p,
    const uint8_t *file)
{
	const struct index_record *was = index_at(mb->index, i);
	struct index_record r = *was;
	bool visible;

	fill_record(mb, p, file, &r);
	visible = r.flags != was->flags || r.keywords != was->keywords;
	if (visible || r.place != was->place || r.length != was->length)
		index_change(mb->index, i, &r, visible);
}

static int16_t
zone_of(int64_t t)
{
	const time_t at = (time_t)t;
	struct tm tm;

	if (localtime_r(&at, &tm) == NULL)
		return 0;
	return (int16_t)(tm.tm_gmtoff / 60);
}

static void
add_record(struct mailbox *mb, const struct mbox_message *p,
    const uint8_t *file, uint32_t uid)
{
	struct index_record r = { .uid = uid, .internal_s = p->date_s,
		.zone_min = zone_of(p->date_s) };

	fill_record(mb, p, file, &r);
	index_add(mb->index, &r);
}

/* ---- merging ---- */
/* An empty index takes the uids that stand in the file, as far as they are
 * in order and below what X-IMAPbase announces. */
static void
adopt(struct mailbox *mb, const struct mbox_list *l)
{
	struct index_head *head = index_head(mb->index);
	uint32_t highest = l->last_uid;

	if (l->validity != 0 && head->uid_validity != l->validity) {
		index_clear(mb->index);
		head->uid_validity = l->validity;
		head->uid_next = head->recent_from = 1;
	}
	if (head->uid_validity == 0) {
		index_clear(mb->index);
		head->uid_validity = store_validity(mb->store);
		head->uid_next = head->recent_from = 1;
	}
	if (head->driver[WORD_INODE] != 0 || l->validity == 0)
		return; /* not the first look at this file */
	for (size_t i = 0; i < l->count; i++)
		if (l->at[i].uid > highest)
			highest = l->at[i].uid;
	/* Some may have been given and expunged since the file was written:
	 * a good step further. */
	if (head->uid_next <= highest &&
	    highest < UINT32_MAX - 100 * INDEX_UID_BLOCK)
		head->uid_next = highest + INDEX_UID_BLOCK;
}

/* Messages that know their uid, when the index knows none. */
static void
add_by_uid(struct mailbox *mb, struct mbox_list *l, const uint8_t *file)
{
	struct index_head *head = index_head(mb->index);
	uint32_t last = 0;

	if (head->uid_merged != 0 || l->validity == 0)
		return;
	for (size_t i = 0; i < l->count; i++) {
		struct mbox_message *p = &l->at[i];

		if (p->uid <= last || p->uid >= head->uid_next)
			continue;
		last = p->uid;
		add_record(mb, p, file, p->uid);
		if (p->old)
			head->recent_from = p->uid + 1;
		p->raw.n = 0; /* done */
	}
}

static int
add_new(struct mailbox *mb, const struct mbox_list *l, const uint8_t *file,
    struct err *e)
{
	struct index_head *head = index_head(mb->index);
	uint32_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += l->at[i].raw.n > 0;
	if (n == 0)
		return 0;
	if (index_reserve_uids(mb->index, n, e) != 0)
		return -1;
	for (size_t i = 0; i < l->count; i++) {
		const struct mbox_message *p = &l->at[i];

		if (p->raw.n == 0)
			continue;
		if (p->old && head->recent_from == head->uid_next)
			head->recent_from++;
		add_record(mb, p, file, head->uid_next);
	}
	return 0;
}

/* A message that was matched has raw.n 0 from then on. */
static void
match_one(struct mailbox *mb, struct known *known, uint32_t count,
    struct mbox_message *p, const uint8_t *file, bool exact)
{
	struct known *k;

	if (p->raw.n == 0 || (exact && p->uid == 0))
		return;
	k = exact ? take_by_uid(mb, known, count, p->ident, p->uid) :
		    take_known(known, count, p->ident);
	if (k == NULL)
		return;
	update_record(mb, k->i, p, file);
	p->raw.n = 0;
}

static int
match(struct mailbox *mb, struct mbox_list *l, const uint8_t *file,
    struct err *e)
{
	const uint32_t count = index_count(mb->index);
	struct known *known = known_table(mb);
	const bool numbered =
	    l->validity == index_head(mb->index)->uid_validity;

	for (size_t i = 0; numbered && i < l->count; i++)
		match_one(mb, known, count, &l->at[i], file, true);
	for (size_t i = 0; i < l->count; i++)
		match_one(mb, known, count, &l->at[i], file, false);
	for (uint32_t i = 0; i < count; i++)
		if (!known[i].taken)
			index_remove(mb->index, known[i].i);
	mem_free(known);
	index_sweep(mb->index);
	add_by_uid(mb, l, file);
	return add_new(mb, l, file, e);
}

static int
merge_text(struct mailbox *mb, struct span file, struct err *e)
{
	struct mbox_list l;
	const unsigned known = mb->keywords.count;
	int rc;

	if (!mbox_parse(file, &l))
		return err_set(e, ERR_PERM, "5.2.0",
		    "%s is not a mailbox", ((struct mbox *)mb->state)->path);
	learn_keywords(mb, l.keywords);
	adopt(mb, &l);
	rc = match(mb, &l, file.p, e);
	mbox_list_release(&l);
	if (rc == 0 && mb->keywords.count > known)
		rc = mb->driver->keywords_save(mb, e);
	return rc;
}

static int
load_keywords(struct mailbox *mb, struct err *e)
{
	const struct mbox *m = mb->state;

	return keywords_load(&mb->keywords, m->index_fd, keywords_file, e);
}

int
mbox_merge_locked(struct mailbox *mb, int fd, struct err *e)
{
	struct mbox *m = mb->state;
	struct index_head *head = index_head(mb->index);
	uint64_t words[3];
	struct stat st = { 0 };
	struct buf b;
	int rc = 0;

	if (fd >= 0 && fstat(fd, &st) != 0)
		return err_sys(e, "stat %s", m->path);
	stamp_words(&st, words);
	if (load_keywords(mb, e) != 0)
		return -1;
	if (head->uid_validity == 0 ||
	    memcmp(words, head->driver, sizeof(words)) != 0) {
		buf_init(&b, file_max);
		if (fd >= 0)
			rc = mbox_read(fd, &b, e);
		if (rc == 0)
			rc = merge_text(mb, buf_span(&b), e);
		buf_release(&b);
		if (rc == 0)
			memcpy(head->driver, words, sizeof(words));
	}
	if (rc == 0)
		m->seen = st;
	return rc;
}

int
mbox_begin(struct mailbox *mb, bool write, bool create,
    struct mbox_lock *out, struct err *e)
{
	struct mbox *m = mb->state;
	const bool repair = mbox_unfinished(m->index_fd);

	if (mbox_lock(mb->store, m->path, write || repair, create, out, e) != 0)
		return -1;
	if ((!repair || out->fd < 0 ||
		mbox_finish(m->index_fd, out->fd, m->path, e) == 0) &&
	    mbox_merge_locked(mb, out->fd, e) == 0)
		return 0;
	mbox_unlock(out);
	return -1;
}

static int
mbox_merge(struct mailbox *mb, struct err *e)
{
	struct mbox_lock lock;

	if (mbox_begin(mb, false, false, &lock, e) != 0)
		return -1;
	mbox_unlock(&lock);
	return 0;
}

/* ---- text ---- */
static int
gone(struct err *e, uint32_t uid)
{
	err_set(e, ERR_PERM, "5.2.0", "message %u is not there any more", uid);
	e->sysno = ENOENT;
	return -1;
}

/* Under the file's lock. */
static int
read_message(struct mailbox *mb, int fd, uint32_t uid, struct buf *out,
    struct err *e)
{
	const struct index_record *r;
	struct mbox_list l;
	struct buf raw;
	uint32_t i;
	int rc = -1;

	if (fd < 0 || !index_find(mb->index, uid, &i))
		return gone(e, uid);
	r = index_at(mb->index, i);
	buf_init(&raw, r->length);
	while (raw.n < r->length) {
		uint8_t *room = buf_room(&raw, r->length - raw.n);
		const ssize_t n = pread(
		    fd, room, r->length - raw.n, (off_t)(r->place + raw.n));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_grown(&raw, (size_t)n);
	}
	if (raw.n < r->length)
		err_set(e, ERR_TEMP, "4.2.0", "the mailbox became shorter");
	else if (!mbox_parse(buf_span(&raw), &l) || l.count != 1)
		err_set(e, ERR_TEMP, "4.2.0", "the mailbox was changed");
	else {
		mbox_text(&l.at[0], out);
		mbox_list_release(&l);
		rc = buf_ok(out) ? 0 :
				   err_set(e, ERR_PERM, "5.3.4",
				       "message too large");
	}
	buf_release(&raw);
	return rc;
}

static int
mbox_text_of(struct mailbox *mb, uint32_t uid, struct buf *out, struct err *e)
{
	struct mbox_lock lock;
	int rc = -1;

	if (index_lock(mb->index, e) != 0)
		return -1;
	if (mbox_begin(mb, false, false, &lock, e) == 0) {
		rc = read_message(mb, lock.fd, uid, out, e);
		mbox_unlock(&lock);
	}
	if (index_unlock(mb->index, rc == 0 ? e : NULL) != 0)
		return -1;
	return rc;
}

static int
mbox_keywords_save(struct mailbox *mb, struct err *e)
{
	const struct mbox *m = mb->state;

	return keywords_save(&mb->keywords, m->index_fd, keywords_file, e);
}

const struct store_driver mbox_driver = {
	.separator = '/',
	.open = mbox_open,
	.close = mbox_close,
	.changed = mbox_changed,
	.merge = mbox_merge,
	.text = mbox_text_of,
	.set_flags = mbox_set_flags,
	.expunge = mbox_expunge,
	.keywords_save = mbox_keywords_save,
	.save_begin = mbox_save_begin,
	.save_message = mbox_save_message,
	.save_write = mbox_save_write,
	.save_end = mbox_save_end,
	.save_commit = mbox_save_commit,
	.save_abort = mbox_save_abort,
	.list = mbox_list_boxes,
	.create = mbox_create,
	.create_parent = mbox_create_parent,
	.remove = mbox_remove,
	.rename = mbox_rename,
	.subscriptions = ".subscriptions",
	.validity = ".chappe.uidvalidity",
};
