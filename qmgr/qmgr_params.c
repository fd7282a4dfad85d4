/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr_conf.h"

#include <stddef.h>

const struct param qmgr_params[] = {
	PARAM_INT(struct qmgr_conf, qmgr_message_active_limit, "20000", 1,
	    1000000, "messages being delivered at a time"),
	PARAM_INT(struct qmgr_conf, qmgr_message_recipient_limit, "20000", 1,
	    1000000, "recipients in memory at a time"),
	PARAM_TIME(struct qmgr_conf, minimal_backoff_time, "300s",
	    "shortest wait before another try; rest of a dead destination"),
	PARAM_TIME(struct qmgr_conf, maximal_backoff_time, "4000s",
	    "longest wait before another try"),
	PARAM_TIME(struct qmgr_conf, maximal_queue_lifetime, "5d",
	    "when mail that cannot be delivered goes back"),
	PARAM_TIME(struct qmgr_conf, bounce_queue_lifetime, "5d",
	    "the same for mail from the null sender"),
	PARAM_TIME(struct qmgr_conf, delay_warning_time, "0h",
	    "when the sender is told that mail is late; 0: never"),
	PARAM_INT(struct qmgr_conf, initial_destination_concurrency, "5", 1,
	    1000, "deliveries at a time to a destination at first"),
	PARAM_INT(struct qmgr_conf, default_destination_concurrency_limit, "20",
	    1, 100000, "deliveries at a time to a destination"),
	PARAM_INT(struct qmgr_conf, default_destination_recipient_limit, "50",
	    1, 1000, "recipients of a message in one delivery"),
	PARAM_INT(struct qmgr_conf, local_destination_concurrency_limit, "2", 1,
	    100000, "deliveries at a time to a local user"),
	PARAM_INT(struct qmgr_conf, local_destination_recipient_limit, "1", 1,
	    1000, "recipients of a message in one local delivery"),
	PARAM_INT(struct qmgr_conf, virtual_destination_recipient_limit, "1", 1,
	    1000, "recipients of a message in one virtual delivery"),
	PARAM_TIME(struct qmgr_conf, transport_retry_time, "60s",
	    "rest of a transport that has no agent"),
	PARAM_INT(struct qmgr_conf, queue_journal_segment_size, "8388608",
	    1048576, 1073741824,
	    "bytes of a segment of the journal; for new ones"),
	PARAM_INT(struct qmgr_conf, queue_journal_segment_limit, "64", 1,
	    10000, "segments of the journal; when all are full, mail waits"),
	PARAM_INT(struct qmgr_conf, queue_reserve_size, "12582912", 0,
	    INT64_MAX,
	    "bytes kept back on the disk, so that when it is full mail in the "
	    "queue can be deferred and returned; a segment of the journal and "
	    "some more; 0: none"),
	PARAM_END,
};
