/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_CIDR_H
#define CHAPPE_MAP_CIDR_H

/* Networks such as 192.0.2.0/24, 2001:db8::/32, [::1]/128, and whether an
 * address lies in one. An address alone is a network of one. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

struct cidr {
	int family; /* AF_INET or AF_INET6 */
	unsigned bits;
	uint8_t addr[16];
};

/* Brackets, also around an address with a mask, are dropped. On a fault
 * false, with out_why (may be NULL) NULL when the text is no network at all,
 * else what is wrong with it. */
bool cidr_parse(struct span text, struct cidr *out, const char **out_why);

/* IPv4-mapped addresses count as IPv4 on both sides. */
bool cidr_contains(const struct cidr *net, const struct cidr *host);

#endif
