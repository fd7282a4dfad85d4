/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/downgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add(void *arg, struct span bytes)
{
	buf_add(arg, bytes);
}

static void
run(struct span in, size_t step, struct buf *out)
{
	struct downgrade *d = downgrade_new(add, out);

	for (; in.n > 0; in = span_skip(in, step))
		downgrade_feed(d, span_slice(in, 0, step));
	downgrade_end(d);
	downgrade_free(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf a, b;

	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	run(in, size + 1, &a);
	run(in, 1, &b);
	BUG_ON(!span_eq(buf_span(&a), buf_span(&b)));
	buf_release(&a);
	buf_release(&b);
	return 0;
}
