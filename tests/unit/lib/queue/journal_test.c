/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

enum { GENERATION = 77, PLACE = JOURNAL_RECORDS };

static const struct journal_head sample = { .number = 12,
	.owner = 7,
	.generation = GENERATION,
	.sequence = 3,
	.size = 1 << 20,
	.mark = JOURNAL_RECORDS + 64,
	.bound_us = 1795358062123456 };

/* The first page of a segment with up to two copies of a head. */
static struct buf
page_of(const struct journal_head *a, const struct journal_head *b)
{
	static const uint8_t zeros[JOURNAL_RECORDS];
	const struct journal_head *const heads[] = { a, b };
	struct buf page, copy;

	buf_init(&page, JOURNAL_RECORDS);
	buf_add(&page, span_of(zeros, sizeof(zeros)));
	for (size_t i = 0; i < COUNT_OF(heads); i++) {
		if (heads[i] == NULL)
			continue;
		buf_init(&copy, JOURNAL_HEAD);
		journal_head_put(&copy, heads[i]);
		assert_int_equal(copy.n, JOURNAL_HEAD);
		memcpy(page.p + journal_head_place(heads[i]->sequence), copy.p,
		    copy.n);
		buf_release(&copy);
	}
	return page;
}

static void
head_and_back(void **state)
{
	struct buf page = page_of(&sample, NULL);
	struct journal_head h;

	(void)state;
	assert_true(journal_head_get(buf_span(&page), &h));
	assert_int_equal(h.number, 12);
	assert_int_equal(h.owner, 7);
	assert_int_equal(h.generation, GENERATION);
	assert_int_equal(h.sequence, 3);
	assert_int_equal(h.size, 1 << 20);
	assert_int_equal(h.mark, JOURNAL_RECORDS + 64);
	assert_int_equal(h.bound_us, 1795358062123456);
	for (size_t n = 0; n < JOURNAL_RECORDS; n++)
		assert_false(journal_head_get(span_of(page.p, n), &h));
	buf_release(&page);
}

/* A head is rewritten in turns: whatever the new copy has become, one of the
 * two counts. */
static void
newer_head_counts(void **state)
{
	struct journal_head next = sample, h;
	struct buf page;

	(void)state;
	next.sequence++;
	next.mark += 8;
	page = page_of(&sample, &next);
	assert_true(journal_head_get(buf_span(&page), &h));
	assert_int_equal(h.mark, next.mark);
	for (size_t i = 0; i < JOURNAL_HEAD; i++) {
		page.p[journal_head_place(next.sequence) + i] ^= 0x40;
		assert_true(journal_head_get(buf_span(&page), &h));
		assert_int_equal(h.mark, sample.mark);
		page.p[journal_head_place(next.sequence) + i] ^= 0x40;
	}
	for (size_t i = 0; i < JOURNAL_HEAD; i++) {
		page.p[journal_head_place(sample.sequence) + i] ^= 1;
		assert_true(journal_head_get(buf_span(&page), &h));
		assert_int_equal(h.mark, next.mark);
		page.p[journal_head_place(sample.sequence) + i] ^= 1;
	}
	buf_release(&page);
}

static void
senseless_heads(void **state)
{
	struct journal_head bad[6], h;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		bad[i] = sample;
	bad[0].owner = JOURNAL_QMGR + 1;
	bad[1].generation = 0;
	bad[2].size = JOURNAL_RECORDS - 8;
	bad[3].mark = bad[3].size + 8;
	bad[4].mark = JOURNAL_RECORDS - 8;
	bad[5].mark += 4;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct buf page = page_of(&bad[i], NULL);

		assert_false(journal_head_get(buf_span(&page), &h));
		buf_release(&page);
	}
}

static void
record_and_back(void **state)
{
	static const char text[] = "the bytes of a queue file";
	struct journal_record r = { JOURNAL_MESSAGE, { 0x1234567890abcd07 },
		span_of(text, 0) },
			      got;
	struct buf b;
	size_t used;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		r.data.n = n;
		buf_init(&b, 1000);
		journal_record_put(&b, &r, GENERATION, PLACE);
		assert_int_equal(b.n, journal_record_size(n));
		assert_int_equal(b.n % JOURNAL_ALIGN, 0);
		/* Byte by byte: it asks for more, and says how much. */
		for (size_t k = 0; k < b.n; k++) {
			assert_int_equal(journal_record_get(span_of(b.p, k),
					     GENERATION, PLACE, &got, &used),
			    PARSE_MORE);
			assert_int_equal(
			    used, k < JOURNAL_FRAME ? JOURNAL_FRAME : b.n);
		}
		assert_int_equal(journal_record_get(buf_span(&b), GENERATION,
				     PLACE, &got, &used),
		    PARSE_OK);
		assert_int_equal(used, b.n);
		assert_int_equal(got.type, JOURNAL_MESSAGE);
		assert_true(got.id.n == r.id.n);
		assert_true(span_eq(got.data, r.data));
		buf_release(&b);
	}
}

/* One changed bit anywhere but in the padding, another place or another
 * generation: there is no record. */
static void
no_record(void **state)
{
	const struct journal_record r = { JOURNAL_REMOVED, { 4711 },
		SPAN("12345678") };
	struct journal_record got;
	struct buf b;
	size_t used;

	(void)state;
	buf_init(&b, 1000);
	journal_record_put(&b, &r, GENERATION, PLACE);
	for (size_t i = 0; i < b.n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b.p[i] ^= (uint8_t)(1U << bit);
			assert_int_not_equal(
			    journal_record_get(
				buf_span(&b), GENERATION, PLACE, &got, &used),
			    PARSE_OK);
			b.p[i] ^= (uint8_t)(1U << bit);
		}
	}
	assert_int_equal(journal_record_get(
			     buf_span(&b), GENERATION + 1, PLACE, &got, &used),
	    PARSE_BAD);
	assert_int_equal(journal_record_get(
			     buf_span(&b), GENERATION, PLACE + 8, &got, &used),
	    PARSE_BAD);
	memset(b.p, 0, b.n);
	assert_int_equal(
	    journal_record_get(buf_span(&b), GENERATION, PLACE, &got, &used),
	    PARSE_BAD);
	buf_release(&b);
}

static void
marks_and_back(void **state)
{
	const struct journal_mark marks[] = { { 0, 'D' }, { 70000, 'B' } };
	struct journal_mark got;
	struct span rest;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (size_t i = 0; i < COUNT_OF(marks); i++)
		journal_mark_put(&b, marks[i]);
	assert_int_equal(b.n, 2 * JOURNAL_MARK);
	rest = buf_span(&b);
	for (size_t i = 0; i < COUNT_OF(marks); i++) {
		assert_true(journal_mark_next(&rest, &got));
		assert_int_equal(got.rcpt_index, marks[i].rcpt_index);
		assert_int_equal(got.mark, marks[i].mark);
	}
	assert_false(journal_mark_next(&rest, &got));
	rest = span_of(b.p, JOURNAL_MARK - 1);
	assert_false(journal_mark_next(&rest, &got));
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_and_back),
		cmocka_unit_test(newer_head_counts),
		cmocka_unit_test(senseless_heads),
		cmocka_unit_test(record_and_back),
		cmocka_unit_test(no_record),
		cmocka_unit_test(marks_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
