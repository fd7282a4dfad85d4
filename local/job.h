/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_JOB_H
#define CHAPPE_LOCAL_JOB_H

/*
 * The way of one recipient through local: an alias is expanded, users are
 * asked for at auth, the workers deliver, and what has to go elsewhere is
 * given to pickup as a new message. One verdict for the queue manager at the
 * end: a temporary failure of any part before a permanent one before success.
 */

#include "lib/mail/agent.h"
#include "lib/mail/user_client.h"
#include "local/local.h"
#include "local/pool.h"

/* What jobs work with. */
struct dispatcher {
	struct local_setting setting;
	struct pool *pool;
	struct user_client *users;
	struct client *pickup;
	struct client *imap; /* NULL: nobody to be told of new mail */
	uid_t default_uid;   /* default_privs: for aliases */
	gid_t default_gid;
	bool virtual;
};

/* Starts all recipients of the request, and calls agent_done at the end. */
void job_start(struct dispatcher *d, struct agent_request *r);

#endif
