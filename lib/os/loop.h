/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_LOOP_H
#define CHAPPE_OS_LOOP_H

/*
 * The event loop: libuv behind the few things that daemons need of it. All
 * objects belong to the thread that runs the loop, are created stopped, and
 * are freed with *_free(T **), which nulls the pointer and is legal on NULL
 * and inside the object's own callback. A callback is never called after its
 * object was freed, and never from inside the call that armed it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct loop;

/* One per process. Ignores SIGPIPE. */
struct loop *loop_new(void);
void loop_free(struct loop **loop);

/* Runs until loop_stop; then returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* In a forked child that will never run a loop, before it closes descriptors:
 * takes back what the library would else do to descriptors of its numbers at
 * each further fork (PAM modules fork). Works once: the children of such a
 * process must not call it again. */
void loop_forget(void);

/* Milliseconds on the monotonic clock, as of the start of this round. */
uint64_t loop_now_ms(const struct loop *loop);

/* Microseconds since the Unix epoch; the one seam for wall-clock time: a test
 * may shift it by the environment variable CHAPPE_CLOCK_OFFSET_S. Callable
 * from any thread and without a loop. */
int64_t clock_wall_us(void);

/* ---- timers ---- */
struct timer;
typedef void (*timer_fn)(void *arg);
struct timer *timer_new(struct loop *loop, timer_fn fn, void *arg);
/* Fires once, in ms milliseconds; starting again moves it. */
void timer_start(struct timer *t, uint64_t ms);
void timer_stop(struct timer *t);
bool timer_active(const struct timer *t);
void timer_free(struct timer **t);

/* ---- descriptors ---- */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch;
/* events: what is true now of what was asked for; an error or a hang-up
 * shows as both. */
typedef void (*watch_fn)(void *arg, int events);
/* The descriptor must be non-blocking and stays the caller's: free the watch
 * before closing it. */
struct watch *watch_new(struct loop *loop, int fd, watch_fn fn, void *arg);
/* Level-triggered; 0 stops. */
void watch_set(struct watch *w, int events);
/* Other processes watch the descriptor too, a listener: what comes is to wake
 * one of them, not all (EPOLLEXCLUSIVE). For watches of WATCH_READ alone,
 * before watch_set; it holds from the end of the next round on, which comes
 * at once. */
void watch_shared(struct watch *w);
/* Of a shared watch that was just served: the others' turn comes first. */
void watch_yield(struct watch *w);
void watch_free(struct watch **w);

/* ---- signals and later ---- */
/* Calls fn on the loop when the signal arrives; for the process's life. */
typedef void (*loop_signal_fn)(int signo, void *arg);
void loop_signal(struct loop *loop, int signo, loop_signal_fn fn, void *arg);
/* Calls fn once, soon, from the loop's top level; from this thread only. */
typedef void (*loop_later_fn)(void *arg);
void loop_later(struct loop *loop, loop_later_fn fn, void *arg);

#endif
