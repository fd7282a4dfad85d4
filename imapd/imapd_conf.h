/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IMAPD_CONF_H
#define CHAPPE_IMAPD_CONF_H

/* The parameters of IMAP, with Dovecot's names where it has them. */

#include "lib/conf/conf.h"

enum imapd_ssl { SSL_NO, SSL_YES, SSL_REQUIRED };

struct imapd_conf {
	int ssl; /* enum imapd_ssl */
	bool disable_plaintext_auth;
	const char *auth_mechanisms;	 /* "plain login" */
	int64_t imap_login_client_limit; /* connections of one process */
	int64_t imap_login_timeout;	 /* ms */
	int64_t imap_session_limit;	 /* processes */
	int64_t mail_max_userip_connections;
	int64_t imap_idle_notify_interval; /* ms */
};

extern const struct param imapd_params[];

#endif
