/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/access.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

enum { KEY_MAX = 3 * LIMIT_ADDRESS };

/* Keys of indexed tables are in lower case; patterns see what was said. */
static enum map_result
get_parts(struct map *m, struct span a, struct span b, struct buf *out,
    struct err *e)
{
	const bool fold = !map_is_pattern(m);
	uint8_t key[KEY_MAX];
	size_t n = 0;

	if (a.n + b.n > sizeof(key) || a.n + b.n == 0)
		return MAP_ABSENT;
	for (size_t i = 0; i < a.n; i++)
		key[n++] = fold ? ascii_lower(a.p[i]) : a.p[i];
	for (size_t i = 0; i < b.n; i++)
		key[n++] = fold ? ascii_lower(b.p[i]) : b.p[i];
	return map_get(m, span_of(key, n), out, e);
}

enum map_result
access_get(struct map *m, struct span key, struct buf *out, struct err *e)
{
	return get_parts(m, key, SPAN_EMPTY, out, e);
}

static bool
is_ip(struct span s)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];

	return span_copy(s, text, sizeof(text)) &&
	       (inet_pton(AF_INET, text, address) == 1 ||
		   inet_pton(AF_INET6, text, address) == 1);
}

/* The parents of a domain, with or without their dot. */
static enum map_result
get_parents(struct map *m, struct span name, bool parents, struct buf *out,
    struct err *e)
{
	enum map_result r = MAP_ABSENT;

	while (r == MAP_ABSENT && name.n > 0) {
		const size_t dot = span_chr(span_skip(name, 1), '.');

		if (dot == SIZE_MAX)
			break;
		name = span_skip(name, dot + 1 + (parents ? 1 : 0));
		r = access_get(m, name, out, e);
	}
	return r;
}

enum map_result
access_get_domain(struct map *m, struct span name, bool parents,
    struct buf *out, struct err *e)
{
	const enum map_result r = access_get(m, name, out, e);

	if (r != MAP_ABSENT || map_is_pattern(m) || is_ip(name))
		return r;
	return get_parents(m, name, parents, out, e);
}

enum map_result
access_get_ip(struct map *m, struct span ip, struct buf *out, struct err *e)
{
	const uint8_t delimiter = span_chr(ip, ':') == SIZE_MAX ? '.' : ':';
	enum map_result r = access_get(m, ip, out, e);
	size_t cut;

	while (r == MAP_ABSENT && !map_is_pattern(m) &&
	       (cut = span_rchr(ip, delimiter)) != SIZE_MAX) {
		ip = span_slice(ip, 0, cut);
		r = access_get(m, ip, out, e);
	}
	return r;
}

enum map_result
access_get_mail(struct map *m, struct span address, const char *delimiter,
    bool parents, struct buf *out, struct err *e)
{
	const size_t at = span_rchr(address, '@');
	const struct span local = span_slice(address, 0, at);
	const struct span domain =
	    at == SIZE_MAX ? SPAN_EMPTY : span_skip(address, at + 1);
	const size_t split = map_split_extension(local, delimiter);
	const struct span bare = span_slice(local, 0, split);
	enum map_result r = access_get(m, address, out, e);

	if (map_is_pattern(m) || at == SIZE_MAX)
		return r;
	if (r == MAP_ABSENT && split != SIZE_MAX)
		r = get_parts(m, bare, span_skip(address, at), out, e);
	if (r == MAP_ABSENT)
		r = access_get(m, domain, out, e);
	if (r == MAP_ABSENT)
		r = get_parents(m, domain, parents, out, e);
	if (r == MAP_ABSENT)
		r = get_parts(m, local, SPAN("@"), out, e);
	if (r == MAP_ABSENT && split != SIZE_MAX)
		r = get_parts(m, bare, SPAN("@"), out, e);
	return r;
}

/* ---- values ---- */

static const struct {
	const char *word;
	enum access_action action;
} actions[] = {
	{ "DUNNO", ACCESS_DUNNO },
	{ "OK", ACCESS_OK },
	{ "RELAY", ACCESS_OK },
	{ "REJECT", ACCESS_REJECT },
	{ "DEFER", ACCESS_DEFER },
	{ "DEFER_IF_PERMIT", ACCESS_DEFER_IF_PERMIT },
	{ "DEFER_IF_REJECT", ACCESS_DEFER_IF_REJECT },
	{ "INFO", ACCESS_INFO },
	{ "WARN", ACCESS_WARN },
	{ "FILTER", ACCESS_FILTER },
	{ "HOLD", ACCESS_HOLD },
	{ "DISCARD", ACCESS_DISCARD },
	{ "REDIRECT", ACCESS_REDIRECT },
	{ "BCC", ACCESS_BCC },
	{ "PREPEND", ACCESS_PREPEND },
};

static bool
all_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_digit(s.p[i]))
			return false;
	return s.n > 0;
}

void
access_value_parse(struct span value, struct access_value *out)
{
	struct access_value v = { .action = ACCESS_LIST };
	size_t end = 0;

	while (end < value.n && value.p[end] != ' ' && value.p[end] != '\t')
		end++;
	v.word = span_slice(value, 0, end);
	v.text = span_trim(span_skip(value, end));
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (span_ieq(v.word, span_str(actions[i].word)))
			v.action = actions[i].action;
	if (all_digits(value)) {
		v.action = ACCESS_OK;
	} else if (v.word.n == 3 && all_digits(v.word) && v.text.n > 0 &&
		   (v.word.p[0] == '4' || v.word.p[0] == '5')) {
		v.action = ACCESS_CODE;
		v.code = (v.word.p[0] - '0') * 100u +
			 (v.word.p[1] - '0') * 10u + (v.word.p[2] - '0');
	}
	*out = v;
}

/* One number of an enhanced code at *at: at most three digits. */
static bool
number(struct span s, size_t *at)
{
	const size_t from = *at;

	while (*at < s.n && ascii_digit(s.p[*at]))
		++*at;
	return *at > from && *at - from <= 3;
}

void
access_split_dsn(struct span text, const char *fallback, char dsn[12],
    struct span *out_text)
{
	size_t at = 2;

	if (text.n >= 5 && text.p[1] == '.' &&
	    (text.p[0] == '2' || text.p[0] == '4' || text.p[0] == '5') &&
	    number(text, &at) && at < text.n && text.p[at++] == '.' &&
	    number(text, &at) &&
	    (at == text.n || text.p[at] == ' ' || text.p[at] == '\t')) {
		snprintf(dsn, 12, "%.*s", SPAN_FMT(span_slice(text, 0, at)));
		*out_text = span_trim(span_skip(text, at));
		return;
	}
	snprintf(dsn, 12, "%s", fallback);
	*out_text = text;
}
