/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_CONF_CONF_H
#define CHAPPE_CONF_CONF_H

/*
 * Configuration: main.cf, conf.d/NN-name.cf (byte order, later wins) and
 * command-line overrides, in Postfix's syntax ($name, ${name?x:y},
 * ${name:x}, continuation lines, # comments). Every value remembers the file
 * and line it came from. One table row defines a parameter: name, type,
 * default, bounds and a line of help; the structs of daemons, postconf and
 * the manual all come from it. An unknown or ill-typed parameter is an error
 * with file, line and the nearest known name.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum param_type {
	PARAM_T_STR,  /* const char *, expanded; lives as long as the conf */
	PARAM_T_RAW,  /* the same, not expanded: $names are its user's */
	PARAM_T_BOOL, /* bool: yes or no */
	PARAM_T_INT,  /* int64_t within [min, max]; k, m, g suffixes for sizes */
	PARAM_T_TIME, /* int64_t in MILLISECONDS; text has s m h d w, bare
	                 numbers in the unit of the row (default s) */
	PARAM_T_ENUM, /* int: index of the word in the row's list */
};

struct param {
	const char *name; /* NULL ends a table */
	enum param_type type;
	size_t offset;       /* of the member in the daemon's struct */
	const char *def;     /* text; may hold $name; NULL: found out from the
	                        host (myhostname, mydomain) */
	int64_t min, max;    /* PARAM_T_INT as is; PARAM_T_TIME in ms */
	const char *words;   /* PARAM_T_ENUM: "none may encrypt" */
	const char *help;    /* one line */
};

/* Rows: the member has the parameter's name, and its type is checked at
 * compile time. Example:
 *   PARAM_TIME(struct smtpd_conf, smtpd_timeout, "300s", "idle client"),
 * A table ends with PARAM_END. */
