/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IP_PATTERN_H
#define CHAPPE_PROTO_IP_PATTERN_H

/*
 * Patterns of IPv4 addresses as DNS list filters have them: "127.0.0.2",
 * "127.0.[0..2].[2;4;10..11]". Four fields with dots between; a field is a
 * number or, in brackets, numbers and ranges with ";" between.
 */

#include <stdbool.h>

#include "lib/base/span.h"

struct ip_pattern {
	uint64_t octets[4][4]; /* one bit for each value of each octet */
};

/* Parses all of s. False with *out_why, a literal, for what is no pattern. */
bool ip_pattern_parse(
    struct span s, struct ip_pattern *out, const char **out_why);
bool ip_pattern_match(const struct ip_pattern *p, const uint8_t address[4]);

#endif
