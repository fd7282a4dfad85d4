/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/own_address.h"

#include <arpa/inet.h>

#include "lib/map/text_file.h"

enum { PROC_MAX = 16 << 20 };

void
own_address_fib_trie(struct span text, struct buf *out)
{
	struct span line, leaf = SPAN_EMPTY;

	while (span_token(&text, "\n", &line)) {
		line = span_trim(line);
		if (span_starts(line, SPAN("|-- "))) {
			leaf = span_skip(line, 4);
		} else if (leaf.n > 0 &&
			   span_eq(line, SPAN("/32 host LOCAL"))) {
			buf_byte(out, ' ');
			buf_add(out, leaf);
			leaf = SPAN_EMPTY;
		}
	}
}

void
own_address_if_inet6(struct span text, struct buf *out)
{
	char shown[INET6_ADDRSTRLEN];
	struct span line;

	while (span_token(&text, "\n", &line)) {
		uint8_t addr[16];
		size_t i;

		for (i = 0; i < sizeof(addr) && line.n >= 32; i++) {
			uint64_t byte;
			if (!span_hex64(
				span_slice(line, 2 * i, 2 * i + 2), &byte))
				break;
			addr[i] = (uint8_t)byte;
		}
		if (i == sizeof(addr) &&
		    inet_ntop(AF_INET6, addr, shown, sizeof(shown)) != NULL)
			buf_fmt(out, " %s", shown);
	}
}

void
own_address_list(struct buf *out)
{
	struct buf text;

	buf_str(out, " 127.0.0.1 ::1");
	if (text_file_read("/proc/net/fib_trie", PROC_MAX, &text, NULL, NULL) ==
	    0)
		own_address_fib_trie(buf_span(&text), out);
	buf_release(&text);
	if (text_file_read("/proc/net/if_inet6", PROC_MAX, &text, NULL, NULL) ==
	    0)
		own_address_if_inet6(buf_span(&text), out);
	buf_release(&text);
}
