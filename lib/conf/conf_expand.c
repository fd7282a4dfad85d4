/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/conf/conf_impl.h"

/* A value that refers to itself is found out by this depth. */
enum { EXPAND_DEPTH = 40 };

struct expander {
	struct conf *c;	 /* NULL: only refs is called */
	struct buf *out; /* NULL when text is only looked through */
	unsigned work;	 /* substitutions left: a bound on blow-up */
	conf_ref_fn ref;
	void *arg;
	struct err *e;
};

static int expand(struct expander *x, struct span text, unsigned depth);

static bool
name_byte(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '_';
}

static size_t
name_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && name_byte(s.p[n]))
		n++;
	return n;
}

/* The index of the bracket that closes the one at 0, or SIZE_MAX. */
static size_t
closing(struct span s)
{
	const uint8_t open = s.p[0], close = open == '{' ? '}' : ')';
	unsigned level = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == open)
			level++;
		else if (s.p[i] == close && --level == 0)
			return i;
	}
	return SIZE_MAX;
}

/* Takes "{text}" off the front of *s (after blanks); the bare text else. */
static bool
take_braced(struct span *s, struct span *out)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		*s = span_skip(*s, 1);
	if (s->n == 0 || s->p[0] != '{')
		return false;
	size_t end = closing(*s);
	if (end == SIZE_MAX)
		return false;
	*out = span_trim(span_slice(*s, 1, end));
	*s = span_skip(*s, end + 1);
	return true;
}

static int
put_entry(struct expander *x, struct span name, unsigned depth)
{
	if (x->c == NULL)
		return 0;
	struct conf_entry *entry = conf_entry_get(x->c, name);
	if (entry == NULL)
		return 0;
	return expand(x, span_str(conf_entry_text(x->c, entry)), depth + 1);
}

/* The value of a name, into a buffer of its own. */
static int
value_of(struct expander *x, struct span text, bool is_name, unsigned depth,
    struct buf *out)
{
	struct expander inner = *x;

	buf_init(out, LIMIT_CONFIG_LINE);
	inner.out = x->out == NULL ? NULL : out;
	int rc = is_name ? put_entry(&inner, text, depth)
			 : expand(&inner, text, depth + 1);
	x->work = inner.work;
	return rc;
}

/* Expands the text between "?" and ":" or after one of them. When only
 * looking for names, both branches are walked. */
static int
choose(struct expander *x, bool truth, struct span rest, unsigned depth)
{
	struct span yes = SPAN_EMPTY, no = SPAN_EMPTY;
	const uint8_t first = rest.p[0];

	rest = span_skip(rest, 1);
	if (first == ':') {
		if (!take_braced(&rest, &no))
			no = rest;
	} else if (take_braced(&rest, &yes)) {
		size_t colon = span_chr(rest, ':');
		if (colon != SIZE_MAX) {
			rest = span_skip(rest, colon + 1);
			if (!take_braced(&rest, &no))
				no = rest;
		}
	} else {
		yes = rest;
	}
	if (x->out == NULL) {
		int rc = expand(x, yes, depth + 1);
		return rc < 0 ? rc : expand(x, no, depth + 1);
	}
	return expand(x, truth ? yes : no, depth + 1);
}

static const struct {
	const char *word;
	bool less, equal, greater;
} comparisons[] = {
	{ "==", false, true, false },
	{ "!=", true, false, true },
	{ "<=", true, true, false },
	{ ">=", false, true, true },
	{ "<", true, false, false },
	{ ">", false, false, true },
};

static bool
compare(struct span a, size_t op, struct span b)
{
	uint64_t x, y;
	int order;

	if (span_u64(a, INT64_MAX, &x) && span_u64(b, INT64_MAX, &y))
		order = x < y ? -1 : x > y;
	else
		order = span_cmp(a, b);
	return order < 0   ? comparisons[op].less
	       : order > 0 ? comparisons[op].greater
			   : comparisons[op].equal;
}

