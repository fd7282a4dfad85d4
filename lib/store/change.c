/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/store/driver.h"

static const size_t text_max = (size_t)1 << 31;

static int
refuse_read_only(struct err *e)
{
	return err_set(e, ERR_PERM, "5.2.0", "the mailbox is read-only");
}

/* ---- keywords ---- */
int
mailbox_keyword_make(struct mailbox *mb, struct span name, struct err *e)
{
	int n = keywords_find(&mb->keywords, name);

	if (n >= 0)
		return n;
	n = keywords_add(&mb->keywords, name);
	if (n < 0)
		return err_set(e, ERR_PERM, "5.2.0",
		    "no room for more keywords, or not a keyword");
	if (mb->driver->keywords_save(mb, e) == 0)
		return n;
	mem_free(mb->keywords.names[--mb->keywords.count]);
	return -1;
}

int
mailbox_keyword_find(struct mailbox *mb, struct span name, bool create)
{
	int n = keywords_find(&mb->keywords, name);

	if (n >= 0 || !create || mb->read_only)
		return n;
	/* The merge reads what others made meanwhile. */
	if (mailbox_lock(mb, NULL) != 0)
		return -1;
	n = mailbox_keyword_make(mb, name, NULL);
	if (index_unlock(mb->index, NULL) != 0)
		return -1;
	return n;
}

/* ---- text ---- */
/* The size clients were told is what the file had; if it differs (a foreign
 * program's claim in the name), the index learns better. */
static void
correct_size(struct mailbox *mb, uint32_t seq, size_t size)
{
	struct message *m = &mb->messages[seq - 1];
	struct index_record r;
	uint32_t i;

	if (m->size == size)
		return;
	m->size = (uint32_t)size;
	if (index_lock(mb->index, NULL) != 0)
		return;
	if (index_find(mb->index, m->uid, &i)) {
		r = *index_at(mb->index, i);
		r.size = m->size;
		index_change(mb->index, i, &r, false);
	}
	index_unlock(mb->index, NULL);
}

int
mailbox_text(struct mailbox *mb, uint32_t seq, struct message_text *out,
    struct err *e)
{
	struct buf b;

	BUG_ON(seq == 0 || seq > mb->count);
	buf_init(&b, text_max);
	if (mb->driver->text(mb, mb->messages[seq - 1].uid, &b, e) != 0) {
		buf_release(&b);
		return -1;
	}
	correct_size(mb, seq, b.n);
	*out = (struct message_text){ .bytes = buf_span(&b), .heap = b.p };
	return 0;
}

void
message_text_release(struct message_text *t)
{
	mem_free(t->heap);
	*t = (struct message_text){ 0 };
}

/* ---- flags ---- */
void
flag_change_apply(
    const struct flag_change *c, uint8_t *flags, uint64_t *keywords)
{
	const uint8_t stored = c->flags & (uint8_t)~FLAG_RECENT;

	switch (c->op) {
	case FLAGS_SET:
		*flags = stored;
		*keywords = c->keywords;
		break;
	case FLAGS_ADD:
		*flags |= stored;
		*keywords |= c->keywords;
		break;
	case FLAGS_REMOVE:
		*flags &= (uint8_t)~stored;
		*keywords &= ~c->keywords;
		break;
	}
}

static int
cmp_u32(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The uids of sequence numbers; free with mem_free. */
static uint32_t *
uids_of(const struct mailbox *mb, const uint32_t *seqs, size_t count)
{
	uint32_t *uids = mem_alloc(count * sizeof(*uids));

	for (size_t i = 0; i < count; i++)
		uids[i] = mailbox_message(mb, seqs[i])->uid;
	return uids;
}

/* The view takes over the flags of messages that were changed here. */
static void
refresh_view(struct mailbox *mb, const uint32_t *seqs, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		struct message *m = &mb->messages[seqs[n] - 1];
		const struct index_record *r;
		uint32_t i;

		if (!index_find(mb->index, m->uid, &i))
			continue;
		r = index_at(mb->index, i);
		m->flags = (uint8_t)((m->flags & FLAG_RECENT) | r->flags);
		m->keywords = r->keywords;
		m->modseq = r->modseq;
	}
}

int
mailbox_set_flags(struct mailbox *mb, const uint32_t *seqs, size_t count,
    enum flag_op op, uint8_t flags, uint64_t keywords, struct err *e)
{
	const struct flag_change change = { op, flags, keywords };
	uint32_t *uids;
	int rc = -1;

