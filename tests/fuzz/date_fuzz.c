/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every date that is understood is printed so that it is understood again,
 * as the same instant in the same zone. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	int64_t t, again;
	int offset, offset_again;
	struct buf b;

	buf_init(&b, 200);
	if (date_parse_rfc5322(in, &t, &offset) && t > -62000000000 &&
	    t < 253000000000) {
		date_print_rfc5322(&b, t, offset, "X");
		BUG_ON(
		    !date_parse_rfc5322(buf_span(&b), &again, &offset_again));
		BUG_ON(again != t || offset_again != offset);
		buf_reset(&b);
		date_print_asctime(&b, t, 0);
		BUG_ON(!date_parse_asctime(buf_span(&b), &again));
		BUG_ON(again != t);
	}
	buf_reset(&b);
	if (date_parse_imap(in, &t, &offset) && t > -62000000000 &&
	    t < 253000000000) {
		date_print_imap(&b, t, offset);
		BUG_ON(!date_parse_imap(buf_span(&b), &again, &offset_again));
		BUG_ON(again != t || offset_again != offset);
	}
	date_parse_imap_day(in, &t);
	date_parse_asctime(in, &t);
	buf_release(&b);
	return 0;
}
