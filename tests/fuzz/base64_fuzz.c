/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes encodes to the same text; what is encoded decodes again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf a, b;

	buf_init(&a, 2 * size + 8);
	buf_init(&b, 2 * size + 8);
	if (base64_decode(in, &a)) {
		base64_encode(buf_span(&a), &b);
		BUG_ON(!span_eq(buf_span(&b), in));
	}
	buf_reset(&a);
	buf_reset(&b);
	base64_encode(in, &a);
	BUG_ON(!base64_decode(buf_span(&a), &b));
	BUG_ON(!span_eq(buf_span(&b), in));
	buf_release(&a);
	buf_release(&b);
	return 0;
}
