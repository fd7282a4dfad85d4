/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* However the bytes come, the answer is the same one; and what we ask can't
 * be read as an answer of more attributes than it has. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct span action = SPAN_EMPTY, early;
	size_t used = 0, n;
	const enum parse whole = policy_reply_parse(in, &used, &action);
	struct buf b;

	for (size_t i = 0; i < size && i < 600; i++) {
		const enum parse part = policy_reply_parse(
		    span_slice(in, 0, i), &n, &early);

		BUG_ON(part == PARSE_OK &&
		    (whole != PARSE_OK || n != used ||
			!span_eq(early, action)));
		BUG_ON(part == PARSE_BAD && whole != PARSE_BAD);
	}
	BUG_ON(whole == PARSE_OK &&
	    (used > size || span_chr(action, '\n') != SIZE_MAX));

	buf_init(&b, size + 100);
	policy_attr(&b, "action", in);
	policy_end(&b);
	BUG_ON(size < 1000 && (policy_reply_parse(buf_span(&b), &used,
	    &action) != PARSE_OK || used != b.n));
	buf_release(&b);
	return 0;
}