	if (mb->read_only)
		return refuse_read_only(e);
	if (count == 0)
		return 0;
	uids = uids_of(mb, seqs, count);
	qsort(uids, count, sizeof(*uids), cmp_u32);
	if (mailbox_lock(mb, e) == 0) {
		rc = mb->driver->set_flags(mb, uids, count, &change, e);
		if (index_unlock(mb->index, rc == 0 ? e : NULL) != 0)
			rc = -1;
		refresh_view(mb, seqs, count);
	}
	mem_free(uids);
	return rc;
}

int
mailbox_expunge(struct mailbox *mb, const uint32_t *uids, size_t count,
    struct err *e)
{
	uint32_t *sorted;
	int rc = -1;

	if (mb->read_only)
		return refuse_read_only(e);
	if (count == 0)
		return 0;
	sorted = mem_alloc(count * sizeof(*sorted));
	memcpy(sorted, uids, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), cmp_u32);
	if (mailbox_lock(mb, e) == 0) {
		rc = mb->driver->expunge(mb, sorted, count, e);
		index_sweep(mb->index);
		if (index_unlock(mb->index, rc == 0 ? e : NULL) != 0)
			rc = -1;
	}
	mem_free(sorted);
	return rc;
}

/* ---- copying ---- */
/* Writes one message of the view into the target. */
static int
copy_one(struct mailbox *mb, uint32_t seq, struct save *sv, struct err *e)
{
	const struct message *m = mailbox_message(mb, seq);
	const char *words[KEYWORDS_MAX + 1];
	struct append_meta meta = {
		.flags = m->flags,
		.keywords = words,
		.internal_s = m->internal_s,
		.internal_zone_min = m->internal_zone_min,
	};
	struct message_text text;
	size_t n = 0;
	int rc;

	for (unsigned k = 0; k < mb->keywords.count; k++)
		if ((m->keywords >> k & 1) != 0)
			words[n++] = mb->keywords.names[k];
	words[n] = NULL;
	if (mailbox_text(mb, seq, &text, e) != 0)
		return -1;
	rc = mb->driver->save_message(sv, &meta, e);
	if (rc == 0)
		rc = mb->driver->save_write(sv, text.bytes, e);
	if (rc == 0)
		rc = mb->driver->save_end(sv, e);
	message_text_release(&text);
	return rc;
}

int
mailbox_copy(struct mailbox *mb, const uint32_t *seqs, size_t count,
    struct span target, bool move, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e)
{
	const struct store_driver *d = mb->driver;
	struct mailbox *to = NULL;
	struct save *sv = NULL;
	uint32_t *uids = NULL;
	int rc = -1;

	if (move && mb->read_only)
		return refuse_read_only(e);
	if (mailbox_attach(mb->store, target, ATTACH_WRITE, &to, e) != 0 ||
	    d->save_begin(to, false, &sv, e) != 0)
		goto out;
	to->moving = move;
	for (size_t i = 0; i < count; i++)
		if (copy_one(mb, seqs[i], sv, e) != 0)
			goto out;
	if (d->save_commit(&sv, out_uids, out_validity, e) != 0)
		goto out;
	rc = 0;
	if (move) {
		uids = uids_of(mb, seqs, count);
		rc = mailbox_expunge(mb, uids, count, e);
	}
out:
	if (sv != NULL)
		d->save_abort(&sv);
	mailbox_close(&to);
	mem_free(uids);
	return rc;
}

/* ---- adding ---- */
struct append {
	struct mailbox *mb;
	struct save *save;
};

int
append_begin(struct store *s, struct span mailbox,
    const struct append_meta *meta, struct append **out, struct err *e)
{
	struct append *a = MEM_NEW(a);

	if (mailbox_attach(s, mailbox,
		meta->delivery ? ATTACH_DELIVERY : ATTACH_WRITE, &a->mb,
		e) == 0 &&
	    s->driver->save_begin(a->mb, meta->delivery, &a->save, e) == 0 &&
	    s->driver->save_message(a->save, meta, e) == 0) {
		*out = a;
		return 0;
	}
	append_abort(&a);
	return -1;
}

int
append_write(struct append *a, struct span bytes, struct err *e)
{
	return a->mb->driver->save_write(a->save, bytes, e);
}

int
append_commit(struct append **a, uint32_t *out_uid, uint32_t *out_validity,
    struct err *e)
{
	const struct store_driver *d = (*a)->mb->driver;
	int rc = d->save_end((*a)->save, e);

	if (rc == 0)
		rc = d->save_commit(&(*a)->save, out_uid, out_validity, e);
	append_abort(a);
	return rc;
}

void
append_abort(struct append **a)
{
	if (*a == NULL)
		return;
	if ((*a)->save != NULL)
		(*a)->mb->driver->save_abort(&(*a)->save);
	mailbox_close(&(*a)->mb);
	mem_free(*a);
	*a = NULL;
}
