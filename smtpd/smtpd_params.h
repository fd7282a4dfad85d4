/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_PARAMS_H
#define CHAPPE_SMTPD_PARAMS_H

/*
 * The parameters of smtpd; names and meanings are Postfix's but for the last
 * group. Times are in milliseconds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"

enum smtpd_tls_level { SMTPD_TLS_NONE, SMTPD_TLS_MAY, SMTPD_TLS_ENCRYPT };

struct smtpd_conf {
	const char *smtpd_banner;
	int64_t smtpd_timeout, smtpd_error_sleep_time, smtpd_starttls_timeout;
	int64_t smtpd_soft_error_limit, smtpd_hard_error_limit;
	int64_t smtpd_junk_command_limit, smtpd_recipient_limit;
	int64_t smtpd_client_connection_count_limit;
	const char *smtpd_client_event_limit_exceptions;
	int64_t hopcount_limit, queue_minfree;
	bool smtpd_helo_required, disable_vrfy_command;
	bool smtpd_forbid_bare_newline, smtpd_peername_lookup;
	int smtpd_tls_security_level;
	bool smtpd_tls_wrappermode, smtpd_tls_auth_only;
	bool smtpd_sasl_auth_enable;
	const char *smtpd_sasl_mechanisms;
	bool smtpd_sasl_required;

	bool smtpd_lmtp;             /* speak LMTP */
	bool smtpd_local_submission; /* a UNIX socket for this host's users */
	int64_t smtpd_session_limit; /* in this process */
	int64_t smtpd_local_connection_limit; /* of one user at a time */
};

extern const struct param smtpd_params[];

#endif
