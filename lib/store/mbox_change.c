/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/mbox.h"

static const size_t file_max = (size_t)1 << 32;

/*
 * Both changes work on the whole text: the file is read and parsed, and what
 * has to be different is written. Flags of messages that have our lines
 * change in place, by a few bytes; all else is a new tail from the first
 * message that differs, with our lines in all its messages, so that the next
 * change is one in place.
 */
struct edit {
	struct mailbox *mb;
	const uint32_t *uids; /* sorted */
	size_t count;
	const struct flag_change *change; /* NULL: they are removed */
	struct buf file;
	struct mbox_list list;
	uint32_t *uid_of; /* for each message of the list */
	struct buf all_keywords;
};

/* ---- which message has which uid ---- */
struct place {
	uint64_t at;
	uint32_t uid;
};

static int
by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int
find_uids(struct edit *ed, struct err *e)
{
	const uint32_t count = index_count(ed->mb->index);
	struct place *places = mem_alloc(count * sizeof(*places));
	int rc = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct index_record *r = index_at(ed->mb->index, i);

		places[i] = (struct place){ r->place, r->uid };
	}
	qsort(places, count, sizeof(*places), by_place);
	ed->uid_of = mem_zalloc(ed->list.count * sizeof(*ed->uid_of));
	if (count != ed->list.count)
		rc = err_set(e, ERR_TEMP, "4.2.0", "the mailbox was changed");
	for (size_t i = 0; rc == 0 && i < count; i++)
		ed->uid_of[i] = places[i].uid;
	mem_free(places);
	return rc;
}

