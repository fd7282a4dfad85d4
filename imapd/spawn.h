/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IMAPD_SPAWN_H
#define CHAPPE_IMAPD_SPAWN_H

/*
 * The spawner: root, one thread, a poll loop, no secrets, nothing of the
 * mail. imap-login hands it a descriptor and a ticket; auth says whose ticket
 * it is; a child becomes that user and executes imap-session. It keeps a
 * connection to each session: for notices of new mail, and for lock files in
 * the spool directory, which the user may not write.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "imapd/imapd_conf.h"
#include "lib/base/list.h"
#include "lib/daemon/daemon.h"

struct spawned {
	struct list link;
	pid_t pid;
	int control;
	uid_t uid;
	gid_t gid;
	char *user, *address;
	uint64_t trace; /* of the client's connection */
};

/* A connection of imap-login's or local's. */
struct spawn_peer {
	struct list link;
	int fd;
	pid_t pid;
};

struct spawner {
	struct daemon *daemon;
	const struct imapd_conf *conf;
	struct list peers, sessions;
	size_t session_count, peer_count;
	uid_t trusted[2]; /* who may ask: imap-login's user, our own */
	int auth;	  /* connection to auth, or -1 */
	bool leaving;
};

int spawn_run(struct daemon *d, const struct imapd_conf *conf);

/* ---- spawn_session.c ---- */
/* MSG_SESSION: answers on the peer's connection. -1: the message was
 * malformed. */
int spawn_session(
    struct spawner *sp, struct spawn_peer *peer, struct msg_in *m);
void spawned_free(struct spawner *sp, struct spawned *s);
/* MSG_NOTIFY to all sessions of the user. */
void spawn_notify(struct spawner *sp, struct msg_in *m);
/* A session says whether its user's quota is full: auth is told. -1: it spoke
 * nonsense. */
int spawn_quota(struct spawner *sp, struct spawned *s, struct msg_in *m);
void spawn_hurry(struct spawner *sp);

/* ---- spawn_lock.c ---- */
/* A session's request; answers it. -1: the session is gone or rude. */
int spawn_lockfile(struct spawner *sp, struct spawned *s, struct msg_in *m);

#endif
