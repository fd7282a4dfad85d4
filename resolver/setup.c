/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resolver/resolver_impl.h"

#include <stdio.h>

/* The text of an address: with "%scope" for link-local IPv6. */
static bool
is_address(const char *text)
{
	struct sockaddr_storage addr;
	char plain[SETUP_SERVER_TEXT];
	socklen_t len;

	snprintf(plain, sizeof(plain), "%s", text);
	plain[strcspn(plain, "%")] = '\0';
	return sock_addr_parse(plain, 53, &addr, &len);
}

size_t
setup_nameservers(struct span text,
    char out[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT])
{
	size_t count = 0;
	struct span line;

	while (count < SETUP_SERVERS_MAX &&
	    span_token(&text, "\r\n", &line)) {
		struct span word, address;

		if (!span_token(&line, " \t", &word) ||
		    !span_eq(word, SPAN("nameserver")) ||
		    !span_token(&line, " \t", &address))
			continue;
		if (span_copy(address, out[count], SETUP_SERVER_TEXT) &&
		    is_address(out[count]))
			count++;
	}
	return count;
}

int
setup_forwarders(const char *list,
    char out[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT], size_t *out_count,
    struct err *e)
{
	struct span rest = span_str(list), word;
	size_t count = 0;

	while (span_token(&rest, ", \t", &word)) {
		size_t at = span_chr(word, '@');
		char address[SETUP_SERVER_TEXT];
		uint64_t port;
		bool good = count < SETUP_SERVERS_MAX &&
		    span_copy(span_slice(word, 0, at), address,
			sizeof(address)) &&
		    is_address(address) &&
		    span_copy(word, out[count], SETUP_SERVER_TEXT);

		if (good && at != SIZE_MAX)
			good = span_u64(span_skip(word, at + 1), 65535,
			    &port);
		if (!good)
			return err_set(e, ERR_PERM, "5.3.5",
			    "resolver_forward: not ADDRESS or ADDRESS@PORT, "
			    "or too many: %s", list);
		count++;
	}
	*out_count = count;
	return 0;
}

/* Zones that libunbound would answer by itself: right for a host that asks
 * the world, not for one whose servers were named (RFC 6303, RFC 6761). */
static const char *const own_zones[] = { "test.", "2.0.192.in-addr.arpa.",
	"100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.",
	"8.b.d.0.1.0.0.2.ip6.arpa.", "127.in-addr.arpa.", "home.arpa." };

void
setup_text(struct buf *out, const struct setup *s)
{
	buf_str(out, "server:\n"
		     "  chroot: \"\"\n"
		     "  username: \"\"\n"
		     "  directory: \"\"\n"
		     "  pidfile: \"\"\n"
		     "  use-syslog: no\n"
		     "  verbosity: 0\n"
		     "  do-not-query-localhost: no\n"
		     "  unblock-lan-zones: yes\n"
		     "  insecure-lan-zones: yes\n"
		     "  cache-max-ttl: 86400\n"
		     "  cache-max-negative-ttl: 900\n"
		     "  infra-host-ttl: 60\n"
		     "  infra-keep-probing: yes\n"
		     "  msg-cache-size: 16m\n"
		     "  rrset-cache-size: 32m\n"
		     "  edns-buffer-size: 1232\n"
		     "  harden-dnssec-stripped: yes\n");
	if (s->chosen)
		for (size_t i = 0;
		     i < sizeof(own_zones) / sizeof(own_zones[0]); i++)
			buf_fmt(out, "  local-zone: \"%s\" nodefault\n",
			    own_zones[i]);
	if (s->trust_anchor != NULL)
		buf_fmt(out, "  module-config: \"validator iterator\"\n"
			     "  trust-anchor-file: \"%s\"\n",
		    s->trust_anchor);
	else
		buf_str(out, "  module-config: \"iterator\"\n");
	/* A server that forwards for us may strip DNSSEC; then its answers
	 * are worth what they were before: not secure, but answers. */
	if (s->server_count > 0 && s->trust_anchor != NULL)
		buf_str(out, "  val-permissive-mode: yes\n");
	if (s->server_count > 0)
		buf_str(out, "forward-zone:\n  name: \".\"\n");
	for (size_t i = 0; i < s->server_count; i++)
		buf_fmt(out, "  forward-addr: %s\n", s->servers[i]);
}
