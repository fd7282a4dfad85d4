/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/map/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Rows are never empty, their lines ascend, and no row begins as a comment;
 * a row that splits into key and value has both in it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table_text t;
	struct span row, key, value;
	unsigned last = 0;

	table_text_init(&t, span_of(data, size));
	while (table_text_next(&t, &row)) {
		BUG_ON(t.line <= last);
		last = t.line;
		BUG_ON(row.n == 0 || span_trim(row).n == 0);
		BUG_ON(span_trim(row).p[0] == '#');
		BUG_ON(span_chr(row, '\n') != SIZE_MAX);
		if (map_text_split(row, &key, &value))
			BUG_ON(key.n == 0 || value.n == 0 ||
			       key.n + value.n >= row.n);
	}
	table_text_release(&t);
	return 0;
}
