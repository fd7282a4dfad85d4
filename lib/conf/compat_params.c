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
};

#define S struct compat_conf
#define NOTHING "no effect; of Postfix's installation"

const struct param compat_params[] = {
	PARAM_STR(S, readme_directory, "no", NOTHING),
	PARAM_STR(S, html_directory, "no", NOTHING),
	PARAM_STR(S, manpage_directory, "/usr/share/man", NOTHING),
	PARAM_STR(S, sample_directory, "no", NOTHING),
	PARAM_STR(S, data_directory, "/var/lib/chappe", NOTHING),
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
	PARAM_END,
};
