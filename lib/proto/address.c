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

/* ---- domains ---- */

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

	if (domain.n < 2 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']')
		return false;
	domain = span_slice(domain, 1, domain.n - 1);
	if (span_istarts(domain, SPAN("IPv6:")))
		return span_copy(span_skip(domain, 5), text, sizeof(text)) &&
		       inet_pton(AF_INET6, text, &ip6) == 1;
	return span_copy(domain, text, sizeof(text)) &&
	       inet_pton(AF_INET, text, &ip4) == 1;
}

/* ---- one mailbox ---- */

/* Length of the quoted string at the front of s, with its quotes; 0 if it
 * is not a whole one. */
static size_t
quoted_length(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\' && ++i == s.n)
			return 0;
		if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 127)
			return 0;
	}
	return 0;
}

static size_t
dotted_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && (is_atext(s.p[n]) || s.p[n] == '.'))
		n++;
	return n;
}

bool
address_scan(struct span text, struct span *out_local, struct span *out_domain)
{
	struct span domain;
	size_t n;

	if (text.n == 0 || text.n > LIMIT_ADDRESS || !utf8_valid(text))
		return false;
	n = text.p[0] == '"' ? quoted_length(text) : dotted_length(text);
	if (n == 0 || n > LIMIT_LOCAL_PART)
		return false;
	domain = span_skip(text, n);
	if (domain.n > 0) {
		if (domain.p[0] != '@')
			return false;
		domain = span_skip(domain, 1);
		if (domain.n > 1 && domain.p[domain.n - 1] == '.')
			domain.n--;
		if (!domain_valid(domain) && !domain_literal_valid(domain))
			return false;
	} else if (span_eq(text, SPAN("\"\""))) {
		return false;
	}
	*out_local = span_slice(text, 0, n);
	*out_domain = domain;
	return true;
}

/* The content of a quoted string, or the bare word itself, in the arena. */
static struct span
unquote(struct span local, struct arena *a)
{
	uint8_t *p;
	size_t n = 0;

	if (local.p[0] != '"')
		return arena_dup(a, local);
	p = arena_alloc(a, local.n);
	for (size_t i = 1; i < local.n - 1; i++) {
		if (local.p[i] == '\\')
			i++;
		p[n++] = local.p[i];
	}
	return span_of(p, n);
}

bool
address_parse(struct span text, struct arena *a, struct address *out)
{
	struct span local, domain;

	if (!address_scan(text, &local, &domain))
		return false;
	out->local = unquote(local, a);
	out->domain = arena_dup(a, domain);
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
