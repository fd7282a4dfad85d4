/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_DAEMON_LOGSINK_H
#define CHAPPE_DAEMON_LOGSINK_H

/*
 * Where a daemon's log lines go: a ring (lib/ipc/ring.h) that it hands to the
 * log daemon over private/log. Lines never wait for the log daemon: before it
 * is there, and while it restarts, they stay in the ring. One for each
 * process; its state is in the module. A process of one thread without a loop
 * looks at each line whether the log daemon is still the same one; with a
 * loop, that is watched.
 */

#include "lib/base/err.h"
#include "lib/os/loop.h"

/* Makes the ring, becomes the process's log sink and attaches to the log
 * daemon if it is there. service is for the log daemon's own messages. */
int logsink_start(const char *queue_directory, const char *service,
    struct err *e);

/* From now on the loop keeps it attached. */
void logsink_loop(struct loop *loop);

/* In the child, right after fork and before it changes its identity: a ring
 * of its own, attached. The parent must have no loop running. */
int logsink_child(struct err *e);

/* For a program to be executed: makes the descriptors inheritable and says
 * which they are; the program calls logsink_take with that text. */
enum { LOGSINK_TEXT = 48 };
void logsink_pass(char out[LOGSINK_TEXT]);
int logsink_take(const char *text, struct err *e);

/* Detaches, and lines go to stderr again; what is in the ring is read by the
 * log daemon all the same. */
void logsink_stop(void);

#endif
