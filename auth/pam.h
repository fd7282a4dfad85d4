/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_PAM_H
#define CHAPPE_AUTH_PAM_H

/*
 * One PAM conversation: is this user's password right, and is the account in
 * order? Blocks; only worker processes call it. PAM's own delay after a
 * failure is switched off, for the loop has one that blocks nobody.
 */

#include <stddef.h>

#include "auth/worker.h"

/* addr: the client's address, for PAM_RHOST; may be "". why gets one line
 * for the log. */
enum worker_pam pam_check(const char *service, const char *user,
    const char *password, const char *addr, char *why, size_t why_size);

#endif
