/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_WORKER_H
#define CHAPPE_AUTH_WORKER_H

/*
 * The processes that may block. A nursery is forked before the loop runs; it
 * keeps the rights that auth was started with, forks the workers, and forks a
 * successor for each that dies, at the same socket. A worker reads one
 * MSG_AUTH_WORK at a time and answers MSG_AUTH_WORK_DONE; after 60 s with one
 * job it is killed by its own alarm. All end when the loop's ends close.
 *
 * F_OP   in                             out
 * user   F_USER                         F_FOUND F_UID F_GID F_HOME F_GROUPS*
 * match  F_TEXT* stored, F_DATA password F_COUNT: the number, from 1, of the
 *                                       first that it matches; 0: none
 * derive F_DATA password, F_TEXT a key  F_DATA: the key with the same salt
 *        (lib/mail/scram_key.h)         from the password, as text
 * pam    F_USER F_DATA F_SERVICE F_ADDR F_STATUS (enum worker_pam), F_TEXT
 */

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/ipc/msg.h"

enum worker_pam { WORKER_PAM_OK, WORKER_PAM_NO, WORKER_PAM_UNAVAILABLE };

enum { WORKER_JOB_S = 60 };

/* Forks nursery and workers; out_fds gets the loop's ends, non-blocking. The
 * process has no threads and no loop in use yet. */
int workers_start(size_t count, int *out_fds, struct err *e);

/* Does one job: fills the answer (begun here). What the worker processes
 * run, and tests may call. */
void worker_do(struct msg_in *m, struct msg_out *out);

#endif
