/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/store/mbox_parse.h"
#include "lib/store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message whose header is written with other marks: the same message, with
 * these marks. */
static void
rewrite(const struct mbox_message *m)
{
	const struct mbox_marks marks = { .uid = 7,
		.flags = FLAG_SEEN | FLAG_DRAFT, .old = true,
		.keywords = SPAN("one two"), .validity = 5, .last_uid = 9,
		.all_keywords = SPAN("one two three") };
	struct mbox_list l;
	struct buf b, text, again;

	buf_init(&b, 2 * m->raw.n + 10000);
	buf_init(&text, 2 * m->raw.n + 10000);
	buf_init(&again, 2 * m->raw.n + 10000);
	mbox_text(m, &text);
	BUG_ON(!buf_ok(&text) || text.n != m->size);
	mbox_print_header(&b, m, &marks);
	buf_add(&b, m->body);
	if (m->body.n > 0 && m->body.p[m->body.n - 1] != '\n')
		buf_byte(&b, '\n');
	buf_byte(&b, '\n');
	BUG_ON(!buf_ok(&b));
	BUG_ON(!mbox_parse(buf_span(&b), &l));
	BUG_ON(l.count != 1 || l.validity != 5 || l.last_uid != 9);
	BUG_ON(l.at[0].uid != 7 || !l.at[0].old || !l.at[0].ours);
	BUG_ON(l.at[0].flags != (FLAG_SEEN | FLAG_DRAFT));
	BUG_ON(l.at[0].ident != m->ident);
	mbox_list_release(&l);
	buf_release(&b);
	buf_release(&text);
	buf_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbox_list l;
	size_t sum = 0;

	if (!mbox_parse(span_of(data, size), &l))
		return 0;
	for (size_t i = 0; i < l.count; i++) {
		sum += l.at[i].raw.n;
		BUG_ON(l.at[i].raw.n == 0);
		if (i < 20)
			rewrite(&l.at[i]);
	}
	BUG_ON(sum > size);
	mbox_list_release(&l);
	return 0;
}
