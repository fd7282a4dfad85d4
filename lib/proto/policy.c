/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/policy.h"

void
policy_attr(struct buf *out, const char *name, struct span value)
{
	buf_str(out, name);
	buf_byte(out, '=');
	for (size_t i = 0; i < value.n; i++) {
		const uint8_t c = value.p[i];

		buf_byte(out, c == '\n' || c == '\r' || c == '\0' ? '?' : c);
	}
	buf_byte(out, '\n');
}

void
policy_attr_str(struct buf *out, const char *name, const char *value)
{
	policy_attr(out, name, span_str(value));
}

void
policy_attr_u64(struct buf *out, const char *name, uint64_t value)
{
	buf_fmt(out, "%s=%llu\n", name, (unsigned long long)value);
}

void
policy_end(struct buf *out)
{
	buf_byte(out, '\n');
}

/* The next whole line of *rest, without its end; false if there is none. */
static bool
next_line(struct span *rest, struct span *out)
{
	const size_t end = span_chr(*rest, '\n');

	if (end == SIZE_MAX)
		return false;
	*out = span_slice(*rest, 0, end);
	if (out->n > 0 && out->p[out->n - 1] == '\r')
		out->n--;
	*rest = span_skip(*rest, end + 1);
	return true;
}

enum parse
policy_reply_parse(struct span in, size_t *out_used, struct span *out_action)
{
	const size_t most = in.n < POLICY_REPLY_MAX ? in.n : POLICY_REPLY_MAX;
	struct span rest = span_slice(in, 0, most), line;
	struct span action = SPAN_EMPTY;
	bool found = false;

	while (next_line(&rest, &line)) {
		const size_t equals = span_chr(line, '=');

		if (line.n == 0 && !found)
			return PARSE_BAD;
		if (line.n == 0) {
			*out_used = most - rest.n;
			*out_action = action;
			return PARSE_OK;
		}
		if (equals == SIZE_MAX)
			return PARSE_BAD;
		if (!found &&
		    span_eq(span_slice(line, 0, equals), SPAN("action"))) {
			action = span_skip(line, equals + 1);
			found = true;
		}
	}
	return in.n >= POLICY_REPLY_MAX ? PARSE_BAD : PARSE_MORE;
}
