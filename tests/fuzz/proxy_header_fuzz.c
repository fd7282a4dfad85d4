/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The verdict on all of it stands from the first byte on that allows one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct proxy_header h, first;
	size_t used = 0, n = 0;
	enum parse result = PARSE_MORE;

	if (size > PROXY_HEADER_MAX + 16)
		return 0;
	while (n <= size && result == PARSE_MORE)
		result = proxy_header_parse(
		    span_slice(in, 0, n++), &first, &used);
	if (result == PARSE_OK) {
		size_t whole = 0;

		BUG_ON(used != n - 1);
		BUG_ON(proxy_header_parse(in, &h, &whole) != PARSE_OK);
		BUG_ON(whole != used || h.local != first.local);
		BUG_ON(strlen(h.addr) >= sizeof(h.addr));
	} else {
		BUG_ON(proxy_header_parse(in, &h, &used) != result);
	}
	return 0;
}
