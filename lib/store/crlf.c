/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/crlf.h"

/* The bytes up to and with the next LF; all of them when there is none. */
static struct span
cut_line(struct span *s)
{
	const size_t lf = span_chr(*s, '\n');
	const size_t n = lf == SIZE_MAX ? s->n : lf + 1;
	const struct span line = span_slice(*s, 0, n);

	*s = span_skip(*s, n);
	return line;
}

/* Does the line end in an LF that has no CR before it? */
static bool
bare_lf(struct span line, uint8_t last)
{
	if (line.p[line.n - 1] != '\n')
		return false;
	return (line.n > 1 ? line.p[line.n - 2] : last) != '\r';
}

void
crlf_add(struct buf *out, struct span s, uint8_t *last)
{
	while (s.n > 0) {
		const struct span line = cut_line(&s);

		if (bare_lf(line, *last)) {
			buf_add(out, span_slice(line, 0, line.n - 1));
			buf_str(out, "\r\n");
		} else {
			buf_add(out, line);
		}
		*last = line.p[line.n - 1];
	}
}

uint64_t
crlf_size(struct span s, uint8_t *last)
{
	uint64_t size = s.n;

	while (s.n > 0) {
		const struct span line = cut_line(&s);

		if (bare_lf(line, *last))
			size++;
		*last = line.p[line.n - 1];
	}
	return size;
}

void
lf_add(struct buf *out, struct span s, uint8_t *last)
{
	while (s.n > 0) {
		const struct span line = cut_line(&s);
		struct span keep = line;

		if (*last == '\r' && line.p[0] != '\n')
			buf_byte(out, '\r');
		*last = line.p[line.n - 1];
		if (*last == '\r') {
			keep.n--;
		} else if (*last == '\n' && keep.n > 1 &&
		    keep.p[keep.n - 2] == '\r') {
			keep.n -= 2;
			buf_add(out, keep);
			keep = SPAN("\n");
		}
		buf_add(out, keep);
	}
}

void
lf_end(struct buf *out, uint8_t *last)
{
	if (*last == '\r')
		buf_byte(out, '\r');
	*last = 0;
}
