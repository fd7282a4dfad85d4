/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/store/crlf.h"
#include "lib/store/keywords.h"
#include "lib/store/mbox.h"

enum {
	CHUNK = 65536,
	LINE_MAX_HELD = 8192,
	REPEAT_DISTANCE = 1 << 20, /* bytes that may have come meanwhile */
};

static const size_t rendered_max = (size_t)1 << 32;

/* A message being added is written to memory first, in the form it will have
 * in the file: so the file is locked only for one write. */
struct item {
	uint64_t at;       /* in the spool */
	uint64_t header_n; /* its fields */
	uint64_t size;     /* fields, empty line and body */
	bool no_body;      /* the header never ended */
	char *queue_id;    /* NULL: not a delivery from the queue */
	char **keywords;
	char *sender;
	uint8_t flags;
	int64_t date_s;
	int16_t zone_min;
};

struct save {
	struct mailbox *mb;
	bool delivery;
	int spool;
	uint64_t spool_n;
	struct item *items;
	uint32_t count;
	/* The line being collected; longer ones go on in pieces. */
	struct buf line, out, lf;
	uint8_t last;
	bool line_begun; /* a piece of this line is out */
	bool in_header, skip, ends_lf;
};

int
mbox_save_begin(
    struct mailbox *mb, bool delivery, struct save **out, struct err *e)
{
	struct save *sv;
	const int fd = memfd_create("mail", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "memory for a message");
	sv = MEM_NEW(sv);
	sv->mb = mb;
	sv->delivery = delivery;
	sv->spool = fd;
	buf_init(&sv->line, LINE_MAX_HELD);
	buf_init(&sv->out, 4 * CHUNK);
	buf_init(&sv->lf, CHUNK + 16);
	*out = sv;
	return 0;
}

int
mbox_save_message(
    struct save *sv, const struct append_meta *meta, struct err *e)
{
	struct item *it;

	(void)e;
	sv->items = mem_resize(sv->items, sv->count + 1, sizeof(*sv->items));
	it = &sv->items[sv->count++];
	*it = (struct item){
		.at = sv->spool_n,
		.keywords = keywords_copy(meta->keywords),
		.sender = span_dup(meta->envelope_sender),
		.queue_id = mem_strdup(meta->queue_id),
		.flags = meta->flags & (uint8_t)~FLAG_RECENT,
		.date_s = meta->internal_s != 0 ? meta->internal_s :
						  clock_wall_us() / 1000000,
		.zone_min = meta->internal_zone_min,
	};
	sv->in_header = true;
	sv->skip = sv->line_begun = false;
	sv->ends_lf = true;
	sv->last = 0;
	return 0;
}

/* ---- to the spool ---- */
static int
flush(struct save *sv, struct err *e)
{
	struct span s = buf_span(&sv->out);

	while (s.n > 0) {
		const ssize_t n = write(sv->spool, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "memory for a message");
		s = span_skip(s, (size_t)n);
	}
	buf_reset(&sv->out);
	return 0;
}

static void
emit(struct save *sv, struct span s)
{
	if (s.n == 0)
		return;
	buf_add(&sv->out, s);
	sv->spool_n += s.n;
	sv->ends_lf = s.p[s.n - 1] == '\n';
}

/* The beginning of a line in the header. Nobody outside may set flags or
 * uids by header lines. */
static bool
header_line(struct save *sv, struct span line)
{
	struct item *it = &sv->items[sv->count - 1];
	const size_t colon = span_chr(line, ':');

	if (line.p[0] == '\n') {
		sv->in_header = false;
		it->header_n = sv->spool_n - it->at;
		return true;
	}
	if (line.p[0] != ' ' && line.p[0] != '\t')
		sv->skip = colon != SIZE_MAX &&
		    mbox_hidden(span_trim(span_slice(line, 0, colon)));
	return !sv->skip;
}

/* A line, or with begun set a later piece of one. */
static void
put_line(struct save *sv, struct span line, bool begun)
{
	if (sv->in_header && !begun) {
		if (!header_line(sv, line))
			return;
	} else if (sv->in_header && sv->skip) {
		return;
	}
	if (!begun && span_starts(line, SPAN("From ")))
		emit(sv, SPAN(">"));
	emit(sv, line);
}

