/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_POOL_H
#define CHAPPE_AUTH_POOL_H

/*
 * The loop's side of the workers: jobs wait in one queue, each worker has one
 * at a time. A worker that dies with a job fails it for now, and its
 * successor goes on at the same socket.
 */

#include <stddef.h>

#include "lib/ipc/msg.h"
#include "lib/os/loop.h"

struct pool;
/* Takes over the loop's ends of the workers' sockets. gone is called when no
 * worker is left and none will come. */
struct pool *pool_new(struct loop *loop, const int *fds, size_t count,
    void (*gone)(void *arg), void *arg);
void pool_free(struct pool **p);

/* The answer (its fields live during the call), or NULL and e. */
typedef void (*pool_fn)(void *arg, struct msg_in *m, const struct err *e);
/* Queues the MSG_AUTH_WORK; its bytes are wiped and released here. fn is
 * never called from inside. */
void pool_submit(struct pool *p, struct msg_out *m, pool_fn fn, void *arg);

/* Jobs queued and running. */
size_t pool_pending(const struct pool *p);

enum { POOL_QUEUE_MAX = 2000, POOL_WORKERS_MAX = 64 };

#endif
