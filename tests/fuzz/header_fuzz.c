/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fields and what is left are the message, piece by piece; the header's
 * end does not move when more of the message is known. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct span rest = in;
	struct header_field f;
	size_t end = 0, at = 0;
	struct buf b;

	buf_init(&b, size);
	while (header_next(&rest, &f)) {
		BUG_ON(f.raw.p != in.p + at || f.raw.n == 0);
		BUG_ON(f.name.n > 0 && !header_name_ok(f.name));
		BUG_ON(f.body.n > f.raw.n);
		at += f.raw.n;
		buf_reset(&b);
		header_unfold(f.body, &b);
		BUG_ON(!buf_ok(&b));
		BUG_ON(span_chr(buf_span(&b), '\n') != SIZE_MAX);
	}
	BUG_ON(at + rest.n != size);
	if (header_end(in, &end) == PARSE_OK) {
		BUG_ON(end <= at || end > at + 2);
		for (size_t n = 0; n <= size && n < 300; n++) {
			size_t part = 0;

			BUG_ON((header_end(span_of(data, n), &part) ==
				   PARSE_OK) != (n >= end));
			BUG_ON(n >= end && part != end);
		}
	}
	buf_release(&b);
	return 0;
}
