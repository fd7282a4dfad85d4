/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime.h"

#include "lib/base/limits.h"

static bool
space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 2045 5.1: tspecials end a token. Bytes above 127 are let through. */
static bool
token_char(uint8_t c)
{
	return c > ' ' && c != 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Past white space and comments, nested ones too. */
static void
skip_blank(struct span *s)
{
	size_t depth = 0, i;

	for (i = 0; i < s->n; i++) {
		const uint8_t c = s->p[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0)
			i++;
		else if (depth == 0 && !space(c))
			break;
	}
	*s = span_skip(*s, i);
}

static struct span
quoted(struct span *rest, struct arena *a)
{
	uint8_t *p;
	size_t end, n = 0;

	for (end = 1; end < rest->n && rest->p[end] != '"'; end++)
		end += rest->p[end] == '\\';
	if (end > rest->n)
		end = rest->n;
	p = arena_alloc(a, end + 1);
	for (size_t i = 1; i < end; i++) {
		if (rest->p[i] == '\\' && i + 1 < end)
			i++;
		else if (rest->p[i] == '\r' || rest->p[i] == '\n')
			continue;
		p[n++] = rest->p[i];
	}
	*rest = span_skip(*rest, end + 1);
	return span_of(p, n);
}

bool
mime_token(struct span *rest, struct arena *a, struct span *out)
{
	size_t n = 0;

	skip_blank(rest);
	if (rest->n > 0 && rest->p[0] == '"') {
		*out = quoted(rest, a);
		return true;
	}
	while (n < rest->n && token_char(rest->p[n]))
		n++;
	if (n == 0)
		return false;
	*out = span_slice(*rest, 0, n);
	*rest = span_skip(*rest, n);
	return true;
}

static bool
take(struct span *s, uint8_t c)
{
	skip_blank(s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* *(";" name "=" value); a damaged parameter is passed over. */
static void
params(struct span s, struct arena *a, struct mime_value *v)
{
	v->params = arena_alloc(a, MIME_PARAMS_MAX * sizeof(v->params[0]));
	while (s.n > 0 && v->param_count < MIME_PARAMS_MAX) {
		struct mime_param *p = &v->params[v->param_count];

		if (take(&s, ';'))
			continue;
		if (mime_token(&s, a, &p->name) && take(&s, '=') &&
		    mime_token(&s, a, &p->value)) {
			v->param_count++;
			continue;
		}
		/* Resume behind the next semicolon. */
		while (s.n > 0 && s.p[0] != ';')
			s = span_skip(s, 1);
	}
}

bool
mime_type_parse(struct span s, struct arena *a, struct mime_value *out)
{
	struct mime_value v = { 0 };

	s = span_slice(s, 0, LIMIT_HEADER_FIELD);
	if (!mime_token(&s, a, &v.type) || !take(&s, '/') ||
	    !mime_token(&s, a, &v.subtype))
		return false;
	params(s, a, &v);
	*out = v;
	return true;
}

bool
mime_disposition_parse(struct span s, struct arena *a, struct mime_value *out)
{
	struct mime_value v = { 0 };

	s = span_slice(s, 0, LIMIT_HEADER_FIELD);
	if (!mime_token(&s, a, &v.type))
		return false;
	params(s, a, &v);
	*out = v;
	return true;
}

struct span
mime_param(const struct mime_value *v, struct span name)
{
	for (size_t i = 0; i < v->param_count; i++) {
		if (span_ieq(v->params[i].name, name))
			return v->params[i].value;
	}
	return SPAN_EMPTY;
}
