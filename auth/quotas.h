/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_QUOTAS_H
#define CHAPPE_AUTH_QUOTAS_H

/*
 * Whose mailbox is full: local and the user's IMAP sessions say so when it
 * changes (MSG_QUOTA), and who asks about the user is told. Kept in
 * queue_directory/auth/over-quota, one name a line, written in a thread, so
 * that it is known after a restart too.
 */

#include <stdbool.h>

#include "lib/os/loop.h"

struct quotas;
/* dir_fd: of the directory, -1: nothing is kept. It stays the caller's. */
struct quotas *quotas_new(struct loop *loop, int dir_fd);
void quotas_set(struct quotas *q, const char *user, bool full);
bool quotas_full(const struct quotas *q, const char *user);
/* True: nothing is on its way to the disk. */
bool quotas_flush(struct quotas *q);

#endif
