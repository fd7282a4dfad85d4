/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/imapd_conf.h"

#define S struct imapd_conf

const struct param imapd_params[] = {
	PARAM_WORD(S, ssl, "yes", "no yes required",
	    "TLS for IMAP: offered, or required before login"),
	PARAM_BOOL(S, disable_plaintext_auth, "yes",
	    "no password without TLS, but from this host itself"),
	PARAM_STR(S, auth_mechanisms, "plain login",
	    "SASL mechanisms that IMAP offers"),
	PARAM_INT(S, imap_login_client_limit, "5000", 1, 1000000,
	    "connections that one imap-login process carries"),
	PARAM_TIME(S, imap_login_timeout, "3m",
	    "how long a connection may take to log in"),
	PARAM_INT(
	    S, imap_session_limit, "2000", 1, 1000000, "sessions at a time"),
	PARAM_INT(S, mail_max_userip_connections, "20", 1, 1000000,
	    "sessions of one user from one address"),
	PARAM_TIME(S, imap_idle_notify_interval, "2m",
	    "how often IDLE says that the server is there"),
	PARAM_END,
};
