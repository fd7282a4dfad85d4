/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/cidr.h"

#include <arpa/inet.h>

/* "[::ffff:192.0.2.1]" is 192.0.2.1. */
static void
unmap(struct cidr *c)
{
	static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
		0xff };

	if (c->family != AF_INET6 || c->bits < 96 ||
	    memcmp(c->addr, prefix, sizeof(prefix)) != 0)
		return;
	memmove(c->addr, c->addr + 12, 4);
	memset(c->addr + 4, 0, 12);
	c->family = AF_INET;
	c->bits -= 96;
}

static bool
has_host_bits(const struct cidr *c)
{
	const unsigned size = c->family == AF_INET ? 32 : 128;

	for (unsigned i = c->bits; i < size; i++)
		if ((c->addr[i / 8] & (0x80 >> (i % 8))) != 0)
			return true;
	return false;
}

bool
cidr_parse(struct span text, struct cidr *out, const char **out_why)
{
	struct cidr c = { 0 };
	struct span mask = SPAN_EMPTY;
	const char *ignored;
	char host[64];
	uint64_t bits;

	if (out_why == NULL)
		out_why = &ignored;
	*out_why = NULL;
	const size_t slash = span_rchr(text, '/');
	if (slash != SIZE_MAX) {
		mask = span_skip(text, slash + 1);
		text = span_slice(text, 0, slash);
	}
	if (text.n > 2 && text.p[0] == '[') {
		/* "[net/mask]" is written, too. */
		if (mask.n > 0 && mask.p[mask.n - 1] == ']')
			mask.n--;
		else if (text.p[text.n - 1] == ']')
			text.n--;
		else
			return false;
		text = span_skip(text, 1);
	}
	if (!span_copy(text, host, sizeof(host)))
		return false;
	if (inet_pton(AF_INET, host, c.addr) == 1)
		c.family = AF_INET;
	else if (inet_pton(AF_INET6, host, c.addr) == 1)
		c.family = AF_INET6;
	else
		return false;
	c.bits = c.family == AF_INET ? 32 : 128;
	if (slash != SIZE_MAX) {
		if (!span_u64(mask, c.bits, &bits)) {
			*out_why = "bad length of the network mask";
			return false;
		}
		c.bits = (unsigned)bits;
	}
	if (has_host_bits(&c)) {
		*out_why = "the address has bits beyond its network mask";
		return false;
	}
	unmap(&c);
	*out = c;
	return true;
}

bool
cidr_contains(const struct cidr *net, const struct cidr *host)
{
	if (net->family != host->family || host->bits < net->bits)
		return false;
	const unsigned whole = net->bits / 8, rest = net->bits % 8;
	if (memcmp(net->addr, host->addr, whole) != 0)
		return false;
	return rest == 0 ||
	       ((net->addr[whole] ^ host->addr[whole]) >> (8 - rest)) == 0;
}
