/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_LOCAL_H
#define CHAPPE_LOCAL_LOCAL_H

/*
 * The daemon local: the services local and virtual. Three kinds of processes:
 *
 *   dispatcher  on the loop, as mail_owner: talks to qmgr, auth and pickup,
 *               sees addresses and verdicts, no mail (job.c, pool.c)
 *   forker      root with SETUID and SETGID, no loop, no thread: forks a
 *               worker for a uid and makes lock files in the spool for the
 *               children whose uid it set itself (forker.c)
 *   worker      one user for good: reads aliases or .forward, delivers
 *               (worker.c and what it uses)
 *
 * In a private instance all are the one user.
 */

#include <stdint.h>

#include "lib/conf/conf.h"

struct local_conf {
	int64_t local_worker_limit;
	int64_t local_worker_idle;   /* ms */
	int64_t local_request_limit;
};
extern const struct param local_params[];

/* What workers know from the configuration. */
struct local_setting {
	const struct common_conf *common;
	const char *service; /* "local", "virtual": the relay in the log */
	bool private_instance;
};

/* ---- MSG_WORK and MSG_WORK_DONE ---- */
enum { /* F_FLAGS of MSG_WORK */
	WORK_ALIAS = 1,      /* expand an alias, as default_privs */
	WORK_NO_FORWARD = 2, /* straight into the mailbox */
	WORK_VIRTUAL = 4,    /* no system user: no .forward */
};
enum { /* F_FLAGS of MSG_WORK_DONE */
	DONE_MORE = 1,      /* another one follows: more addresses */
	DONE_ABSENT = 2,    /* no such alias: it is a user's name */
	DONE_QUOTA = 8,     /* the user has a quota, and with */
	DONE_FULL = 16,     /* this, the mailbox is full */
	DONE_DELIVERED = 4, /* something is in a mailbox; F_TEXT says where */
	DONE_DAMAGED = 32,  /* the content does not fit its checksum */
};

#endif
