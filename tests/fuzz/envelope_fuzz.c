/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/envelope.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ten items and balanced parentheses outside of strings. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out;
	int depth = 0, items = 1;

	if (size > 100000)
		return 0;
	buf_init(&out, 256 << 20);
	envelope_print(span_of(data, size), &out);
	BUG_ON(!buf_ok(&out));
	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '"') {
			while (out.p[++i] != '"')
				i += out.p[i] == '\\';
		} else if (out.p[i] == '{') {
			size_t n = 0;

			while (ascii_digit(out.p[++i]))
				n = n * 10 + out.p[i] - '0';
			i += 2 + n;
		} else if (out.p[i] == '(') {
			depth++;
		} else if (out.p[i] == ')') {
			depth--;
		} else if (out.p[i] == ' ' && depth == 1) {
			items++;
		}
	}
	BUG_ON(depth != 0 || items != 10);
	buf_release(&out);
	return 0;
}
