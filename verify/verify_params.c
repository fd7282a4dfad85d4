/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/verify_impl.h"

#define S struct verify_conf

const struct param verify_params[] = {
	PARAM_STR(S, address_verify_map, "btree:$data_directory/verify_cache",
	    "table in which verify keeps what it found out, written by "
	    "itself; empty: forgotten at its end"),
	PARAM_TIME(S, address_verify_positive_expire_time, "31d",
	    "how long an address that was found good is taken"),
	PARAM_TIME(S, address_verify_positive_refresh_time, "7d",
	    "after which a question about it brings another probe"),
	PARAM_TIME(S, address_verify_negative_expire_time, "3d",
	    "how long an address that was not is refused"),
	PARAM_TIME(S, address_verify_negative_refresh_time, "3h",
	    "after which a question about it brings another probe"),
	PARAM_BOOL(S, address_verify_negative_cache, "yes",
	    "remember failed probes, too"),
	PARAM_TIME(S, address_verify_cache_cleanup_interval, "12h",
	    "how often what has expired is removed; 0: never"),
	PARAM_INT(S, address_verify_pending_request_limit, "5000", 1, 1000000,
	    "probes under way at a time; beyond it none is sent"),
	PARAM_STR(S, address_verify_local_transport, "$local_transport",
	    "local_transport of probes"),
	PARAM_STR(S, address_verify_virtual_transport, "$virtual_transport",
	    "virtual_transport of probes"),
	PARAM_STR(S, address_verify_relay_transport, "$relay_transport",
	    "relay_transport of probes"),
	PARAM_STR(S, address_verify_default_transport, "$default_transport",
	    "default_transport of probes"),
	PARAM_STR(S, address_verify_relayhost, "$relayhost",
	    "relayhost of probes"),
	PARAM_STR(S, address_verify_transport_maps, "$transport_maps",
	    "transport_maps of probes"),
	PARAM_END,
};
