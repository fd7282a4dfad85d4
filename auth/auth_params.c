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
	PARAM_STR(S, auth_external_maps, "",
	    "login names by the fingerprint or name of a client's "
	    "certificate, for EXTERNAL; empty: the name of a verified one"),
	PARAM_STR(S, auth_oauth2_keys, "",
	    "file with the JSON web key set by which access tokens are "
	    "checked"),
	PARAM_STR(S, auth_oauth2_issuers, "",
	    "iss that access tokens may have; empty: any"),
	PARAM_STR(S, auth_oauth2_audience, "",
	    "aud that access tokens must have one of; empty: any"),
	PARAM_STR(S, auth_oauth2_scope, "",
	    "scopes that access tokens must have, all of them"),
	PARAM_STR(S, auth_oauth2_username_claim, "email",
	    "claim of an access token that is the login name"),
	PARAM_STR(S, auth_oauth2_introspection, "",
	    "service on this host that knows access tokens (RFC 7662): "
	    "http://127.0.0.1:port/path or unix:/socket:/path"),
	PARAM_STR(S, auth_oauth2_authorization, "",
	    "Authorization field for that service, such as Bearer secret"),
	PARAM_STR(S, auth_oauth2_openid_configuration, "",
	    "URL that clients are told when a token is refused (RFC 7628)"),
	PARAM_STR(S, auth_dovecot_mechanisms, "PLAIN LOGIN",
	    "mechanisms that the dovecot-auth socket offers"),
	PARAM_STR(S, auth_dovecot_users, "",
	    "users, names or numbers, besides root that may use the "
	    "dovecot-auth socket"),
	PARAM_END,
};
