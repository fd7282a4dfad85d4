/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/mail/verify_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is written and read again as the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct verify_times times = { 100, 10, 50, 5 };
	struct verify_record r, again;
	struct buf b;

	if (!verify_record_get(span_of(data, size), &r))
		return 0;
	buf_init(&b, size + 100);
	verify_record_put(&r, &b);
	BUG_ON(!buf_ok(&b) || !verify_record_get(buf_span(&b), &again));
	BUG_ON(again.status != r.status || again.updated_s != r.updated_s ||
	    again.probed_s != r.probed_s || !span_eq(again.text, r.text));
	(void)verify_record_expired(&r, &times, 1700000000);
	(void)verify_record_stale(&r, &times, 1700000000);
	buf_release(&b);
	return 0;
}
