/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stddef.h>

#include "resolver/resolver_impl.h"

#define S struct resolver_conf

extern const struct param resolver_params[];

const struct param resolver_params[] = {
	PARAM_STR(S, resolver_forward, "",
	    "name servers to ask (ADDRESS or ADDRESS@PORT); empty: those of "
	    "$resolver_conf_file; root: ask from the root on"),
	PARAM_STR(S, resolver_trust_anchor, "/usr/share/dns/root.key",
	    "file with the root's keys, for DNSSEC; empty: no validation"),
	PARAM_STR(S, resolver_conf_file, "/etc/resolv.conf",
	    "where the host's name servers are listed"),
	PARAM_STR(S, resolver_hosts_file, "/etc/hosts",
	    "names and addresses that are looked at before DNS where the "
	    "asking daemon wants that"),
	PARAM_TIME(S, resolver_timeout, "30s",
	    "how long one lookup may take"),
	PARAM_END,
};
