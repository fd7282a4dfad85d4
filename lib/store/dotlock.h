/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_DOTLOCK_H
#define CHAPPE_STORE_DOTLOCK_H

/*
 * Lock files beside what they protect, as other mail programs know them. One
 * that was left behind by a program that died is removed when it did not
 * change for two minutes.
 */

#include "lib/base/err.h"

/* Waits at most wait_ms. -1 with e->sysno EEXIST: someone else has it. */
int dotlock_take(int dir_fd, const char *name, int wait_ms, struct err *e);
void dotlock_release(int dir_fd, const char *name);

/* Is this lock file (stat by the caller) so old that its owner is gone? */
enum { DOTLOCK_STALE_S = 120, DOTLOCK_STEP_MS = 50 };

#endif
