/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_RESTRICT_IMPL_H
#define CHAPPE_MAIL_RESTRICT_IMPL_H

/* Shared by the files of the restrictions only. */

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/mail/access.h"
#include "lib/mail/restrict.h"
#include "lib/map/map.h"
#include "lib/proto/ip_pattern.h"

enum verdict {
	V_DUNNO,
	V_OK,
	V_REJECT,
	V_WAIT,	  /* step_done comes later */
	V_CALLED, /* go on: a frame was pushed, whose verdict counts */
};

/* What a restriction looks at. */
enum subject {
	SUBJECT_CLIENT,
	SUBJECT_REVERSE,
	SUBJECT_HELO,
	SUBJECT_SENDER,
	SUBJECT_RCPT,
	SUBJECT_ETRN,
	SUBJECT_SASL,
	SUBJECT_CCERT,
	SUBJECT_DATA,
	SUBJECT_END,
};

enum argument {
	ARG_NONE,
	ARG_TABLE,
	ARG_ZONE,
	ARG_POLICY,
	ARG_SECONDS,
	ARG_CLASS,
};

struct step;
struct restrict_session;
typedef enum verdict (*step_fn)(struct restrict_session *s,
    const struct step *step);

/* A kind of restriction. */
struct op {
	const char *name;
	enum argument arg;
	step_fn run;
	enum subject subject;
	int detail; /* its meaning is the function's affair */
};

/* "zone.example=127.0.0.[2..11]" */
struct zone {
	char *text; /* as written */
	char *domain;
	bool filtered;
	struct ip_pattern filter;
};

struct named_table {
	struct named_table *next;
	char *name;
	struct map *map;
};

struct class {
	struct class *next;
	char *name;
	struct restrict_list *list;
};

/* One restriction in a list. */
struct step {
	const struct op *op;
	const char *name; /* as written */
	union {
		struct map *table;
		struct zone *zone;
		struct restrict_policy *policy;
		struct class *class;
		unsigned seconds;
	} arg;
};

struct restrict_list {
	struct step *steps;
	size_t count;
	struct arena arena; /* names and zones */
};

enum list_id {
	LIST_CLIENT,
	LIST_HELO,
	LIST_SENDER,
	LIST_RELAY,
	LIST_RCPT,
	LIST_DATA,
	LIST_END,
	LIST_ETRN,
	LIST_COUNT,
};

struct restrict_set {
	struct conf *c;
	const struct restrict_conf *conf;
	const struct common_conf *common;
	struct restrict_list lists[LIST_COUNT];
	struct class *classes;
	struct named_table *tables;
	struct restrict_policy *policies;
	struct maps *rbl_replies;
	struct match_list *mx_networks;
	bool parents; /* smtpd_access_maps is in
			 parent_domain_matches_subdomains */
};

/* ---- restrict_parse.c ---- */
enum {
	PARSE_BARE = 1,   /* tables may stand without check_..._access */
	PARSE_TABLES = 2, /* tables and services may be named, which are
			     opened: not in the values of tables */
};
int restrict_parse(struct restrict_set *set, struct span text, int flags,
    struct restrict_list *out, struct err *e);
/* Cuts the next word off: what stands in braces is one. 1, 0 at the end, -1:
 * they do not fit. */
int restrict_word(struct span *rest, struct span *out, struct err *e);
bool restrict_braces(struct span word);
/* ---- restrict_ops.c ---- */
const struct op *op_find(struct span name);
const char *op_nearest(struct span name); /* or NULL */
extern const struct op op_class, op_bare;

/* ---- a session ---- */
struct deferral {
	bool active;
	bool hard; /* of our own making: never only a warning */
	unsigned code;
	char dsn[12];
	char *text;
};

struct frame {
	const struct restrict_list *list;
	size_t next;
	struct restrict_list *own; /* to be freed with the frame */
	enum subject subject;	   /* what the list is about */
	bool forbid_ok;	 /* OK is an error: for security */
	bool suspicious; /* OK counts as DUNNO */
	const char *forbid_name;
};

enum { DEPTH_MAX = 100, TEXT_MAX = 2000 };

/* An answer of a DNS list, kept for the session. */
struct rbl {
	struct rbl *next;
	char *query;
	bool soft;    /* no answer */
	bool listed;
	char *text;   /* of its TXT records; "" */
	size_t count; /* of addresses */
	uint8_t addresses[][4];
};

/* The work of a step that asks several times. */
struct work {
	const struct step *step;
	unsigned stage;
	char name[DNS_NAME_MAX];
	struct dns_mx *hosts;
	size_t host_count, host, primary_count;
	bool temporary;
	unsigned addresses;
	char query[600];
	struct rbl *rbl;
	bool permits;
};

struct restrict_session {
	struct restrict_set *set;
	const struct restrict_world *world;
	void *ctx;
	const struct restrict_facts *f;
	restrict_fn fn;
	void *arg;
	enum restrict_stage stage;
	/* what is run */
	const uint8_t *phases;
	unsigned phase;
	bool in_phase;
	struct frame *frames;
	size_t frame_count, frame_max;
	size_t warn_if_reject; /* the depth that it was said at; 0: no */
	bool running, waiting, early, ended;
	enum verdict early_verdict;
	bool discard, sender_checked, rcpt_checked;
	struct deferral if_permit, if_reject;
	bool permit_client, permit_helo, permit_sender;
	unsigned policy_nesting;
	/* the refusal */
	struct restrict_verdict verdict;
	struct buf text;
	struct work work;
	struct rbl *rbls;
};

/* ---- restrict_reply.c, restrict.c ---- */
/* The value of a subject in replies, and its class ("Sender address"). */
const char *subject_class(enum subject subject);
struct span subject_name(const struct restrict_session *s,
    enum subject subject);
