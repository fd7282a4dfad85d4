/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/rfc2047.h"

#include "lib/base/mem.h"
#include "lib/proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever comes in, UTF-8 comes out. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out;

	if (size > 10000)
		return 0;
	buf_init(&out, 16 * size + 64);
	rfc2047_decode(span_of(data, size), &out);
	BUG_ON(!buf_ok(&out));
	BUG_ON(!utf8_valid(buf_span(&out)));
	buf_release(&out);
	return 0;
}
