/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/table_tool.h"

/* Takes a name, quoted or bare, off the front of the row. */
static struct span
take_name(struct span row, struct buf *key)
{
	size_t i = 0;

	if (row.n > 0 && row.p[0] == '"') {
		for (i = 1; i < row.n && row.p[i] != '"'; i++) {
			if (row.p[i] == '\\' && i + 1 < row.n)
				i++;
			buf_byte(key, row.p[i]);
		}
		return span_skip(row, i + 1);
	}
	while (
	    i < row.n && row.p[i] != ':' && row.p[i] != ' ' && row.p[i] != '\t')
		buf_byte(key, row.p[i++]);
	return span_skip(row, i);
}

/* "name: value" of aliases(5). */
static const char *
split(struct span row, struct buf *key, struct span *out_value)
{
	const struct span rest = span_trim(take_name(row, key));

	if (rest.n == 0 || rest.p[0] != ':')
		return "need name:value pair";
	*out_value = span_trim(span_skip(rest, 1));
	if (key->n == 0 || out_value->n == 0)
		return "need name:value pair";
	if (span_chr(buf_span(key), '@') != SIZE_MAX && row.p[0] != '"')
		return "name must be local";
	return NULL;
}

int
main(int argc, char *argv[])
{
	static const struct table_tool tool = { split, ":\t", false };

	return table_tool_main(&tool, argc, argv);
}
