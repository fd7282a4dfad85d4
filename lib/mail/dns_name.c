/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/dns.h"

#include <netinet/in.h>
#include <stdio.h>

enum { WIRE_MAX = 255 };
_Static_assert((int)WIRE_MAX < (int)DNS_NAME_MAX, "a name fits");

/* Letters, digits, hyphen, and underscore, which the world uses. */
static bool
host_byte(uint8_t c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' ||
	    c == '/';
}

bool
dns_name_parse(struct span *rest, char out[DNS_NAME_MAX])
{
	char name[DNS_NAME_MAX];
	size_t at = 0, n = 0;

	for (;;) {
		size_t label;

		if (at >= rest->n)
			return false;
		label = rest->p[at++];
		if (label == 0)
			break;
		if (label > 63 || rest->n - at < label ||
		    at + label > WIRE_MAX - 1)
			return false;
		if (n > 0)
			name[n++] = '.';
		for (size_t i = 0; i < label; i++) {
			if (!host_byte(rest->p[at + i]))
				return false;
			name[n++] = (char)rest->p[at + i];
		}
		at += label;
	}
	name[n] = '\0';
	memcpy(out, name, n + 1);
	*rest = span_skip(*rest, at);
	return true;
}

void
dns_ptr_name(const struct sockaddr *addr, char out[80])
{
	const uint8_t *a;
	char *p = out;

	if (addr->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		a = (const uint8_t *)&in.sin_addr;
		snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2],
		    a[1], a[0]);
		return;
	}
	struct sockaddr_in6 in6;

	memcpy(&in6, addr, sizeof(in6));
	a = in6.sin6_addr.s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", a[15], a[14],
		    a[13], a[12]);
		return;
	}
	for (int i = 15; i >= 0; i--)
		p += snprintf(p, 5, "%x.%x.", a[i] & 15, a[i] >> 4);
	snprintf(p, 9, "ip6.arpa");
}
