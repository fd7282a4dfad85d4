/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_TABLE_TOOL_H
#define CHAPPE_TOOLS_TABLE_TOOL_H

/*
 * What postmap and postalias share: they differ in the syntax of the text
 * and in how an entry is printed.
 */

#include <stdbool.h>

#include "lib/base/buf.h"

struct table_tool {
	/* Splits a row: the key, as it is looked up, goes to the buffer (reset
	 * before), the value is a part of the row. NULL, or what is wrong. */
	const char *(*split)(struct span row, struct buf *key,
	    struct span *out_value);
	const char *separator; /* between key and value when printed */
	bool file_values;      /* has -F */
};

/* The whole command; returns its exit status. */
int table_tool_main(const struct table_tool *tool, int argc, char *argv[]);

#endif
