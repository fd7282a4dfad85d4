/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/utf7.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A name that is taken has one spelling: encoding gives it back. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf utf8, again;

	buf_init(&utf8, 4 * size + 16);
	buf_init(&again, 16 * size + 64);
	if (utf7_decode(in, &utf8)) {
		BUG_ON(!utf7_encode(buf_span(&utf8), &again));
		BUG_ON(!span_eq(buf_span(&again), in));
	}
	buf_reset(&utf8);
	buf_reset(&again);
	if (utf7_encode(in, &again)) {
		BUG_ON(!utf7_decode(buf_span(&again), &utf8));
		BUG_ON(!span_eq(buf_span(&utf8), in));
	}
	buf_release(&utf8);
	buf_release(&again);
	return 0;
}
