/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bounce/bounce_impl.h"

const struct param bounce_params[] = {
	PARAM_INT(struct bounce_conf, bounce_size_limit, "50000", 1,
	    INT64_C(1) << 30,
	    "bytes of an original that is returned whole; of a larger one, "
	    "the header"),
	PARAM_TIME(struct bounce_conf, maximal_queue_lifetime, "5d",
	    "how long mail is tried, told in warnings of a delay"),
	PARAM_END,
};
