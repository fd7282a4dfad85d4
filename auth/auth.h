/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_AUTH_H
#define CHAPPE_AUTH_AUTH_H

/*
 * The auth daemon: who users are, and whether a password is right. One loop
 * process (user auth_owner, no capability) owns the passwd-file, throttling,
 * the cache of verified logins and the tickets. It links PAM, but never calls
 * it: PAM, NSS and crypt(3) run in a few single-threaded worker processes
 * (auth/worker.h) and never hold up the loop.
 */

#include <sys/types.h>

#include "auth/passwd_file.h"
#include "auth/pool.h"
#include "auth/throttle.h"
#include "auth/ticket.h"
#include "auth/verified.h"
#include "lib/base/limits.h"
#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/scram_key.h"
#include "lib/map/map.h"

struct auth_conf {
	const char *auth_passdb, *auth_userdb;
	const char *auth_username_format;
	const char *auth_pam_service_name;
	const char *mail_uid, *mail_gid;
	int64_t first_valid_uid;
	int64_t auth_failure_delay, auth_cache_ttl;
	int64_t auth_worker_max_count;
	const char *auth_dovecot_mechanisms, *auth_dovecot_users;
	const char *auth_external_maps;
	const char *auth_oauth2_keys, *auth_oauth2_issuers;
	const char *auth_oauth2_audience, *auth_oauth2_scope;
	const char *auth_oauth2_username_claim;
	const char *auth_oauth2_introspection, *auth_oauth2_authorization;
	const char *auth_oauth2_openid_configuration;
};
extern const struct param auth_params[];

enum {
	AUTH_NAME_MAX = 255,
	AUTH_PASSWORD_MAX = 1024,
	AUTH_GROUPS_MAX = 64,
	AUTH_SESSIONS_MAX = 10000,
	AUTH_WAITING_MAX = 5000,  /* refusals that wait; more go out at once */
	AUTH_CREDIT = 10000,	  /* requests of one connection: waiting
				     refusals must not keep others out */
	AUTH_SESSION_MS = 120000, /* a client that thinks between two steps */
	AUTH_SECRET = 32,
};

/* One entry of auth_passdb or auth_userdb. */
struct auth_db {
	enum auth_db_kind { AUTH_DB_FILE, AUTH_DB_PAM, AUTH_DB_NSS } kind;
	struct passwd_file *file; /* AUTH_DB_FILE */
	char *service;		  /* AUTH_DB_PAM */
};
enum { AUTH_DB_MAX = 8 };

struct auth {
	struct daemon *daemon;
	struct loop *loop;
	const struct auth_conf *conf;
	uid_t default_uid; /* of passwd-file entries without; -1: none */
	gid_t default_gid;
	struct auth_db passdb[AUTH_DB_MAX], userdb[AUTH_DB_MAX];
	size_t passdb_count, userdb_count;
	struct pool *pool;
	struct throttle *throttle;
	struct verified *verified;
	struct tickets *tickets;
	struct server *server;
	struct list exchanges; /* auth/exchange.c */
	size_t exchange_count;
	size_t waiting;	       /* of them, refusals that wait */
	struct table sessions; /* of daemons, by number: auth/session.c */
	uint64_t last_session;
	struct dovecot *dovecot;
	struct app_uses *uses;
	struct quotas *quotas;
	struct oauth *oauth;
	struct maps *external;
	uint8_t secret[AUTH_SECRET]; /* salts come from it */
};

/* ---- auth/users.c: userdb ---- */
struct user_entry {
	bool found;
	uid_t uid;
	gid_t gid;
	char home[LIMIT_PATH];
	char mail[LIMIT_PATH];
	char quota[200]; /* quota_rule */
	gid_t groups[AUTH_GROUPS_MAX];
	size_t group_count;
};
/* u, or NULL and e. */
typedef void (*user_fn)(
    void *arg, const struct user_entry *u, const struct err *e);
/* Asks the userdbs in their order; fn is called once, maybe at once. */
void users_lookup(struct auth *a, const char *name, uint64_t trace, user_fn fn,
    void *arg);
/* Puts the fields of MSG_USER_INFO. */
void users_put(struct msg_out *m, const char *name, const struct user_entry *u);

/* A login name or address that may be looked up: 1 to AUTH_NAME_MAX bytes of
 * UTF-8 without control characters, and no "/". */
bool auth_name_ok(struct span name);
/* auth_username_format applied: %u, %n (before the @), %d (behind it), with
 * L for lower case, as in %Lu. False when the result is no good name. */
bool auth_name_format(
    const char *format, struct span name, char out[AUTH_NAME_MAX + 1]);

/* Who asks for what; names are text for the log until they are verified. */
struct login_facts {
	char user[AUTH_NAME_MAX + 1];
	char service[32], addr[48], mech[24];
	char domain[AUTH_NAME_MAX + 1]; /* of names without one, or "" */
	char app[65]; /* the app password that was used, or "" */
	bool secured;
	pid_t pid; /* of the process that asks, 0: none of ours */
};

/* ---- auth/passdb.c: passwords ---- */
enum passdb_result {
	PASSDB_OK,
	PASSDB_NO,     /* why: for the log */
	PASSDB_FAILED, /* nobody can say now: why */
};
/* app: the app password's name, or "" for the user's own. */
typedef void (*passdb_fn)(void *arg, enum passdb_result result,
    const char *why, const char *app);
/* Asks the passdbs in their order whether this is the user's password, or an
 * app password of his for the service. fn is called once, maybe at once. The
 * password has no NUL and is copied (and wiped). */
void passdb_check(struct auth *a, const struct login_facts *f,
    struct span password, uint64_t trace, passdb_fn fn, void *arg);

/* ---- auth/scram.c: SCRAM ---- */
/* The salt and iteration count for a user's name; for one who has no key,
 * does not exist or is in no file, such that nobody sees the difference.
 * -1: a file can't be read. */
int scram_salt(struct auth *a, enum sasl_hash hash, const char *user,
    struct scram_key *out, struct err *e);
typedef void (*scram_fn)(void *arg, enum passdb_result result,
    const char *why, const char *app, struct span signature);
/* Checks a proof against all keys of the user that share salt's salt. fn is
 * called once, maybe at once. message and proof are copied. */
void scram_check(struct auth *a, const struct login_facts *f,
    const struct scram_key *salt, struct span message, struct span proof,
    uint64_t trace, scram_fn fn, void *arg);

/* ---- auth/session.c: exchanges of our own daemons ---- */
int session_begin(struct request *r, struct msg_in *m, void *arg);
int session_step(struct request *r, struct msg_in *m, void *arg);
int session_cancel(struct request *r, struct msg_in *m, void *arg);
/* A connection ended: its exchanges go. */
void session_conn_closed(struct server_conn *conn, void *arg);

#endif
