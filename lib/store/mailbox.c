/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>

#include "lib/base/mem.h"
#include "lib/store/driver.h"

/* ---- life ---- */
int
mailbox_attach(struct store *s, struct span name, enum attach how,
    struct mailbox **out, struct err *e)
{
	struct mailbox *mb;

	if (!name_is_inbox(name) && name_check(s, name, e) != 0)
		return -1;
	mb = MEM_NEW(mb);
	mb->store = s;
	mb->driver = s->driver;
	mb->read_only = how == ATTACH_READ_ONLY;
	mb->delivery = how == ATTACH_DELIVERY;
	mb->name = name_is_inbox(name) ? mem_strdup("INBOX") : span_dup(name);
	if (mb->driver->open(mb, e) != 0) {
		mem_free(mb->name);
		mem_free(mb);
		return -1;
	}
	*out = mb;
	return 0;
}

void
mailbox_close(struct mailbox **mb)
{
	if (*mb == NULL)
		return;
	(*mb)->driver->close(*mb);
	index_free(&(*mb)->index);
	keywords_release(&(*mb)->keywords);
	mem_free((*mb)->messages);
	mem_free((*mb)->name);
	mem_free(*mb);
	*mb = NULL;
}

int
mailbox_lock(struct mailbox *mb, struct err *e)
{
	struct err ignored;

	if (e == NULL)
		e = &ignored;
	if (index_lock(mb->index, e) != 0)
		return -1;
	if (mb->driver->merge(mb, e) == 0)
		return 0;
	index_unlock(mb->index, NULL);
	return -1;
}

/* ---- the view ---- */
uint32_t
mailbox_count(const struct mailbox *mb)
{
	return mb->count;
}

const struct message *
mailbox_message(const struct mailbox *mb, uint32_t seq)
{
	BUG_ON(seq == 0 || seq > mb->count);
	return &mb->messages[seq - 1];
}

