/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/map.h"

#include "lib/base/limits.h"

void
table_text_init(struct table_text *t, struct span text)
{
	t->rest = text;
	t->line = 0;
	t->next_line = 1;
	buf_init(&t->row, LIMIT_TABLE_ROW);
}

void
table_text_release(struct table_text *t)
{
	buf_release(&t->row);
}

/* Cuts one physical line off, without its end. */
static bool
take_line(struct table_text *t, struct span *out)
{
	if (t->rest.n == 0)
		return false;
	size_t end = span_chr(t->rest, '\n');
	struct span line = span_slice(t->rest, 0, end);
	t->rest = end == SIZE_MAX ? SPAN_EMPTY : span_skip(t->rest, end + 1);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	t->next_line++;
	*out = line;
	return true;
}

/* Blank lines and comments are skipped everywhere, also between a line and
 * its continuation. */
static bool
is_nothing(struct span line)
{
	struct span s = span_trim(line);
	return s.n == 0 || s.p[0] == '#';
}

static bool
is_continuation(struct span text)
{
	return text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t');
}

bool
table_text_next(struct table_text *t, struct span *out_row)
{
	struct span line = SPAN_EMPTY;

	do {
		if (!take_line(t, &line))
			return false;
	} while (is_nothing(line));
	t->line = t->next_line - 1;
	buf_reset(&t->row);
	buf_add(&t->row, line);
	for (;;) {
		/* Looks at the next line without taking it. */
		struct span next =
		    span_slice(t->rest, 0, span_chr(t->rest, '\n'));
		if (t->rest.n == 0 ||
		    (!is_nothing(next) && !is_continuation(next)))
			break;
		take_line(t, &line);
		if (!is_nothing(line))
			buf_add(&t->row, line);
	}
	*out_row = buf_span(&t->row);
	return true;
}
