/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_QMGR_CONF_H
#define CHAPPE_QMGR_QMGR_CONF_H

/* The parameters of qmgr. */

#include "lib/conf/conf.h"

struct qmgr_conf {
	int64_t qmgr_message_active_limit, qmgr_message_recipient_limit;
	int64_t minimal_backoff_time, maximal_backoff_time;
	int64_t maximal_queue_lifetime, bounce_queue_lifetime, delay_warning_time;
	int64_t initial_destination_concurrency;
	int64_t default_destination_concurrency_limit;
	int64_t default_destination_recipient_limit;
	int64_t local_destination_concurrency_limit;
	int64_t local_destination_recipient_limit;
	int64_t virtual_destination_recipient_limit;
	int64_t transport_retry_time;
	int64_t queue_journal_segment_size, queue_journal_segment_limit;
	int64_t queue_reserve_size;
};
extern const struct param qmgr_params[];

#endif
