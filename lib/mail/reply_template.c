/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/reply_template.h"

enum { DEPTH_MAX = 20 };

struct expansion {
	reply_lookup_fn lookup;
	void *arg;
	struct buf *out;
	struct err *e;
};

static int expand(const struct expansion *x, struct span text, unsigned depth);

static int
bad(const struct expansion *x, const char *what, struct span where)
{
	return err_set(x->e, ERR_PERM, "4.3.5", "%s at \"%.*s\"", what,
	    SPAN_FMT(span_slice(where, 0, 40)));
}

static bool
name_byte(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '_';
}

static struct span
take_name(struct span *rest)
{
	size_t n = 0;

	while (n < rest->n && name_byte(rest->p[n]))
		n++;
	const struct span name = span_slice(*rest, 0, n);
	*rest = span_skip(*rest, n);
	return name;
}

/* What stands between rest's opening bracket and the one that closes it;
 * false when there is none. */
static bool
take_bracket(struct span *rest, struct span *out)
{
	const uint8_t open = rest->p[0], close = open == '{' ? '}' : ')';
	unsigned level = 0;

	for (size_t i = 0; i < rest->n; i++) {
		if (rest->p[i] == open)
			level++;
		else if (rest->p[i] == close && --level == 0) {
			*out = span_slice(*rest, 1, i);
			*rest = span_skip(*rest, i + 1);
			return true;
		}
	}
	return false;
}

static void
add_value(const struct expansion *x, struct span value)
{
	for (size_t i = 0; i < value.n; i++) {
		const uint8_t c = value.p[i];

		buf_byte(x->out, c == '\t' || (c >= 32 && c < 127) ? c : '_');
	}
}

/* The text for a value that is there (?) or empty (:), of what stands behind
 * the name: "?text", ":text", "?{text}:{text}". */
static int
choose(const struct expansion *x, struct span rest, bool there,
    struct span *out)
{
	const bool question = rest.p[0] == '?';
	struct span first = span_skip(rest, 1), other = SPAN_EMPTY;

	if (span_starts(span_trim(first), SPAN("{"))) {
		struct span behind = span_trim(first);

		if (!take_bracket(&behind, &first))
			return bad(x, "brackets do not fit", rest);
		behind = span_trim(behind);
		if (question && span_starts(behind, SPAN(":"))) {
			behind = other = span_trim(span_skip(behind, 1));
			if (span_starts(behind, SPAN("{")) &&
			    !take_bracket(&behind, &other))
				return bad(x, "brackets do not fit", behind);
		} else if (behind.n > 0) {
			return bad(x, "text behind brackets", behind);
		}
	}
	*out = question == there ? first : other;
	return 0;
}

static int
expand_name(const struct expansion *x, struct span inner, unsigned depth)
{
	struct span rest = span_trim(inner), value;
	const struct span name = take_name(&rest);

	rest = span_trim(rest);
	if (name.n == 0)
		return bad(x, "no name", inner);
	if (!x->lookup(x->arg, name, &value))
		return bad(x, "unknown name", name);
	if (rest.n == 0) {
		add_value(x, value);
		return 0;
	}
	if (rest.p[0] != '?' && rest.p[0] != ':')
		return bad(x, "\"?\" or \":\" must follow a name", rest);
	if (choose(x, rest, value.n > 0, &rest) != 0)
		return -1;
	return expand(x, rest, depth + 1);
}

static int
expand(const struct expansion *x, struct span text, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return bad(x, "too deeply nested", text);
	while (text.n > 0) {
		const size_t dollar = span_chr(text, '$');
		struct span inner;

		buf_add(x->out, span_slice(text, 0, dollar));
		if (dollar == SIZE_MAX)
			return 0;
		text = span_skip(text, dollar + 1);
		if (text.n > 0 && text.p[0] == '$') {
			buf_byte(x->out, '$');
			text = span_skip(text, 1);
			continue;
		}
		if (text.n > 0 && (text.p[0] == '{' || text.p[0] == '(')) {
			if (!take_bracket(&text, &inner))
				return bad(x, "brackets do not fit", text);
		} else {
			inner = take_name(&text);
		}
		if (expand_name(x, inner, depth) != 0)
			return -1;
	}
	return 0;
}

int
reply_template_expand(struct span text, reply_lookup_fn lookup, void *arg,
    struct buf *out, struct err *e)
{
	const struct expansion x = { lookup, arg, out, e };

	return expand(&x, text, 0);
}
