/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_lex.h"

#include "lib/base/limits.h"

void
imap_lex_init(struct imap_lex *x, struct span in, struct arena *a)
{
	*x = (struct imap_lex){ .in = in, .arena = a };
}

bool
imap_lex_fail(struct imap_lex *x, const char *why)
{
	if (x->why == NULL)
		x->why = why;
	return false;
}

bool
imap_lex_end(const struct imap_lex *x)
{
	return x->in.n == 0;
}

uint8_t
imap_lex_peek(const struct imap_lex *x)
{
	return x->in.n > 0 ? x->in.p[0] : 0;
}

bool
imap_lex_opt(struct imap_lex *x, uint8_t c)
{
	if (x->in.n == 0 || x->in.p[0] != c)
		return false;
	x->in = span_skip(x->in, 1);
	return true;
}

bool
imap_lex_char(struct imap_lex *x, uint8_t c, const char *why)
{
	return imap_lex_opt(x, c) || imap_lex_fail(x, why);
}

bool
imap_lex_sp(struct imap_lex *x)
{
	return imap_lex_char(
	    x, ' ', imap_lex_end(x) ? "Missing arguments" : "Space expected");
}

bool
imap_lex_open(struct imap_lex *x)
{
	if (!imap_lex_char(x, '(', "Opening parenthesis expected"))
		return false;
	if (++x->depth > LIMIT_IMAP_NESTING)
		return imap_lex_fail(x, "Too many nested parentheses");
	return true;
}

bool
imap_lex_close(struct imap_lex *x)
{
	if (!imap_lex_char(x, ')', "Closing parenthesis expected"))
		return false;
	x->depth--;
	return true;
}

