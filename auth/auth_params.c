/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#define S struct auth_conf

const struct param auth_params[] = {
	PARAM_STR(S, auth_passdb, "pam",
	    "where passwords are checked, in order: passwd-file:/path, pam, "
	    "pam:service"),
	PARAM_STR(S, auth_userdb, "passwd",
	    "who users are, in order: passwd-file:/path, passwd"),
	PARAM_STR(S, auth_username_format, "%Lu",
	    "login name from what was given: %u whole, %n before @, %d "
	    "behind it, L lower case"),
	PARAM_STR(
	    S, auth_pam_service_name, "chappe", "file in /etc/pam.d for pam"),
	PARAM_STR(S, mail_uid, "",
	    "user of passwd-file entries without one: a name or number"),
	PARAM_STR(S, mail_gid, "", "group of such entries"),
	PARAM_INT(S, first_valid_uid, "500", 0, UINT32_MAX,
	    "smallest uid that may log in; root never may"),
	PARAM_TIME(S, auth_failure_delay, "2s",
	    "wait before a failed login is answered; doubles for a client "
	    "that goes on failing, up to 15s"),
	PARAM_TIME(S, auth_cache_ttl, "60s",
	    "for how long a verified login is remembered; 0: not at all"),
	PARAM_INT(S, auth_worker_max_count, "4", 1, 64,
	    "processes that ask PAM and the system's user database"),
	PARAM_END,
};