static void
put_held(struct save *sv)
{
	if (sv->line.n > 0)
		put_line(sv, buf_span(&sv->line), sv->line_begun);
	sv->line_begun = sv->line.n > 0 &&
	    sv->line.p[sv->line.n - 1] != '\n';
	buf_reset(&sv->line);
}

static void
put_text(struct save *sv, struct span s)
{
	while (s.n > 0) {
		const size_t lf = span_chr(s, '\n');
		size_t n = lf == SIZE_MAX ? s.n : lf + 1;

		if (n > LINE_MAX_HELD - sv->line.n)
			n = LINE_MAX_HELD - sv->line.n;
		buf_add(&sv->line, span_slice(s, 0, n));
		s = span_skip(s, n);
		if (sv->line.n == LINE_MAX_HELD ||
		    sv->line.p[sv->line.n - 1] == '\n')
			put_held(sv);
	}
}

int
mbox_save_write(struct save *sv, struct span bytes, struct err *e)
{
	while (bytes.n > 0) {
		buf_reset(&sv->lf);
		lf_add(&sv->lf, span_slice(bytes, 0, CHUNK), &sv->last);
		bytes = span_skip(bytes, CHUNK);
		put_text(sv, buf_span(&sv->lf));
		if (flush(sv, e) != 0)
			return -1;
	}
	return 0;
}

int
mbox_save_end(struct save *sv, struct err *e)
{
	struct item *it = &sv->items[sv->count - 1];

	buf_reset(&sv->lf);
	lf_end(&sv->lf, &sv->last);
	put_text(sv, buf_span(&sv->lf));
	put_held(sv);
	if (!sv->ends_lf)
		emit(sv, SPAN("\n"));
	if (sv->in_header) {
		it->no_body = true;
		it->header_n = sv->spool_n - it->at;
	}
	it->size = sv->spool_n - it->at;
	return flush(sv, e);
}

static void
save_free(struct save **svp)
{
	struct save *sv = *svp;

	for (uint32_t i = 0; i < sv->count; i++) {
		char **k = sv->items[i].keywords;

		for (size_t n = 0; k != NULL && k[n] != NULL; n++)
			mem_free(k[n]);
		mem_free(k);
		mem_free(sv->items[i].sender);
		mem_free(sv->items[i].queue_id);
	}
	mem_free(sv->items);
	close(sv->spool);
	buf_release(&sv->line);
	buf_release(&sv->out);
	buf_release(&sv->lf);
	mem_free(sv);
	*svp = NULL;
}

void
mbox_save_abort(struct save **sv)
{
	save_free(sv);
}

/* ---- to the file ---- */
static int
copy_out(struct save *sv, uint64_t at, uint64_t size, int fd, struct err *e)
{
	uint8_t *chunk = mem_alloc(CHUNK);
	int rc = 0;

	while (size > 0 && rc == 0) {
		const ssize_t n = pread(sv->spool, chunk,
		    size > CHUNK ? CHUNK : (size_t)size, (off_t)at);

		if (n <= 0) {
			rc = err_sys(e, "memory for a message");
			break;
		}
		rc = fs_write(fd, span_of(chunk, (size_t)n), e);
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	mem_free(chunk);
	return rc;
}

static int
write_item(struct save *sv, const struct item *it,
    const struct mbox_marks *marks, int fd, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, 4 * LIMIT_PATH);
	mbox_print_from(&b, span_str(it->sender), it->date_s);
	rc = fs_write(fd, buf_span(&b), e);
	if (rc == 0)
		rc = copy_out(sv, it->at, it->header_n, fd, e);
	buf_reset(&b);
	if (marks != NULL)
		mbox_print_marks(&b, marks);
	if (it->no_body)
		buf_byte(&b, '\n');
	if (rc == 0)
		rc = fs_write(fd, buf_span(&b), e);
	if (rc == 0)
		rc = copy_out(sv, it->at + it->header_n,
		    it->size - it->header_n, fd, e);
	buf_release(&b);
	return rc == 0 ? fs_write(fd, SPAN("\n"), e) : -1;
}

