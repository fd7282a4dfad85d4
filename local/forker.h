/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_FORKER_H
#define CHAPPE_LOCAL_FORKER_H

/*
 * The privileged part of local: a process of one thread without a loop, that
 * keeps SETUID and SETGID. It takes two kinds of requests: from the
 * dispatcher MSG_FORK{fd, F_USER F_UID F_GID}, a worker for a user on that
 * socket; and from a worker, over the second socket that it gave it,
 * MSG_LOCKFILE{F_OP} for that user's mailbox in mail_spool_directory, whose
 * name it made itself: nothing that a child says becomes a path.
 */

#include <sys/types.h>

#include "local/local.h"

/* Forks it; out_fd is the dispatcher's end. The loop must not run yet. The
 * worker's main is a parameter so that a test can give another. */
typedef void (*worker_fn)(int fd, int lock_fd,
    const struct local_setting *setting);
int forker_start(const struct local_setting *setting, worker_fn worker,
    int *out_fd, struct err *e);

/* What a worker's request for a lock file does: op is make, touch, remove or
 * create; name the user's login name, pid the worker's. 0, or an errno. */
int forker_lockfile(const char *spool, const char *op, const char *name,
    uid_t uid, pid_t pid);

#endif