static bool
atom_char(uint8_t c)
{
	return c > 0x20 && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

static bool
astring_char(uint8_t c)
{
	return atom_char(c) || c == ']';
}

static bool
pattern_char(uint8_t c)
{
	return astring_char(c) || c == '%' || c == '*';
}

static bool
word_char(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '.' || c == '-';
}

static bool
tag_char(uint8_t c)
{
	return astring_char(c) && c != '+';
}

static bool
set_char(uint8_t c)
{
	return ascii_digit(c) || c == '*' || c == ':' || c == ',';
}

static bool
take(struct imap_lex *x, bool (*is)(uint8_t), const char *why, struct span *out)
{
	size_t n = 0;

	while (n < x->in.n && is(x->in.p[n]))
		n++;
	if (n == 0)
		return imap_lex_fail(x, why);
	*out = span_slice(x->in, 0, n);
	x->in = span_skip(x->in, n);
	return true;
}

bool
imap_lex_atom(struct imap_lex *x, struct span *out)
{
	return take(x, atom_char, "Atom expected", out);
}

bool
imap_lex_word(struct imap_lex *x, struct span *out)
{
	return take(x, word_char, "Word expected", out);
}

bool
imap_lex_tag(struct imap_lex *x, struct span *out)
{
	return take(x, tag_char, "Invalid tag", out);
}

bool
imap_lex_set(struct imap_lex *x, struct span *out)
{
	return take(x, set_char, "Message set expected", out);
}

static struct span
unescape(struct arena *a, struct span s)
{
	struct span copy = arena_dup(a, s);
	uint8_t *p = arena_alloc(a, s.n);
	size_t n = 0;

	for (size_t i = 0; i < copy.n; i++) {
		if (copy.p[i] == '\\')
			i++;
		p[n++] = copy.p[i];
	}
	return span_of(p, n);
}

static bool
quoted(struct imap_lex *x, struct span *out)
{
	bool escaped = false;
	size_t n;

	for (n = 1; n < x->in.n && x->in.p[n] != '"'; n++) {
		const uint8_t c = x->in.p[n];

		if (c == '\0' || c == '\r' || c == '\n')
			return imap_lex_fail(
			    x, "Forbidden byte in a quoted string");
		if (c != '\\')
			continue;
		escaped = true;
		n++;
		if (n >= x->in.n || (x->in.p[n] != '"' && x->in.p[n] != '\\'))
			return imap_lex_fail(
			    x, "Invalid escape in a quoted string");
	}
	if (n >= x->in.n)
		return imap_lex_fail(x, "Missing closing quote");
	*out = span_slice(x->in, 1, n);
	x->in = span_skip(x->in, n + 1);
	if (escaped)
		*out = unescape(x->arena, *out);
	return true;
}

/* The "{n}" or "{n+}" at the front; the bytes it takes, or 0. */
static size_t
literal_mark(struct span s, uint64_t *out_size, bool *out_plus)
{
	const size_t end = span_chr(s, '}');
	struct span digits;

	if (s.n == 0 || s.p[0] != '{' || end == SIZE_MAX)
		return 0;
	digits = span_slice(s, 1, end);
	*out_plus = span_ends(digits, SPAN("+"));
	if (*out_plus)
		digits.n--;
	return span_u64(digits, UINT32_MAX, out_size) ? end + 1 : 0;
}

static bool
literal(struct imap_lex *x, struct span *out)
{
	uint64_t size;
	bool plus;
	size_t at = literal_mark(x->in, &size, &plus);

	if (at == 0)
		return imap_lex_fail(x, "Invalid literal");
	if (at < x->in.n && x->in.p[at] == '\r')
		at++;
	if (at >= x->in.n || x->in.p[at] != '\n' || size > x->in.n - at - 1)
		return imap_lex_fail(x, "Invalid literal");
	*out = span_slice(x->in, at + 1, at + 1 + size);
	if (span_chr(*out, '\0') != SIZE_MAX)
		return imap_lex_fail(x, "NUL in a literal");
	x->in = span_skip(x->in, at + 1 + size);
	return true;
}

bool
imap_lex_literal_ahead(struct imap_lex *x, uint64_t *out_size, bool *out_plus)
{
	uint64_t size;
	bool plus;
	const size_t n = literal_mark(x->in, &size, &plus);

	if (n == 0 || n != x->in.n)
		return imap_lex_fail(x, "Literal expected");
	x->in = span_skip(x->in, n);
	*out_size = size;
	*out_plus = plus;
	return true;
}

bool
imap_lex_string(struct imap_lex *x, struct span *out)
{
	if (imap_lex_peek(x) == '"')
		return quoted(x, out);
	if (imap_lex_peek(x) == '{')
		return literal(x, out);
	return imap_lex_fail(x, "String expected");
}

static bool
string_or(struct imap_lex *x, bool (*is)(uint8_t), struct span *out)
{
	const uint8_t c = imap_lex_peek(x);

	if (c == '"' || c == '{')
		return imap_lex_string(x, out);
	return take(x, is, "String expected", out);
}

bool
imap_lex_astring(struct imap_lex *x, struct span *out)
{
	return string_or(x, astring_char, out);
}

bool
imap_lex_pattern(struct imap_lex *x, struct span *out)
{
	return string_or(x, pattern_char, out);
}

bool
imap_lex_nstring(struct imap_lex *x, struct span *out, bool *out_nil)
{
	struct span atom;

	if (imap_lex_peek(x) == '"' || imap_lex_peek(x) == '{') {
		*out_nil = false;
		return imap_lex_string(x, out);
	}
	if (!imap_lex_atom(x, &atom) || !span_ieq(atom, SPAN("NIL")))
		return imap_lex_fail(x, "String or NIL expected");
	*out_nil = true;
	return true;
}

static bool
is_digit(uint8_t c)
{
	return ascii_digit(c);
}

bool
imap_lex_number(struct imap_lex *x, uint32_t *out)
{
	struct span digits;
	uint64_t v;

	if (!take(x, is_digit, "Number expected", &digits))
		return false;
	if (!span_u64(digits, UINT32_MAX, &v))
		return imap_lex_fail(x, "Number too large");
	*out = (uint32_t)v;
	return true;
}

bool
imap_lex_nz(struct imap_lex *x, uint32_t *out)
{
	uint32_t v;

	if (!imap_lex_number(x, &v))
		return false;
	if (v == 0)
		return imap_lex_fail(x, "Number must not be zero");
	*out = v;
	return true;
}
