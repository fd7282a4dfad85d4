/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_RESTRICT_H
#define CHAPPE_MAIL_RESTRICT_H

/*
 * Postfix's restriction lists: smtpd_client_, helo_, sender_, relay_,
 * recipient_, data_, end_of_data_ and etrn_restrictions, restriction classes,
 * access(5) tables. The lists are compiled once, at start; a list is then run
 * for a session as a state machine that sees DNS, routing, policy services
 * and time through an interface, so that nothing blocks and a test can play
 * all of them. Names, order, reply codes, texts and log lines are Postfix's.
 *
 * What it is told of a session stands in struct restrict_facts; it keeps
 * nothing of that when a question is answered. What a list decides beside
 * yes and no (hold, filter, ...) is told at once through `act`.
 *
 * A compiled set of lists that takes recipients but would relay for anyone
 * (no reject_unauth_destination or its like) is refused: see restrict_new.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/mail/dns.h"
#include "lib/mail/router.h"
#include "lib/os/log.h"

/* ---- parameters (rows: smtpd/smtpd_params.c) ---- */
enum restrict_tempfail { RESTRICT_TF_DEFER, RESTRICT_TF_DEFER_IF_PERMIT };

struct restrict_conf {
	const char *smtpd_client_restrictions, *smtpd_helo_restrictions;
	const char *smtpd_sender_restrictions, *smtpd_relay_restrictions;
	const char *smtpd_recipient_restrictions, *smtpd_etrn_restrictions;
	const char *smtpd_data_restrictions, *smtpd_end_of_data_restrictions;
	const char *smtpd_restriction_classes;
	bool smtpd_delay_reject, smtpd_relay_before_recipient_restrictions;
	bool smtpd_reject_unlisted_sender, smtpd_reject_unlisted_recipient;
	bool show_user_unknown_table_name;
	const char *smtpd_null_access_lookup_key;
	const char *parent_domain_matches_subdomains;
	const char *permit_mx_backup_networks;
	const char *smtpd_log_access_permit_actions;
	const char *default_rbl_reply, *rbl_reply_maps;
	const char *smtpd_sender_login_maps;
	int reject_tempfail_action;
	int unknown_helo_hostname_tempfail_action;
	int unknown_address_tempfail_action;
	/* reply codes */
	int64_t access_map_reject_code, access_map_defer_code;
	int64_t reject_code, defer_code, plaintext_reject_code;
	int64_t unknown_client_reject_code, invalid_hostname_reject_code;
	int64_t unknown_hostname_reject_code, non_fqdn_reject_code;
	int64_t unknown_address_reject_code, relay_domains_reject_code;
	int64_t maps_rbl_reject_code, multi_recipient_bounce_reject_code;
	int64_t unknown_local_recipient_reject_code;
	int64_t unknown_relay_recipient_reject_code;
	int64_t unknown_virtual_alias_reject_code;
	int64_t unknown_virtual_mailbox_reject_code;
	/* addresses that a probe asks about */
	int64_t unverified_sender_reject_code, unverified_sender_defer_code;
	int64_t unverified_recipient_reject_code;
	int64_t unverified_recipient_defer_code;
	int unverified_sender_tempfail_action;
	int unverified_recipient_tempfail_action;
	const char *unverified_sender_reject_reason;
	const char *unverified_recipient_reject_reason;
	/* policy services */
	int64_t smtpd_policy_service_timeout, smtpd_policy_service_max_idle;
	int64_t smtpd_policy_service_max_ttl;
	int64_t smtpd_policy_service_retry_delay;
	int64_t smtpd_policy_service_request_limit;
	int64_t smtpd_policy_service_try_limit;
	const char *smtpd_policy_service_default_action;
	const char *smtpd_policy_service_policy_context;
};

/* ---- what is known of a session ---- */
enum restrict_name_status {
	RESTRICT_NAME_OK,
	RESTRICT_NAME_TEMP,   /* could not be found out */
	RESTRICT_NAME_PERM,   /* there is none */
	RESTRICT_NAME_FORGED, /* there is one that does not lead back */
};

struct restrict_facts {
	const struct log_ctx *log; /* for warnings */
	const char *name, *reverse_name; /* "unknown": none */
	enum restrict_name_status name_status, reverse_status;
	const char *addr;
	unsigned port;
	const char *server_addr;
	unsigned server_port;
	bool trusted; /* the client is in mynetworks */
	bool pipelining; /* it sent commands before it might */

	const char *helo;     /* NULL: not said */
	const char *protocol; /* "ESMTP" or "SMTP" */
	bool sasl_enabled;
	const char *sasl_method, *sasl_user, *sasl_sender; /* NULL: none */

	const char *tls_protocol; /* NULL: not encrypted */
	const char *tls_cipher, *tls_sni;
	unsigned tls_bits;
	bool cert_trusted, cert_listed; /* listed: in relay_clientcerts */
	/* "": there is none */
	const char *cert_subject, *cert_issuer, *cert_print, *key_print;

	bool smtputf8;
	bool has_sender, has_rcpt;
	struct span sender, rcpt; /* as given, without angle brackets */
	const struct route_result *route; /* of rcpt */
	unsigned rcpt_count;      /* accepted so far */
	const char *qid;          /* "": none yet */
	const char *instance;     /* of the transaction, for policy services */
	uint64_t size;            /* of the message, as far as known */
	const char *etrn;         /* NULL: no ETRN */
};

