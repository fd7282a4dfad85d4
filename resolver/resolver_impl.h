/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_RESOLVER_RESOLVER_IMPL_H
#define CHAPPE_RESOLVER_RESOLVER_IMPL_H

/*
 * The resolver's parts: the text that configures libunbound, the hosts file,
 * and the lookups.
 */

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"

struct resolver_conf {
	const char *resolver_forward;
	const char *resolver_trust_anchor;
	const char *resolver_conf_file, *resolver_hosts_file;
	int64_t resolver_timeout;
};

/* ---- setup.c ---- */
/* The servers to ask: addresses of the `nameserver` lines of a resolv.conf
 * (resolv.conf(5)), at most 8, each ended by NUL in out. Returns how many. */
enum { SETUP_SERVERS_MAX = 8, SETUP_SERVER_TEXT = 64 };
size_t setup_nameservers(struct span resolv_conf,
    char out[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT]);
/* The same from resolver_forward: a list of ADDRESS or ADDRESS@PORT. */
int setup_forwarders(const char *list,
    char out[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT], size_t *out_count,
    struct err *e);
struct setup {
	char (*servers)[SETUP_SERVER_TEXT]; /* none: ask from the root on */
	size_t server_count;
	bool chosen;              /* by resolver_forward: they know best */
	const char *trust_anchor; /* file, or NULL: no validation */
};
/* Appends libunbound's configuration. */
void setup_text(struct buf *out, const struct setup *s);

/* ---- hosts.c: a file in the format of hosts(5) ---- */
struct hosts;
struct hosts *hosts_parse(struct span text);
void hosts_free(struct hosts **h);
/* Calls fn for each address (4 or 16 bytes) of the name, of the record type
 * A (1) or AAAA (28). True if the name is in the file at all. */
typedef void (*hosts_fn)(void *arg, struct span value);
bool hosts_addresses(const struct hosts *h, struct span name, unsigned type,
    hosts_fn fn, void *arg);
/* The first name of the address that a PTR name (RFC 1035 3.5, RFC 3596
 * 2.5) stands for; NULL if it is not in the file. */
const char *hosts_name(const struct hosts *h, struct span ptr_name);

/* ---- lookup.c ---- */
struct lookups;
struct lookups *lookups_new(struct loop *loop,
    const struct resolver_conf *conf);
void lookups_free(struct lookups **l);
/* Handler of MSG_DNS; arg: struct lookups. */
int lookups_handle(struct request *r, struct msg_in *m, void *arg);

#endif
