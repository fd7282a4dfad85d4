/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/seqset.h"

#include <stdlib.h>

#include "lib/base/mem.h"

static bool
number(struct span s, uint32_t *out)
{
	uint64_t v;

	if (span_eq(s, SPAN("*"))) {
		*out = 0;
		return true;
	}
	if (!span_u64(s, UINT32_MAX, &v) || v == 0)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool
range(struct span s, struct seqrange *out)
{
	const size_t colon = span_chr(s, ':');

	if (colon == SIZE_MAX) {
		if (!number(s, &out->from))
			return false;
		out->to = out->from;
		return true;
	}
	return number(span_slice(s, 0, colon), &out->from) &&
	       number(span_skip(s, colon + 1), &out->to);
}

bool
seqset_parse(struct span s, struct arena *a, struct seqset *out)
{
	struct seqset set = { 0 };
	size_t count = 1;

	for (size_t i = 0; i < s.n; i++)
		count += s.p[i] == ',';
	set.ranges = arena_alloc(a, count * sizeof(set.ranges[0]));
	if (!arena_ok(a))
		return false;
	while (set.count < count) {
		size_t comma = span_chr(s, ',');

		if (comma == SIZE_MAX)
			comma = s.n;
		if (!range(span_slice(s, 0, comma), &set.ranges[set.count]))
			return false;
		set.count++;
		s = span_skip(s, comma + 1);
	}
	*out = set;
	return true;
}

static int
compare(const void *a, const void *b)
{
	const struct seqrange *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

void
seqset_resolve(struct seqset *set, uint32_t largest)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct seqrange r = set->ranges[i];

		if (r.from == 0)
			r.from = largest;
		if (r.to == 0)
			r.to = largest;
		if (r.from > r.to)
			r = (struct seqrange){ r.to, r.from };
		if (r.to == 0)
			continue;
		if (r.from == 0)
			r.from = 1;
		set->ranges[kept++] = r;
	}
	set->count = kept;
	if (kept == 0)
		return;
	qsort(set->ranges, kept, sizeof(set->ranges[0]), compare);
	kept = 0;
	for (size_t i = 1; i < set->count; i++) {
		struct seqrange *last = &set->ranges[kept];
		const struct seqrange r = set->ranges[i];

		if (last->to == UINT32_MAX || r.from <= last->to + 1) {
			if (r.to > last->to)
				last->to = r.to;
		} else {
			set->ranges[++kept] = r;
		}
	}
	set->count = kept + 1;
}

bool
seqset_has(const struct seqset *set, uint32_t n)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (n < set->ranges[mid].from)
			high = mid;
		else if (n > set->ranges[mid].to)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

void
seqset_writer_init(struct seqset_writer *w, struct buf *out)
{
	*w = (struct seqset_writer){ .out = out };
}

static void
flush(struct seqset_writer *w)
{
	if (w->from == 0)
		return;
	buf_fmt(w->out, w->any ? ",%u" : "%u", w->from);
	if (w->to > w->from)
		buf_fmt(w->out, ":%u", w->to);
	w->any = true;
	w->from = w->to = 0;
}

void
seqset_writer_add(struct seqset_writer *w, uint32_t n)
{
	BUG_ON(n == 0);
	if (w->from != 0 && n == w->to + 1) {
		w->to = n;
		return;
	}
	flush(w);
	w->from = w->to = n;
}

bool
seqset_writer_finish(struct seqset_writer *w)
{
	flush(w);
	return w->any;
}
