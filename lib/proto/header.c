/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/header.h"

/* Length of the line at the front of s with its LF; all of s if none. */
static size_t
line_length(struct span s)
{
	const size_t lf = span_chr(s, '\n');

	return lf == SIZE_MAX ? s.n : lf + 1;
}

/* Is the line at the front an empty one: LF or CRLF? */
static bool
at_empty_line(struct span s)
{
	return span_starts(s, SPAN("\n")) || span_starts(s, SPAN("\r\n"));
}

enum parse
header_end(struct span s, size_t *out)
{
	size_t at = 0;

	while (at < s.n) {
		const struct span rest = span_skip(s, at);
		const size_t n = line_length(rest);

		if (at_empty_line(rest)) {
			*out = at + n;
			return PARSE_OK;
		}
		at += n;
	}
	return PARSE_MORE;
}

static struct span
without_line_end(struct span s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

bool
header_name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 127 || name.p[i] == ':')
			return false;
	return name.n > 0;
}

static bool
is_wsp(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The field name on this line, or empty; *out_colon is the colon's index. */
static struct span
line_name(struct span line, size_t *out_colon)
{
	const size_t colon = span_chr(line, ':');
	struct span name;

	if (colon == SIZE_MAX)
		return SPAN_EMPTY;
	name = span_slice(line, 0, colon);
	while (name.n > 0 && is_wsp(name.p[name.n - 1]))
		name.n--;
	if (!header_name_ok(name))
		return SPAN_EMPTY;
	*out_colon = colon;
	return name;
}

bool
header_next(struct span *rest, struct header_field *out)
{
	const struct span s = *rest;
	size_t n, colon = 0;

	if (s.n == 0 || at_empty_line(s))
		return false;
	n = line_length(s);
	out->name = line_name(span_slice(s, 0, n), &colon);
	if (out->name.n > 0)
		while (n < s.n && is_wsp(s.p[n]))
			n += line_length(span_skip(s, n));
	out->raw = span_slice(s, 0, n);
	out->body = without_line_end(out->raw);
	if (out->name.n > 0)
		out->body = span_skip(out->body, colon + 1);
	*rest = span_skip(s, n);
	return true;
}

bool
header_find(struct span s, struct span name, struct header_field *out)
{
	struct header_field f;

	while (header_next(&s, &f)) {
		if (span_ieq(f.name, name)) {
			*out = f;
			return true;
		}
	}
	return false;
}

/* How many bytes at the front are neither CR nor LF nor NUL. */
static size_t
plain_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n' && s.p[n] != '\0')
		n++;
	return n;
}

void
header_unfold(struct span body, struct buf *out)
{
	body = span_trim(body);
	while (body.n > 0) {
		const size_t plain = plain_length(body);
		const size_t room = out->max - out->n;
		size_t end;

		buf_add(out, span_slice(body, 0, plain < room ? plain : room));
		if (plain > room) {
			buf_byte(out, body.p[room]); /* it has spilt */
			return;
		}
		body = span_skip(body, plain);
		end = span_starts(body, SPAN("\r\n"))   ? 2
		      : span_starts(body, SPAN("\n")) ? 1
						      : 0;
		if (end > 0 && end < body.n && is_wsp(body.p[end])) {
			body = span_skip(body, end);
		} else if (body.n > 0) {
			buf_byte(out, ' ');
			body = span_skip(body, 1);
		}
	}
}