static int
cmp_u32(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool
meant(const struct edit *ed, size_t i)
{
	return bsearch(&ed->uid_of[i], ed->uids, ed->count,
		   sizeof(*ed->uids), cmp_u32) != NULL;
}

/* ---- new text ---- */
/* Appends message i with our lines; first: it will be the first in the
 * file. */
static void
print_message(struct edit *ed, size_t i, bool first, bool body,
    struct buf *out)
{
	const struct index_head *head = index_head(ed->mb->index);
	const struct mbox_message *m = &ed->list.at[i];
	struct mbox_marks marks = { .uid = ed->uid_of[i], .flags = m->flags,
		.old = m->old || ed->uid_of[i] < head->recent_from };
	uint64_t keywords = 0;
	struct buf words;
	uint32_t at;

	if (index_find(ed->mb->index, marks.uid, &at))
		keywords = index_at(ed->mb->index, at)->keywords;
	if (ed->change != NULL && meant(ed, i))
		flag_change_apply(ed->change, &marks.flags, &keywords);
	buf_init(&words, LIMIT_PATH * 2);
	mbox_keyword_words(ed->mb, keywords, &words);
	marks.keywords = buf_span(&words);
	if (first) {
		marks.validity = head->uid_validity;
		marks.last_uid = head->uid_next - 1;
		marks.all_keywords = buf_span(&ed->all_keywords);
	}
	mbox_print_header(out, m, &marks);
	buf_release(&words);
	if (!body)
		return;
	buf_add(out, m->body);
	if (m->body.n > 0 && m->body.p[m->body.n - 1] != '\n')
		buf_byte(out, '\n');
	buf_byte(out, '\n');
}

/* The bytes of a message up to its body. */
static size_t
head_length(const struct mbox_message *m)
{
	return m->body.p != NULL ? (size_t)(m->body.p - m->raw.p) : m->raw.n;
}

/* Can message i get its new lines over the old ones? */
static bool
fits(struct edit *ed, size_t i, struct buf *out)
{
	const struct mbox_message *m = &ed->list.at[i];

	buf_reset(out);
	if (!m->ours || (i == 0 && ed->list.validity == 0))
		return false;
	print_message(ed, i, i == 0, false, out);
	return buf_ok(out) && out->n == head_length(m);
}

static size_t
place_of(const struct edit *ed, size_t i)
{
	return (size_t)(ed->list.at[i].raw.p - ed->file.p);
}

/* Only the bytes that differ: a few in one or two lines. */
static int
write_difference(
    int fd, size_t at, struct span was, struct span is, struct err *e)
{
	size_t from = 0, to = is.n;

	while (from < to && was.p[from] == is.p[from])
		from++;
	while (to > from && was.p[to - 1] == is.p[to - 1])
		to--;
	if (from == to)
		return 0;
	return fs_pwrite(
	    fd, span_slice(is, from, to), (off_t)(at + from), e);
}

/* 1 all done in place, 0 not possible (nothing was written), -1 error. */
static int
change_in_place(struct edit *ed, int fd, struct err *e)
{
	struct buf out;
	int rc = 1;

	buf_init(&out, file_max);
	for (size_t i = 0; i < ed->list.count && rc == 1; i++)
		if (meant(ed, i) && !fits(ed, i, &out))
			rc = 0;
	for (size_t i = 0; i < ed->list.count && rc == 1; i++) {
		if (!meant(ed, i) || !fits(ed, i, &out))
			continue;
		if (write_difference(fd, place_of(ed, i),
			span_slice(ed->list.at[i].raw, 0, out.n),
			buf_span(&out), e) != 0)
			rc = -1;
	}
	buf_release(&out);
	if (rc == 1 && fs_sync(fd, e) != 0)
		rc = -1;
	return rc;
}

/* Writes all messages from the first that differs on. */
static int
change_tail(struct edit *ed, int fd, struct err *e)
{
	const struct mbox *m = ed->mb->state;
	size_t start = 0;
	bool first;
	struct buf out;
	int rc;

	while (start < ed->list.count && !meant(ed, start))
		start++;
	if (start == ed->list.count)
		return 0;
	/* X-IMAPbase stands in the first message. */
	if (ed->list.validity == 0)
		start = 0;
	first = start == 0;
	buf_init(&out, file_max);
	for (size_t i = start; i < ed->list.count; i++) {
		if (ed->change == NULL && meant(ed, i))
			continue;
		print_message(ed, i, first, true, &out);
		first = false;
	}
	rc = buf_ok(&out) ?
	    mbox_replace_tail(m->index_fd, fd, (off_t)place_of(ed, start),
		buf_span(&out), e) :
	    err_set(e, ERR_TEMP, "4.3.0", "the mailbox is too large");
	buf_release(&out);
	return rc;
}

static int
edit_file(struct edit *ed, int fd, struct err *e)
{
	int rc;

	if (mbox_read(fd, &ed->file, e) != 0)
		return -1;
	if (!mbox_parse(buf_span(&ed->file), &ed->list))
		return err_set(e, ERR_TEMP, "4.2.0", "not a mailbox");
	if (find_uids(ed, e) != 0)
		return -1;
	mbox_keyword_words(ed->mb, UINT64_MAX, &ed->all_keywords);
	rc = ed->change != NULL ? change_in_place(ed, fd, e) : 0;
	if (rc == 0)
		rc = change_tail(ed, fd, e);
	return rc < 0 ? -1 : 0;
}

/* A mailbox whose mail was all seen shall not look as if there were new mail:
 * programs compare the time of change with that of the last reading. */
static void
mark_read(const struct mailbox *mb, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_nsec = UTIME_OMIT } };
	const struct index_head *head = index_head(mb->index);

	if (head->recent_from > head->uid_merged)
		(void)futimens(fd, times);
}

static int
run_edit(struct edit *ed, struct err *e)
{
	struct mailbox *mb = ed->mb;
	struct mbox_lock lock;
	struct err other;
	int rc = 0;

	if (mbox_begin(mb, true, false, &lock, e) != 0)
		return -1;
	buf_init(&ed->file, file_max);
	buf_init(&ed->all_keywords, LIMIT_PATH * 2);
	if (lock.fd >= 0) {
		rc = edit_file(ed, lock.fd, e);
		/* The index learns what the file now says, also after an
		 * error half-way. */
		if (mbox_merge_locked(mb, lock.fd, rc == 0 ? e : &other) != 0)
			rc = -1;
		mark_read(mb, lock.fd);
	}
	mbox_unlock(&lock);
	mbox_list_release(&ed->list);
	mem_free(ed->uid_of);
	buf_release(&ed->file);
	buf_release(&ed->all_keywords);
	return rc;
}

int
mbox_set_flags(struct mailbox *mb, const uint32_t *uids, size_t count,
    const struct flag_change *change, struct err *e)
{
	struct edit ed = { .mb = mb, .uids = uids, .count = count,
		.change = change };

	return run_edit(&ed, e);
}

int
mbox_expunge(
    struct mailbox *mb, const uint32_t *uids, size_t count, struct err *e)
{
	struct edit ed = { .mb = mb, .uids = uids, .count = count };

	return run_edit(&ed, e);
}
