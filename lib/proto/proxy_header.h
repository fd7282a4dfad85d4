/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_PROXY_HEADER_H
#define CHAPPE_PROTO_PROXY_HEADER_H

/*
 * The header that a load balancer puts in front of a connection it passes on:
 * HAProxy's PROXY protocol, version 1 (a line of text) and 2 (binary). It says
 * from where to where the client connected. It comes before anything else,
 * TLS included. Nothing is allocated, nothing is kept between calls.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

/* Longest text of an IPv6 address, and its NUL. */
enum { PROXY_ADDR_TEXT = 46 };

enum {
	PROXY_V1_MAX = 107,	     /* longest line of version 1 */
	PROXY_HEADER_MAX = 16 + 2048 /* longest header of version 2 that is
					taken; it may be longer by TLVs that
					nobody here sends */
};

struct proxy_header {
	/* The balancer speaks for itself (LOCAL, a health check), or does not
	 * say for whom (UNKNOWN, UNSPEC, a UNIX socket): the connection's own
	 * addresses hold. */
	bool local;
	bool ipv6;
	char addr[PROXY_ADDR_TEXT], dest_addr[PROXY_ADDR_TEXT];
	uint16_t port, dest_port;
};

/* Reads the header at the front of in. OK: *out is filled and *out_used bytes
 * belong to it. MORE: it is not all there yet. BAD: it is none. */
enum parse proxy_header_parse(
    struct span in, struct proxy_header *out, size_t *out_used);

#endif