/* An empty line must stand before a From_ line. */
static int
write_separator(int fd, off_t size, int out, struct err *e)
{
	char end[2] = { '\n', '\n' };

	if (size == 0)
		return 0;
	if (size >= 2 && pread(fd, end, 2, size - 2) != 2)
		return err_sys(e, "read the mailbox");
	if (end[1] != '\n')
		return fs_write(out, SPAN("\n\n"), e);
	return end[0] != '\n' ? fs_write(out, SPAN("\n"), e) : 0;
}

static void
item_marks(struct save *sv, uint32_t i, off_t old_size, struct buf *words,
    struct buf *all, struct mbox_marks *out)
{
	const struct index_head *head = index_head(sv->mb->index);
	const struct item *it = &sv->items[i];

	for (size_t k = 0; it->keywords != NULL && it->keywords[k] != NULL;
	     k++) {
		if (k > 0)
			buf_byte(words, ' ');
		buf_str(words, it->keywords[k]);
	}
	*out = (struct mbox_marks){ .uid = head->uid_next + i,
		.flags = it->flags, .keywords = buf_span(words) };
	if (old_size == 0 && i == 0) {
		mbox_keyword_words(sv->mb, UINT64_MAX, all);
		out->validity = head->uid_validity;
		out->last_uid = head->uid_next + sv->count - 1;
		out->all_keywords = buf_span(all);
	}
}

/* All that is to be appended, into memory. */
static int
render(struct save *sv, int fd, off_t old_size, int out, struct err *e)
{
	struct mbox_marks marks;
	struct buf words, all;
	int rc = write_separator(fd, old_size, out, e);

	for (uint32_t i = 0; i < sv->count && rc == 0; i++) {
		buf_init(&words, LIMIT_PATH * 2);
		buf_init(&all, LIMIT_PATH * 2);
		if (!sv->delivery)
			item_marks(sv, i, old_size, &words, &all, &marks);
		rc = write_item(sv, &sv->items[i],
		    sv->delivery ? NULL : &marks, out, e);
		buf_release(&words);
		buf_release(&all);
	}
	return rc;
}

static int
write_out(int out, int fd, off_t at, struct err *e)
{
	uint8_t *chunk = mem_alloc(CHUNK);
	off_t done = 0;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = pread(out, chunk, CHUNK, done)) != 0) {
		if (n < 0)
			rc = err_sys(e, "memory for a message");
		else
			rc = fs_pwrite(
			    fd, span_of(chunk, (size_t)n), at + done, e);
		done += n;
	}
	mem_free(chunk);
	return rc == 0 ? fs_sync(fd, e) : -1;
}

/* Appends what was rendered, durably, or nothing. */
static int
append_rendered(
    struct save *sv, int fd, off_t old_size, int out, struct err *e)
{
	const struct mbox *m = sv->mb->state;

	if (mbox_note_begin(m->index_fd, fd, out, e) != 0)
		return -1;
	if (write_out(out, fd, old_size, e) == 0 &&
	    mbox_note_end(m->index_fd, e) == 0)
		return 0;
	if (fs_truncate(fd, old_size, NULL) == 0 && fs_sync(fd, NULL) == 0)
		mbox_note_end(m->index_fd, NULL);
	return -1;
}

/* A delivery whose answer was lost comes again, the same byte by byte but for
 * the From_ line: our Received field and recipient are in it. It is looked
 * for among what came last. */
static bool
delivered_before(struct save *sv, int fd, off_t size, int out)
{
	struct buf tail, new;
	off_t from;
	struct span text, id;
	bool found = false;

	if (sv->count != 1 || sv->items[0].queue_id == NULL)
		return false;
	/* "QIDR3": the id as it stands in Received. */
	id = span_str(sv->items[0].queue_id);
	id = span_slice(id, 0, span_rchr(id, 'R'));
	buf_init(&tail, rendered_max);
	buf_init(&new, rendered_max);
	if (mbox_read_from(out, 0, &new) == 0) {
		text = buf_span(&new);
		while (text.n > 0 && text.p[0] == '\n')
			text = span_skip(text, 1);
		text = span_skip(text, span_chr(text, '\n'));
		from = size - (off_t)(2 * text.n) - REPEAT_DISTANCE;
		found = span_find(text, id) != SIZE_MAX &&
		    (off_t)text.n <= size &&
		    mbox_read_from(fd, from > 0 ? (uint64_t)from : 0,
			&tail) == 0 &&
		    span_find(buf_span(&tail), text) != SIZE_MAX &&
		    fs_sync(fd, NULL) == 0;
	}
	buf_release(&tail);
	buf_release(&new);
	return found;
}

