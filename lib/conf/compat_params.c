/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parameters that stand in the main.cf of nearly every Postfix installation
 * and mean nothing here: where its parts are, its debugger, its caches. They
 * are accepted so that such a file is read; anything that would change what
 * happens to mail is not in this list, but an error until it is supported.
 */
#include "lib/conf/conf.h"

struct compat_conf {
	const char *readme_directory, *html_directory, *manpage_directory;
	const char *sample_directory, *data_directory, *meta_directory;
	const char *shlib_directory, *sendmail_path, *newaliases_path;
	const char *mailq_path, *setgid_group, *debugger_command;
	const char *debug_peer_list, *mail_release_date;
	const char *smtp_tls_session_cache_database;
	const char *smtpd_tls_session_cache_database;
	int64_t debug_peer_level;
	const char *smtpd_tls_dh1024_param_file, *smtpd_tls_dh512_param_file;
	const char *smtpd_tls_cipherlist, *tls_export_cipherlist;
	const char *tls_low_cipherlist, *tls_random_source;
	const char *tls_random_exchange_name, *tls_config_file;
	const char *tls_config_name, *openssl_path, *tlsmgr_service_name;
	const char *tlsproxy_service_name, *tls_dane_trust_anchor_digest_enable;
	int64_t tls_random_bytes, tls_daemon_random_bytes;
	int64_t tls_random_reseed_period, tls_random_prng_update_period;
	bool tls_legacy_public_key_fingerprints, tls_fast_shutdown_enable;
	bool smtpd_tls_enable_rpk;
};

#define S struct compat_conf
#define NOTHING "no effect; of Postfix's installation"
#define NOT_NEEDED "no effect: what it sets is done without it"
#define OBSOLETE "no effect: obsolete"

const struct param compat_params[] = {
	PARAM_STR(S, readme_directory, "no", NOTHING),
	PARAM_STR(S, html_directory, "no", NOTHING),
	PARAM_STR(S, manpage_directory, "/usr/share/man", NOTHING),
	PARAM_STR(S, sample_directory, "no", NOTHING),
	PARAM_STR(S, data_directory, "/var/lib/chappe",
	    "where what verify remembers is kept; see address_verify_map"),
	PARAM_STR(S, meta_directory, "no", NOTHING),
	PARAM_STR(S, shlib_directory, "no", NOTHING),
	PARAM_STR(S, sendmail_path, "/usr/sbin/sendmail", NOTHING),
	PARAM_STR(S, newaliases_path, "/usr/bin/newaliases", NOTHING),
	PARAM_STR(S, mailq_path, "/usr/bin/mailq", NOTHING),
	PARAM_STR(S, setgid_group, "", NOTHING),
	PARAM_STR(S, debugger_command, "", NOTHING),
	PARAM_STR(S, debug_peer_list, "", NOTHING),
	PARAM_INT(S, debug_peer_level, "2", 0, 100, NOTHING),
	PARAM_STR(S, mail_release_date, "", NOTHING),
	PARAM_STR(S, smtp_tls_session_cache_database, "", "no effect"),
	PARAM_STR(S, smtpd_tls_session_cache_database, "", "no effect"),
	PARAM_STR(S, smtpd_tls_dh1024_param_file, "", NOT_NEEDED),
	PARAM_STR(S, smtpd_tls_dh512_param_file, "", NOT_NEEDED),
	PARAM_STR(S, smtpd_tls_cipherlist, "", OBSOLETE),
	PARAM_STR(S, tls_export_cipherlist, "", OBSOLETE),
	PARAM_STR(S, tls_low_cipherlist, "", OBSOLETE),
	PARAM_STR(S, tls_random_source, "", NOT_NEEDED),
	PARAM_STR(S, tls_random_exchange_name, "", NOT_NEEDED),
	PARAM_INT(S, tls_random_bytes, "32", 0, 1000000, NOT_NEEDED),
	PARAM_INT(S, tls_daemon_random_bytes, "32", 0, 1000000, NOT_NEEDED),
	PARAM_TIME(S, tls_random_reseed_period, "3600s", NOT_NEEDED),
	PARAM_TIME(S, tls_random_prng_update_period, "3600s", NOT_NEEDED),
	PARAM_STR(S, tls_config_file, "default", NOT_NEEDED),
	PARAM_STR(S, tls_config_name, "", NOT_NEEDED),
	PARAM_STR(S, openssl_path, "openssl", NOTHING),
	PARAM_STR(S, tlsmgr_service_name, "tlsmgr", NOTHING),
	PARAM_STR(S, tlsproxy_service_name, "tlsproxy", NOTHING),
	PARAM_STR(S, tls_dane_trust_anchor_digest_enable, "", OBSOLETE),
	PARAM_BOOL(S, tls_legacy_public_key_fingerprints, "no", OBSOLETE),
	PARAM_BOOL(S, tls_fast_shutdown_enable, "yes", NOT_NEEDED),
	PARAM_BOOL(S, smtpd_tls_enable_rpk, "no",
	    "no effect: OpenSSL 3.0 has no raw public keys"),
	PARAM_END,
};
