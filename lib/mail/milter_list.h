/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MILTER_LIST_H
#define CHAPPE_MAIL_MILTER_LIST_H

/*
 * Which filters a service asks and how: Postfix's milter_* parameters, which
 * smtpd and pickup share, and the lists smtpd_milters, non_smtpd_milters and
 * the results of smtpd_milter_maps:
 *
 *	inet:localhost:8891, { unix:/run/x.sock, default_action=accept }
 *
 * An address is inet:HOST:PORT, inet:PORT@HOST (ports are numbers) or
 * unix:PATH (local: too); a relative path counts from the queue directory.
 *Settings in braces: connect_timeout, command_timeout, content_timeout,
 *protocol, default_action.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/conf/conf.h"
#include "lib/proto/milter.h"

/* The parameters; times in milliseconds. */
struct milter_settings {
	const char *milter_default_action, *milter_protocol;
	int64_t milter_connect_timeout, milter_command_timeout;
	int64_t milter_content_timeout;
	const char *milter_connect_macros, *milter_helo_macros;
	const char *milter_mail_macros, *milter_rcpt_macros;
	const char *milter_data_macros, *milter_unknown_command_macros;
	const char *milter_end_of_header_macros, *milter_end_of_data_macros;
	const char *milter_macro_daemon_name, *milter_macro_v;
	const char *milter_macro_defaults, *milter_header_checks;
	const char *non_smtpd_milters;
};

#define MILTER_PARAM(S, at, m, T)                                              \
#m, T, offsetof(S, at) + offsetof(struct milter_settings, m)
#define MILTER_STR(S, at, m, d, h)                                             \
	{                                                                      \
		MILTER_PARAM(S, at, m, PARAM_T_STR), (d), 0, 0, NULL, (h)      \
	}
#define MILTER_TIME(S, at, m, d, h)                                            \
	{                                                                      \
		MILTER_PARAM(S, at, m, PARAM_T_TIME), (d), 0,                  \
		    INT64_MAX / 1000, NULL, (h)                                \
	}

/* The rows, for the table of a daemon whose struct S holds a struct
 * milter_settings as its member `at`. */
#define MILTER_ROWS(S, at)                                                     \
	MILTER_STR(S, at, non_smtpd_milters, "",                               \
	    "filters for mail that does not come from the network"),           \
	    MILTER_STR(S, at, milter_default_action, "shutdown",               \
		"when a filter fails: accept reject tempfail quarantine "      \
		"shutdown"),                                                   \
	    MILTER_STR(S, at, milter_protocol, "6",                            \
		"version of the milter protocol: 2 3 4 6, and "                \
		"no_header_reply"),                                            \
	    MILTER_TIME(S, at, milter_connect_timeout, "30s",                  \
		"how long connecting to a filter may take"),                   \
	    MILTER_TIME(S, at, milter_command_timeout, "30s",                  \
		"how long a filter may think about a command"),                \
	    MILTER_TIME(S, at, milter_content_timeout, "300s",                 \
		"how long a filter may think about a message"),                \
	    MILTER_STR(S, at, milter_connect_macros,                           \
		"j {daemon_name} {daemon_addr} v _",                           \
		"macros sent at connect"),                                     \
	    MILTER_STR(S, at, milter_helo_macros,                              \
		"{tls_version} {cipher} {cipher_bits} {cert_subject} "         \
		"{cert_issuer}",                                               \
		"macros sent at HELO"),                                        \
	    MILTER_STR(S, at, milter_mail_macros,                              \
		"i {auth_type} {auth_authen} {auth_author} {mail_addr} "       \
		"{mail_host} {mail_mailer}",                                   \
		"macros sent at MAIL"),                                        \
	    MILTER_STR(S, at, milter_rcpt_macros,                              \
		"i {rcpt_addr} {rcpt_host} {rcpt_mailer}",                     \
		"macros sent at RCPT"),                                        \
	    MILTER_STR(S, at, milter_data_macros, "i", "macros sent at DATA"), \
	    MILTER_STR(S, at, milter_unknown_command_macros, "",               \
		"macros sent with an unknown command"),                        \
	    MILTER_STR(S, at, milter_end_of_header_macros, "i",                \
		"macros sent at the end of the header"),                       \
	    MILTER_STR(S, at, milter_end_of_data_macros, "i",                  \
		"macros sent at the end of the message"),                      \
	    MILTER_STR(S, at, milter_macro_daemon_name, "$myhostname",         \
		"the macro {daemon_name}"),                                    \
	    MILTER_STR(S, at, milter_macro_v, "$mail_name $mail_version",      \
		"the macro v"),                                                \
	    MILTER_STR(S, at, milter_macro_defaults, "",                       \
		"NAME=VALUE for macros that have none"),                       \
	    MILTER_STR(S, at, milter_header_checks, "",                        \
		"header_checks for what filters put into headers")

enum milter_default {
	MILTER_DEFAULT_ACCEPT,
	MILTER_DEFAULT_REJECT,
	MILTER_DEFAULT_TEMPFAIL,
	MILTER_DEFAULT_QUARANTINE,
	MILTER_DEFAULT_SHUTDOWN,
};

/* One filter. */
struct milter_spec {
	char *name; /* as the list says it: "inet:localhost:8891" */
	char *host; /* of inet */
	unsigned port;
	char *path; /* of unix, else NULL */
	struct milter_conf protocol;
	enum milter_default default_action;
	uint64_t connect_ms, command_ms, content_ms;
};

struct milter_list {
	const struct milter_settings *settings;
	struct milter_spec *specs;
	size_t count;
};

/* Understands a list; settings must outlive it. */
int milter_list_open(const struct milter_settings *settings, const char *text,
    const char *queue_directory, struct milter_list **out, struct err *e);
void milter_list_free(struct milter_list **l);

/* The names of the macros for a step, as configured. */
const char *milter_list_macros(
    const struct milter_list *l, enum milter_step step);
/* What milter_macro_defaults says of a macro "{name}" or "n"; false if
 * nothing. */
bool milter_list_macro_default(
    const struct milter_list *l, struct span name, struct span *out);

#endif