/* Of the list that runs now; of the phase's own list. */
enum subject list_subject(const struct restrict_session *s);
enum subject phase_subject(const struct restrict_session *s);

/* Refuses, or warns only. */
enum verdict step_reject(struct restrict_session *s, unsigned code,
    const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum verdict step_reject_hard(struct restrict_session *s, unsigned code,
    const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum verdict step_config_error(struct restrict_session *s);
enum verdict step_table_error(struct restrict_session *s, struct span key,
    const struct err *e);
/* A refusal if nothing else refuses; act: a restrict_tempfail. */
enum verdict step_defer_if_permit(struct restrict_session *s, int act,
    unsigned code, const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Turns a refusal to come into a temporary one. */
void step_defer_if_reject(struct restrict_session *s, unsigned code,
    const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Lets pass, with a log line if wanted. action: its name. */
enum verdict step_permit(struct restrict_session *s, const char *action,
    enum subject subject, const char *from);
void step_log(struct restrict_session *s, const char *what, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* Ends a step that said V_WAIT. */
void step_done(struct restrict_session *s, enum verdict v);
/* Runs a list as part of this step. own: freed with it, or NULL. */
enum verdict step_call(struct restrict_session *s,
    const struct restrict_list *list, struct restrict_list *own);
void restrict_list_release(struct restrict_list *l);
/* What is printed of a value in replies. */
const char *shown(struct span value);

/* ---- restrict_access.c ---- */
/* What a table's or policy service's value says. table: for the log. */
enum verdict access_apply(struct restrict_session *s, const char *table,
    struct span value, struct span key, enum subject subject);
/* Looks up and applies; *out_found tells whether the key was there. */
enum access_kind { KEY_PLAIN, KEY_DOMAIN, KEY_IP };
enum verdict access_check(struct restrict_session *s, const struct step *step,
    enum access_kind kind, struct span key, bool *out_found);
/* As `forbid_allowlist` of Postfix: OK is a mistake here. */
enum verdict access_forbid_ok(struct restrict_session *s,
    const struct step *step, enum verdict v);
enum verdict run_access(struct restrict_session *s, const struct step *step);

/* ---- restrict_basic.c ---- */
enum verdict run_permit(struct restrict_session *s, const struct step *step);
enum verdict run_reject(struct restrict_session *s, const struct step *step);
enum verdict run_defer(struct restrict_session *s, const struct step *step);
enum verdict run_defer_if_permit(struct restrict_session *s,
    const struct step *step);
enum verdict run_defer_if_reject(struct restrict_session *s,
    const struct step *step);
enum verdict run_warn_if_reject(struct restrict_session *s,
    const struct step *step);
enum verdict run_class(struct restrict_session *s, const struct step *step);
enum verdict run_sleep(struct restrict_session *s, const struct step *step);
enum verdict run_pipelining(struct restrict_session *s,
    const struct step *step);
enum verdict run_plaintext(struct restrict_session *s,
    const struct step *step);
enum verdict run_multi_bounce(struct restrict_session *s,
    const struct step *step);
enum verdict run_unknown_client(struct restrict_session *s,
    const struct step *step);
enum verdict run_permit_client(struct restrict_session *s,
    const struct step *step);
enum { PERMIT_MYNETWORKS, PERMIT_OWN, PERMIT_SASL, PERMIT_CERT,
	PERMIT_ANY_CERT };
enum verdict run_bad_helo(struct restrict_session *s,
    const struct step *step);
enum { HELO_INVALID, HELO_NON_FQDN };
enum verdict run_non_fqdn_address(struct restrict_session *s,
    const struct step *step);
enum verdict run_login_mismatch(struct restrict_session *s,
    const struct step *step);
enum { MISMATCH_BOTH, MISMATCH_AUTH, MISMATCH_KNOWN, MISMATCH_UNAUTH };
bool helo_literal(struct restrict_session *s, const struct step *step,
    enum verdict *out);
bool valid_hostname(struct span name);
bool is_numeric_address(struct span name);

/* ---- restrict_dest.c: destinations and listed addresses ---- */
enum verdict run_auth_destination(struct restrict_session *s,
    const struct step *step);
enum { DEST_PERMIT, DEST_REJECT, DEST_DEFER };
bool auth_destination(const struct restrict_session *s);
enum verdict run_unlisted(struct restrict_session *s,
    const struct step *step);
enum verdict check_unlisted_sender(struct restrict_session *s);
enum verdict check_unlisted_rcpt(struct restrict_session *s);

/* ---- restrict_server.c ---- */
enum verdict run_server_access(struct restrict_session *s,
    const struct step *step); /* detail: an enum restrict_dns */
enum verdict run_unknown_helo(struct restrict_session *s,
    const struct step *step);
enum verdict run_unknown_address(struct restrict_session *s,
    const struct step *step);
enum verdict run_mx_backup(struct restrict_session *s,
    const struct step *step);

/* ---- restrict_dnsbl.c ---- */
enum verdict run_dns_list(struct restrict_session *s,
    const struct step *step);
enum { DNSBL_ADDRESS = 1, DNSBL_PERMIT = 2 };
/* Is the template good? */
int dnsbl_check_reply(const char *text, struct err *e);
void rbl_free_all(struct restrict_session *s);

/* ---- restrict_verify.c ---- */
enum verdict run_unverified(struct restrict_session *s,
    const struct step *step);

/* ---- restrict_policy.c ---- */
/* The service of a word, made if it was not named before. */
int policy_find(struct restrict_set *set, struct span word,
    struct restrict_policy **out, struct err *e);
void policy_free(struct restrict_policy *p);
enum verdict run_policy(struct restrict_session *s, const struct step *step);

#endif
