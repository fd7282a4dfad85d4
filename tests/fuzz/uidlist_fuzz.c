/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/store/keywords.h"
#include "lib/store/maildir_name.h"
#include "lib/store/uidlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is in order, and printing and reading it again changes
 * nothing. */
static void
list(struct span in)
{
	struct uidlist l, again;
	struct buf b;

	if (!uidlist_parse(in, &l)) {
		BUG_ON(l.count != 0 || l.entries != NULL);
		return;
	}
	buf_init(&b, 4 * in.n + 1000);
	uidlist_print(&l, &b);
	BUG_ON(!buf_ok(&b));
	BUG_ON(!uidlist_parse(buf_span(&b), &again));
	BUG_ON(again.validity != l.validity || again.next != l.next ||
	    again.count != l.count);
	for (uint32_t i = 0; i < l.count; i++) {
		BUG_ON(l.entries[i].uid >= l.next);
		BUG_ON(i > 0 && l.entries[i].uid <= l.entries[i - 1].uid);
		BUG_ON(!span_eq(span_str(l.entries[i].name),
		    span_str(again.entries[i].name)));
	}
	buf_release(&b);
	uidlist_release(&again);
	uidlist_release(&l);
}

static void
file_name(struct span in)
{
	struct maildir_name n, again;
	struct buf b;
	uint64_t size;

	buf_init(&b, in.n + 100);
	maildir_name_parse(in, &n);
	maildir_name_print(&n, &b);
	maildir_name_parse(buf_span(&b), &again);
	BUG_ON(n.flags != again.flags || n.letters != again.letters);
	BUG_ON(!span_eq(n.base, again.base) || !span_eq(n.more, again.more));
	BUG_ON(maildir_name_cmp(in, in) != 0);
	maildir_name_size(n.base, 'S', &size);
	maildir_name_has_id(n.base, SPAN("4F00"));
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct keywords k = { .count = 0 };
	struct keyword_letters letters;

	list(in);
	file_name(span_slice(in, 0, 1000));
	keyword_letters_parse(in, &k, &letters);
	for (int i = 0; i < 26; i++)
		BUG_ON(letters.number[i] >= (int)k.count);
	keywords_release(&k);
	return 0;
}
