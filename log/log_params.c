/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stddef.h>

#include "log/log_impl.h"

extern const struct param log_params[];

const struct param log_params[] = {
	PARAM_STR(struct log_conf, maillog_json_file, "",
	    "file that gets each log line and event as a line of JSON"),
	PARAM_INT(struct log_conf, trace_size_limit, "64m", 1 << 20,
	    INT64_C(1) << 40, "bytes of the trace store in all"),
	PARAM_END,
};
