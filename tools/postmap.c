/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"
#include "tools/common/table_tool.h"

static const char *
split(struct span row, struct buf *key, struct span *out_value)
{
	struct span name;

	if (!map_text_split(row, &name, out_value))
		return "expected format: key whitespace value";
	if (name.p[name.n - 1] == ':')
		return "record is in \"key: value\" format; is this an "
		       "alias file?";
	buf_add(key, name);
	return NULL;
}

int
main(int argc, char *argv[])
{
	static const struct table_tool tool = { split, "\t", true };

	return table_tool_main(&tool, argc, argv);
}
