/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/journal.h"

#include <string.h>

#include "lib/base/crc.h"
#include "lib/queue/le.h"

static const uint8_t magic[8] = { 'c', 'h', 'a', 'p', 'p', 'e', 'J', '\n' };
static const uint8_t zeros[JOURNAL_ALIGN];

/* ---- the head ---- */
void
journal_head_put(struct buf *b, const struct journal_head *h)
{
	uint8_t p[JOURNAL_HEAD] = { 0 };

	memcpy(p, magic, sizeof(magic));
	le_set16(p + 8, JOURNAL_VERSION);
	le_set16(p + 10, JOURNAL_HEAD);
	le_set32(p + 12, h->owner);
	le_set32(p + 16, h->number);
	le_set64(p + 24, h->generation);
	le_set64(p + 32, h->sequence);
	le_set64(p + 40, h->size);
	le_set64(p + 48, h->mark);
	le_set64(p + 56, h->bound_us);
	le_set32(p + 68, crc32c(0, span_of(p, 68)));
	buf_add(b, span_of(p, sizeof(p)));
}

static bool
copy_get(const uint8_t *p, struct journal_head *out)
{
	struct journal_head h;

	if (memcmp(p, magic, sizeof(magic)) != 0 ||
	    le_get16(p + 8) != JOURNAL_VERSION ||
	    le_get16(p + 10) != JOURNAL_HEAD ||
	    le_get32(p + 68) != crc32c(0, span_of(p, 68)))
		return false;
	h = (struct journal_head){
		.owner = le_get32(p + 12),
		.number = le_get32(p + 16),
		.generation = le_get64(p + 24),
		.sequence = le_get64(p + 32),
		.size = le_get64(p + 40),
		.mark = le_get64(p + 48),
		.bound_us = le_get64(p + 56),
	};
	if (h.owner > JOURNAL_QMGR || h.generation == 0 ||
	    h.size < JOURNAL_RECORDS || h.size > INT64_MAX ||
	    h.mark < JOURNAL_RECORDS || h.mark > h.size ||
	    h.mark % JOURNAL_ALIGN != 0)
		return false;
	*out = h;
	return true;
}

bool
journal_head_get(struct span in, struct journal_head *out)
{
	struct journal_head a, b;
	bool first, second;

	if (in.n < JOURNAL_RECORDS)
		return false;
	first = copy_get(in.p, &a);
	second = copy_get(in.p + JOURNAL_HEAD_SECOND, &b);
	if (!first && !second)
		return false;
	*out = second && (!first || b.sequence > a.sequence) ? b : a;
	return true;
}

uint64_t
journal_head_place(uint64_t sequence)
{
	return sequence % 2 == 0 ? 0 : JOURNAL_HEAD_SECOND;
}

/* ---- records ---- */
static size_t
padding(uint64_t n)
{
	return (JOURNAL_ALIGN - n % JOURNAL_ALIGN) % JOURNAL_ALIGN;
}

uint64_t
journal_record_size(uint64_t n)
{
	return JOURNAL_FRAME + n + padding(n);
}

void
journal_frame(uint8_t p[JOURNAL_FRAME], const struct journal_record *r,
    uint64_t generation, uint64_t place)
{
	memset(p, 0, JOURNAL_FRAME);
	p[0] = (uint8_t)r->type;
	le_set32(p + 4, (uint32_t)r->data.n);
	le_set64(p + 8, generation);
	le_set64(p + 16, place);
	le_set64(p + 24, r->id.n);
	le_set32(p + 36, crc32c(crc32c(0, span_of(p, 36)), r->data));
}

void
journal_record_put(struct buf *b, const struct journal_record *r,
    uint64_t generation, uint64_t place)
{
	uint8_t frame[JOURNAL_FRAME];

	journal_frame(frame, r, generation, place);
	buf_add(b, span_of(frame, sizeof(frame)));
	buf_add(b, r->data);
	buf_add(b, span_of(zeros, padding(r->data.n)));
}

static bool
known_type(uint8_t type)
{
	return type == JOURNAL_MESSAGE || type == JOURNAL_REMOVED ||
	       type == JOURNAL_DONE;
}

enum parse
journal_record_get(struct span in, uint64_t generation, uint64_t place,
    struct journal_record *out, size_t *out_used)
{
	struct span data;
	size_t n;

	*out_used = JOURNAL_FRAME;
	if (in.n < JOURNAL_FRAME)
		return PARSE_MORE;
	n = le_get32(in.p + 4);
	if (!known_type(in.p[0]) || le_get64(in.p + 8) != generation ||
	    le_get64(in.p + 16) != place || le_get64(in.p + 24) == 0)
		return PARSE_BAD;
	*out_used = (size_t)journal_record_size(n);
	if (in.n < *out_used)
		return PARSE_MORE;
	data = span_of(in.p + JOURNAL_FRAME, n);
	if (le_get32(in.p + 36) !=
	    crc32c(crc32c(0, span_slice(in, 0, 36)), data))
		return PARSE_BAD;
	*out = (struct journal_record){ (enum journal_type)in.p[0],
		{ le_get64(in.p + 24) }, data };
	return PARSE_OK;
}

/* ---- marks ---- */
void
journal_mark_put(struct buf *b, struct journal_mark m)
{
	uint8_t p[JOURNAL_MARK];

	le_set32(p, m.rcpt_index);
	p[4] = m.mark;
	buf_add(b, span_of(p, sizeof(p)));
}

bool
journal_mark_next(struct span *rest, struct journal_mark *out)
{
	if (rest->n < JOURNAL_MARK)
		return false;
	*out = (struct journal_mark){ le_get32(rest->p), rest->p[4] };
	*rest = span_skip(*rest, JOURNAL_MARK);
	return true;
}
