/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A journal segment with any bytes: what is taken for a head or a record
 * prints to the same bytes, lies inside the input, and the file reader finds
 * the same records as the codec. */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/queue/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_record(struct span in, const struct journal_record *r, size_t used,
    uint64_t generation, uint64_t place)
{
	struct buf b;

	BUG_ON(used > in.n || r->data.p < in.p ||
	       r->data.p + r->data.n > in.p + used);
	buf_init(&b, 1 << 24);
	journal_record_put(&b, r, generation, place);
	/* All but the padding is covered by the checksum. */
	BUG_ON(b.n != used || memcmp(b.p + 36, in.p + 36, 4 + r->data.n) != 0);
	buf_release(&b);
}

static uint64_t
by_codec(struct span in, uint64_t generation, uint64_t at)
{
	uint64_t count = 0;
	struct journal_record r;
	struct journal_mark m;
	size_t used;

	while (at < in.n && journal_record_get(span_skip(in, (size_t)at),
				generation, at, &r, &used) == PARSE_OK) {
		check_record(
		    span_skip(in, (size_t)at), &r, used, generation, at);
		while (journal_mark_next(&r.data, &m))
			;
		at += used;
		count++;
	}
	return count;
}

static bool
count_one(void *arg, const struct journal_record *r, uint64_t place)
{
	uint64_t *count = arg;

	BUG_ON(r->id.n == 0 || place < JOURNAL_RECORDS);
	++*count;
	return true;
}

static void
by_file(struct span in, const struct journal_head *h, uint64_t wanted)
{
	struct segment s = { .fd = memfd_create("journal", MFD_CLOEXEC),
		.head = *h };
	uint64_t count = 0, end;

	BUG_ON(s.fd < 0 || write(s.fd, in.p, in.n) != (ssize_t)in.n);
	BUG_ON(
	    segment_scan(&s, h->mark, 0, count_one, &count, &end, NULL) != 0);
	BUG_ON(count != wanted);
	segment_close(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct journal_head h;

	/* Without the head's guard too. */
	by_codec(in, size > 16 ? data[8] : 1, 0);
	if (!journal_head_get(in, &h))
		return 0;
	if (h.size > size)
		h.size = size;
	if (h.mark > h.size)
		return 0;
	by_file(in, &h,
	    by_codec(span_slice(in, 0, (size_t)h.size), h.generation, h.mark));
	return 0;
}
