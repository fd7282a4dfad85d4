/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime.h"

#include "lib/base/mem.h"
#include "lib/proto/imap_body.h"
#include "lib/proto/text_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Parts lie inside the message and inside their parents, and the body
 * structure is balanced whatever the message. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mime m;
	struct buf out;

	if (size > 100000)
		return 0;
	mime_parse(span_of(data, size), &m);
	for (uint32_t i = 0; i < m.count; i++) {
		const struct mime_part *p = &m.parts[i];

		BUG_ON(
		    p->header > p->body || p->body > p->end || p->end > size);
		if (p->parent == MIME_NONE)
			continue;
		BUG_ON(p->parent >= i);
		BUG_ON(p->header < m.parts[p->parent].body);
		BUG_ON(p->end > m.parts[p->parent].end);
	}
	buf_init(&out, 256 << 20);
	imap_body_structure(&m, true, &out);
	BUG_ON(!buf_ok(&out) || out.p[0] != '(' || out.p[out.n - 1] != ')');
	(void)text_in_body(&m, SPAN("needle"));
	buf_release(&out);
	mime_release(&m);
	return 0;
}
