/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_SERVICE_H
#define CHAPPE_SMTPD_SERVICE_H

/*
 * What all sessions of one smtpd process share: configuration, queue, router
 * and the connections to other daemons. One object a process, made at its
 * start.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/client_names.h"
#include "lib/mail/content.h"
#include "lib/mail/dns.h"
#include "lib/mail/qmgr_client.h"
#include "lib/mail/restrict.h"
#include "lib/mail/router.h"
#include "lib/mail/sasl_policy.h"
#include "lib/mail/server_memory.h"
#include "lib/mail/user_client.h"
#include "lib/map/map.h"
#include "lib/os/tls.h"
#include "lib/proto/smtp_server.h"
#include "lib/queue/queue.h"
#include "smtpd/overload.h"
#include "smtpd/protocol.h"
#include "smtpd/smtpd_params.h"

/* Whom AUTH is offered, and which of it (smtpd/auth.c). */
struct auth_rules {
	unsigned options, tls_options;
	struct match_list *filter, *exceptions;
};
int auth_rules_open(const struct smtpd_conf *c, struct auth_rules *out,
    struct err *e);

/* restrict.c: compiles the restriction lists, and forgets them. */
int restrictions_check(struct conf *c, const struct smtpd_conf *conf,
    const struct common_conf *common, struct err *e);

/* A second as mail has it: all messages that come in it share it. */
struct received_date {
	int64_t time_s;
	int zone_min; /* minutes east of UTC */
	char text[48]; /* empty: nothing is known yet */
};

struct service {
	struct daemon *daemon;
	struct loop *loop;
	const struct common_conf *common;
	const struct smtpd_conf *conf;
	struct smtp_server_conf engine;
	struct received_date date; /* see received_date() */
	struct queue *queue;
	struct user_client *users;
	struct router *router;
	struct content_rules *content;
	struct client *auth, *resolver, *verify;
	struct client_names *names; /* of clients that came lately */
	struct client *flush; /* of ETRN; NULL before the first */
	struct protocol *protocol;
	struct qmgr_client *qmgr;
	struct tls_ctx *tls; /* NULL: no certificate */
	struct maps *clientcerts; /* relay_clientcerts */
	struct match_list *mynetworks, *exceptions;
	struct restrict_set *restrictions;
	struct maps *login_maps; /* smtpd_sender_login_maps */
	struct server_memory *memory;
	struct shared_table *shared; /* what all servers know of clients */
	struct timer *statistics;
	struct timer *tidy;      /* after handshakes: see tls.c */
	unsigned untidy;         /* handshakes since the last time */
	struct overload overload;
	struct milter_list *milters; /* smtpd_milters or non_smtpd_milters */
	struct maps *milter_maps, *milter_checks;
	struct auth_rules auth_rules;
	struct screen_rules *screen;
	struct smtp_proxy_place *proxy; /* smtpd_proxy_filter, or NULL */
	bool proxy_late; /* speed_adjust */
	struct match_list *greylist_exceptions;
	struct outbound *outbound;

	struct list sessions;    /* struct session */
	size_t session_count;
	unsigned commits;        /* messages on their way to the disk */
	uint64_t space_at_ms;    /* when free space was last looked at */
	uint64_t space_bytes;    /* what there was */
	bool leaving;
};

/* Makes the service; called by the skeleton after the sandbox is up. */
int service_start(struct daemon *d, const struct smtpd_conf *conf,
    struct err *e);
void service_client(struct daemon *d, int fd,
    const struct daemon_listener *l);
void service_keys(struct daemon *d, struct tls_keys *k);
void service_leave(struct daemon *d);
void service_hurry(struct daemon *d);

/* A client for whom there was no descriptor but the one in reserve. */
void service_refuse(struct daemon *d, int fd,
    const struct daemon_listener *l);
/* The engine's limits, from conf. */
void service_set_engine(struct service *s);

/* A session is gone. */
void service_session_ended(struct service *s);
/* A message is on disk: maybe the process may end. */
void service_maybe_end(struct service *s);

/* Is there room on the disk for one more message, of declared bytes (0: not
 * known)? Looked at once a second. */
bool service_space(struct service *s, uint64_t declared);

/* Is the address in mynetworks? A list that fails is logged and means no. */
bool service_trusts(struct service *s, const char *addr);

#endif
