/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

enum { HOST_SIZE = 256 };

static bool
uses(const struct common_conf *common, const char *protocol)
{
	return strstr(common->inet_protocols, "all") != NULL ||
	       strstr(common->inet_protocols, protocol) != NULL;
}

static void
add(struct plan *p, const char *address, unsigned port, const char *kind,
    bool optional)
{
	struct socket_spec *s = MEM_NEW(s);

	s->key = mem_printf("inet:[%s]:%u", address, port);
	snprintf(s->kind, sizeof(s->kind), "%s", kind);
	s->optional = optional;
	list_push(&p->sockets, &s->link);
}

static void
add_both(struct plan *p, const struct common_conf *common, const char *v4,
    const char *v6, unsigned port, const char *kind)
{
	/* Each alone must work; of two, a host may lack one. */
	const bool both = uses(common, "ipv4") && uses(common, "ipv6");

	if (uses(common, "ipv4"))
		add(p, v4, port, kind, both);
	if (uses(common, "ipv6"))
		add(p, v6, port, kind, both);
}

/* All addresses of a literal ("[::1]" too) or of a host name. */
static int
add_host(struct plan *p, const struct common_conf *common, const char *host,
    unsigned port, const char *kind, struct err *e)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char name[HOST_SIZE];
	size_t n = strlen(host);
	int rc;

	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	snprintf(name, sizeof(name), "%.*s", (int)n, host);
	rc = getaddrinfo(name, NULL, &hints, &list);
	if (rc != 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: address %s of service %s: %s", p->file,
		    p->line, name, p->name, gai_strerror(rc));
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		char text[SOCK_ADDR_TEXT];

		if (!uses(common, a->ai_family == AF_INET6 ? "ipv6" : "ipv4"))
			continue;
		sock_addr_text(a->ai_addr, text);
		add(p, text, port, kind, false);
	}
	freeaddrinfo(list);
	return 0;
}

/* What inet_interfaces says: all, loopback-only, or a list. */
static int
add_interfaces(struct plan *p, const struct common_conf *common, unsigned port,
    struct err *e)
{
	struct span rest = span_str(common->inet_interfaces), word;
	char host[HOST_SIZE];

	while (span_token(&rest, ", \t\n", &word)) {
		if (span_eq(word, SPAN("all"))) {
			add_both(p, common, "0.0.0.0", "::", port, "inet");
		} else if (span_eq(word, SPAN("loopback-only"))) {
			add_both(p, common, "127.0.0.1", "::1", port, "inet");
		} else if (!span_copy(word, host, sizeof(host)) ||
			   add_host(p, common, host, port, "inet", e) != 0) {
			return err_wrap(e, "inet_interfaces");
		}
	}
	return 0;
}

static bool
port_number(const char *text, unsigned *out)
{
	static const struct {
		const char *name;
		unsigned port;
	} known[] = { { "smtp", 25 }, { "submission", 587 },
		{ "submissions", 465 }, { "smtps", 465 }, { "lmtp", 24 } };
	struct servent *s;
	uint64_t v;

	if (span_u64(span_str(text), 65535, &v) && v > 0) {
		*out = (unsigned)v;
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (strcmp(known[i].name, text) == 0) {
			*out = known[i].port;
			return true;
		}
	}
	s = getservbyname(text, "tcp");
	if (s == NULL)
		return false;
	*out = ((unsigned)s->s_port & 0xff) << 8 |
	       ((unsigned)s->s_port >> 8 & 0xff);
	return true;
}

int
plan_add_inet(struct plan *p, const struct common_conf *common,
    const char *name, struct err *e)
{
	const char *colon = strrchr(name, ':');
	char host[HOST_SIZE] = "";
	unsigned port;

	if (!port_number(colon != NULL ? colon + 1 : name, &port) ||
	    (colon != NULL && !span_copy(span_of(name, (size_t)(colon - name)),
				  host, sizeof(host))))
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: no such port: %s", p->file, p->line, name);
	if (host[0] != '\0')
		return add_host(p, common, host, port, "inet", e);
	if (add_interfaces(p, common, port, e) != 0)
		return -1;
	if (list_empty(&p->sockets))
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: inet_interfaces leaves no address for "
		    "service %s",
		    p->file, p->line, name);
	return 0;
}

static int
add_imap_port(struct plan *p, const struct common_conf *common, int64_t number,
    const char *kind, struct err *e)
{
	struct span rest = span_str(common->listen), word;
	const unsigned port = (unsigned)number;
	char host[HOST_SIZE];

	while (port != 0 && span_token(&rest, ", \t\n", &word)) {
		if (span_eq(word, SPAN("*")))
			add(p, "0.0.0.0", port, kind, false);
		else if (span_eq(word, SPAN("::")))
			add(p, "::", port, kind, true);
		else if (!span_copy(word, host, sizeof(host)) ||
			 add_host(p, common, host, port, kind, e) != 0)
			return err_wrap(e, "listen");
	}
	return 0;
}

int
plan_add_imap(struct plan *p, const struct common_conf *common, struct err *e)
{
	struct span rest = span_str(common->protocols), word;
	bool on = false;

	while (span_token(&rest, ", \t\n", &word))
		on |= span_eq(word, SPAN("imap"));
	if (!on)
		return 0;
	if (add_imap_port(p, common, common->imap_port, "imap", e) != 0)
		return -1;
	return add_imap_port(p, common, common->imaps_port, "imaps", e);
}
