/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTP_SMTP_H
#define CHAPPE_SMTP_SMTP_H

/*
 * The relay: delivers to other hosts by SMTP, and to LMTP servers. One
 * process, event-driven. A delivery (one request of qmgr) looks up the
 * targets of its next hop, and tries one after the other with the recipients
 * that are left; each target is a session, either an idle one of the same
 * destination or a new connection. A session knows the protocol engine and
 * the stream; a delivery knows the recipients.
 */

#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/agent.h"
#include "lib/mail/dns.h"
#include "lib/map/map.h"
#include "lib/os/stream.h"
#include "lib/proto/smtp_client.h"

struct smtp_conf {
	int64_t smtp_connect_timeout, smtp_helo_timeout, smtp_mail_timeout,
	    smtp_rcpt_timeout, smtp_data_init_timeout, smtp_data_xfer_timeout,
	    smtp_data_done_timeout, smtp_quit_timeout, smtp_starttls_timeout,
	    smtp_xforward_timeout;
	int64_t smtp_connection_cache_time_limit;
	int64_t smtp_connection_reuse_time_limit;
	int64_t smtp_mx_address_limit, smtp_mx_session_limit;
	int64_t smtp_tcp_port, lmtp_tcp_port;
	int64_t smtp_tls_loglevel;
	int smtp_tls_security_level; /* enum tls_level (tls_policy.h) */
	bool smtp_lmtp, smtp_sasl_auth_enable;
	bool disable_mime_output_conversion, smtp_send_xforward_command;
	const char *smtp_sasl_password_maps;
	const char *smtp_tls_CAfile, *smtp_tls_CApath, *smtp_tls_policy_maps;
	const char *smtp_tls_verify_cert_match, *smtp_tls_secure_cert_match;
	const char *smtp_tls_fingerprint_cert_match;
	const char *smtp_tls_fingerprint_digest;
	const char *smtp_helo_name;
	const char *smtp_bind_address;
};
extern const struct param smtp_params[];

struct smtp {
	struct daemon *daemon;
	struct smtp_conf *conf;
	bool lmtp;
	struct agent *agent;
	struct client *resolver;
	struct tls_ctx *tls;
	struct maps *tls_policies; /* NULL: none */
	struct table destinations; /* by next hop */
	struct maps *passwords;    /* NULL: no AUTH */
	struct match_list *own;    /* addresses of ours */
	int families;              /* DNS_INET, DNS_INET6 */
	size_t sessions;
	bool leaving;
};

/* ---- targets (targets.c) ---- */
enum { TARGETS_MAX = 50, PEER_TEXT = 360 };
struct target {
	char peer[PEER_TEXT];  /* "host[addr]", for texts */
	char relay[PEER_TEXT]; /* "host[addr]:25" */
	char host[DNS_NAME_MAX];
	unsigned preference;   /* of its MX record */
	bool mx_secure;        /* DNSSEC vouches for that record */
	struct sockaddr_storage addr;
	socklen_t addr_len;
};

struct targets;
/* Called once, never from inside targets_find: a list of at least one, best
 * first, that lives during the call, and in e, unless it is NULL, why a host
 * that belongs there could not be looked up now; or NULL and why there is
 * none. */
typedef void (*targets_fn)(void *arg, const struct target *list, size_t count,
    const struct err *e);
struct targets *targets_find(struct smtp *s, struct span nexthop,
    uint64_t trace, targets_fn fn, void *arg);
void targets_cancel(struct targets **t);

/* What a next hop says: "example.com", "[host]:port", "host:port",
 * "unix:/path", "inet:host:port". False when it is none of these. */
struct nexthop {
	bool unix_;          /* host is a path */
	bool mx;             /* look for MX records */
	char host[DNS_NAME_MAX];
	unsigned port;
};
bool nexthop_parse(struct span text, bool lmtp, unsigned default_port,
    struct nexthop *out);

/* ---- what a session says of us (identity.c) ---- */
struct tls_policy;
struct identity {
	struct smtp_client_conf conf;
	struct buf secret; /* what user and password point into */
};
/* Settings for a session with a destination: its next hop's entry in
 * smtp_sasl_password_maps ("user:password", also looked up by host) makes it
 * log in, and then TLS is required. -1: a table failed. */
int identity_init(struct identity *id, struct smtp *s, struct span nexthop,
    const char *host, const struct tls_policy *tls, struct err *e);
void identity_release(struct identity *id);

/* ---- destinations (destination.c) ---- */
struct destination {
	char *key;
	struct list idle;  /* struct session, latest first */
	size_t users;      /* sessions and deliveries */
};
struct destination *destination_get(struct smtp *s, struct span nexthop);
void destination_put(struct smtp *s, struct destination *d);

/* ---- sessions (session.c) ---- */
enum session_end {
	SESSION_DONE,   /* all recipients have had results */
	SESSION_RETRY,  /* an idle session was gone already, or its server has
			   had enough of it: nothing happened */
	SESSION_PLAIN,  /* TLS failed; try the same target without */
	SESSION_UNFIT,  /* the host lacks what the policy (e), or the message
			   (e NULL: ready said so), asks for */
	SESSION_FAILED, /* e; recipients without result are left */
};
struct session_user {
	/* Ready for the message: say what to send (lives until end); or
	 * false: it may not go to this server. */
	bool (*ready)(void *arg, const struct target *t,
	    const struct smtp_client *client,
	    struct smtp_client_message *out);
	/* Recipient i has this reply, to that command. */
	void (*result)(void *arg, size_t i, const struct smtp_reply *reply,
	    enum smtp_stage stage);
	/* The next bytes of the content: their number, 0 at the end, -1. */
	ssize_t (*read)(void *arg, void *out, size_t size);
	/* The session has left this user; remote text in e. */
	void (*end)(void *arg, enum session_end how, const struct err *e);
};

struct session;
/* A session with the target for one message: its user's functions are called
 * from the loop. policy lives until ready or end was called. */
struct session *session_open(struct smtp *s, struct destination *d,
    const struct target *t, const struct tls_policy *policy,
    const struct session_user *user, void *arg);
/* The same on an idle session, or NULL if there is none that the policy is
 * content with, or ready refuses it. */
struct session *session_reuse(struct destination *d,
    const struct tls_policy *policy, const struct session_user *user,
    void *arg);
const struct target *session_target(const struct session *s);
bool session_connected(const struct session *s); /* it ever was */
unsigned session_uses(const struct session *s); /* messages, with this one */
int64_t session_ready_us(const struct session *s); /* when it was ready */
/* Ends all idle sessions. */
void session_close_idle(struct smtp *s);

/* ---- deliveries (delivery.c) ---- */
void delivery_start(struct smtp *s, struct agent_request *r);

/* Ends the process when it leaves and nothing is left. */
void smtp_maybe_exit(struct smtp *s);

#endif