/* ${{left} == {right} ? {yes} : {no}} */
static int
put_comparison(struct expander *x, struct span text, unsigned depth)
{
	struct span left, right;
	struct buf a = { 0 }, b = { 0 };
	size_t op = 0;

	if (!take_braced(&text, &left))
		return err_set(x->e, ERR_PERM, "4.3.5", "bad ${{...}}");
	text = span_trim(text);
	while (op < COUNT_OF(comparisons) &&
	       !span_starts(text, span_str(comparisons[op].word)))
		op++;
	if (op == COUNT_OF(comparisons))
		return err_set(
		    x->e, ERR_PERM, "4.3.5", "unknown comparison in ${{...}}");
	text = span_skip(text, strlen(comparisons[op].word));
	if (!take_braced(&text, &right))
		return err_set(x->e, ERR_PERM, "4.3.5", "bad ${{...}}");
	text = span_trim(text);
	if (text.n == 0 || text.p[0] != '?')
		return err_set(x->e, ERR_PERM, "4.3.5",
		    "no \"?\" after the comparison in ${{...}}");
	int rc = value_of(x, left, false, depth, &a);
	if (rc == 0)
		rc = value_of(x, right, false, depth, &b);
	if (rc == 0)
		rc = choose(
		    x, compare(buf_span(&a), op, buf_span(&b)), text, depth);
	buf_release(&a);
	buf_release(&b);
	return rc;
}

/* What stands inside ${...} or $(...). */
static int
put_braced(struct expander *x, struct span inside, unsigned depth)
{
	struct buf value;

	inside = span_trim(inside);
	if (inside.n > 0 && inside.p[0] == '{')
		return put_comparison(x, inside, depth);
	const size_t n = name_length(inside);
	const struct span name = span_slice(inside, 0, n);
	const struct span rest = span_trim(span_skip(inside, n));
	if (n == 0 || (rest.n > 0 && rest.p[0] != '?' && rest.p[0] != ':'))
		return err_set(x->e, ERR_PERM, "4.3.5",
		    "bad parameter reference ${%.*s}",
		    SPAN_FMT(span_slice(inside, 0, 60)));
	if (x->ref != NULL)
		x->ref(x->arg, name, rest.n == 0);
	if (rest.n == 0)
		return put_entry(x, name, depth);
	int rc = value_of(x, name, true, depth, &value);
	if (rc == 0)
		rc = choose(x, value.n > 0, rest, depth);
	buf_release(&value);
	return rc;
}

/* One reference at the front of s, behind "$"; *out_used bytes of it. */
static int
put_reference(
    struct expander *x, struct span s, unsigned depth, size_t *out_used)
{
	if (s.n > 0 && s.p[0] == '$') {
		if (x->out != NULL)
			buf_byte(x->out, '$');
		*out_used = 1;
		return 0;
	}
	if (s.n > 0 && (s.p[0] == '{' || s.p[0] == '(')) {
		const size_t end = closing(s);
		if (end == SIZE_MAX)
			return err_set(x->e, ERR_PERM, "4.3.5",
			    "unbalanced \"$%c\" in the value", s.p[0]);
		*out_used = end + 1;
		return put_braced(x, span_slice(s, 1, end), depth);
	}
	const size_t n = name_length(s);
	if (n == 0)
		return err_set(x->e, ERR_PERM, "4.3.5",
		    "\"$\" without a name; write \"$$\" for the sign itself");
	*out_used = n;
	if (x->ref != NULL)
		x->ref(x->arg, span_slice(s, 0, n), true);
	return put_entry(x, span_slice(s, 0, n), depth);
}

static int
expand(struct expander *x, struct span text, unsigned depth)
{
	if (depth > EXPAND_DEPTH || x->work == 0)
		return err_set(x->e, ERR_PERM, "4.3.5",
		    "parameters refer to each other in a circle");
	x->work--;
	while (text.n > 0) {
		const size_t dollar = span_chr(text, '$');
		size_t used = 0;

		if (x->out != NULL)
			buf_add(x->out, span_slice(text, 0, dollar));
		if (dollar == SIZE_MAX)
			break;
		text = span_skip(text, dollar + 1);
		if (put_reference(x, text, depth, &used) < 0)
			return -1;
		text = span_skip(text, used);
	}
	if (x->out != NULL && !buf_ok(x->out))
		return err_set(x->e, ERR_PERM, "4.3.5",
		    "the value is longer than %zu bytes", x->out->max);
	return 0;
}

int
conf_expand(struct conf *c, const char *text, struct buf *out, struct err *e)
{
	struct expander x = { .c = c, .out = out, .work = 10000, .e = e };

	return expand(&x, span_str(text), 0);
}

void
conf_refs(struct span text, conf_ref_fn fn, void *arg)
{
	struct expander x = { .work = 10000, .ref = fn, .arg = arg };

	/* A malformed reference is reported where the value is expanded. */
	(void)expand(&x, text, 0);
}