uint32_t
mailbox_seq_from(const struct mailbox *mb, uint32_t uid)
{
	uint32_t low = 0, high = mb->count;

	while (low < high) {
		const uint32_t mid = low + (high - low) / 2;

		if (mb->messages[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low == mb->count ? 0 : low + 1;
}

uint32_t
mailbox_seq(const struct mailbox *mb, uint32_t uid)
{
	const uint32_t seq = mailbox_seq_from(mb, uid);

	return seq != 0 && mb->messages[seq - 1].uid == uid ? seq : 0;
}

bool
mailbox_read_only(const struct mailbox *mb)
{
	return mb->read_only;
}

const char *const *
mailbox_watch_paths(const struct mailbox *mb)
{
	return mb->watch;
}

void
mailbox_get_status(const struct mailbox *mb, struct mailbox_status *out)
{
	const struct index_head *head = index_head(mb->index);

	*out = (struct mailbox_status){
		.messages = mb->count,
		.uid_next = head->uid_next,
		.uid_validity = mb->validity,
		.highest_modseq = head->modseq,
	};
	for (uint32_t i = 0; i < mb->count; i++) {
		const struct message *m = &mb->messages[i];

		out->bytes += m->size;
		if ((m->flags & FLAG_RECENT) != 0)
			out->recent++;
		if ((m->flags & FLAG_SEEN) == 0)
			out->unseen++;
	}
}

static void
message_from_record(
    struct message *m, const struct index_record *r, uint8_t recent)
{
	*m = (struct message){
		.uid = r->uid,
		.flags = (uint8_t)(r->flags | recent),
		.keywords = r->keywords,
		.internal_s = r->internal_s,
		.internal_zone_min = r->zone_min,
		.size = r->size,
		.modseq = r->modseq,
	};
}

/* Messages of the index behind the last of the view; those from recent_from
 * on were in no session before. */
static uint32_t
view_grow(struct mailbox *mb, uint32_t recent_from)
{
	const uint32_t last =
	    mb->count > 0 ? mb->messages[mb->count - 1].uid : 0;
	const uint32_t before = mb->count;
	const uint32_t total = index_count(mb->index);
	uint32_t i = total;

	while (i > 0 && index_at(mb->index, i - 1)->uid > last)
		i--;
	if (mb->count + (total - i) > mb->cap) {
		mb->cap = mb->count + (total - i) + 64;
		mb->messages = mem_resize(
		    mb->messages, mb->cap, sizeof(*mb->messages));
	}
	for (; i < total; i++) {
		const struct index_record *r = index_at(mb->index, i);

		message_from_record(&mb->messages[mb->count++], r,
		    r->uid >= recent_from ? FLAG_RECENT : 0);
	}
	return mb->count - before;
}

/* What a sync found; sequence numbers as they are when the handler hears. */
struct changes {
	struct message *gone; /* uid, and the old seq in size */
	uint32_t gone_count;
	uint32_t *changed; /* uids */
	uint32_t changed_count;
	uint32_t grown;
};

/* One walk over view and index: takes out what is gone, finds what changed. */
static void
view_compare(struct mailbox *mb, bool with_expunge, struct changes *c)
{
	const uint32_t total = index_count(mb->index);
	uint32_t keep = 0, at = 0;

	c->gone = mem_alloc(mb->count * sizeof(*c->gone));
	c->changed = mem_alloc(mb->count * sizeof(*c->changed));
	for (uint32_t i = 0; i < mb->count; i++) {
		struct message m = mb->messages[i];
		const struct index_record *r;

		while (at < total && index_at(mb->index, at)->uid < m.uid)
			at++;
		r = at < total ? index_at(mb->index, at) : NULL;
		if (r == NULL || r->uid != m.uid) {
			if (with_expunge) {
				m.size = i + 1;
				c->gone[c->gone_count++] = m;
				continue;
			}
		} else if ((m.flags & ~FLAG_RECENT) != r->flags ||
		    m.keywords != r->keywords) {
			message_from_record(&m, r, m.flags & FLAG_RECENT);
			c->changed[c->changed_count++] = m.uid;
		}
		mb->messages[keep++] = m;
	}
	mb->count = keep;
}

static void
tell(struct mailbox *mb, const struct changes *c,
    const struct mailbox_sync_handler *h, void *arg)
{
	struct mailbox_status st;

	for (uint32_t i = c->gone_count; i > 0 && h->expunged != NULL; i--)
		h->expunged(arg, c->gone[i - 1].size, c->gone[i - 1].uid);
	if (c->grown > 0 && h->exists != NULL) {
		mailbox_get_status(mb, &st);
		h->exists(arg, mb->count, st.recent);
	}
	for (uint32_t i = 0; i < c->changed_count && h->flags != NULL; i++)
		h->flags(arg, mailbox_seq(mb, c->changed[i]));
}

/* Merges, and takes the recent messages for this session if it may write. */
static int
bring_up(struct mailbox *mb, uint32_t *out_recent_from, struct err *e)
{
	struct index_head *head;

	if (mailbox_lock(mb, e) != 0)
		return -1;
	head = index_head(mb->index);
	*out_recent_from = head->recent_from;
	if (!mb->read_only && head->recent_from <= head->uid_merged)
		head->recent_from = head->uid_merged + 1;
	return index_unlock(mb->index, e);
}

static const struct mailbox_sync_handler no_handler;

int
mailbox_sync(struct mailbox *mb, bool with_expunge,
    const struct mailbox_sync_handler *h, void *arg, struct err *e)
{
	uint32_t recent_from = UINT32_MAX;
	struct changes c = { 0 };

	if ((mb->validity == 0 || index_stale(mb->index) ||
		mb->driver->changed(mb)) &&
	    bring_up(mb, &recent_from, e) != 0)
		return -1;
	if (mb->validity == 0)
		mb->validity = index_head(mb->index)->uid_validity;
	else if (mb->validity != index_head(mb->index)->uid_validity)
		return err_set(e, ERR_PERM, "5.2.0",
		    "the mailbox was replaced; open it again");
	view_compare(mb, with_expunge, &c);
	c.grown = view_grow(mb, recent_from);
	tell(mb, &c, h != NULL ? h : &no_handler, arg);
	mem_free(c.gone);
	mem_free(c.changed);
	return 0;
}

int
mailbox_open(struct store *s, struct span name, bool read_only,
    struct mailbox **out, struct err *e)
{
	struct mailbox *mb;

	if (mailbox_attach(s, name,
		read_only ? ATTACH_READ_ONLY : ATTACH_WRITE, &mb, e) != 0)
		return -1;
	if (mailbox_sync(mb, true, NULL, NULL, e) != 0) {
		mailbox_close(&mb);
		return -1;
	}
	*out = mb;
	return 0;
}

int
store_status(struct store *s, struct span name, struct mailbox_status *out,
    struct err *e)
{
	struct mailbox *mb;

	if (mailbox_open(s, name, true, &mb, e) != 0)
		return -1;
	mailbox_get_status(mb, out);
	mailbox_close(&mb);
	return 0;
}

/* ---- keywords ---- */
const char *
mailbox_keyword(const struct mailbox *mb, unsigned n)
{
	return n < mb->keywords.count ? mb->keywords.names[n] : NULL;
}
