/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/pickup.h"

const struct param pickup_params[] = {
	PARAM_INT(struct pickup_conf, hopcount_limit, "50", 1, 10000,
	    "Received fields of a message that goes in circles"),
	OUTBOUND_ROWS(struct pickup_conf, outbound),
	MILTER_ROWS(struct pickup_conf, milter),
	PARAM_STR(struct pickup_conf, content_filter, "",
	    "TRANSPORT:NEXTHOP where all mail goes after the queue, to be "
	    "filtered"),
	PARAM_END,
};
