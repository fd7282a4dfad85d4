/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/app_password.h"

static bool
word_ok(struct span word, size_t max)
{
	for (size_t i = 0; i < word.n; i++) {
		const uint8_t c = word.p[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && c != '.' &&
		    c != '_' && c != '-')
			return false;
	}
	return word.n > 0 && word.n <= max;
}

bool
app_password_name_ok(struct span name)
{
	return word_ok(name, APP_PASSWORD_NAME_MAX);
}

bool
app_password_scopes_ok(struct span scopes)
{
	struct span word;
	size_t count = 0;

	while (scopes.n > 0) {
		const size_t comma = span_chr(scopes, ',');

		word = span_slice(scopes, 0, comma);
		if (!span_eq(word, SPAN("*")) && !word_ok(word, 31))
			return false;
		count++;
		if (comma == scopes.n - 1)
			return false;
		scopes = comma == SIZE_MAX ? SPAN_EMPTY :
					     span_skip(scopes, comma + 1);
	}
	return count > 0;
}

bool
app_password_parse(struct span value, struct app_password *out,
    const char **out_why)
{
	const size_t first = span_chr(value, ':');
	struct app_password p = { .name = span_slice(value, 0, first) };
	struct span rest;
	size_t second;

	rest = first == SIZE_MAX ? SPAN_EMPTY : span_skip(value, first + 1);
	second = span_chr(rest, ':');
	p.scopes = span_slice(rest, 0, second);
	p.stored = second == SIZE_MAX ? SPAN_EMPTY :
					span_skip(rest, second + 1);
	*out_why = "app_password: bad name";
	if (!app_password_name_ok(p.name))
		return false;
	*out_why = "app_password: bad scopes";
	if (!app_password_scopes_ok(p.scopes))
		return false;
	*out_why = "app_password: no password";
	if (p.stored.n == 0)
		return false;
	*out = p;
	return true;
}

bool
app_password_allows(const struct app_password *p, struct span service)
{
	struct span rest = p->scopes, word;

	while (span_token(&rest, ",", &word))
		if (span_eq(word, SPAN("*")) || span_ieq(word, service))
			return true;
	return false;
}

/* ---- when it was last used ---- */

bool
app_password_use_parse(struct span line, struct app_password_use *out)
{
	struct app_password_use use;
	struct span number, more;
	uint64_t time_s;

	if (!span_token(&line, " ", &number) ||
	    !span_u64(number, INT64_MAX, &time_s) ||
	    !span_token(&line, " ", &use.user) ||
	    !span_token(&line, " ", &use.name) ||
	    !span_token(&line, " ", &use.service) ||
	    !span_token(&line, " ", &use.addr) ||
	    span_token(&line, " ", &more))
		return false;
	use.time_s = (int64_t)time_s;
	*out = use;
	return true;
}

static bool
one_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static void
put(struct buf *out, struct span word)
{
	buf_byte(out, ' ');
	if (word.n > 0)
		buf_add(out, word);
	else
		buf_byte(out, '-');
}

void
app_password_use_print(const struct app_password_use *use, struct buf *out)
{
	if (use->time_s < 0 || use->user.n == 0 || use->name.n == 0 ||
	    !one_word(use->user) || !one_word(use->name) ||
	    !one_word(use->service) || !one_word(use->addr))
		return;
	buf_fmt(out, "%lld", (long long)use->time_s);
	put(out, use->user);
	put(out, use->name);
	put(out, use->service);
	put(out, use->addr);
	buf_byte(out, '\n');
}
