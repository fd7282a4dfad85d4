/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_WORKER_H
#define CHAPPE_LOCAL_WORKER_H

/*
 * A worker: one user for good, one recipient at a time. It may block: on a
 * lock, on a disk. fd: requests of the dispatcher (MSG_WORK), lock_fd: the
 * forker, for lock files in the spool.
 */

#include "local/local.h"

/* Serves until the dispatcher closes its end. */
void worker_run(int fd, int lock_fd, const struct local_setting *setting);

#endif