/* ---- the world ---- */
enum restrict_dns {
	RESTRICT_DNS_HOST,    /* addresses, the hosts file first */
	RESTRICT_DNS_ADDRESS, /* A and AAAA */
	RESTRICT_DNS_A,
	RESTRICT_DNS_MX,
	RESTRICT_DNS_NS,
	RESTRICT_DNS_TXT,
};

enum restrict_act {
	RESTRICT_FILTER,
	RESTRICT_HOLD,
	RESTRICT_DISCARD,
	RESTRICT_REDIRECT,
	RESTRICT_BCC,
	RESTRICT_PREPEND,
};

struct verify_answer;
/* a: lives during the call; NULL: nobody could be asked. */
typedef void (*restrict_verify_fn)(void *arg, const struct verify_answer *a);

struct restrict_policy;
/* action: the answer's, or NULL when the service gave none; lives during the
 * call. */
typedef void (*restrict_policy_fn)(void *arg, const struct span *action);

/* At most one of dns, policy, route, verify and sleep is under way for a
 * session. Each calls fn once, at once or later. */
struct restrict_world {
	void (*dns)(void *ctx, enum restrict_dns kind, const char *name,
	    dns_fn fn, void *arg);
	void (*policy)(void *ctx, const struct restrict_policy *service,
	    struct span request, restrict_policy_fn fn, void *arg);
	/* As router_resolve. */
	void (*route)(void *ctx, struct span address, unsigned flags,
	    router_fn fn, void *arg);
	/* Can the address be delivered to (lib/mail/verify_client.h)? */
	void (*verify)(void *ctx, struct span address, restrict_verify_fn fn,
	    void *arg);
	void (*sleep)(void *ctx, unsigned seconds, void (*fn)(void *arg),
	    void *arg);
	/* Is this the name or the address of this host (mydestination,
	 * inet_interfaces, proxy_interfaces)? */
	bool (*own_name)(void *ctx, struct span name);
	bool (*own_address)(void *ctx, const char *addr);
	/* May the login send as this address (smtpd_sender_login_maps)? 1 the
	 * address is owned by it; 0 by others only; 2 it has no owner; -1 a
	 * table failed. login NULL: 0 when it has an owner. */
	int (*owner)(void *ctx, struct span sender, const char *login,
	    struct err *e);
	/* One line "WHAT: ... : TEXT; from=...": reject, reject_warning,
	 * hold, ... */
	void (*log)(void *ctx, const char *what, struct span text);
	void (*act)(void *ctx, enum restrict_act act, struct span value);
	/* Forgets what is under way. */
	void (*cancel)(void *ctx);
};

/* ---- lists ---- */
struct restrict_set;
/* Compiles the lists and opens their tables; conf, c and common must outlive
 * it. Errors name file, line and parameter: unknown restrictions, arguments
 * that lack or are wrong, tables that can't be opened, classes without
 * definition, and lists for recipients that reject nobody. */
int restrict_new(struct conf *c, const struct restrict_conf *conf,
    const struct common_conf *common, struct restrict_set **out,
    struct err *e);
void restrict_free(struct restrict_set **set);

/* The directories of the tables that the lists name; connections, if they name
 * policy services on the network. */
struct sandbox;
void restrict_sandbox(struct conf *c, struct sandbox *s);

/* The policy services named, each once; NULL ends. */
struct restrict_policy {
	struct restrict_policy *next;
	char *name;     /* as written; "{ ... }" with its settings */
	char *endpoint; /* "inet:127.0.0.1:10023", "unix:private/policy" */
	uint64_t timeout_ms, max_idle_ms, max_ttl_ms, retry_delay_ms;
	unsigned request_limit, try_limit; /* 0: none */
	char *default_action, *context;
	void *handle; /* the owner's */
};
struct restrict_policy *restrict_policies(const struct restrict_set *set);

/* ---- sessions ---- */
enum restrict_stage {
	RESTRICT_CONNECT,
	RESTRICT_HELO,
	RESTRICT_MAIL,
	RESTRICT_RCPT,
	RESTRICT_DATA,
	RESTRICT_END,
	RESTRICT_ETRN,
	RESTRICT_VRFY, /* as RCPT */
};

struct restrict_verdict {
	unsigned code; /* 0: goes on */
	char dsn[12];
	struct span text; /* without code and dsn; lives during the call */
};
typedef void (*restrict_fn)(void *arg, const struct restrict_verdict *v);

struct restrict_session;
/* ctx: for the world. */
struct restrict_session *restrict_session_new(struct restrict_set *set,
    const struct restrict_world *world, void *ctx);
void restrict_session_free(struct restrict_session **s);

/* Runs the lists of a stage. facts must live until fn, which is called
 * exactly once, maybe before this returns. Stages come in the order of the
 * protocol. */
void restrict_ask(struct restrict_session *s, enum restrict_stage stage,
    const struct restrict_facts *facts, restrict_fn fn, void *arg);
/* A transaction is over. */
void restrict_reset(struct restrict_session *s);
/* True when a stage has nothing to run, so that no session is needed. */
bool restrict_idle(const struct restrict_set *set, enum restrict_stage stage);
/* Forgets what is under way: fn is not called. */
void restrict_cancel(struct restrict_session *s);

#endif
