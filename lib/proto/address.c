/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/proto/utf8.h"

enum { LABEL_MAX = 63 };

/* RFC 5322 3.2.3 atext, and bytes above 127 (RFC 6531 3.3). */
static bool
is_atext(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c) || c >= 128 ||
	    (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* ---- domains -------------------------------------------------------------- */

static bool
label_valid(struct span label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' ||
	    label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		const uint8_t c = label.p[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' &&
		    c != '_' && c < 128)
			return false;
	}
	return true;
}

bool
domain_valid(struct span domain)
{
	struct span rest = domain;
	bool name = false;

	if (domain.n == 0 || domain.n > LIMIT_DOMAIN || !utf8_valid(domain))
		return false;
	for (;;) {
		const size_t dot = span_chr(rest, '.');

		if (!label_valid(span_slice(rest, 0, dot)))
			return false;
		if (dot == SIZE_MAX)
			break;
		rest = span_skip(rest, dot + 1);
	}
	for (size_t i = 0; i < domain.n; i++)
		name |= !ascii_digit(domain.p[i]) && domain.p[i] != '.';
	return name;
}

bool
domain_literal_valid(struct span domain)
{
	struct in6_addr ip6;
	struct in_addr ip4;
	char text[64];

	if (domain.n < 2 || domain.p[0] != '[' ||
	    domain.p[domain.n - 1] != ']')
		return false;
	domain = span_slice(domain, 1, domain.n - 1);
	if (span_istarts(domain, SPAN("IPv6:")))
		return span_copy(span_skip(domain, 5), text, sizeof(text)) &&
		    inet_pton(AF_INET6, text, &ip6) == 1;
	return span_copy(domain, text, sizeof(text)) &&
	    inet_pton(AF_INET, text, &ip4) == 1;
}

/* ---- one mailbox ---------------------------------------------------------- */

/* Takes a quoted string off the front; its content goes to the arena. */
static bool
take_quoted(struct span *s, struct arena *a, struct span *out)
{
	uint8_t *p = arena_alloc(a, s->n);
	size_t n = 0;
	size_t i = 1;

	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && ++i == s->n)
			return false;
		if (s->p[i] < ' ' && s->p[i] != '\t')
			return false;
		p[n++] = s->p[i];
	}
	if (i >= s->n)
		return false;
	*out = span_of(p, n);
	*s = span_skip(*s, i + 1);
	return true;
}

static bool
take_dotted(struct span *s, struct arena *a, struct span *out)
{
	size_t n = 0;

	while (n < s->n && (is_atext(s->p[n]) || s->p[n] == '.'))
		n++;
	*out = arena_dup(a, span_slice(*s, 0, n));
	*s = span_skip(*s, n);
	return n > 0;
}

bool
address_parse(struct span text, struct arena *a, struct address *out)
{
	struct address addr = { .domain = SPAN_EMPTY };
	bool ok;

	if (text.n == 0 || text.n > LIMIT_ADDRESS || !utf8_valid(text))
		return false;
	ok = text.p[0] == '"' ? take_quoted(&text, a, &addr.local) :
	    take_dotted(&text, a, &addr.local);
	if (!ok || addr.local.n > LIMIT_LOCAL_PART)
		return false;
	if (text.n > 0) {
		if (text.p[0] != '@')
			return false;
		text = span_skip(text, 1);
		if (text.n > 1 && text.p[text.n - 1] == '.')
			text.n--;
		if (!domain_valid(text) && !domain_literal_valid(text))
			return false;
		addr.domain = arena_dup(a, text);
	}
	if (addr.local.n == 0 && addr.domain.n == 0)
		return false;
	*out = addr;
	return true;
}

/* RFC 5321 4.1.2: a dot-string needs no quotes. */
static bool
is_dot_string(struct span local)
{
	bool dot = true;

	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '.' ? dot : !is_atext(local.p[i]))
			return false;
		dot = local.p[i] == '.';
	}
	return !dot;
}

void
address_quote_local(struct span local, struct buf *out)
{
	if (is_dot_string(local)) {
		buf_add(out, local);
		return;
	}
	buf_byte(out, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, local.p[i]);
	}
	buf_byte(out, '"');
}

void
address_print(const struct address *addr, struct buf *out)
{
	if (addr->local.n == 0 && addr->domain.n == 0)
		return;
	address_quote_local(addr->local, out);
	if (addr->domain.n == 0)
		return;
	buf_byte(out, '@');
	buf_add(out, addr->domain);
}

/* Index of the "@" that divides a canonical address, or its length. */
static size_t
divider(struct span text)
{
	const size_t at = span_rchr(text, '@');

	if (at == SIZE_MAX || span_chr(span_skip(text, at), '"') != SIZE_MAX)
		return text.n;
	return at;
}

struct span
address_domain_of(struct span text)
{
	return span_skip(text, divider(text) + 1);
}

struct span
address_local_of(struct span text)
{
	return span_slice(text, 0, divider(text));
}
