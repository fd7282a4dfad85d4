/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_DNS_H
#define CHAPPE_MAIL_DNS_H

/*
 * Asking the resolver, with answers in the form that mail needs. A name that
 * does not exist, a name without such records and a failure that may pass are
 * three different things: the first two may bounce mail, the last never does.
 *
 * Each question gives a struct dns_query, which its owner may cancel until
 * the function is called; the function is called exactly once, never from
 * inside the question, and the query is gone when it returns.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/ipc/channel.h"

enum { DNS_A = 1, DNS_NS = 2, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };

enum { DNS_HOSTS_FIRST = 1 }; /* flag: the hosts file before DNS */

enum dns_status {
	DNS_OK,
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_NODATA,   /* it exists, without such a record */
	DNS_NULL_MX,  /* the domain takes no mail (RFC 7505) */
	DNS_FAILED,   /* try again later */
};

enum { DNS_TEXT_MAX = 20, /* records */ DNS_MX_MAX = 100, DNS_ADDRESSES_MAX = 100, DNS_NAME_MAX = 256 };

struct dns_mx {
	uint16_t preference;
	char host[DNS_NAME_MAX]; /* without final dot */
};

struct dns_answer {
	enum dns_status status;
	struct err err; /* unless DNS_OK: ready to be a delivery's reason */
	bool secure;    /* every part was validated by DNSSEC */
	uint32_t ttl;   /* seconds */
	/* The records were there, but none could be read. */
	bool malformed;
	/* dns_query_mx: best first; equal preferences in random order (RFC
	 * 5321 5.1). dns_query_ns: the servers, in random order. */
	struct dns_mx *mx;
	size_t mx_count;
	/* dns_query_txt: each record's strings joined. */
	const struct span *texts;
	size_t text_count;
	/* dns_query_addresses: IPv6 and IPv4 in turn, ports 0. */
	struct sockaddr_storage *addresses;
	size_t address_count;
	/* dns_query_client: the name that leads back to the address; the name
	 * in the PTR record, whether it leads back or not. NULL: none. */
	const char *name, *reverse_name;
};

struct dns_query;
/* The answer lives during the call. */
typedef void (*dns_fn)(void *arg, const struct dns_answer *answer);

/* c: a client of the service `resolver` (daemon_connect(d, "resolver")). */
struct dns_query *dns_query_mx(struct client *c, const char *domain,
    uint64_t trace, dns_fn fn, void *arg);

/* Name servers; text records (at most DNS_TEXT_MAX of them). */
struct dns_query *dns_query_ns(struct client *c, const char *domain,
    uint64_t trace, dns_fn fn, void *arg);
struct dns_query *dns_query_txt(struct client *c, const char *name,
    uint64_t trace, dns_fn fn, void *arg);

/* families: of DNS_INET and DNS_INET6; flags: DNS_HOSTS_FIRST. DNS_OK when
 * there is one address at least; DNS_FAILED only when there is none. host is a
 * name: address literals are the caller's (sock_addr_parse). */
enum { DNS_INET = 1, DNS_INET6 = 2 };
struct dns_query *dns_query_addresses(struct client *c, const char *host,
    int families, int flags, uint64_t trace, dns_fn fn, void *arg);

/* The name of a client as a server logs it: of the PTR name that leads back
 * to the address. DNS_NXDOMAIN or DNS_NODATA when there is no such name,
 * DNS_FAILED when that could not be found out. */
struct dns_query *dns_query_client(struct client *c,
    const struct sockaddr *addr, uint64_t trace, dns_fn fn, void *arg);

/* Forgets the question; NULL legal. */
void dns_cancel(struct dns_query **q);

/* The name at the start of RDATA in wire form; *rest: what follows. False
 * when it is damaged, is longer than RFC 1035 2.3.4 allows, or has bytes that
 * no host name has. Compressed names are damaged. "" is the root. */
bool dns_name_parse(struct span *rest, char out[DNS_NAME_MAX]);
/* The name to ask for PTR records (RFC 1035 3.5, RFC 3596 2.5). */
void dns_ptr_name(const struct sockaddr *addr, char out[80]);

#endif
