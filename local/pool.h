/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_POOL_H
#define CHAPPE_LOCAL_POOL_H

/*
 * The dispatcher's workers: one for each user with work, kept for a few
 * seconds without. When there are as many as allowed, one that is idle
 * (least recently used) makes room, or the work waits.
 */

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/ipc/channel.h"

struct pool;

struct pool_options {
	int forker_fd;        /* taken over */
	unsigned workers_max;
	uint64_t idle_ms;
	/* The forker is gone: nothing more can be delivered. */
	void (*lost)(void *arg);
	void *arg;
};
struct pool *pool_new(struct loop *loop, const struct pool_options *o);
void pool_free(struct pool **p);

/* Each MSG_WORK_DONE, with m; more: DONE_MORE was set, another one follows. m
 * NULL with e: the worker died. */
typedef void (*pool_fn)(void *arg, struct msg_in *m, bool more,
    const struct err *e);

/* Gives the work to the worker of the user. m is taken over and emptied; the
 * descriptor in it must stay open until the last call of fn. name: the login
 * name, for lock files. fn is never called from inside. */
void pool_submit(struct pool *p, uid_t uid, gid_t gid, const char *name,
    struct msg_out *m, pool_fn fn, void *arg);

/* Work submitted and not answered. */
size_t pool_pending(const struct pool *p);

#endif