#define PARAM_CHECK(S, m, T)                                                   \
	(0 * sizeof(struct {                                                   \
		_Static_assert(_Generic(((S *)0)->m, T : 1, default : 0),      \
		    "wrong member type for " #m);                              \
		int unused;                                                    \
	}))
#define PARAM_STR(S, m, d, h)                                                  \
	{ #m, PARAM_T_STR, offsetof(S, m) + PARAM_CHECK(S, m, const char *),   \
	    (d), 0, 0, NULL, (h) }
/* A text whose $names its user expands: default_rbl_reply and the like. */
#define PARAM_RAW(S, m, d, h)                                                  \
	{ #m, PARAM_T_RAW, offsetof(S, m) + PARAM_CHECK(S, m, const char *),   \
	    (d), 0, 0, NULL, (h) }
#define PARAM_BOOL(S, m, d, h)                                                 \
	{ #m, PARAM_T_BOOL, offsetof(S, m) + PARAM_CHECK(S, m, bool), (d), 0,  \
	    0, NULL, (h) }
#define PARAM_INT(S, m, d, lo, hi, h)                                          \
	{ #m, PARAM_T_INT, offsetof(S, m) + PARAM_CHECK(S, m, int64_t), (d),   \
	    (lo), (hi), NULL, (h) }
#define PARAM_TIME(S, m, d, h)                                                 \
	{ #m, PARAM_T_TIME, offsetof(S, m) + PARAM_CHECK(S, m, int64_t), (d),  \
	    0, INT64_MAX / 1000, NULL, (h) }
#define PARAM_WORD(S, m, d, w, h)                                              \
	{ #m, PARAM_T_ENUM, offsetof(S, m) + PARAM_CHECK(S, m, int), (d), 0,   \
	    0, (w), (h) }
#define PARAM_END                                                              \
	{ 0 }

struct conf;

struct conf_origin {
	const char *file; /* "default", "command line", or a path */
	unsigned line;    /* 0 where there is none */
};

/* Reads dir/main.cf and dir/conf.d. overrides: "name=value" strings that win
 * over the files. The result is freed with conf_free. Errors are permanent
 * and say "FILE: line N: ...". Names are not checked here but by
 * conf_check. */
int conf_load(const char *dir, const char *const *overrides,
    size_t override_count, struct conf **out, struct err *e);
void conf_free(struct conf **c);
/* One in which nothing is set: the defaults. */
struct conf *conf_new(const char *dir);
const char *conf_dir(const struct conf *c);

/* Makes tables known: their defaults count from then on, in $name too. A
 * parameter may be in several tables with the same default. */
void conf_add_params(struct conf *c, const struct param *table);

/* Every parameter set in the files must be in a table added, or be named in
 * such a value as a user's own ($name referred to, restriction classes,
 * TRANSPORT_destination_concurrency_limit and its like): else an error with
 * the nearest known name. Checks types and bounds of all. Calls report for
 * each fault (may be NULL) and returns -1 with the first. */
typedef void (*conf_report_fn)(void *arg, const struct err *e);
int conf_check(struct conf *c, conf_report_fn report, void *arg,
    struct err *e);

/* The known parameter whose name is nearest to a mistyped one, or NULL when
 * none is near. */
const char *conf_nearest(struct conf *c, const char *name);

/* Fills a daemon's struct from a table (adds the table first). */
int conf_fill(struct conf *c, const struct param *table, void *out,
    struct err *e);

/* The expanded (raw: unexpanded) value; NULL for an unknown name. Lives as
 * long as c. */
const char *conf_value(struct conf *c, const char *name);
const char *conf_raw(struct conf *c, const char *name);
/* Where the value comes from; file "default" for a default. */
struct conf_origin conf_origin(struct conf *c, const char *name);
/* Expands $name in any text. */
int conf_expand(struct conf *c, const char *text, struct buf *out,
    struct err *e);

/* Does the list (words between commas and white space) have this word, but for
 * its case? */
bool conf_list_has(const char *list, const char *word);

/* Steps through all known names in order; NULL at the end. after: NULL to
 * start. */
const char *conf_next(struct conf *c, const char *after);

/* The row of a name, or NULL. */
const struct param *conf_row(struct conf *c, const char *name);

/* ---- common ---- */
enum queue_commit { QUEUE_COMMIT_FILE, QUEUE_COMMIT_GROUP };
/* What nearly every process needs. */
struct common_conf {
	const char *queue_directory;
	const char *daemon_directory;  /* libexec: our daemons */
	const char *command_directory; /* sendmail, postqueue, ... */
	const char *myhostname, *mydomain, *myorigin, *mydestination;
	const char *mynetworks, *inet_interfaces, *inet_protocols;
	const char *relay_domains, *relayhost, *transport_maps;
	const char *virtual_alias_maps, *virtual_alias_domains;
	const char *virtual_mailbox_domains;
	const char *local_transport, *virtual_transport, *relay_transport;
	const char *default_transport;
	const char *alias_maps, *alias_database, *recipient_delimiter;
	const char *local_recipient_maps, *relay_recipient_maps;
	const char *virtual_mailbox_maps;
	/* content and addresses on their way in */
	const char *header_checks, *mime_header_checks, *nested_header_checks;
	const char *body_checks;
	int64_t body_checks_size_limit;
	const char *canonical_maps, *sender_canonical_maps;
	const char *recipient_canonical_maps;
	const char *canonical_classes, *sender_canonical_classes;
	const char *recipient_canonical_classes;
	const char *masquerade_domains, *masquerade_exceptions;
	const char *masquerade_classes, *propagate_unmatched_extensions;
	const char *local_header_rewrite_clients;
	const char *remote_header_rewrite_domain;
	const char *always_bcc, *sender_bcc_maps, *recipient_bcc_maps;
	const char *message_drop_headers, *undisclosed_recipients_header;
	bool always_add_missing_headers, tls_required_enable, soft_bounce;
	int queue_commit; /* enum queue_commit */
	int64_t message_size_limit, mailbox_size_limit;
	const char *mail_owner;  /* "chappe" */
	const char *smtpd_owner, *net_owner, *auth_owner, *login_owner;
	const char *log_owner, *ipc_group, *admin_group;
	const char *default_privs; /* "nobody" */
	const char *syslog_name;   /* "postfix" */
	const char *maillog_file;
	const char *home_mailbox, *mail_spool_directory, *mail_location;
	const char *quota_rule;
	const char *debug_classes;
	const char *protocols;     /* "imap" or "" */
	const char *listen;        /* addresses for IMAP: "*, ::" */
	int64_t imap_port, imaps_port; /* 0: off */
	/* Certificate chain and key, PEM files that master reads; Postfix's
	 * names; IMAP's ssl_cert and ssl_key default to them. */
	const char *smtpd_tls_cert_file, *smtpd_tls_key_file;
	const char *ssl_cert, *ssl_key;
	const char *mail_name;    /* for greetings and headers */
	const char *mail_version;
	const char *config_directory; /* where main.cf was read from */
	int64_t virtual_alias_expansion_limit, virtual_alias_recursion_limit;
	const char *double_bounce_sender, *address_verify_sender;
	int64_t address_verify_sender_ttl; /* ms */
	bool append_at_myorigin, append_dot_mydomain, allow_percent_hack,
	    swap_bangpath, allow_untrusted_routing, biff;
	const char *proxy_interfaces, *compatibility_level;
	int64_t default_process_limit, ipc_timeout;
};
extern const struct param common_params[];
/* Of Postfix's installation: accepted, without effect. */
extern const struct param compat_params[];

#endif
