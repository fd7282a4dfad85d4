/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/local.h"

#define S struct local_conf

const struct param local_params[] = {
	PARAM_INT(S, local_worker_limit, "20", 1, 1000,
	    "users that mail is delivered to at a time, each by a process"),
	PARAM_TIME(S, local_worker_idle, "5s",
	    "for how long such a process waits for more mail"),
	PARAM_INT(S, local_request_limit, "50", 1, 1000,
	    "messages in hand at a time"),
	PARAM_END,
};
