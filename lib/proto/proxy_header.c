/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#define V2_SIGNATURE SPAN("\r\n\r\n\0\r\nQUIT\n")

enum { V2_HEAD = 16, V2_IPV4 = 12, V2_IPV6 = 36 };

/* ---- version 1 ---- */

/* One word and the single space behind it. */
static bool
take_word(struct span *s, struct span *out)
{
	const size_t space = span_chr(*s, ' ');

	*out = span_slice(*s, 0, space);
	*s = span_skip(*s, space == SIZE_MAX ? s->n : space + 1);
	return out->n > 0;
}

static bool
take_addr(struct span *s, int family, char *out)
{
	unsigned char raw[sizeof(struct in6_addr)];
	char text[PROXY_ADDR_TEXT];
	struct span word;

	return take_word(s, &word) && span_copy(word, text, sizeof(text)) &&
	       inet_pton(family, text, raw) == 1 &&
	       inet_ntop(family, raw, out, PROXY_ADDR_TEXT) != NULL;
}

static bool
take_port(struct span *s, uint16_t *out)
{
	struct span word;
	uint64_t port;

	if (!take_word(s, &word) || !span_u64(word, UINT16_MAX, &port) ||
	    (word.n > 1 && word.p[0] == '0'))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* The line without "PROXY " and CRLF. */
static bool
read_v1(struct span s, struct proxy_header *out)
{
	struct span family;
	int af;

	if (!take_word(&s, &family))
		return false;
	if (span_eq(family, SPAN("UNKNOWN"))) {
		out->local = true;
		return true;
	}
	out->ipv6 = span_eq(family, SPAN("TCP6"));
	if (!out->ipv6 && !span_eq(family, SPAN("TCP4")))
		return false;
	af = out->ipv6 ? AF_INET6 : AF_INET;
	return take_addr(&s, af, out->addr) &&
	       take_addr(&s, af, out->dest_addr) && take_port(&s, &out->port) &&
	       span_chr(s, ' ') == SIZE_MAX && take_port(&s, &out->dest_port);
}

static enum parse
parse_v1(struct span in, struct proxy_header *out, size_t *out_used)
{
	const size_t lf = span_chr(span_slice(in, 0, PROXY_V1_MAX), '\n');

	if (lf == SIZE_MAX)
		return in.n < PROXY_V1_MAX ? PARSE_MORE : PARSE_BAD;
	if (in.p[lf - 1] != '\r' || !read_v1(span_slice(in, 6, lf - 1), out))
		return PARSE_BAD;
	*out_used = lf + 1;
	return PARSE_OK;
}

/* ---- version 2 ---- */

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
read_v2_addresses(const uint8_t *p, struct proxy_header *out)
{
	const int af = out->ipv6 ? AF_INET6 : AF_INET;
	const size_t n = out->ipv6 ? 16 : 4;

	inet_ntop(af, p, out->addr, PROXY_ADDR_TEXT);
	inet_ntop(af, p + n, out->dest_addr, PROXY_ADDR_TEXT);
	out->port = get16(p + 2 * n);
	out->dest_port = get16(p + 2 * n + 2);
}

static enum parse
parse_v2(struct span in, struct proxy_header *out, size_t *out_used)
{
	uint8_t family, command;
	size_t length;

	if (in.n < V2_HEAD)
		return PARSE_MORE;
	command = in.p[12];
	family = in.p[13] >> 4;
	length = get16(in.p + 14);
	if (command >> 4 != 2 || (command & 15) > 1 || family > 3 ||
	    (in.p[13] & 15) > 2 || V2_HEAD + length > PROXY_HEADER_MAX)
		return PARSE_BAD;
	if (in.n < V2_HEAD + length)
		return PARSE_MORE;
	out->ipv6 = family == 2;
	out->local = (command & 15) == 0 || family == 0 || family == 3;
	if (!out->local) {
		if (length < (out->ipv6 ? V2_IPV6 : V2_IPV4))
			return PARSE_BAD;
		read_v2_addresses(in.p + V2_HEAD, out);
	}
	*out_used = V2_HEAD + length;
	return PARSE_OK;
}

static bool
begins(struct span in, struct span with)
{
	const size_t n = in.n < with.n ? in.n : with.n;

	return span_eq(span_slice(in, 0, n), span_slice(with, 0, n));
}

enum parse
proxy_header_parse(
    struct span in, struct proxy_header *out, size_t *out_used)
{
	struct proxy_header h = { .local = false };
	enum parse result = PARSE_BAD;

	if (in.n == 0)
		return PARSE_MORE;
	if (begins(in, SPAN("PROXY ")))
		result = in.n < 6 ? PARSE_MORE : parse_v1(in, &h, out_used);
	else if (begins(in, V2_SIGNATURE))
		result = parse_v2(in, &h, out_used);
	if (result == PARSE_OK)
		*out = h;
	return result;
}
