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
#include "lib/mail/restrict.h"
#include "lib/mail/milter_list.h"
#include "lib/mail/outbound.h"

enum smtpd_tls_level { SMTPD_TLS_NONE, SMTPD_TLS_MAY, SMTPD_TLS_ENCRYPT };
enum smtpd_bare {
	SMTPD_BARE_NO,
	SMTPD_BARE_YES, /* the same as: */
	SMTPD_BARE_NORMALIZE,
	SMTPD_BARE_REJECT,
	SMTPD_BARE_NOTE,
};
enum smtpd_upstream { SMTPD_UPSTREAM_NONE, SMTPD_UPSTREAM_HAPROXY };
enum smtpd_tls_grade {
	SMTPD_TLS_EXPORT,
	SMTPD_TLS_LOW,
	SMTPD_TLS_MEDIUM,
	SMTPD_TLS_HIGH,
	SMTPD_TLS_NULL,
};
enum smtpd_eecdh_grade {
	SMTPD_EECDH_NONE,
	SMTPD_EECDH_AUTO,
	SMTPD_EECDH_STRONG,
	SMTPD_EECDH_ULTRA,
};

/* What becomes of a client that fails a test. */
enum screen_action { SCREEN_IGNORE, SCREEN_ENFORCE, SCREEN_DROP };

struct smtpd_conf {
	const char *smtpd_banner;
	int64_t smtpd_timeout, smtpd_error_sleep_time, smtpd_starttls_timeout;
	int64_t smtpd_soft_error_limit, smtpd_hard_error_limit;
	int64_t smtpd_junk_command_limit, smtpd_recipient_limit;
	/* limits per client */
	int64_t smtpd_client_connection_count_limit;
	int64_t smtpd_client_connection_rate_limit;
	int64_t smtpd_client_message_rate_limit;
	int64_t smtpd_client_recipient_rate_limit;
	int64_t smtpd_client_new_tls_session_rate_limit;
	int64_t smtpd_client_auth_rate_limit;
	const char *smtpd_client_event_limit_exceptions;
	int64_t smtpd_client_ipv4_prefix_length;
	int64_t smtpd_client_ipv6_prefix_length;
	int64_t anvil_rate_time_unit, anvil_status_update_time;
	bool smtpd_client_port_logging;

	bool smtpd_greylist;
	int64_t smtpd_greylist_delay, smtpd_greylist_retry_window;
	int64_t smtpd_greylist_lifetime, smtpd_greylist_auto_allow;
	int64_t smtpd_greylist_ipv4_prefix_length;
	int64_t smtpd_greylist_ipv6_prefix_length;
	const char *smtpd_greylist_exceptions, *smtpd_greylist_text;

	/* what is sent by logins and users of this host */
	struct outbound_settings outbound;

	/* before the greeting */
	bool smtpd_screen;
	const char *postscreen_access_list;
	int postscreen_denylist_action, postscreen_greet_action;
	int postscreen_dnsbl_action;
	int64_t postscreen_greet_wait, postscreen_greet_ttl;
	const char *postscreen_greet_banner;
	const char *postscreen_dnsbl_sites, *postscreen_dnsbl_reply_map;
	int64_t postscreen_dnsbl_threshold;
	int64_t postscreen_dnsbl_allowlist_threshold;
	int64_t postscreen_dnsbl_timeout;
	int64_t postscreen_dnsbl_min_ttl, postscreen_dnsbl_max_ttl;
	int64_t postscreen_cache_retention_time;

	const char *stress;
	int64_t hopcount_limit, queue_minfree, queue_reserve_size;
	bool smtpd_helo_required, disable_vrfy_command;
	bool smtpd_peername_lookup;
	int smtpd_tls_security_level;
	bool smtpd_tls_wrappermode, smtpd_tls_auth_only;
	bool smtpd_sasl_auth_enable;
	const char *smtpd_sasl_mechanisms;
	bool smtpd_sasl_required;
	const char *receive_override_options;
	const char *smtpd_sasl_mechanism_filter, *smtpd_sasl_security_options,
	    *smtpd_sasl_tls_security_options, *smtpd_sasl_exceptions_networks,
	    *smtpd_sasl_local_domain, *smtpd_sasl_service;
	int64_t smtpd_sasl_response_limit;
	bool smtpd_sasl_authenticated_header, broken_sasl_auth_clients,
	    smtpd_reject_from_login_mismatch;

	/* Protocol */
	int smtpd_forbid_bare_newline, smtpd_upstream_proxy_protocol;
	const char *smtpd_forbid_bare_newline_exclusions,
	    *smtpd_noop_commands, *smtpd_forbidden_commands,
	    *smtpd_command_filter, *smtpd_reject_footer,
	    *smtpd_reject_footer_maps,
	    *smtpd_discard_ehlo_keywords,
	    *smtpd_discard_ehlo_keyword_address_maps,
	    *smtpd_authorized_xclient_hosts,
	    *smtpd_authorized_xforward_hosts, *fast_flush_domains;
	int64_t smtpd_forbid_bare_newline_reject_code,
	    smtpd_upstream_proxy_timeout, smtpd_future_release_limit;
	bool smtpd_forbid_unauth_pipelining, strict_rfc821_envelopes,
	    smtputf8_enable, strict_smtputf8, requiretls_enable;

	/* TLS */
	const char *smtpd_tls_chain_files, *smtpd_tls_eccert_file,
	    *smtpd_tls_eckey_file, *smtpd_tls_dcert_file,
	    *smtpd_tls_dkey_file, *tls_server_sni_maps, *smtpd_tls_CAfile,
	    *smtpd_tls_CApath, *smtpd_tls_protocols,
	    *smtpd_tls_mandatory_protocols, *smtpd_tls_exclude_ciphers,
	    *smtpd_tls_mandatory_exclude_ciphers, *tls_high_cipherlist,
	    *tls_medium_cipherlist, *tls_null_cipherlist,
	    *tls_eecdh_auto_curves, *tls_eecdh_strong_curve,
	    *tls_eecdh_ultra_curve, *tls_ffdhe_auto_groups, *tls_ssl_options,
	    *tls_disable_workarounds, *tls_session_ticket_cipher,
	    *smtpd_tls_fingerprint_digest, *smtpd_tls_loglevel,
	    *relay_clientcerts;
	int smtpd_tls_ciphers, smtpd_tls_mandatory_ciphers;
	int smtpd_tls_eecdh_grade;
	int64_t smtpd_tls_session_cache_timeout, smtpd_tls_ccert_verifydepth;
	bool smtpd_use_tls, smtpd_enforce_tls, smtpd_tls_ask_ccert,
	    smtpd_tls_req_ccert, smtpd_tls_received_header,
	    smtpd_tls_always_issue_session_ids, tls_preempt_cipherlist,
	    tls_append_default_CA;

	int64_t address_verify_poll_count, address_verify_poll_delay;
	struct restrict_conf restrictions;
	/* Filters */
	const char *smtpd_milters, *smtpd_milter_maps;
	const char *smtpd_proxy_filter, *smtpd_proxy_ehlo,
	    *smtpd_proxy_options, *content_filter;
	int64_t smtpd_proxy_timeout;
	struct milter_settings milter;

	bool smtpd_lmtp;             /* speak LMTP */
	bool smtpd_local_submission; /* a UNIX socket for this host's users */
	int64_t smtpd_session_limit; /* in this process */
	int64_t smtpd_local_connection_limit; /* of one user at a time */
};

extern const struct param smtpd_params[];

#endif