static int
append_items(struct save *sv, int fd, struct err *e)
{
	const struct mbox *m = sv->mb->state;
	const int64_t size_max = sv->mb->store->user.size_max;
	struct stat st;
	int out, rc;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat %s", m->path);
	if (size_max > 0 && st.st_size + (off_t)sv->spool_n > size_max)
		return err_set(e, ERR_PERM, "5.2.2",
		    "mailbox %s would become larger than its limit", m->path);
	out = memfd_create("mail", MFD_CLOEXEC);
	if (out < 0)
		return err_sys(e, "memory for a message");
	rc = render(sv, fd, st.st_size, out, e);
	if (rc == 0 && !delivered_before(sv, fd, st.st_size, out))
		rc = append_rendered(sv, fd, st.st_size, out, e);
	close(out);
	return rc;
}

static int
commit_delivery(struct save *sv, struct err *e)
{
	const struct mbox *m = sv->mb->state;
	struct mbox_lock lock;
	int rc = 0;

	if (mbox_lock(sv->mb->store, m->path, true, true, &lock, e) != 0)
		return -1;
	if (mbox_unfinished(m->index_fd))
		rc = mbox_finish(m->index_fd, lock.fd, m->path, e);
	if (rc == 0)
		rc = append_items(sv, lock.fd, e);
	mbox_unlock(&lock);
	return rc;
}

static int
make_keywords(struct save *sv, struct err *e)
{
	for (uint32_t i = 0; i < sv->count; i++) {
		char **k = sv->items[i].keywords;

		for (size_t n = 0; k != NULL && k[n] != NULL; n++)
			if (mailbox_keyword_make(
				sv->mb, span_str(k[n]), e) < 0)
				return -1;
	}
	return 0;
}

/* The From_ line has no zone, and in some zones an hour stands for two
 * instants: the index knows better. */
static void
set_dates(struct save *sv, const uint32_t *uids)
{
	for (uint32_t n = 0; n < sv->count; n++) {
		struct index_record r;
		uint32_t i;

		if (!index_find(sv->mb->index, uids[n], &i))
			continue;
		r = *index_at(sv->mb->index, i);
		r.internal_s = sv->items[n].date_s;
		r.zone_min = sv->items[n].zone_min;
		index_change(sv->mb->index, i, &r, false);
	}
}

/* Under both locks, after a merge: the new messages are the only ones that
 * the next merge finds. */
static int
append_merged(struct save *sv, int fd, uint32_t *out_uids, struct err *e)
{
	struct mailbox *mb = sv->mb;
	const uint32_t first = index_head(mb->index)->uid_next;

	if (make_keywords(sv, e) != 0 ||
	    index_reserve_uids(mb->index, sv->count, e) != 0 ||
	    append_items(sv, fd, e) != 0 || mbox_merge_locked(mb, fd, e) != 0)
		return -1;
	for (uint32_t i = 0; i < sv->count; i++)
		out_uids[i] = first + i;
	set_dates(sv, out_uids);
	return 0;
}

static int
commit_append(struct save *sv, uint32_t *out_uids, uint32_t *out_validity,
    struct err *e)
{
	struct mailbox *mb = sv->mb;
	struct mbox_lock lock;
	int rc = -1;

	if (index_lock(mb->index, e) != 0)
		return -1;
	if (mbox_begin(mb, true, true, &lock, e) == 0) {
		rc = append_merged(sv, lock.fd, out_uids, e);
		*out_validity = index_head(mb->index)->uid_validity;
		mbox_unlock(&lock);
	}
	if (index_unlock(mb->index, rc == 0 ? e : NULL) != 0)
		return -1;
	return rc;
}

int
mbox_save_commit(struct save **svp, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e)
{
	struct save *sv = *svp;
	int rc;

	if (sv->delivery) {
		rc = commit_delivery(sv, e);
		for (uint32_t i = 0; i < sv->count; i++)
			out_uids[i] = 0;
		*out_validity = 0;
	} else {
		rc = commit_append(sv, out_uids, out_validity, e);
	}
	save_free(svp);
	return rc;
}
