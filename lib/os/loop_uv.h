/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_LOOP_UV_H
#define CHAPPE_OS_LOOP_UV_H

/*
 * What the other modules of lib/os see of the loop; nobody else includes it.
 */

#include <uv.h>

#include "lib/base/list.h"
#include "lib/os/loop.h"

uv_loop_t *loop_uv(struct loop *loop);

/* A call that is due at the loop's next round. Embedded in its owner, which
 * may take it back; made with deferred_init. */
struct deferred {
	struct list link;
	loop_later_fn fn;
	void *arg;
};
void deferred_init(struct deferred *d, loop_later_fn fn, void *arg);
/* Setting one that is already set changes nothing. */
void deferred_set(struct loop *loop, struct deferred *d);
void deferred_cancel(struct deferred *d);

/* Registers something without an owner, such as a stream that says farewell:
 * fn(d->arg) is called if loop_free comes first. Taken back with
 * deferred_cancel. */
void loop_orphan(struct loop *loop, struct deferred *d, loop_later_fn fn);

/* The one function that a wake-up from another thread calls on the loop. */
void loop_set_wake(struct loop *loop, loop_later_fn fn);
void loop_wake(struct loop *loop);

#endif
