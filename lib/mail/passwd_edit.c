/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/passwd_edit.h"

enum { EXTRA = 7 }; /* colons before the extra fields */

bool
passwd_edit_find(struct span text, struct span user, struct span *out_line)
{
	while (text.n > 0) {
		const size_t end = span_chr(text, '\n');
		struct span line = span_slice(text, 0, end);
		const struct span name = span_trim(
		    span_slice(line, 0, span_chr(line, ':')));

		text = end == SIZE_MAX ? SPAN_EMPTY : span_skip(text, end + 1);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (name.n > 0 && name.p[0] != '#' && span_eq(name, user)) {
			*out_line = line;
			return true;
		}
	}
	return false;
}

/* What stands behind the n-th colon; *out_found: how many there are. */
static struct span
behind(struct span line, size_t n, size_t *out_found)
{
	*out_found = 0;
	while (*out_found < n) {
		const size_t colon = span_chr(line, ':');

		if (colon == SIZE_MAX)
			return SPAN_EMPTY;
		line = span_skip(line, colon + 1);
		(*out_found)++;
	}
	return line;
}

struct span
passwd_edit_password(struct span line)
{
	size_t found;
	const struct span rest = behind(line, 1, &found);

	return span_slice(rest, 0, span_chr(rest, ':'));
}

struct span
passwd_edit_extra(struct span line)
{
	size_t found;

	return behind(line, EXTRA, &found);
}

bool
passwd_edit_next_app(
    struct span *extra, struct span *out_field, struct span *out_value)
{
	const struct span name = SPAN("app_password=");
	struct span word;

	while (span_token(extra, " \t\r", &word))
		if (span_starts(word, name)) {
			*out_field = word;
			*out_value = span_skip(word, name.n);
			return true;
		}
	return false;
}

bool
passwd_edit_add(struct span text, struct span user, struct span field,
    struct buf *out)
{
	struct span line;
	size_t found;

	if (!passwd_edit_find(text, user, &line))
		return false;
	const size_t end = (size_t)(line.p - text.p) + line.n;
	const struct span extra = behind(line, EXTRA, &found);
	buf_add(out, span_slice(text, 0, end));
	for (; found < EXTRA; found++)
		buf_byte(out, ':');
	if (extra.n > 0)
		buf_byte(out, ' ');
	buf_add(out, field);
	buf_add(out, span_skip(text, end));
	return true;
}

void
passwd_edit_remove(struct span text, struct span field, struct buf *out)
{
	size_t from = (size_t)(field.p - text.p);
	const size_t to = from + field.n;

	if (from > 0 && (text.p[from - 1] == ' ' || text.p[from - 1] == '\t'))
		from--;
	buf_add(out, span_slice(text, 0, from));
	buf_add(out, span_skip(text, to));
}
